"""Leader election: of several replicas, one at a time does what must not be done twice.

The rules are those of client-go's leaderelection. Whoever holds the Lease leads, and renews it. A candidate
takes it when it has not changed for as long as its holder asked for, measured on the candidate's own
monotonic clock from when it saw the last change: no clock is ever compared with another machine's. A holder
that cannot renew has stopped its work by then: it counts from before its last renewal was sent, and a shorter
time.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Protocol

from app.kube.backoff import Backoff
from app.kube.errors import KubeError
from app.kube.eternal import eternally
from app.kube.lease_claim import LeaseClaim

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Coroutine

    from app.kube.client import KubeClient

logger = logging.getLogger(__name__)

# For letting go of the lease. Whoever stands down is about to end, and must not wait for a silent API server.
_RELEASE_SECONDS = 2.0


class LeaderObserver(Protocol):
    """Is told when a replica becomes the leader and when it ceases to be, for metrics."""

    def __call__(self, *, leading: bool) -> None:
        """Take note of it."""


class LeaderElection:
    """One candidate for one Lease.

    Attributes:
        identity: of this candidate, as it is in the lease.
        leading: whether this candidate may act as the leader.
    """

    def __init__(
        self,
        client: KubeClient,
        *,
        name: str,
        namespace: str,
        identity: str,
        lease_seconds: float = 15,
        renew_seconds: float = 10,
        retry_seconds: float = 2,
        clock: Callable[[], float],
        time: Callable[[], float],
        random: random.Random,
        observe: LeaderObserver,
    ) -> None:
        """Make a candidate, which stands for election when it is `run`.

        Args:
            client: the cluster.
            name: of the Lease.
            namespace: of the Lease.
            identity: of this candidate; no two may share one.
            lease_seconds: how long the others wait for a holder that says nothing.
            renew_seconds: how long a holder goes on without having renewed. What is between the two is the
                time that its work has for stopping.
            retry_seconds: the longest pause between two tries to renew or to take the lease.
            clock: monotonic seconds.
            time: seconds since the epoch, for people who read the Lease.
            random: spreads tries.
            observe: is told of changes.
        """
        self._claim = LeaseClaim(
            client,
            name=name,
            namespace=namespace,
            identity=identity,
            seconds=lease_seconds,
            clock=clock,
            time=time,
        )
        self._name = name
        self._lease_seconds = lease_seconds
        self._renew_seconds = renew_seconds
        self._retry_seconds = retry_seconds
        self._clock = clock
        self._random = random
        self._observe = observe
        self._trouble = ""
        self.identity = identity
        self.leading = False

    @property
    def leader(self) -> str:
        """The identity that was last seen to hold the lease; empty if nobody did."""
        return self._claim.holder

    async def run(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Stand for election until cancelled; run `work()` while leading.

        Work that ends or fails is started again. It is cancelled and awaited when the lead is lost. When this
        is cancelled, the work is ended first, and then the lease is released.
        """
        try:
            while True:
                claimed_at = await self._acquire()
                await self._lead(work, claimed_at)
        finally:
            await self._release()

    async def _acquire(self) -> float:
        """Wait until the lease is ours; return the moment from which it counts."""
        while True:
            try:
                async with asyncio.timeout(self._renew_seconds):
                    claimed_at = await self._claim.take()
            except (KubeError, TimeoutError) as error:
                self._complain("cannot be asked for", error)
            else:
                self._trouble = ""
                if claimed_at is not None:
                    return claimed_at
            await self._pause()

    async def _lead(self, work: Callable[[], Coroutine[Any, Any, None]], claimed_at: float) -> None:
        logger.info("%s leads", self.identity)
        backoff = Backoff(self._random, first=1, most=60)
        self._set_leading(leading=True)
        task = asyncio.create_task(
            eternally("the leader's work", work, backoff=backoff, clock=self._clock), name="leader's work"
        )
        try:
            why = await self._keep(claimed_at)
            logger.warning("%s no longer leads: %s", self.identity, why)
        finally:
            self._set_leading(leading=False)
            # If this is cut short, the work may go on for a moment: then the lease is left to run out.
            self._claim.may_be_ours, ours = False, self._claim.may_be_ours
            await self._ended(task)
            self._claim.may_be_ours = ours

    async def _keep(self, claimed_at: float) -> str:
        """Renew the lease for as long as possible; return why it no longer is."""
        while True:
            try:
                # Counted from before the last renewal was sent; one that comes late, or not at all, ends it.
                async with asyncio.timeout(claimed_at + self._renew_seconds - self._clock()):
                    renewed_at = await self._renewed()
            except TimeoutError:
                return f"the lease could not be renewed within {self._renew_seconds:g} s"
            if renewed_at is None:
                return f"{self.leader} holds the lease"
            claimed_at = renewed_at

    async def _renewed(self) -> float | None:
        """Renew the lease, trying until it succeeds; None if someone else holds it."""
        while True:
            await self._pause()
            try:
                claimed_at = await self._claim.renew()
            except KubeError as error:
                self._complain("cannot be renewed", error)
            else:
                self._trouble = ""
                return claimed_at

    async def _release(self) -> None:
        """Let others have the lease at once; what fails here only means that they wait."""
        if not self._claim.may_be_ours:
            return
        try:
            # Not `timeout`: in a task that was cancelled, Python before 3.11.3 makes a CancelledError of it.
            await asyncio.wait_for(self._claim.release(), _RELEASE_SECONDS)
        except (KubeError, TimeoutError) as error:
            logger.warning("the lease %s cannot be released, and runs out: %s", self._name, _told(error))

    async def _ended(self, task: asyncio.Task[Any]) -> None:
        task.cancel()
        margin = self._lease_seconds - self._renew_seconds
        _, running = await asyncio.wait([task], timeout=margin)
        if running:
            logger.error("the leader's work has not stopped within %g s; another may lead by now", margin)
        # Not before: it would run beside the work of the next term.
        await asyncio.wait([task])

    def _set_leading(self, *, leading: bool) -> None:
        self.leading = leading
        self._observe(leading=leading)

    async def _pause(self) -> None:
        await asyncio.sleep(self._retry_seconds * (0.5 + self._random.random() / 2))

    def _complain(self, what: str, error: Exception) -> None:
        """Log a trouble once, not with every try."""
        trouble = f"{what}: {_told(error)}"
        if trouble != self._trouble:
            self._trouble = trouble
            logger.warning("the lease %s %s", self._name, trouble)


def _told(error: Exception) -> str:
    return str(error) or "no answer in time"
