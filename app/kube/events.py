"""Kubernetes Events about one object, so that `kubectl describe` tells its story.

They are Events of the core group, whose `count` says how often the same thing happened. The name of one is
made of what it says: whoever has the same to say, another replica or this one after a restart, finds it there
and counts it up. The API server forgets an Event an hour after its last change.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from app.kube.errors import KubeConflictError, KubeError, KubeUnavailableError
from app.kube.resources import EVENTS
from app.kube.timestamps import timestamp
from app.observability.logging import redact

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.kube.backoff import Backoff
    from app.kube.client import JsonObject, KubeClient

logger = logging.getLogger(__name__)

_COMPONENT = "maas-api"
# What the API server accepts in a message, in bytes ("Event v1 events.k8s.io", field `note`).
_MOST_BYTES = 1024
_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class _Occurrence:
    type: Literal["Normal", "Warning"]
    reason: str
    message: str


class EventRecorder:
    """Writes Events, one after the other and slowly, while it is `run`.

    Nothing here raises or waits for the API server: what is told is kept until it is written. What the API
    server refuses, and what comes while `most_pending` others wait, is logged and dropped.
    """

    def __init__(
        self,
        client: KubeClient,
        *,
        involved: Callable[[], JsonObject],
        instance: str,
        backoff: Backoff,
        time: Callable[[], float],
        pause_seconds: float = 1,
        most_pending: int = 50,
    ) -> None:
        """Make a recorder.

        Args:
            client: the cluster.
            involved: a reference to the object that the Events are about: `apiVersion`, `kind`, `namespace`,
                `name`, and `uid`, which is empty as long as the object was not seen.
            instance: the identity of this replica.
            backoff: how long to wait while the API server is away.
            time: seconds since the epoch.
            pause_seconds: between two writes.
            most_pending: how many different Events may wait to be written.
        """
        self._client = client
        self._involved = involved
        self._instance = instance
        self._backoff = backoff
        self._time = time
        self._pause_seconds = pause_seconds
        self._most_pending = most_pending
        self._pending: dict[_Occurrence, int] = {}
        self._told = asyncio.Event()

    async def warning(self, reason: str, message: str) -> None:
        """Tell of something that somebody should look at.

        Args:
            reason: one word in UpperCamelCase, which people and machines select by.
            message: a sentence for people; tokens in it are redacted, and what is too long is cut.
        """
        self._tell(_Occurrence("Warning", reason, _fitting(message)))

    async def normal(self, reason: str, message: str) -> None:
        """Tell of something that is as it should be; the arguments are those of `warning`."""
        self._tell(_Occurrence("Normal", reason, _fitting(message)))

    async def run(self) -> None:
        """Write what was told, until cancelled."""
        while True:
            await self._told.wait()
            occurrence, times = next(iter(self._pending.items()))
            try:
                await self._write(occurrence, times)
            except KubeUnavailableError as error:
                logger.warning("an event cannot be written now: %s", error)
                await asyncio.sleep(self._backoff.next_seconds())
                continue
            except KubeError as error:
                logger.error("the event %s is not accepted: %s", occurrence.reason, error)  # noqa: TRY400  # the answer says it all
            self._backoff.reset()
            self._forget(occurrence, times)
            await asyncio.sleep(self._pause_seconds)

    def _tell(self, occurrence: _Occurrence) -> None:
        if occurrence not in self._pending and len(self._pending) >= self._most_pending:
            logger.warning("too many events; dropped: %s: %s", occurrence.reason, occurrence.message)
            return
        self._pending[occurrence] = self._pending.get(occurrence, 0) + 1
        self._told.set()

    def _forget(self, occurrence: _Occurrence, times: int) -> None:
        # It may have happened again while it was written.
        again = self._pending.pop(occurrence) - times
        if again:
            self._pending[occurrence] = again
        if not self._pending:
            self._told.clear()

    async def _write(self, occurrence: _Occurrence, times: int) -> None:
        involved = self._involved()
        namespace, name = involved["namespace"], _name(involved, occurrence)
        now = timestamp(int(self._time()))
        event = {
            "apiVersion": EVENTS.api_version,
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": involved,
            "type": occurrence.type,
            "reason": occurrence.reason,
            "message": occurrence.message,
            "source": {"component": _COMPONENT},
            "reportingComponent": _COMPONENT,
            "reportingInstance": self._instance,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": times,
        }
        try:
            await self._client.create(EVENTS, event, namespace=namespace)
        except KubeConflictError as error:
            if not error.already_exists:
                raise
            known = await self._client.get(EVENTS, name, namespace=namespace)
            count = known.get("count")
            change = {"count": (count if isinstance(count, int) else 0) + times, "lastTimestamp": now}
            await self._client.merge_patch(EVENTS, name, change, namespace=namespace)


def _name(involved: JsonObject, occurrence: _Occurrence) -> str:
    said = (involved["uid"], occurrence.type, occurrence.reason, occurrence.message)
    digest = hashlib.sha256("\0".join(said).encode()).hexdigest()[:16]
    return f"{involved['name'][:_LONGEST_NAME].rstrip('-.')}.{digest}"


def _fitting(message: str) -> str:
    encoded = redact(message).encode(errors="replace")
    if len(encoded) <= _MOST_BYTES:
        return encoded.decode()
    mark = " …"
    return encoded[: _MOST_BYTES - len(mark.encode())].decode(errors="ignore") + mark
