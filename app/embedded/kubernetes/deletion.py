"""Deleting objects: preconditions, finalizers, and namespaces with all that is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.embedded.kubernetes.errors import conflict
from app.embedded.kubernetes.resources import NAMESPACES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.embedded.kubernetes.objects import Objects
    from app.embedded.kubernetes.resources import Resource
    from app.embedded.kubernetes.storage import Object, Stored


def delete(
    objects: Objects,
    resource: Resource,
    current: Stored,
    preconditions: Mapping[str, str | None],
    *,
    dry_run: bool = False,
) -> tuple[Stored, bool]:
    """Delete an object; return its last state and whether it is gone, which finalizers delay.

    Deleting a namespace deletes what is in it, at once; on a real cluster a controller does that later.

    Raises:
        APIError: It is not the one that the preconditions mean (409).
    """
    _check(resource, current, preconditions)
    if dry_run:
        return current, True
    if resource is NAMESPACES:
        return _delete_namespace(objects, current), False
    if not current.metadata.get("finalizers"):
        return objects.storage.remove(resource, current), True
    if "deletionTimestamp" in current.metadata:
        return current, False
    return objects.storage.put(resource, _marked(objects, current)), False


def _check(resource: Resource, current: Stored, preconditions: Mapping[str, str | None]) -> None:
    for field, title, fate in (
        ("uid", "UID", "deleted and then recreated"),
        ("resourceVersion", "ResourceVersion", "modified"),
    ):
        wanted, found = preconditions.get(field), current.metadata[field]
        if wanted is not None and wanted != found:
            why = (
                f"the {title} in the precondition ({wanted}) does not match the {title} in record ({found}). "
                f"The object might have been {fate}"
            )
            raise conflict(resource.qualified_kind, current.name, why)


def _delete_namespace(objects: Objects, current: Stored) -> Stored:
    marked = {**_marked(objects, current), "status": {"phase": "Terminating"}}
    terminating = objects.storage.put(NAMESPACES, marked)
    for resource in objects.catalogue:
        if resource.namespaced and resource.stored:
            for stored in objects.storage.list(resource, current.name):
                objects.storage.remove(resource, stored)
    objects.storage.remove(NAMESPACES, terminating)
    return terminating


def _marked(objects: Objects, current: Stored) -> Object:
    mark: Object = {"deletionTimestamp": objects.now()}
    if current.namespace:
        mark["deletionGracePeriodSeconds"] = 0
    return {**current.object, "metadata": {**current.metadata, **mark}}
