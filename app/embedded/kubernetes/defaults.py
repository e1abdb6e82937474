"""What the server fills in by itself when objects are stored."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from app.embedded.kubernetes.resources import CLUSTER_ROLE_BINDINGS, NAMESPACES, ROLE_BINDINGS, SECRETS

if TYPE_CHECKING:
    from app.embedded.kubernetes.resources import Resource
    from app.embedded.kubernetes.storage import Object


def fill_in(resource: Resource, obj: Object) -> None:
    """Set the defaults of a kind, and leave out what is empty, as typed objects do."""
    metadata = obj["metadata"]
    for key in [key for key, value in metadata.items() if value in (None, "", {}, [])]:
        del metadata[key]
    if not resource.custom:
        for key in [key for key, value in obj.items() if value is None or value == {}]:
            del obj[key]
    if resource is NAMESPACES:
        name = metadata["name"]
        metadata["labels"] = {**(metadata.get("labels") or {}), "kubernetes.io/metadata.name": name}
        obj.setdefault("spec", {"finalizers": ["kubernetes"]})
        obj.setdefault("status", {"phase": "Active"})
    elif resource is SECRETS:
        obj.setdefault("type", "Opaque")
        plain = obj.pop("stringData", None)
        if plain:
            encoded = {key: base64.b64encode(value.encode()).decode() for key, value in plain.items()}
            obj["data"] = {**(obj.get("data") or {}), **encoded}
    elif resource in (ROLE_BINDINGS, CLUSTER_ROLE_BINDINGS):
        _qualify(obj)


def _qualify(binding: Object) -> None:
    """Name the API group of what a binding refers to, which clients may leave out."""
    group = ROLE_BINDINGS.group
    if isinstance(binding.get("roleRef"), dict):
        binding["roleRef"] = {"apiGroup": group, **binding["roleRef"]}
    if binding.get("subjects"):
        binding["subjects"] = [
            {"apiGroup": group, **each} if each.get("kind") in ("User", "Group") else each
            for each in binding["subjects"]
        ]
