"""Who set which field: `metadata.managedFields`, and server-side apply, which decides by it.

A simplification of structured-merge-diff: without schemas, maps are merged key by key and lists are owned and
replaced as a whole, as a real server does with custom resources that say nothing else.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from app.embedded.kubernetes.errors import APIError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from app.embedded.kubernetes.storage import Object

Path = tuple[str, ...]
OwnerKey = tuple[str, str, str]
"""Manager, operation (`Apply` or `Update`) and subresource."""
Owners = dict[OwnerKey, "Owner"]

_MISSING = object()
# What the server sets, and what says which object it is: nobody owns that.
_UNOWNED_METADATA = frozenset((
    "name", "generateName", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp",
    "deletionTimestamp", "deletionGracePeriodSeconds", "managedFields", "selfLink",
))  # fmt: skip


class Owner:
    """One entry of managedFields: the fields that a manager set by one operation."""

    __slots__ = ("api_version", "fields", "time")

    def __init__(self, api_version: str, time: str, fields: set[Path]) -> None:
        self.api_version = api_version
        self.time = time
        self.fields = fields


def leaves(obj: Object) -> dict[Path, Any]:
    """Return the fields of an object that can be owned, by path; lists and empty maps are one field."""
    return {
        path: value
        for path, value in _walk((), obj)
        if path[0] not in ("apiVersion", "kind")
        and not (path[0] == "metadata" and (len(path) == 1 or path[1] in _UNOWNED_METADATA))
    }


def _walk(path: Path, value: Any) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, dict) and value:
        for key, each in value.items():
            yield from _walk((*path, key), each)
    elif path:
        yield path, value


def read(managed_fields: Iterable[Object]) -> Owners:
    """Return the owners that an object's managedFields tell of; entries that make no sense are left out."""
    owners: Owners = {}
    for entry in managed_fields:
        if entry.get("manager") and isinstance(entry.get("fieldsV1"), dict):
            key = (entry["manager"], entry.get("operation", "Update"), entry.get("subresource", ""))
            fields = set(_decode((), entry["fieldsV1"]))
            owners[key] = Owner(entry.get("apiVersion", ""), entry.get("time", ""), fields)
    return owners


def write(owners: Owners) -> list[Object]:
    """Return managedFields for owners; those who own nothing are left out."""
    entries = []
    for (manager, operation, subresource), owner in owners.items():
        if owner.fields:
            entry = {
                "manager": manager,
                "operation": operation,
                "apiVersion": owner.api_version,
                "time": owner.time,
                "fieldsType": "FieldsV1",
                "fieldsV1": _encode(owner.fields),
            }
            if subresource:
                entry["subresource"] = subresource
            entries.append(entry)
    return entries


def _encode(fields: set[Path]) -> Object:
    encoded: Object = {}
    for path in sorted(fields):
        place = encoded
        for key in path:
            place = place.setdefault(f"f:{key}", {})
    return encoded


def _decode(path: Path, encoded: Object) -> Iterator[Path]:
    inner = {key[2:]: value for key, value in encoded.items() if key.startswith("f:")}
    for key, value in inner.items():
        yield from _decode((*path, key), value)
    if path and not inner:
        yield path


def update(owners: Owners, before: Object | None, after: Object, key: OwnerKey, now: str) -> None:
    """Record that a manager changed an object in some other way than by apply.

    Whoever owned a field that changed no longer does; the manager owns what it set.
    """
    old, new = leaves(before or {}), leaves(after)
    changed = {path for path, value in new.items() if old.get(path, _MISSING) != value}
    if before is not None:
        gone = old.keys() - new.keys()
        for owner in owners.values():
            owner.fields -= changed | gone
    if changed:
        owner = owners.setdefault(key, Owner(after["apiVersion"], now, set()))
        owner.api_version, owner.time = after["apiVersion"], now
        owner.fields |= changed


def apply(
    owners: Owners, current: Object, config: Object, manager: OwnerKey, now: str, *, force: bool
) -> Object:
    """Merge an applied configuration into an object and return the result.

    Fields that the manager applied before and now leaves out are removed, unless someone else owns them too.

    Raises:
        APIError: Someone else owns a field that the configuration sets to another value (409), unless forced.
    """
    wanted, present = leaves(config), leaves(current)
    differing = {path for path, value in wanted.items() if path in present and present[path] != value}
    others = {key: owner for key, owner in owners.items() if key != manager}
    contested = {key: differing & owner.fields for key, owner in others.items() if differing & owner.fields}
    if contested and not force:
        raise _conflict(contested, others)
    for key, paths in contested.items():
        others[key].fields -= paths
    mine = owners.get(manager)
    merged: Object = _merge(current, config)
    if mine is not None:
        kept: set[Path] = set().union(*(owner.fields for owner in others.values()))
        for path in mine.fields - wanted.keys() - kept:
            _remove(merged, path)
    owners[manager] = Owner(config["apiVersion"], now, set(wanted))
    if mine is not None and mine.fields == set(wanted) and merged == current:
        owners[manager].time = mine.time
    return merged


def _merge(current: Any, config: Any) -> Any:
    if not isinstance(current, dict) or not isinstance(config, dict):
        return config
    merged = dict(current)
    for key, value in config.items():
        merged[key] = _merge(current[key], value) if key in current else value
    return merged


def _remove(obj: Object, path: Path) -> None:
    """Remove a field from a merged object, and the maps that are empty without it."""
    value = obj.get(path[0])
    if len(path) == 1:
        obj.pop(path[0], None)
    elif isinstance(value, dict):
        inner = obj[path[0]] = dict(value)
        _remove(inner, path[1:])
        if not inner and path[0] != "metadata":
            del obj[path[0]]


def _conflict(contested: dict[OwnerKey, set[Path]], owners: Owners) -> APIError:
    shown = {key: _show(key, owners[key]) for key in contested}
    fields = {
        key: ["".join(f".{part}" for part in path) for path in sorted(contested[key])] for key in contested
    }
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {shown[key]}", "field": field}
        for key in contested
        for field in fields[key]
    ]
    if len(causes) == 1:
        text = f"1 conflict: {causes[0]['message']}: {causes[0]['field']}"
    else:
        lines = [
            line
            for key in sorted(contested)
            for line in (f"conflicts with {shown[key]}:", *(f"- {field}" for field in fields[key]))
        ]
        text = f"{len(causes)} conflicts: " + "\n".join(lines)
    return APIError(HTTPStatus.CONFLICT, "Conflict", f"Apply failed with {text}", {"causes": causes})


def _show(key: OwnerKey, owner: Owner) -> str:
    manager, operation, subresource = key
    text = f'"{manager}"' + (f' with subresource "{subresource}"' if subresource else "")
    return text if operation == "Apply" else f"{text} using {owner.api_version}"
