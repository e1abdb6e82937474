"""A figure: what was measured, what it is compared with, and whether that is good enough."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

Compared = Literal["ratio", "difference", "value"]
_WORDS: Mapping[str, str] = {"<=": "≤", ">=": "≥"}


@dataclass(frozen=True)
class Must:
    """What a figure must reach.

    Attributes:
        of: its ratio to the baseline, its difference from the baseline, or the value itself.
        at: on which side of the limit it must be.
        limit: the limit, which is still good; for anything but a ratio in the figure's unit.
    """

    of: Compared
    at: Literal["<=", ">="]
    limit: float

    def holds(self, number: float) -> bool:
        """Whether a measured number is good enough; what is not a number never is."""
        if math.isnan(number):
            return False
        return number <= self.limit if self.at == "<=" else number >= self.limit

    def __str__(self) -> str:
        return f"{self.of} {_WORDS[self.at]} {self.limit:g}"


@dataclass(frozen=True)
class Figure:
    """One line of the result.

    Attributes:
        measure: what it belongs to.
        name: what was measured.
        unit: of the value and the baseline.
        value: what was measured.
        baseline: what was measured of what it is compared with, in the same run; None: it stands alone.
        against: what it is compared with, in words.
        spread: least and greatest of the rounds, of what `spread_of` says; None: there is one round only.
        must: what it must reach, if anything.
        spread_of: the ratio to the baseline, the difference from it, or the value.
    """

    measure: str
    name: str
    unit: str
    value: float
    baseline: float | None = None
    against: str = ""
    spread: tuple[float, float] | None = None
    must: Must | None = None
    spread_of: Compared = "ratio"

    @property
    def ratio(self) -> float | None:
        """The value divided by the baseline; None without one, or where it is 0."""
        return self.value / self.baseline if self.baseline else None

    @property
    def difference(self) -> float | None:
        """The value less the baseline; None without one."""
        return None if self.baseline is None else self.value - self.baseline

    @property
    def holds(self) -> bool | None:
        """Whether it reaches what it must; None if it need not reach anything."""
        if self.must is None:
            return None
        number = {"ratio": self.ratio, "difference": self.difference, "value": self.value}[self.must.of]
        return number is not None and self.must.holds(number)

    def document(self) -> dict[str, Any]:
        """As it is written to a file."""
        must = asdict(self.must) if self.must else None
        derived = {"ratio": self.ratio, "must": must, "holds": self.holds}
        spread = list(self.spread) if self.spread else None
        return {**asdict(self), "spread": spread, **derived}

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """The figure that was written as this document; what follows from the rest is worked out again."""
        must, spread = document["must"], document["spread"]
        return cls(
            measure=document["measure"],
            name=document["name"],
            unit=document["unit"],
            value=document["value"],
            baseline=document["baseline"],
            against=document["against"],
            spread=(spread[0], spread[1]) if spread else None,
            must=Must(**must) if must else None,
            spread_of=document["spread_of"],
        )


@dataclass(frozen=True)
class Skipped:
    """What was not measured, and why."""

    measure: str
    reason: str


@dataclass
class Result:
    """Everything that one run gave.

    Attributes:
        date: when, in ISO 8601.
        quick: whether it was the quick form, which says less.
        machine: what it ran on.
        versions: of every component.
        figures: what was measured.
        skipped: what was not.
    """

    date: str
    quick: bool
    machine: dict[str, Any]
    versions: dict[str, str]
    figures: list[Figure] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """As it is written to a file."""
        return {
            "date": self.date,
            "quick": self.quick,
            "machine": self.machine,
            "versions": self.versions,
            "figures": [figure.document() for figure in self.figures],
            "skipped": [asdict(each) for each in self.skipped],
        }

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """The result that was written as this document."""
        return cls(
            date=document["date"],
            quick=document["quick"],
            machine=document["machine"],
            versions=document["versions"],
            figures=[Figure.read(each) for each in document["figures"]],
            skipped=[Skipped(**each) for each in document["skipped"]],
        )
