"""Fields of Kubernetes objects: compared, left out, and who owns them.

Fields are named as the API server names them in a conflict: ``.spec.limits.free.rates``. Lists are one field
each: that is how server-side apply treats lists whose CRD says nothing else ("Merge strategy" in the
Kubernetes reference of server-side apply).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from app.kube.client import JsonObject


def differences(present: Any, wanted: Any, field: str = "") -> Iterator[str]:
    """The fields of `wanted` that `present` lacks or has otherwise; what is only in `present` is none.

    Inside a list too, an item may have more than is wanted: the API server fills in defaults.
    """
    if isinstance(wanted, dict) and wanted:
        here = present if isinstance(present, dict) else {}
        for key, value in wanted.items():
            yield from differences(here.get(key), value, f"{field}.{key}")
    elif isinstance(wanted, list) and isinstance(present, list) and len(wanted) == len(present):
        pairs = zip(present, wanted, strict=True)
        if any(True for had, want in pairs for _ in differences(had, want)):
            yield field
    elif present != wanted:
        yield field


def without(obj: JsonObject, fields: Collection[str], field: str = "") -> JsonObject:
    """`obj` without some fields and what is below them, and without maps that are empty then."""
    kept: JsonObject = {}
    for key, value in obj.items():
        here = f"{field}.{key}"
        if here in fields:
            continue
        if isinstance(value, dict) and value:
            value = without(value, fields, here)  # noqa: PLW2901  # what is left of it
            if not value:
                continue
        kept[key] = value
    return kept


def owners(obj: JsonObject, *path: str) -> set[str]:
    """The field managers that own the field at `path` or something below it, by `metadata.managedFields`."""
    found = set()
    for entry in obj["metadata"].get("managedFields") or ():
        place: Any = entry.get("fieldsV1")
        for key in path:
            place = place.get(f"f:{key}") if isinstance(place, dict) else None
        if place is not None:
            found.add(str(entry.get("manager")))
    return found
