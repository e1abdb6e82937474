"""List and watch of one resource into memory.

The protocol is the one of "Efficient detection of changes" in the Kubernetes API concepts: list, remember the
resourceVersion, watch from there; bookmarks move it on; 410 Gone, as a status or inside the stream, means to
list again. What is in memory stays there until the new list is complete, and the reflector never gives up.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, runtime_checkable

from app.kube.errors import KubeError, KubeGoneError, KubeNotFoundError, KubeUnavailableError, error_for
from app.kube.forms import WHOLE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.kube.backoff import Backoff
    from app.kube.client import JsonObject, KubeClient
    from app.kube.forms import Form
    from app.kube.resources import Resource

logger = logging.getLogger(__name__)

T = TypeVar("T")

# A watch that the server ends sooner than this without one event was not a watch that works.
_SHORTEST_WATCH_SECONDS = 1.0
# What a `Retry-After` may make a reflector wait for.
_LONGEST_TOLD_SECONDS = 60.0


class Sink(Protocol[T]):
    """Where a reflector puts what it sees. Nothing here may raise or block."""

    def decode(self, obj: JsonObject) -> T | None:
        """What to keep of an object; None if it is to be passed over."""

    def replace(self, items: Sequence[T], resource_version: int) -> None:
        """These are all there are, as of `resource_version`."""

    def put(self, item: T) -> None:
        """This one was added or changed."""

    def remove(self, obj: JsonObject) -> None:
        """This object is gone; `obj` is its last state."""


@runtime_checkable
class EarlySink(Sink[T], Protocol[T]):
    """A sink that is put each object when its page comes, and not all of them when the list is complete.

    For lists so long that taking them in at once would hold up everything else. It has to tell older states
    from newer ones by itself.
    """

    def retain(self, uids: set[str], resource_version: int) -> None:
        """These are all there are, as of `resource_version`; each of them was put before."""


@dataclass(frozen=True, slots=True)
class Listing:
    """How the objects of a resource are read.

    Attributes:
        page_size: objects asked for in one page of a list.
        form: whole, or their metadata alone.
        name: what the reflector is called where the resource's plural name is not enough to tell it.
    """

    page_size: int = 500
    form: Form = WHOLE
    name: str | None = None


_AS_IT_IS = Listing()


class ReflectorObserver(Protocol):
    """Is told what a reflector goes through, for metrics."""

    def __call__(self, resource: str, event: str) -> None:
        """Take note of one `event`: ``list``, ``watch``, ``gone``, ``absent`` or ``error``."""


class Reflector(Generic[T]):
    """Keeps a `Sink` equal to one resource of the cluster.

    Attributes:
        absent: whether the API server does not serve the resource (its CRD is not installed).
        connected: whether the last thing heard of the API server was good.
    """

    def __init__(
        self,
        client: KubeClient,
        resource: Resource,
        sink: Sink[T],
        *,
        backoff: Backoff,
        clock: Callable[[], float],
        observe: ReflectorObserver,
        namespace: str | None = None,
        selectors: dict[str, str] | None = None,
        listing: Listing = _AS_IT_IS,
        watch_seconds: float = 60,
        absent_seconds: float = 15,
        silence_margin_seconds: float = 5,
    ) -> None:
        self._client = client
        self._resource = resource
        self._sink = sink
        self._early = sink if isinstance(sink, EarlySink) else None
        self._backoff = backoff
        self._clock = clock
        self._observe = observe
        self._namespace = namespace
        self._selectors = selectors or {}
        self._listing = listing
        self._watch_seconds = watch_seconds
        self._absent_seconds = absent_seconds
        self._silence_seconds = watch_seconds + silence_margin_seconds
        self._version: str | None = None
        self._last_contact: float | None = None
        self._synced = asyncio.Event()
        self.absent = False
        self.connected = False

    @property
    def name(self) -> str:
        """What the listing says, or the resource's plural name."""
        return self._listing.name or self._resource.plural

    @property
    def synced(self) -> bool:
        """Whether the first list is complete (or the resource is known to be absent)."""
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        """Return as soon as `synced` is true."""
        await self._synced.wait()

    def age(self) -> float:
        """Seconds since the API server last showed that the memory is current; infinite before that."""
        return float("inf") if self._last_contact is None else self._clock() - self._last_contact

    async def run(self) -> None:
        """List and watch until cancelled."""
        while True:
            told = 0.0
            try:
                if self._version is None:
                    await self._list()
                await self._watch()
            except KubeGoneError:
                self._note("gone", "its history is gone, listing %s again", self.name)
                self._version = None
            except KubeError as error:
                # The core group is always served: where it is not found, it is somebody else who answers.
                if isinstance(error, KubeNotFoundError) and self._resource.group:
                    self._be_absent()
                    await asyncio.sleep(self._absent_seconds)
                    continue
                self.connected = False
                self._note("error", "%s: %s", self.name, error)
                if not isinstance(error, KubeUnavailableError):
                    self._version = None
                told = error.retry_after or 0
            except Exception:
                # A reflector that ends would freeze every decision made from it.
                self.connected = False
                self._observe(self.name, "error")
                logger.exception("reflector of %s failed, listing again", self.name)
                self._version = None
            else:
                continue
            await asyncio.sleep(max(self._backoff.next_seconds(), min(told, _LONGEST_TOLD_SECONDS)))

    async def _list(self) -> None:
        self._observe(self.name, "list")
        started = self._clock()
        query = {**self._selectors, "limit": str(self._listing.page_size)}
        items: list[T] = []
        uids: set[str] = set()
        while True:
            page = await self._client.list(
                self._resource, namespace=self._namespace, query=query, form=self._listing.form
            )
            for obj in page.get("items") or ():
                if (item := self._sink.decode(obj)) is None:
                    continue
                if self._early is not None:
                    self._early.put(item)
                    uids.add(obj["metadata"]["uid"])
                else:
                    items.append(item)
            metadata = page["metadata"]
            if not (token := metadata.get("continue")):
                break
            query["continue"] = token
        version = metadata["resourceVersion"]
        if self._early is not None:
            self._early.retain(uids, int(version))
        else:
            self._sink.replace(items, int(version))
        logger.info("%s: listed %d in %.2f s", self.name, len(items) + len(uids), self._clock() - started)
        self.absent = False
        self._in_contact(version)
        self._synced.set()

    async def _watch(self) -> None:
        self._observe(self.name, "watch")
        opened = self._clock()
        query = {
            **self._selectors,
            "resourceVersion": self._version or "",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(max(1, round(self._watch_seconds))),
        }
        heard = False
        async with self._client.watch(
            self._resource,
            query,
            namespace=self._namespace,
            silence_seconds=self._silence_seconds,
            form=self._listing.form,
        ) as events:
            self._in_contact(None)
            async for event in events:
                self._apply(event)
                if not heard:
                    heard = True
                    self._backoff.reset()
        self._in_contact(None)
        if not heard and self._clock() - opened < _SHORTEST_WATCH_SECONDS:
            raise KubeUnavailableError("the watch was ended at once")
        self._backoff.reset()

    def _apply(self, event: JsonObject) -> None:
        kind, obj = event["type"], event["object"]
        if kind == "ERROR":
            raise error_for(int(obj.get("code") or 0), obj)
        version = obj["metadata"]["resourceVersion"]
        if self._version is not None and int(version) < int(self._version):
            # An object must not become again what it was before, and something may be missing.
            before, self._version = self._version, None
            raise KubeUnavailableError(f"the watch went back from {before} to {version}, listing again")
        if kind == "DELETED":
            self._sink.remove(obj)
        elif kind in ("ADDED", "MODIFIED"):
            # What no longer decodes is not to be believed in its former shape either.
            if (item := self._sink.decode(obj)) is not None:
                self._sink.put(item)
            else:
                self._sink.remove(obj)
        self._in_contact(version)

    def _in_contact(self, version: str | None) -> None:
        if version is not None:
            self._version = version
        self._last_contact = self._clock()
        self.connected = True

    def _be_absent(self) -> None:
        if not self.absent:
            self._note("absent", "the cluster does not serve %s (yet)", self.name)
            self._sink.replace([], 0)
        self.absent = True
        self._version = None
        self._in_contact(None)
        self._synced.set()

    def _note(self, event: str, message: str, *args: Any) -> None:
        self._observe(self.name, event)
        logger.warning(message, *args)
