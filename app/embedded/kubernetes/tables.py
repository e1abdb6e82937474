"""Objects as tables, which is what `kubectl get` prints, and as their metadata alone."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from app.embedded.kubernetes.resources import (
    AGE,
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    CONFIG_MAPS,
    ROLE_BINDINGS,
    ROLES,
    SECRETS,
    SERVICE_ACCOUNTS,
    Column,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.embedded.kubernetes.resources import Resource
    from app.embedded.kubernetes.storage import Object, Stored

_META = "meta.k8s.io/v1"

# Columns that are computed, which no path can say.
_CREATED = Column("Created At", ".metadata.creationTimestamp")
_COMPUTED = {
    CLUSTER_ROLES: (_CREATED,),
    CLUSTER_ROLE_BINDINGS: (Column("Role", "roleRef"), AGE),
    CONFIG_MAPS: (Column("Data", "data"), AGE),
    ROLES: (_CREATED,),
    ROLE_BINDINGS: (Column("Role", "roleRef"), AGE),
    SECRETS: (Column("Type", ".type"), Column("Data", "data"), AGE),
    SERVICE_ACCOUNTS: (Column("Secrets", "secrets"), AGE),
}

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
# Up to which age, in seconds, which units are shown: the steps of k8s.io/apimachinery/pkg/util/duration.
_AGES = (
    (2 * _MINUTE, ((1, "s"),)),
    (10 * _MINUTE, ((_MINUTE, "m"), (1, "s"))),
    (3 * _HOUR, ((_MINUTE, "m"),)),
    (8 * _HOUR, ((_HOUR, "h"), (_MINUTE, "m"))),
    (2 * _DAY, ((_HOUR, "h"),)),
    (8 * _DAY, ((_DAY, "d"), (_HOUR, "h"))),
    (2 * 365 * _DAY, ((_DAY, "d"),)),
    (8 * 365 * _DAY, ((365 * _DAY, "y"), (_DAY, "d"))),
)


def human_duration(seconds: float) -> str:
    """Return a duration as `kubectl get` prints ages: `42s`, `5m3s`, `2d7h`."""
    left, text = int(seconds), ""
    if left < 0:
        return "0s" if left > -2 else "<invalid>"  # noqa: PLR2004 - clocks that disagree a little
    units = next((units for limit, units in _AGES if left < limit), ((365 * _DAY, "y"),))
    for size, unit in units:
        count, left = divmod(left, size)
        text += f"{count}{unit}" if count or not text else ""
    return text


def table(
    resource: Resource, items: Iterable[Stored], metadata: Object, *, include: str, now: float
) -> Object:
    """Return objects as a `Table`.

    Args:
        resource: What they are objects of.
        items: The objects.
        metadata: The metadata of the list.
        include: `Object`, `Metadata` (the default) or `None`: what of the object every row carries.
        now: The time that ages are counted to, in seconds since 1970.
    """
    columns = _COMPUTED.get(resource, resource.columns)
    return {
        "kind": "Table",
        "apiVersion": _META,
        "metadata": metadata,
        "columnDefinitions": [_definition(resource, Column("Name", ".metadata.name"))]
        + [_definition(resource, column) for column in columns],
        "rows": [
            {
                "cells": [item.name, *(_cell(item.object, column, now) for column in columns)],
                **_carried(item, include),
            }
            for item in items
        ],
    }


def partial(item: Stored) -> Object:
    """Return an object's metadata as `PartialObjectMetadata`."""
    return {"kind": "PartialObjectMetadata", "apiVersion": _META, "metadata": item.metadata}


def partial_list(items: Iterable[Stored], metadata: Object) -> Object:
    """Return the metadata of objects as a `PartialObjectMetadataList`."""
    return {
        "kind": "PartialObjectMetadataList",
        "apiVersion": _META,
        "metadata": metadata,
        "items": [partial(item) for item in items],
    }


def _carried(item: Stored, include: str) -> Object:
    if include == "None":
        return {}
    return {"object": item.object if include == "Object" else partial(item)}


def _definition(resource: Resource, column: Column) -> Object:
    return {
        "name": column.name,
        "type": column.type if resource.custom else "string",
        "format": "name" if column.name == "Name" else "",
        "description": "",
        "priority": 0,
    }


def _cell(obj: Object, column: Column, now: float) -> Any:
    if column.path.startswith("["):
        conditions = (obj.get("status") or {}).get("conditions") or []
        wanted = column.path.strip("[]")
        return next((each.get("status") for each in conditions if each.get("type") == wanted), None)
    if column.path == "roleRef":
        return f"{obj['roleRef'].get('kind')}/{obj['roleRef'].get('name')}"
    if not column.path.startswith("."):
        return len(obj.get(column.path) or ()) + len(obj.get("binaryData") or ())
    value: Any = obj
    for key in column.path[1:].split("."):
        value = value.get(key) if isinstance(value, dict) else None
    if column.type == "date":
        return _age(value, now)
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def _age(timestamp: Any, now: float) -> str:
    try:
        return human_duration(now - datetime.fromisoformat(timestamp).timestamp())
    except (TypeError, ValueError):
        return "<unknown>"
