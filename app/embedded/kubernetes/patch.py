"""The three ways to say what changes in an object: JSON patch, merge patch, strategic merge patch.

All of them leave the object they are given as it is and return another one. Server-side apply, which looks
like a fourth, is in `ownership`.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import jsonpatch
from jsonpointer import JsonPointerException

from app.embedded.kubernetes.errors import APIError, bad_request

if TYPE_CHECKING:
    from app.embedded.kubernetes.storage import Object

JSON = "application/json-patch+json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"

OPERATIONS_LIMIT = 10_000

# Lists whose items have a name of their own, by the field's name: items are merged by this key.
_MERGE_KEYS = {"secrets": "name", "imagePullSecrets": "name", "ownerReferences": "uid", "conditions": "type"}
# Lists of plain values that work as sets.
_SETS = frozenset(("finalizers",))


def json_patch(obj: Object, operations: Any) -> Object:
    """Apply a JSON patch (RFC 6902).

    Raises:
        APIError: It is no patch (400), has too many operations (413) or cannot be applied (422).
    """
    if not isinstance(operations, list):
        raise bad_request(
            "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"
        )
    if len(operations) > OPERATIONS_LIMIT:
        raise APIError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "RequestEntityTooLarge",
            f"Request entity too large: The allowed maximum operations in a JSON patch is "
            f"{OPERATIONS_LIMIT}, got {len(operations)}",
        )
    try:
        patched: Object = jsonpatch.JsonPatch(operations).apply(obj)
    except (jsonpatch.JsonPatchException, JsonPointerException, TypeError) as error:
        # The real server says no more than this either.
        message = "the server rejected our request due to an error in our request"
        raise APIError(HTTPStatus.UNPROCESSABLE_ENTITY, "Invalid", message, {}) from error
    return _checked(patched)


def merge_patch(obj: Object, patch: Any) -> Object:
    """Apply a merge patch (RFC 7386).

    Raises:
        APIError: The patch is not an object (400).
    """
    return _checked(_merge(obj, _checked(patch)))


def strategic_merge_patch(obj: Object, patch: Any) -> Object:
    """Apply a strategic merge patch, with its `$patch`, `$retainKeys`, `$setElementOrder` directives.

    Raises:
        APIError: The patch is not an object (400).
    """
    return _checked(_strategic(obj, _checked(patch)))


def _checked(value: Any) -> Object:
    if not isinstance(value, dict):
        raise bad_request(
            "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}"
        )
    return value


def _merge(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge(merged.get(key), value)
    return merged


def _strategic(target: Any, patch: Object) -> Object:
    directive = patch.get("$patch")
    changes = {key: value for key, value in patch.items() if not key.startswith("$")}
    if directive == "delete":
        return {}
    merged = dict(target) if isinstance(target, dict) and directive != "replace" else {}
    for key, value in changes.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            merged[key] = _strategic(merged.get(key), value)
        elif isinstance(value, list):
            merged[key] = _list(key, merged.get(key) or [], value)
        else:
            merged[key] = value
    for key, value in patch.items():
        word, _, field = key.partition("/")
        if word == "$deleteFromPrimitiveList" and field in merged:
            merged[field] = [each for each in merged[field] if each not in value]
        elif word == "$setElementOrder" and merged.get(field):
            merged[field] = _ordered(field, merged[field], value)
    if "$retainKeys" in patch:
        merged = {key: value for key, value in merged.items() if key in patch["$retainKeys"]}
    return merged


def _list(field: str, present: list[Any], changes: list[Any]) -> list[Any]:
    if field in _SETS:
        return [*present, *(each for each in changes if each not in present)]
    key = _MERGE_KEYS.get(field)
    if key is None:
        return changes
    named = [each for each in changes if isinstance(each, dict)]
    if any(each.get("$patch") == "replace" for each in named):
        return [each for each in named if "$patch" not in each]
    items = {each.get(key): each for each in present}
    for change in named:
        if change.get("$patch") == "delete":
            items.pop(change.get(key), None)
        else:
            items[change.get(key)] = _strategic(items.get(change.get(key)), change)
    return list(items.values())


def _ordered(field: str, items: list[Any], order: list[Any]) -> list[Any]:
    """Sort a merged list as the directive says; what it does not name stays behind what it does."""
    key = _MERGE_KEYS.get(field)
    names = [each.get(key) if key and isinstance(each, dict) else each for each in order]

    def place(item: Any) -> int:
        name = item.get(key) if key and isinstance(item, dict) else item
        return names.index(name) if name in names else len(names)

    return sorted(items, key=place)
