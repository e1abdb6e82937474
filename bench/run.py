"""What a measure is given, and what it gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from bench.figures import Skipped

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator
    from pathlib import Path

    from rich.progress import Progress

    from bench.clients import Clients
    from bench.figures import Figure

Item = TypeVar("Item")


@dataclass(frozen=True)
class Measure:
    """Something that can be measured by itself.

    Attributes:
        name: by which it is chosen.
        title: what it finds out.
        carry_out: does it.
        seconds: which it never takes longer than.
        external: whether it needs another's product, and so has no quick form.
    """

    name: str
    title: str
    carry_out: Callable[[Bench], Awaitable[list[Figure]]]
    seconds: float = 900
    external: bool = False


@dataclass
class Bench:
    """One run of one measure.

    Attributes:
        measure: its name.
        quick: whether few repetitions have to do.
        directory: for its files.
        clients: a process for clients.
        progress: shows how far it is.
        versions: where versions of components go that take part.
        skipped: where it says what it could not do.
    """

    measure: str
    quick: bool
    directory: Path
    clients: Clients
    progress: Progress
    versions: dict[str, str]
    skipped: list[Skipped] = field(default_factory=list)

    def choose(self, whole: int, quick: int) -> int:
        """How many: of the whole form, or of the quick one."""
        return quick if self.quick else whole

    def skip(self, reason: str) -> None:
        """A part of the measure cannot be done here."""
        self.skipped.append(Skipped(self.measure, reason))

    def each(self, title: str, items: Iterable[Item]) -> Iterator[Item]:
        """The items, with a bar that shows how many are done."""
        listed = list(items)
        task = self.progress.add_task(title, total=len(listed))
        for item in listed:
            yield item
            self.progress.advance(task)


class CannotMeasureError(Exception):
    """The measure cannot be carried out here; the message says why."""
