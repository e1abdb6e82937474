"""From when to when, and in which steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from app.usage.errors import WindowError

MIN_SECONDS: Final = 60
"""The shortest window, and the shortest step: counters are read a few times a minute."""
MAX_STEPS: Final = 1000


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time.

    Attributes:
        end: in seconds since the epoch.
        seconds: how long it is.
        step: how long each part of it is, in seconds; None if it is not divided.
    """

    end: int
    seconds: int
    step: int | None = None

    @property
    def start(self) -> int:
        """In seconds since the epoch."""
        return self.end - self.seconds

    def check(self, longest: int) -> None:
        """Do nothing when it can be asked about.

        Args:
            longest: seconds that a window may have.

        Raises:
            WindowError: it cannot; says what is accepted.
        """
        if not MIN_SECONDS <= self.seconds <= longest:
            raise WindowError(f"`window` is {self.seconds} seconds; expected {MIN_SECONDS} to {longest}.")
        if self.step is None:
            return
        if not MIN_SECONDS <= self.step <= self.seconds:
            raise WindowError(
                f"`step` is {self.step} seconds; expected {MIN_SECONDS} to {self.seconds}, the whole window."
            )
        if self.seconds % self.step:
            raise WindowError(
                f"`step` is {self.step} seconds, and the window of {self.seconds} is not a multiple of that."
            )
        steps = self.seconds // self.step
        if steps > MAX_STEPS:
            raise WindowError(
                f"These are {steps} steps; expected at most {MAX_STEPS}. Choose a longer `step`."
            )
