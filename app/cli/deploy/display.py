"""What the terminal shows: progress on standard error, the summary on standard output."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from app.cli.conditions import title
from app.cli.deploy.changes import Effect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.console import Console

    from app.cli.deploy.changes import Change
    from app.cli.deploy.errors import TimedOutError
    from app.cli.deploy.phases import Phase
    from app.cli.deploy.readiness import Pending
    from app.cli.deploy.runner import Outcome
    from app.cli.kubectl import Kubectl

_COLOURS = {
    Effect.CREATED: "green",
    Effect.CHANGED: "yellow",
    Effect.UNCHANGED: "dim",
    Effect.KEPT: "cyan",
    Effect.UNCHECKED: "dim",
}
_LONGEST = 300


class Display:
    """Tells what happens, on a terminal with a spinner, elsewhere one line for each piece of news.

    Args:
        console: for progress.
        dry_run: whether nothing is really changed.
    """

    def __init__(self, console: Console, *, dry_run: bool) -> None:
        self._console = console
        self._dry_run = dry_run

    def phase(self, phase: Phase) -> None:
        """A phase begins."""
        self._console.print(f"[bold]{phase.name}[/]: {escape(phase.about)}")

    def say(self, text: str) -> None:
        """Something to know."""
        for line in text.splitlines():
            self._console.print(f"  {escape(line)}")

    def changes(self, changes: Sequence[Change]) -> None:
        """Objects were applied, or a dry run has looked at them; what changes nothing is counted only."""
        would = "would be " if self._dry_run else ""
        for change in changes:
            effect, colour = change.effect, _COLOURS[change.effect]
            if effect is Effect.UNCHANGED:
                continue
            words = f"{would}{effect}" if effect in (Effect.CREATED, Effect.CHANGED, Effect.KEPT) else effect
            why = f" ({change.why})" if change.why else ""
            self._console.print(f"  [{colour}]{words}[/] {escape(title(change.document) + why)}")
        if unchanged := sum(change.effect is Effect.UNCHANGED for change in changes):
            self._console.print(f"  [dim]{unchanged} unchanged[/]")

    @contextmanager
    def waiting(self) -> Iterator[Callable[[Sequence[Pending]], None]]:
        """Show what is waited for, whenever that changes; gives what is to be called with it."""
        begun = time.monotonic()
        told: dict[str, str] = {}
        with self._console.status("") as status:

            def show(pending: Sequence[Pending]) -> None:
                now = {item.what: shorten(item.seen) for item in pending}
                for what, seen in now.items():
                    if told.get(what) != seen:
                        self._console.print(f"  waiting for {escape(what)}: [dim]{escape(seen)}[/]")
                for what in [what for what in told if what not in now]:
                    self._console.print(f"  [green]✓[/] {escape(what)}")
                told.clear()
                told.update(now)
                if now:
                    more = f" and {len(now) - 1} more" if len(now) > 1 else ""
                    seconds = int(time.monotonic() - begun)
                    status.update(f"waiting for {escape(next(iter(now)))}{more}, {seconds} s")

            yield show

    def fail(self, text: str) -> None:
        """Why it ends."""
        self._console.print(f"[bold red]maasctl deploy:[/] {escape(text)}")

    def timed_out(self, error: TimedOutError, kubectl: Kubectl) -> None:
        """What was waited for in vain, and how to look further."""
        self._console.print(f"[bold red]{escape(str(error))}[/]. Still waiting for:")
        for item in error.pending:
            self._console.print(f"  {escape(item.what)}: {escape(shorten(item.seen))}")
            self._console.print(f"    {escape(kubectl.command(*item.look))}")
        self._console.print("Run the same command again to go on from here; --timeout gives it longer.")


def shorten(text: str) -> str:
    """A message on one line of a bounded length."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"


def summary(outcomes: Sequence[Outcome]) -> Table:
    """What every phase has done."""
    table = Table("phase", "result", title="Summary", title_justify="left")
    table.add_column("objects", overflow="fold")
    table.add_column("time", justify="right", no_wrap=True)
    for outcome in outcomes:
        counts = Counter(change.effect for change in outcome.changes)
        objects = ", ".join(f"{counts[effect]} {effect}" for effect in Effect if counts[effect])
        table.add_row(outcome.phase.name, outcome.result, objects, f"{outcome.seconds:.0f} s")
    return table


def phase_table(phases: Sequence[Phase]) -> Table:
    """The phases that there are."""
    table = Table("phase", "what", "minutes")
    table.add_column("folders of manifests/", overflow="fold")
    for phase in phases:
        folders = "\n".join(folder for step in phase.steps for folder in step)
        table.add_row(phase.name, phase.about, f"~{phase.minutes}" if phase.minutes else "", folders)
    return table
