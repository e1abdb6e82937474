"""A bounded rate of writes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Pace:
    """Lets everyone who shares it through one after the other, so many times a second and no more."""

    def __init__(self, per_second: float, *, clock: Callable[[], float]) -> None:
        self._interval = 1 / per_second
        self._clock = clock
        self._next = clock()

    async def turn(self) -> None:
        """Wait for one's turn."""
        now = self._clock()
        turn = max(self._next, now)
        self._next = turn + self._interval
        if turn > now:
            await asyncio.sleep(turn - now)
