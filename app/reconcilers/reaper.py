"""Expired tokens leave no ServiceAccount behind."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

from app.kube.errors import KubeConflictError, KubeError, KubeNotFoundError, KubeUnavailableError
from app.kube.resources import SERVICE_ACCOUNTS
from app.observability import audit
from app.reconcilers.runs import RunObserver, counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.kube.client import KubeClient
    from app.kube.pace import Pace
    from app.reconcilers.runs import Run
    from app.tokens.inventory import Inventory
    from app.tokens.record import MaasToken

logger = logging.getLogger(__name__)

# The API server's clock says when a token ends, and may be behind ours.
_GRACE_SECONDS = 10


class ReaperObserver(RunObserver, Protocol):
    """Is told what it finds and does, for metrics."""

    def observe_overdue(self, tokens: int) -> None:
        """So many expired tokens still have their ServiceAccounts."""

    def observe_reaped(self) -> None:
        """One is gone."""


class Reaper:
    """Deletes the ServiceAccounts of tokens that have expired, and nothing else.

    What it deletes is what the inventory holds: ServiceAccounts with the label, the annotations and a
    readable expiry of a MaaS token. Each goes only if it still is the one, unchanged, that had expired.
    """

    name = "reaper"

    def __init__(
        self,
        client: KubeClient,
        inventory: Inventory,
        *,
        namespace: str,
        seconds: float,
        pace: Pace,
        time: Callable[[], float],
        observe: ReaperObserver,
    ) -> None:
        self._client = client
        self._inventory = inventory
        self._namespace = namespace
        self._seconds = seconds
        self._pace = pace
        self._time = time
        self._observe = observe

    async def run(self) -> None:
        """Look for expired tokens again and again until cancelled."""
        while True:
            try:
                with counted(self.name, self._observe) as run:
                    await self._reap(run)
            except KubeUnavailableError as error:
                logger.warning("reaper: %s; expired tokens stay for now", error)
            await asyncio.sleep(self._seconds)

    async def _reap(self, run: Run) -> None:
        deadline = self._time() - _GRACE_SECONDS
        expired = [token for token in self._inventory if token.expires_at <= deadline]
        refused = 0
        for number, token in enumerate(expired):
            self._observe.observe_overdue(len(expired) - number + refused)
            await self._pace.turn()
            try:
                await self._delete(token)
            except KubeUnavailableError:
                raise
            except KubeError as error:
                # The others need not wait for one that may not be deleted.
                refused += 1
                run.fail()
                logger.warning("reaper: ServiceAccount %s stays for now: %s", token.id, error)
        self._observe.observe_overdue(refused)

    async def _delete(self, token: MaasToken) -> None:
        try:
            await self._client.delete(
                SERVICE_ACCOUNTS,
                token.id,
                namespace=self._namespace,
                uid=token.uid,
                resource_version=token.resource_version,
            )
        except (KubeNotFoundError, KubeConflictError):
            return
        self._observe.observe_reaped()
        audit.expired(token_id=token.id, owner=token.owner)
