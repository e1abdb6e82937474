"""Conditions in the status of objects (https://gateway-api.sigs.k8s.io/geps/gep-1364/)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def find(conditions: Iterable[dict[str, Any]], kind: str) -> dict[str, Any] | None:
    """The condition of a type, or None."""
    return next((entry for entry in conditions if entry.get("type") == kind), None)


def unmet(
    conditions: Iterable[dict[str, Any]] | None, *kinds: str, generation: int | None = None
) -> Iterator[str]:
    """What keeps each of these conditions from being True; nothing for those that are.

    Args:
        conditions: of an object's status.
        kinds: the types that must be True.
        generation: the object's; a condition about an older one says nothing about what is asked for now.
    """
    conditions = list(conditions or ())
    for kind in kinds:
        entry = find(conditions, kind)
        if entry is None:
            yield f"{kind} is not reported: no controller has looked at it"
        elif entry.get("status") != "True":
            said = ": ".join(filter(None, (entry.get("reason"), entry.get("message"))))
            yield f"{kind} is {entry.get('status')}: {said}"
        elif generation is not None and entry.get("observedGeneration", generation) < generation:
            yield f"{kind} is about an older version: its controller has not looked at the last change"


def title(thing: dict[str, Any]) -> str:
    """How messages name an object: kind, namespace and name."""
    metadata = thing.get("metadata", {})
    place = "/".join(filter(None, (metadata.get("namespace"), metadata.get("name"))))
    return f"{thing.get('kind', 'object')} {place}"
