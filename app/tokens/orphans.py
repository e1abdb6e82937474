"""Removes the ServiceAccounts of issues that failed: nobody holds a token of theirs.

A create whose answer is lost may have happened, or may still happen; the mark of the issue, which no other
issue shares, tells whether what is there by that name was made by it.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.kube.errors import KubeConflictError, KubeError, KubeNotFoundError, KubeUnavailableError
from app.kube.resources import SERVICE_ACCOUNTS
from app.tokens.record import ISSUE_ANNOTATION

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.kube.backoff import Backoff
    from app.kube.client import KubeClient

logger = logging.getLogger(__name__)

# No API server goes on with a request for longer than this (its --request-timeout is one minute).
_STILL_MAY_HAPPEN_SECONDS = 90.0
_MOST = 1000


@dataclass(frozen=True, slots=True)
class _Orphan:
    token_id: str
    issue: str
    since: float


class Orphans:
    """What is left over and has to go; `run` removes it as soon as the API server lets it."""

    def __init__(
        self, client: KubeClient, *, namespace: str, backoff: Backoff, clock: Callable[[], float]
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._backoff = backoff
        self._clock = clock
        self._waiting: dict[str, _Orphan] = {}
        self._arrived = asyncio.Event()

    def __len__(self) -> int:
        """How many there may still be."""
        return len(self._waiting)

    def add(self, token_id: str, issue: str) -> None:
        """Remove the ServiceAccount `token_id` if the issue with this mark has made it."""
        if len(self._waiting) >= _MOST:
            logger.error("ServiceAccount %s stays until it expires: too many issues have failed", token_id)
            return
        self._waiting[issue] = _Orphan(token_id, issue, self._clock())
        self._arrived.set()

    async def run(self) -> None:
        """Remove what there is until cancelled."""
        while True:
            if not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
            self._backoff.reset()
            while self._waiting:
                for orphan in list(self._waiting.values()):
                    try:
                        done = await self._remove(orphan)
                    except KubeError as error:
                        logger.warning("ServiceAccount %s stays for now: %s", orphan.token_id, error)
                        if isinstance(error, KubeUnavailableError):
                            break
                        continue
                    if done or self._clock() > orphan.since + _STILL_MAY_HAPPEN_SECONDS:
                        del self._waiting[orphan.issue]
                if self._waiting:
                    await asyncio.sleep(self._backoff.next_seconds())

    async def _remove(self, orphan: _Orphan) -> bool:
        """Whether it is certain that nothing is left of it."""
        try:
            found = await self._client.get(SERVICE_ACCOUNTS, orphan.token_id, namespace=self._namespace)
            metadata = found["metadata"]
            if (metadata.get("annotations") or {}).get(ISSUE_ANNOTATION) != orphan.issue:
                return True
            await self._client.delete(
                SERVICE_ACCOUNTS, orphan.token_id, namespace=self._namespace, uid=metadata["uid"]
            )
        except KubeNotFoundError:
            return False
        except KubeConflictError:
            return True
        logger.info("ServiceAccount %s of an issue that failed is removed", orphan.token_id)
        return True
