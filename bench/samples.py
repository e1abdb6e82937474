"""What is said of many measured numbers: percentiles over all of them, and how far rounds lie apart."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def percentile(samples: Sequence[float], percent: float) -> float:
    """The smallest sample that at least `percent` of all are not above (nearest rank).

    Raises:
        ValueError: there are no samples, or `percent` is not in (0, 100].
    """
    if not samples:
        raise ValueError("there are no samples")
    if not 0 < percent <= 100:  # noqa: PLR2004  # per cent
        raise ValueError(f"{percent} is not a percentage above 0")
    ordered = sorted(samples)
    return ordered[math.ceil(len(ordered) * percent / 100) - 1]


@dataclass
class Rounds:
    """What was measured of one side, round by round.

    Attributes:
        latencies: in seconds, those of each round.
        rates: answers a second of each round.
    """

    latencies: list[Sequence[float]] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    def percentile(self, percent: float) -> float:
        """In milliseconds, over the samples of all rounds together."""
        return 1000 * percentile([sample for each in self.latencies for sample in each], percent)

    def percentiles(self, percent: float) -> list[float]:
        """In milliseconds, of each round by itself."""
        return [1000 * percentile(each, percent) for each in self.latencies]

    def rate(self) -> float:
        """Answers a second: the median of the rounds."""
        return statistics.median(self.rates)


def spread(
    mine: Sequence[float],
    others: Sequence[float],
    compare: Callable[[float, float], float] = lambda one, other: one / other,
) -> tuple[float, float]:
    """The least and the greatest of what comparing the two sides gives round by round.

    Raises:
        ValueError: there are no rounds, or one side has more of them.
    """
    compared = [compare(one, other) for one, other in zip(mine, others, strict=True)]
    return min(compared), max(compared)
