"""Waiting between tries."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random


class Backoff:
    """Exponentially growing waits with full jitter above a floor, so that replicas do not move in step."""

    def __init__(self, random: random.Random, *, first: float = 0.1, most: float = 10.0) -> None:
        self._random = random
        self._first = first
        self._most = most
        self._next = first

    def reset(self) -> None:
        """Start over: something worked."""
        self._next = self._first

    def next_seconds(self) -> float:
        """How long to wait now, between half of the current step and all of it; the next step is doubled."""
        step = self._next
        self._next = min(self._next * 2, self._most)
        return step * (0.5 + self._random.random() / 2)
