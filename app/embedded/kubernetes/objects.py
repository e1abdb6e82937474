"""Creating, changing and deleting objects as the API server does: what it fills in, keeps and refuses."""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

from app.embedded.kubernetes import ownership, shapes, validation
from app.embedded.kubernetes.defaults import fill_in
from app.embedded.kubernetes.errors import (
    APIError,
    FieldError,
    already_exists,
    bad_request,
    conflict,
    invalid,
    modified,
    not_found,
)
from app.embedded.kubernetes.resources import (
    NAMESPACES,
    Catalogue,
    Resource,
)
from app.embedded.kubernetes.storage import Stored, to_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.embedded.kubernetes.storage import Object, Storage

# What a client cannot change once the object exists.
_KEPT = ("uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds")
_SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_GENERATED_BASE_LENGTH = 58
_GENERATE_ATTEMPTS = 8


@dataclass(frozen=True, slots=True)
class Write:
    """How a write is to be done.

    Attributes:
        manager: Who the fields belong to afterwards (`fieldManager`, or the start of the User-Agent).
        dry_run: Whether to answer as if it were done, and leave everything as it is.
        subresource: `status` to change nothing but the status.
    """

    manager: str = "unknown"
    dry_run: bool = False
    subresource: str = ""


class Objects:
    """The objects of a cluster and the rules for changing them."""

    def __init__(self, storage: Storage, catalogue: Catalogue, clock: Callable[[], float]) -> None:
        self.storage = storage
        self.catalogue = catalogue
        self._clock = clock
        self._random = random.SystemRandom()

    def now(self) -> str:
        """Return the time as objects carry it: RFC 3339, in seconds."""
        return datetime.fromtimestamp(self._clock(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def get(self, resource: Resource, namespace: str, name: str) -> Stored:
        """Return an object.

        Raises:
            APIError: It does not exist (404).
        """
        stored = self.storage.get(resource, namespace, name)
        if stored is None:
            raise not_found(resource.qualified, name)
        return stored

    def create(self, resource: Resource, namespace: str, obj: Object, write: Write) -> Stored:
        """Store a new object, which is the storage's from then on, and return it.

        Raises:
            APIError: The namespace does not exist (404), the name is taken (409), or the object is invalid
                (422).
        """
        self._prepare(resource, namespace, obj)
        metadata = obj["metadata"]
        owners = ownership.read(metadata.pop("managedFields", None) or [])
        ownership.update(owners, None, obj, (write.manager, "Update", ""), metadata["creationTimestamp"])
        metadata["managedFields"] = ownership.write(owners)
        return self._put(resource, obj, write)

    def update(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        change: Callable[[Object], Object],
        write: Write,
    ) -> Stored:
        """Replace an object by what a function makes of it, and return the result.

        The function returns another object and leaves the one it gets as it is. A result that changes nothing
        is not stored.

        Raises:
            APIError: The object does not exist (404), is not the one that the client saw (409), or the
                result is invalid (422).
        """
        current = self.get(resource, namespace, name)
        changed = change(current.object)
        obj = self._successor(resource, current, changed, write)
        given = changed["metadata"].get("managedFields")
        before = current.metadata.get("managedFields") or []
        if given == before and _content(obj) == _content(current.object):
            return current
        owners = ownership.read(before if given is None else given)
        ownership.update(
            owners, current.object, obj, (write.manager, "Update", write.subresource), self.now()
        )
        obj["metadata"]["managedFields"] = ownership.write(owners)
        return self._put(resource, obj, write)

    def apply(
        self, resource: Resource, namespace: str, name: str, config: Object, write: Write, *, force: bool
    ) -> tuple[Stored, bool]:
        """Create or change an object by server-side apply; return it and whether it is new.

        Raises:
            APIError: As for create and update, and if others own what the configuration sets otherwise (409).
        """
        key = (write.manager, "Apply", write.subresource)
        # What the request cannot change, it cannot come to own.
        if write.subresource:
            identity = {field: config[field] for field in ("apiVersion", "kind", "metadata")}
            config = {**identity, "metadata": {"name": name}, "status": config.get("status")}
        elif resource.status:
            config = {field: value for field, value in config.items() if field != "status"}
        current = self.storage.get(resource, namespace, name)
        if current is None:
            if write.subresource:
                raise not_found(resource.qualified, name)
            if uid := config["metadata"].get("uid"):
                why = (
                    f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
                )
                raise conflict(resource.qualified, name, why)
            owners: ownership.Owners = {}
            obj = ownership.apply(owners, {}, config, key, self.now(), force=force)
            self._prepare(resource, namespace, obj)
            obj["metadata"]["managedFields"] = ownership.write(owners)
            return self._put(resource, obj, write), True
        owners = ownership.read(current.metadata.get("managedFields") or [])
        merged = ownership.apply(owners, current.object, config, key, self.now(), force=force)
        obj = self._successor(resource, current, merged, write)
        managed_fields = ownership.write(owners)
        if managed_fields == current.metadata.get("managedFields") and _content(obj) == _content(
            current.object
        ):
            return current, False
        obj["metadata"]["managedFields"] = managed_fields
        return self._put(resource, obj, write), False

    def _prepare(self, resource: Resource, namespace: str, obj: Object) -> None:
        """Make an object that a client sent one that can be stored."""
        shapes.check(resource, obj)
        obj["apiVersion"], obj["kind"] = resource.group_version, resource.kind
        metadata = obj["metadata"] = dict(obj.get("metadata") or {})
        _place(resource, namespace, metadata)
        if resource.namespaced and self.storage.get(NAMESPACES, "", namespace) is None:
            raise not_found(NAMESPACES.qualified, namespace)
        if metadata.get("resourceVersion"):
            message = "resourceVersion should not be set on objects to be created"
            raise APIError(HTTPStatus.INTERNAL_SERVER_ERROR, "", message)
        if not metadata.get("name"):
            if not metadata.get("generateName"):
                missing = FieldError.required("metadata.name", "name or generateName is required")
                raise invalid(resource.qualified_kind, "", [missing])
            metadata["name"] = self._generate_name(resource, namespace, str(metadata["generateName"]))
        for key in _KEPT:
            metadata.pop(key, None)
        metadata["uid"] = str(uuid.uuid4())
        metadata["creationTimestamp"] = self.now()
        if resource.custom:
            metadata["generation"] = 1
            if resource.status:
                obj.pop("status", None)
        fill_in(resource, obj)
        validation.check(resource, obj, None)
        if self.storage.get(resource, namespace, metadata["name"]) is not None:
            raise already_exists(resource.qualified, metadata["name"])

    def _successor(self, resource: Resource, current: Stored, obj: Object, write: Write) -> Object:
        """Check what a client made of an object and return what may be stored of it."""
        shapes.check(resource, obj)
        old, incoming = current.object, obj.get("metadata") or {}
        if incoming.get("name") != current.name:
            given = incoming.get("name", "")
            message = f"the name of the object ({given}) does not match the name on the URL ({current.name})"
            raise bad_request(message)
        metadata = dict(incoming)
        _place(resource, current.namespace, metadata)
        if metadata.get("uid", current.metadata["uid"]) != current.metadata["uid"]:
            why = (
                f"Precondition failed: UID in precondition: {metadata['uid']}, UID in object meta: "
                f"{current.metadata['uid']}"
            )
            raise conflict(resource.qualified, current.name, why)
        if metadata.get("resourceVersion", str(current.version)) not in ("", str(current.version)):
            raise modified(resource.qualified, current.name)
        if write.subresource:
            obj = {**old, "status": obj.get("status")}
            metadata = dict(current.metadata)
        elif resource.status:
            obj = {**obj, "status": old.get("status")}
        if obj.get("status", old) is None:
            del obj["status"]
        for key in _KEPT:
            metadata.pop(key, None)
            if key in current.metadata:
                metadata[key] = current.metadata[key]
        metadata.pop("managedFields", None)
        identity = {"apiVersion": resource.group_version, "kind": resource.kind}
        obj = {**obj, **identity, "metadata": metadata}
        fill_in(resource, obj)
        if resource.custom and _specification(resource, obj) != _specification(resource, old):
            metadata["generation"] = current.metadata["generation"] + 1
        validation.check(resource, obj, old)
        return obj

    def _put(self, resource: Resource, obj: Object, write: Write) -> Stored:
        metadata = obj["metadata"]
        if write.dry_run:
            namespace, name = metadata.get("namespace", ""), metadata["name"]
            return Stored(obj, to_json(resource, obj), self.storage.version, namespace, name)
        stored = self.storage.put(resource, obj)
        if "deletionTimestamp" in metadata and not metadata.get("finalizers"):
            self.storage.remove(resource, stored)
        return stored

    def _generate_name(self, resource: Resource, namespace: str, prefix: str) -> str:
        for _ in range(_GENERATE_ATTEMPTS):
            suffix = "".join(self._random.choices(_SUFFIX_LETTERS, k=5))
            name = prefix[:_GENERATED_BASE_LENGTH] + suffix
            if self.storage.get(resource, namespace, name) is None:
                break
        return name


def _place(resource: Resource, namespace: str, metadata: Object) -> None:
    """Put the request's namespace into the metadata, which may name no other."""
    if not resource.namespaced:
        metadata.pop("namespace", None)
    elif metadata.setdefault("namespace", namespace) != namespace:
        if metadata["namespace"]:
            message = "the namespace of the provided object does not match the namespace sent on the request"
            raise bad_request(message)
        metadata["namespace"] = namespace


def _content(obj: Object) -> tuple[Object, Object]:
    """What an object says, without what every write changes."""
    metadata = {
        key: value
        for key, value in obj["metadata"].items()
        if key not in ("resourceVersion", "managedFields")
    }
    return metadata, {key: value for key, value in obj.items() if key != "metadata"}


def _specification(resource: Resource, obj: Object) -> Object:
    """What counts for `metadata.generation`."""
    without = ("metadata", "status") if resource.status else ("metadata",)
    return {key: value for key, value in obj.items() if key not in without}
