"""Running reconcilers side by side."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from app.kube.backoff import Backoff
from app.kube.eternal import eternally

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable


class Reconciler(Protocol):
    """A loop that makes the cluster match what is wanted.

    It may be cancelled at any moment and started again, here or in another replica, so what it does must be
    idempotent. A machine that was suspended may go on as the leader for a moment, so each of its writes must
    be one that the API server refuses when it comes too late (preconditions, resourceVersions, server-side
    apply).
    """

    @property
    def name(self) -> str:
        """What it is called in logs."""

    async def run(self) -> None:
        """Reconcile until cancelled."""


async def run_all(
    reconcilers: Iterable[Reconciler], *, random: random.Random, clock: Callable[[], float]
) -> None:
    """Run all of them until cancelled. One that fails is started again later; the others do not notice.

    Args:
        reconcilers: what to run, each as a task of its own.
        random: spreads restarts.
        clock: monotonic seconds.
    """
    async with asyncio.TaskGroup() as group:
        for reconciler in reconcilers:
            name = f"reconciler {reconciler.name}"
            backoff = Backoff(random, first=1, most=60)
            group.create_task(eternally(name, reconciler.run, backoff=backoff, clock=clock), name=name)
        # Also where there are none.
        await asyncio.Event().wait()
