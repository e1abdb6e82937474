"""Which types the fields have that this server reads, so that no other gets near the code that reads them.

Real servers decode bodies into Go structs and answer 400 if that fails; these are those structs, as far as
they matter here. Fields that are not listed may be anything, and null is as good as nothing, as it is in Go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.embedded.kubernetes.errors import bad_request
from app.embedded.kubernetes.resources import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    CONFIG_MAPS,
    ROLE_BINDINGS,
    ROLES,
    SECRETS,
)

if TYPE_CHECKING:
    from app.embedded.kubernetes.resources import Resource

_ANY_KEY = ""
_STRINGS = [str]
_MAP = {_ANY_KEY: str}
_METADATA = {
    "name": str,
    "generateName": str,
    "namespace": str,
    "uid": str,
    "resourceVersion": str,
    "labels": _MAP,
    "annotations": _MAP,
    "finalizers": _STRINGS,
    "ownerReferences": [{"name": str, "uid": str}],
    "managedFields": [{"manager": str, "operation": str, "subresource": str, "fieldsV1": {_ANY_KEY: dict}}],
}
_RULES = [
    {
        "verbs": _STRINGS,
        "apiGroups": _STRINGS,
        "resources": _STRINGS,
        "resourceNames": _STRINGS,
        "nonResourceURLs": _STRINGS,
    }
]
_BINDING = {
    "roleRef": {"apiGroup": str, "kind": str, "name": str},
    "subjects": [{"apiGroup": str, "kind": str, "name": str, "namespace": str}],
}
_STORED: dict[Resource, dict[str, Any]] = {
    CONFIG_MAPS: {"data": _MAP, "binaryData": _MAP, "immutable": bool},
    SECRETS: {"data": _MAP, "stringData": _MAP, "type": str, "immutable": bool},
    ROLES: {"rules": _RULES},
    CLUSTER_ROLES: {"rules": _RULES},
    ROLE_BINDINGS: _BINDING,
    CLUSTER_ROLE_BINDINGS: _BINDING,
}
_ATTRIBUTES = {
    "resourceAttributes": {
        "verb": str, "group": str, "version": str, "resource": str, "subresource": str, "namespace": str,
        "name": str,
    },
    "nonResourceAttributes": {"verb": str, "path": str},
}  # fmt: skip
_SUBJECT = {"user": str, "groups": _STRINGS, "uid": str, "extra": {_ANY_KEY: _STRINGS}}
_REVIEWS: dict[str, dict[str, Any]] = {
    "LocalSubjectAccessReview": {**_ATTRIBUTES, **_SUBJECT},
    "SelfSubjectAccessReview": _ATTRIBUTES,
    "SelfSubjectReview": {},
    "SelfSubjectRulesReview": {"namespace": str},
    "SubjectAccessReview": {**_ATTRIBUTES, **_SUBJECT},
    "TokenRequest": {
        "audiences": _STRINGS,
        "expirationSeconds": int,
        "boundObjectRef": {"apiVersion": str, "kind": str, "name": str, "uid": str},
    },
    "TokenReview": {"token": str, "audiences": _STRINGS},
}

_GO_TYPES = {str: "string", bool: "bool", int: "int64", dict: "map"}
_JSON_TYPES = {str: "string", bool: "bool", int: "number", float: "number", list: "array", dict: "object"}


def check(resource: Resource, obj: dict[str, Any]) -> None:
    """Check the types of an object of a stored resource.

    Raises:
        APIError: A field has another type (400).
    """
    _check(resource.kind, obj, {"metadata": _METADATA, **_STORED.get(resource, {})}, resource.kind)


def check_options(options: dict[str, Any]) -> None:
    """Check the types of DeleteOptions.

    Raises:
        APIError: A field has another type (400).
    """
    kind = "DeleteOptions"
    _check(kind, options, {"preconditions": {"uid": str, "resourceVersion": str}, "dryRun": _STRINGS}, kind)


def check_review(kind: str, obj: dict[str, Any]) -> None:
    """Check the types of a review or a TokenRequest.

    Raises:
        APIError: A field has another type (400).
    """
    _check(kind, obj, {"metadata": _METADATA, "spec": _REVIEWS[kind]}, kind)


def _check(kind: str, value: Any, shape: Any, where: str) -> None:
    if value is None:
        return
    wanted: Any = shape if isinstance(shape, type) else type(shape)
    if type(value) is not wanted:
        found = _JSON_TYPES[type(value)]
        expected = "slice" if wanted is list else _GO_TYPES[wanted]
        raise bad_request(
            f'{kind} in version "v1" cannot be handled as a {kind}: json: cannot unmarshal {found} into Go '
            f"struct field {where} of type {expected}"
        )
    if isinstance(shape, list):
        for each in value:
            _check(kind, each, shape[0], where)
    elif isinstance(shape, dict) and _ANY_KEY in shape:
        for each in value.values():
            _check(kind, each, shape[_ANY_KEY], where)
    elif isinstance(shape, dict):
        for field, inner in shape.items():
            _check(kind, value.get(field), inner, f"{where}.{field}")
