"""Watches: the changes of a resource as they happen, a JSON document a line, until somebody ends it."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from app.embedded.kubernetes.errors import APIError, expired
from app.embedded.kubernetes.storage import CompactedError, Stored, to_json

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

    from starlette.types import Receive, Scope, Send

    from app.embedded.kubernetes.cluster import Cluster
    from app.embedded.kubernetes.resources import Resource
    from app.embedded.kubernetes.selectors import Selector
    from app.embedded.kubernetes.storage import Change, Object

INITIAL_EVENTS_END = "k8s.io/initial-events-end"


@dataclass(frozen=True, slots=True)
class Watch:
    """What a watch is to see.

    Attributes:
        since: The resourceVersion to resume after; None to begin with the objects that exist.
        bookmarks: Whether the client wants to hear now and then how far it has got.
        initial_end: Whether the client wants to hear when it has got the objects that exist.
        seconds: How long the watch lasts.
        render: How objects are written into events.
    """

    resource: Resource
    namespace: str
    selector: Selector
    since: int | None
    bookmarks: bool
    initial_end: bool
    seconds: float
    render: Callable[[Stored], Any]


def check_age(cluster: Cluster, watch: Watch) -> None:
    """Refuse a watch from a forgotten resourceVersion before it begins.

    Raises:
        APIError: The changes since are no longer kept (410).
    """
    if watch.since is not None:
        try:
            cluster.storage.changes(watch.resource, watch.since)
        except CompactedError as error:
            raise _too_old(watch.since, error.oldest) from None


def _too_old(asked: int, oldest: int) -> APIError:
    return expired(f"too old resource version: {asked} ({oldest})")


class WatchResponse:
    """An ASGI response that streams a watch. It ends when the client goes away."""

    def __init__(self, cluster: Cluster, watch: Watch) -> None:
        self._cluster = cluster
        self._watch = watch
        self._cuts = cluster.faults.cuts

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until the watch ends."""
        headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-cache, private")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        # The headers must arrive even if nothing happens for a long time.
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        stream = asyncio.create_task(self._stream(send), name=f"watch {self._watch.resource.plural}")
        gone = asyncio.create_task(_disconnected(receive), name="watch disconnect")
        try:
            await asyncio.wait((stream, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (stream, gone):
                task.cancel()
            await asyncio.gather(stream, gone, return_exceptions=True)
        if stream.cancelled() or self._cluster.faults.cuts != self._cuts:
            return
        stream.result()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _stream(self, send: Send) -> None:
        async with contextlib.aclosing(events(self._cluster, self._watch)) as chunks:
            async for chunk in chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def events(cluster: Cluster, watch: Watch) -> AsyncGenerator[bytes, None]:
    """Yield the lines of a watch, as many at once as there are.

    It ends after the time that the client set, when the server drops its watches, or with a 410 event if the
    changes that come next are no longer kept.
    """
    faults, loop = cluster.faults, asyncio.get_running_loop()
    drops, deadline = faults.drops, loop.time() + watch.seconds
    with cluster.storage.listen(watch.resource) as changed:
        cursor = _Cursor(cluster, watch)
        if watch.since is None:
            yield b"".join(_existing(cluster, watch))
        while faults.drops == drops and not cluster.closed:
            changed.clear()
            try:
                lines = b"".join(cursor.read())
            except APIError as error:
                yield _line("ERROR", error.status())
                return
            if lines:
                yield lines
            if loop.time() >= deadline:
                yield b"".join(cursor.bookmark())
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(min(deadline, cursor.bookmark_at)):
                    await changed.wait()


class _Cursor:
    """How far a watch has got.

    Attributes:
        bookmark_at: When the client is to hear about it, in the event loop's time.
    """

    def __init__(self, cluster: Cluster, watch: Watch) -> None:
        self._storage, self._faults, self._watch = cluster.storage, cluster.faults, watch
        self._seconds = cluster.bookmark_seconds
        self._reached = self._storage.version if watch.since is None else watch.since
        self._schedule()

    def read(self) -> Iterator[bytes]:
        """Yield the events since the last time, and a bookmark if it is time for one.

        Raises:
            APIError: The changes that come next are no longer kept (410).
        """
        if self._faults.frozen:
            self._schedule()
            return
        try:
            changes = self._storage.changes(self._watch.resource, self._reached)
        except CompactedError as error:
            raise _too_old(self._reached, error.oldest) from None
        self._reached = max(self._reached, self._storage.version)
        yield from filter(None, (_event(self._watch, change) for change in changes))
        if asyncio.get_running_loop().time() >= self.bookmark_at:
            yield from self.bookmark()
            self._schedule()

    def bookmark(self) -> Iterator[bytes]:
        """Yield a bookmark if the client wants them."""
        if self._watch.bookmarks and not self._faults.frozen:
            yield _bookmark(self._watch, self._reached)

    def _schedule(self) -> None:
        self.bookmark_at = asyncio.get_running_loop().time() + self._seconds


def _existing(cluster: Cluster, watch: Watch) -> list[bytes]:
    stored = cluster.storage.list(watch.resource, watch.namespace)
    lines = [_line("ADDED", watch.render(each)) for each in stored if watch.selector.matches(each)]
    if watch.initial_end:
        end = {"annotations": {INITIAL_EVENTS_END: "true"}}
        lines.append(_bookmark(watch, cluster.storage.version, end))
    return lines


def _event(watch: Watch, change: Change) -> bytes | None:
    """Return the event that tells this client of a change, if it concerns them.

    An object that the selector matches from now on is added, and one that it no longer matches is deleted.
    """
    if watch.namespace and change.now.namespace != watch.namespace:
        return None
    before = watch.selector.matches(change.before)
    now = change.type != "DELETED" and watch.selector.matches(change.now)
    if now:
        return _line("MODIFIED" if before else "ADDED", watch.render(change.now))
    if not before:
        return None
    return _line(
        "DELETED", watch.render(change.now if change.type == "DELETED" else _last_match(watch, change))
    )


def _last_match(watch: Watch, change: Change) -> Stored:
    """The object as it was when it was selected for the last time, with the version of the change since."""
    last = change.before or change.now
    obj = {**last.object, "metadata": {**last.metadata, "resourceVersion": str(change.now.version)}}
    return Stored(obj, to_json(watch.resource, obj), change.now.version, last.namespace, last.name)


def _bookmark(watch: Watch, version: int, metadata: Object | None = None) -> bytes:
    kind = {"kind": watch.resource.kind, "apiVersion": watch.resource.group_version}
    return _line("BOOKMARK", {**kind, "metadata": {"resourceVersion": str(version), **(metadata or {})}})


def _line(event: str, obj: Any) -> bytes:
    return orjson.dumps({"type": event, "object": obj}) + b"\n"
