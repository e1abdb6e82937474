"""Objects in memory, one growing resourceVersion, and the recent changes of every resource.

A stored object is never changed in place: every write stores another one. That is why a list needs no
copies, and why an earlier state can be told from the changes since.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.embedded.kubernetes.resources import Resource

Object = dict[str, Any]
Changes = list["Change"]
ChangeType = Literal["ADDED", "MODIFIED", "DELETED"]


class CompactedError(Exception):
    """The changes since that resourceVersion are no longer kept.

    Attributes:
        oldest: The oldest resourceVersion that can still be asked for.
    """

    def __init__(self, oldest: int) -> None:
        super().__init__(f"compacted up to {oldest}")
        self.oldest = oldest


@dataclass(frozen=True, slots=True)
class Stored:
    """One version of an object: as a value to read, never to change, and as the JSON of it.

    The JSON begins with kind and apiVersion.
    """

    object: Object
    json: bytes
    version: int
    namespace: str
    name: str

    @property
    def metadata(self) -> Object:
        """The object's metadata."""
        metadata: Object = self.object["metadata"]
        return metadata

    @property
    def labels(self) -> dict[str, str]:
        """The object's labels; empty if it has none."""
        return self.metadata.get("labels") or {}


@dataclass(frozen=True, slots=True)
class Change:
    """One write. `now` of a deletion is the last state of the object with the deletion's resourceVersion."""

    type: ChangeType
    before: Stored | None
    now: Stored


def to_json(resource: Resource, obj: Object) -> bytes:
    """Return the JSON of an object."""
    return orjson.dumps({"kind": resource.kind, "apiVersion": resource.group_version, **obj})


class _Shelf:
    """The objects and the recent changes of one resource."""

    def __init__(self, history: int, compacted: int) -> None:
        self.objects: dict[str, dict[str, Stored]] = {}
        self.changes: deque[Change] = deque()
        self.history = history
        self.compacted = compacted
        self.latest = 0
        self.listeners: set[asyncio.Event] = set()

    def record(self, change: Change) -> None:
        self.latest = change.now.version
        self.changes.append(change)
        if len(self.changes) > self.history:
            self.compacted = self.changes.popleft().now.version
        for listener in self.listeners:
            listener.set()


class Storage:
    """The objects of one API server. It belongs to one event loop: calls from other threads are not safe."""

    def __init__(self, *, history: int) -> None:
        self._history = history
        self._shelves: dict[Resource, _Shelf] = {}
        self._version = 0
        self._compacted = 0

    @property
    def version(self) -> int:
        """The resourceVersion of the latest write."""
        return self._version

    def latest(self, resource: Resource) -> int:
        """Return the resourceVersion of the latest write to a resource, 0 if there was none."""
        return self._shelf(resource).latest

    def get(self, resource: Resource, namespace: str, name: str) -> Stored | None:
        """Return an object, or None. Objects without a namespace are kept under the empty one."""
        return self._shelf(resource).objects.get(namespace, {}).get(name)

    def list(self, resource: Resource, namespace: str = "", *, at: int | None = None) -> list[Stored]:
        """Return the objects of one namespace, or of all, ordered by namespace and name.

        Args:
            resource: Whose objects.
            namespace: Which namespace; empty for all.
            at: As of which resourceVersion; None for now.

        Raises:
            CompactedError: The state at that resourceVersion is no longer known.
        """
        objects = self._shelf(resource).objects
        past = self._undone(resource, at) if at is not None and at < self._version else {}
        if not past:
            names = [namespace] if namespace else sorted(objects)
            return [
                of_namespace[name]
                for of_namespace in (objects.get(each, {}) for each in names)
                for name in sorted(of_namespace)
            ]
        state: dict[tuple[str, str], Stored | None] = {
            (stored.namespace, stored.name): stored for stored in self.list(resource, namespace)
        }
        state |= {key: stored for key, stored in past.items() if not namespace or key[0] == namespace}
        return [stored for _, stored in sorted(state.items()) if stored is not None]

    def put(self, resource: Resource, obj: Object) -> Stored:
        """Store an object under its namespace and name, as a new one or in place of the one there.

        The object is the storage's from then on. Its resourceVersion is set.
        """
        metadata = obj["metadata"]
        stored = self._stamp(resource, obj, metadata.get("namespace", ""), metadata["name"])
        shelf = self._shelf(resource)
        of_namespace = shelf.objects.setdefault(stored.namespace, {})
        before = of_namespace.get(stored.name)
        of_namespace[stored.name] = stored
        shelf.record(Change("ADDED" if before is None else "MODIFIED", before, stored))
        return stored

    def remove(self, resource: Resource, stored: Stored) -> Stored:
        """Remove an object and return its last state, which carries the deletion's resourceVersion."""
        shelf = self._shelf(resource)
        of_namespace = shelf.objects[stored.namespace]
        before = of_namespace.pop(stored.name)
        if not of_namespace:
            del shelf.objects[stored.namespace]
        obj = {**stored.object, "metadata": {**stored.metadata}}
        last = self._stamp(resource, obj, stored.namespace, stored.name)
        shelf.record(Change("DELETED", before, last))
        return last

    def changes(self, resource: Resource, since: int) -> Changes:
        """Return the changes of a resource after a resourceVersion, oldest first.

        Raises:
            CompactedError: Some of them are no longer kept.
        """
        shelf = self._shelf(resource)
        if since < shelf.compacted:
            raise CompactedError(shelf.compacted)
        if since >= shelf.latest:
            return []
        newer: Changes = []
        for change in reversed(shelf.changes):
            if change.now.version <= since:
                break
            newer.append(change)
        newer.reverse()
        return newer

    def compact(self) -> None:
        """Forget every change: only the present resourceVersion can be asked for from now on."""
        self._compacted = self._version
        for shelf in self._shelves.values():
            shelf.changes.clear()
            shelf.compacted = self._compacted

    @contextmanager
    def listen(self, resource: Resource) -> Iterator[asyncio.Event]:
        """Give an event that is set whenever the resource changes, for as long as the context lasts."""
        listeners = self._shelf(resource).listeners
        changed = asyncio.Event()
        listeners.add(changed)
        try:
            yield changed
        finally:
            listeners.discard(changed)

    def wake(self) -> None:
        """Set the events of all listeners, so that they look around."""
        for shelf in self._shelves.values():
            for listener in shelf.listeners:
                listener.set()

    def listeners(self) -> int:
        """Return how many listeners there are."""
        return sum(len(shelf.listeners) for shelf in self._shelves.values())

    def _shelf(self, resource: Resource) -> _Shelf:
        shelf = self._shelves.get(resource)
        if shelf is None:
            shelf = self._shelves[resource] = _Shelf(self._history, self._compacted)
        return shelf

    def _stamp(self, resource: Resource, obj: Object, namespace: str, name: str) -> Stored:
        self._version += 1
        obj["metadata"]["resourceVersion"] = str(self._version)
        return Stored(obj, to_json(resource, obj), self._version, namespace, name)

    def _undone(self, resource: Resource, at: int) -> dict[tuple[str, str], Stored | None]:
        """What the objects that changed since were at a resourceVersion; None: they did not exist."""
        past: dict[tuple[str, str], Stored | None] = {}
        for change in reversed(self.changes(resource, at)):
            past[change.now.namespace, change.now.name] = change.before
        return past
