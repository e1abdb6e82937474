"""Revokes MaaS tokens: a token whose ServiceAccount is gone is no token any more."""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from typing import TYPE_CHECKING

from app.kube.errors import KubeConflictError, KubeError, KubeNotFoundError
from app.kube.resources import SERVICE_ACCOUNTS
from app.tokens.errors import RevocationIncompleteError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.kube.client import KubeClient
    from app.tokens.inventory import Inventory
    from app.tokens.record import MaasToken

_AT_ONCE = 16


class Revoker:
    """Deletes ServiceAccounts of tokens and takes them out of the inventory."""

    def __init__(
        self, client: KubeClient, inventory: Inventory, *, namespace: str, clock: Callable[[], float]
    ) -> None:
        self._client = client
        self._inventory = inventory
        self._namespace = namespace
        self._clock = clock

    async def revoke(self, token: MaasToken) -> None:
        """Revoke one token; one that is already gone is revoked too.

        Raises:
            KubeError: the API server refused: the token is as live as before. Or it gave no answer: then it
                may have been revoked all the same, of which the watch tells. Either way it can be repeated.
        """
        # Not found: someone was faster. Conflict: the name is another ServiceAccount's by now.
        with suppress(KubeNotFoundError, KubeConflictError):
            await self._client.delete(SERVICE_ACCOUNTS, token.id, namespace=self._namespace, uid=token.uid)
        self._inventory.revoke(token)

    async def revoke_all(
        self,
        tokens: Sequence[MaasToken],
        *,
        seconds: float = math.inf,
        on_revoked: Callable[[MaasToken], None],
    ) -> int:
        """Revoke many tokens, some at a time, and tell `on_revoked` of each; returns how many.

        Args:
            tokens: which.
            seconds: after so long no more are begun: whoever waits would be told nothing at all otherwise.
            on_revoked: is told of each.

        Raises:
            RevocationIncompleteError: some were not revoked; it says how far it came.
        """
        queue = list(reversed(tokens))
        deadline = self._clock() + seconds
        failed = 0
        last_error: KubeError | None = None

        async def work() -> None:
            nonlocal failed, last_error
            while queue and self._clock() < deadline:
                token = queue.pop()
                try:
                    await self.revoke(token)
                except KubeError as error:
                    failed, last_error = failed + 1, error
                else:
                    on_revoked(token)

        async with asyncio.TaskGroup() as workers:
            for number in range(min(_AT_ONCE, len(tokens))):
                workers.create_task(work(), name=f"revoke {number}")
        if remaining := failed + len(queue):
            raise RevocationIncompleteError(len(tokens) - remaining, remaining) from last_error
        return len(tokens)
