"""Runs phases: applies each step and waits until it is ready, before the next."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from app.cli.conditions import title
from app.cli.deploy import changes, discovery, manifests, prerequisites, readiness
from app.cli.deploy.errors import DeployError, TimedOutError
from app.cli.deploy.phases import Overlay
from app.cli.deploy.readiness import Pending
from app.cli.kubectl import CommandFailedError, UnansweredError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from app.cli.deploy.changes import Change
    from app.cli.deploy.display import Display
    from app.cli.deploy.phases import Phase
    from app.cli.deploy.readiness import Document
    from app.cli.kubectl import Kubectl

_POLL_SECONDS = 2.0
# What the API server says while a webhook that it must ask is still starting.
_NOT_ANSWERING_YET = ("failed calling webhook", "no endpoints available", "is currently unable to handle")


class Result(StrEnum):
    """How a phase ended."""

    DONE = "done"
    CHECKED = "checked"
    FAILED = "failed"
    TIMED_OUT = "timed out"
    INTERRUPTED = "interrupted"


@dataclass
class Outcome:
    """What a phase has done.

    Attributes:
        phase: which.
        result: how it ended.
        changes: every object that it has applied, or that a dry run has looked at.
        seconds: how long it took.
    """

    phase: Phase
    result: Result = Result.INTERRUPTED
    changes: list[Change] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True)
class Options:
    """How to deploy.

    Attributes:
        overlay: what for.
        directory: manifests/.
        images: images in place of others.
        timeout_seconds: how long each step may take to become ready.
        dry_run: whether to change nothing.
        force_conflicts: whether to take fields from others.
    """

    overlay: Overlay
    directory: Path
    images: Mapping[str, str]
    timeout_seconds: float
    dry_run: bool = False
    force_conflicts: bool = False


class Runner:
    """One run of `maasctl deploy`.

    Args:
        kubectl: the cluster.
        options: how.
        display: is told what happens.

    Attributes:
        outcomes: of the phases that were begun, in order.
    """

    def __init__(self, kubectl: Kubectl, options: Options, display: Display) -> None:
        self._kubectl = kubectl
        self._options = options
        self._display = display
        self.outcomes: list[Outcome] = []

    async def run(self, phases: Sequence[Phase]) -> None:
        """Run phases in order; the first that fails is the last.

        Raises:
            DeployError: a phase cannot go on, or is not ready in time.
            KubectlError: the cluster refuses something, or cannot be asked.
        """
        # The wait for what is not ready yet goes on without an answer; this one says that there is none.
        await self._kubectl.text("get", "--raw", "/version")
        for phase in phases:
            outcome = Outcome(phase)
            self.outcomes.append(outcome)
            self._display.phase(phase)
            begun = time.monotonic()
            try:
                await self._phase(phase, outcome)
            except TimedOutError:
                outcome.result = Result.TIMED_OUT
                raise
            except Exception:
                outcome.result = Result.FAILED
                raise
            finally:
                outcome.seconds = time.monotonic() - begun
            outcome.result = Result.CHECKED if self._options.dry_run else Result.DONE

    async def _phase(self, phase: Phase, outcome: Outcome) -> None:
        if not phase.steps:
            await self._check_prerequisites()
        for step in phase.steps:
            documents = await manifests.render(
                self._kubectl, self._options.directory, step, self._options.images
            )
            if self._options.dry_run:
                documents, _ = await self._without_duplicates(documents)
                self._note(outcome, await self._apply(documents))
            else:
                await self._step(phase, documents, outcome)

    async def _check_prerequisites(self) -> None:
        missing = await prerequisites.missing(self._kubectl, self._options.overlay)
        if not missing:
            return
        if self._options.dry_run:
            for what in missing:
                self._display.say(what)
        else:
            raise DeployError("\n".join(missing))

    async def _step(self, phase: Phase, documents: list[Document], outcome: Outcome) -> None:
        deadline = time.monotonic() + self._options.timeout_seconds

        async def unknown() -> list[Pending]:
            return [
                discovery.missing_kind(*kind)
                for kind in await discovery.unserved(self._kubectl, discovery.kinds(documents))
            ]

        await self._until(phase, unknown, deadline)
        documents, instead = await self._without_duplicates(documents)
        applied: list[Change] = []

        async def refused() -> list[Pending]:
            try:
                applied[:] = await self._apply(documents)
            except CommandFailedError as error:
                if not any(sign in str(error) for sign in _NOT_ANSWERING_YET):
                    raise
                return [Pending("admission webhooks to answer", str(error), ("get", "pods", "-A"))]
            return []

        await self._until(phase, refused, deadline)
        self._note(outcome, applied)
        waited_for = [document for document in (*documents, *instead) if readiness.is_waited_for(document)]

        async def unready() -> list[Pending]:
            live = await discovery.existing(self._kubectl, waited_for)
            live = await discovery.with_csvs(self._kubectl, live)
            needs_address = self._options.overlay is not Overlay.KUBERNETES
            found = (readiness.pending(item, live, needs_address=needs_address) for item in waited_for)
            return [pending for pending in found if pending is not None]

        await self._until(phase, unready, deadline)

    async def _apply(self, documents: list[Document]) -> list[Change]:
        return await changes.apply(
            self._kubectl,
            documents,
            dry_run=self._options.dry_run,
            force_conflicts=self._options.force_conflicts,
        )

    async def _without_duplicates(self, documents: list[Document]) -> tuple[list[Document], list[Document]]:
        """What to apply without operators that are there already, and the Subscriptions of those."""
        if not any(document["kind"] == "Subscription" for document in documents):
            return documents, []
        found = await discovery.subscriptions(self._kubectl)
        remaining, instead = discovery.without_duplicates(documents, found)
        for subscription in instead:
            what = f"{subscription['spec']['name']} is installed already, by {title(subscription)}"
            self._display.say(f"{what}: left as it is")
        return remaining, instead

    def _note(self, outcome: Outcome, applied: list[Change]) -> None:
        outcome.changes += applied
        self._display.changes(applied)

    async def _until(
        self, phase: Phase, look: Callable[[], Awaitable[list[Pending]]], deadline: float
    ) -> None:
        """Look again and again, until nothing is pending.

        Raises:
            TimedOutError: something still is at the deadline.
        """
        with self._display.waiting() as show:
            while True:
                try:
                    pending = await look()
                except (UnreachableError, UnansweredError) as error:
                    # API servers restart while operators are installed.
                    pending = [Pending("the cluster to answer", str(error), ("version",))]
                show(pending)
                if not pending:
                    return
                if time.monotonic() >= deadline:
                    raise TimedOutError(phase.name, pending, self._options.timeout_seconds)
                await asyncio.sleep(_POLL_SECONDS)
