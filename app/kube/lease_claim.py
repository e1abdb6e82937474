"""A claim on one Lease: who holds it, as this replica has seen it, and taking, renewing and releasing it.

How old a lease is, is measured on this replica's own monotonic clock, from when it saw the record change.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from app.kube.errors import KubeConflictError, KubeNotFoundError
from app.kube.lease import claimed, holder_of, record_of, released, seconds_of
from app.kube.resources import LEASES

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.kube.client import JsonObject, KubeClient

logger = logging.getLogger(__name__)


class LeaseClaim:
    """What one candidate knows of one Lease, and does with it.

    Attributes:
        holder: the identity that was last seen to hold it; empty if nobody did.
        may_be_ours: whether the candidate holds it, or has asked for it and was not answered.
    """

    def __init__(
        self,
        client: KubeClient,
        *,
        name: str,
        namespace: str,
        identity: str,
        seconds: float,
        clock: Callable[[], float],
        time: Callable[[], float],
    ) -> None:
        """Make a claim, without asking the cluster for anything.

        Args:
            client: the cluster.
            name: of the Lease.
            namespace: of the Lease.
            identity: of the candidate.
            seconds: how long the others are to wait for it.
            clock: monotonic seconds.
            time: seconds since the epoch, for people who read the Lease.
        """
        self._client = client
        self._name = name
        self._namespace = namespace
        self._identity = identity
        self._seconds = seconds
        self._clock = clock
        self._time = time
        self._lease: JsonObject | None = None
        self._record: JsonObject = {}
        self._seen_at = clock()
        self.holder = ""
        self.may_be_ours = False

    async def take(self) -> float | None:
        """Read the lease, and take it if nobody else holds it (any more).

        Returns:
            The moment from which it counts, which is before it was asked for; None if someone else holds it.

        Raises:
            KubeError: the API server gave no answer, or does not allow it.
        """
        await self._look()
        return await self.renew()

    async def renew(self) -> float | None:
        """`take` without reading first: if anybody has changed the lease meanwhile, the update is refused."""
        for last in (False, True):
            if self._held_by_another():
                self.may_be_ours = False
                return None
            begun = self._clock()
            try:
                await self._write()
            except (KubeConflictError, KubeNotFoundError):
                # Someone was faster, or the lease was changed or deleted by hand.
                if last:
                    raise
                await self._look()
            else:
                return begun
        raise AssertionError("unreachable")

    async def release(self) -> None:
        """Let others have the lease at once, if it is ours.

        Raises:
            KubeError: that could not be done; the lease runs out by itself.
        """
        await self._look()
        if self._lease is not None and self.holder == self._identity:
            self._see(await self._put(released(record_of(self._lease), now=self._time())))
            logger.info("the lease %s is released", self._name)
        self.may_be_ours = False

    async def _look(self) -> None:
        """Read the lease, and note when what it says has changed."""
        try:
            lease = await self._client.get(LEASES, self._name, namespace=self._namespace)
        except KubeNotFoundError:
            # What was seen last still counts: its holder may not know yet that it is gone.
            self._lease = None
        else:
            self._see(lease)

    def _see(self, lease: JsonObject) -> None:
        self._lease = lease
        record = record_of(lease)
        if record == self._record:
            return
        self._record, self._seen_at = record, self._clock()
        holder = holder_of(record)
        if holder not in ("", self.holder, self._identity):
            logger.info("%s leads", holder)
        self.holder = holder

    def _held_by_another(self) -> bool:
        if self.holder in ("", self._identity):
            return False
        return self._clock() < self._seen_at + seconds_of(self._record, default=self._seconds)

    async def _write(self) -> None:
        # Before the call: an answer that does not come leaves it open whether the lease was taken.
        self.may_be_ours = True
        now = self._time()
        record = claimed(record_of(self._lease), identity=self._identity, seconds=self._seconds, now=now)
        self._see(await self._put(record))

    async def _put(self, record: JsonObject) -> JsonObject:
        if self._lease is None:
            metadata = {"name": self._name, "namespace": self._namespace}
            lease = {"apiVersion": LEASES.api_version, "kind": "Lease", "metadata": metadata, "spec": record}
            return await self._client.create(LEASES, lease, namespace=self._namespace)
        lease = {**self._lease, "spec": record}
        return await self._client.update(LEASES, self._name, lease, namespace=self._namespace)
