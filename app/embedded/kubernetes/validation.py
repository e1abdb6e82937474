"""The rules that objects must follow before they are stored.

They are the rules of k8s.io/apimachinery for metadata, and of each kind for the little that this server knows
about kinds. Unknown fields are kept: there are no schemas here, so `fieldValidation` finds nothing to report.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import TYPE_CHECKING

from app.embedded.kubernetes.errors import FieldError, bad_request, invalid
from app.embedded.kubernetes.resources import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    CONFIG_MAPS,
    NAMESPACES,
    ROLE_BINDINGS,
    ROLES,
    SECRETS,
)

if TYPE_CHECKING:
    from app.embedded.kubernetes.resources import Resource
    from app.embedded.kubernetes.storage import Object

ANNOTATIONS_LIMIT = 256 * 1024
DATA_LIMIT = 1024 * 1024

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_VALUE = r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"
_NAME_PART = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_PATTERNS = {each: re.compile(each) for each in (_LABEL, _SUBDOMAIN, _VALUE, _NAME_PART)}

_LABEL_RULE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start "
    "and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    f"'{_LABEL}')"
)
_SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    f"'{_SUBDOMAIN}')"
)
_VALUE_RULE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used "
    f"for validation is '{_VALUE}')"
)
_NAME_PART_RULE = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    f"'{_NAME_PART}')"
)
_PATH_SEGMENT_KINDS = (ROLES, ROLE_BINDINGS, CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS)


def check(resource: Resource, obj: Object, before: Object | None) -> None:
    """Check an object that is about to be stored.

    Args:
        resource: What it is an object of.
        obj: The object.
        before: The object that it replaces, if any.

    Raises:
        APIError: It breaks a rule (422), or a Secret is not base64 (400).
    """
    metadata = obj["metadata"]
    if resource is SECRETS:
        _check_base64(obj)
    name = metadata.get("name", "")
    errors = [FieldError.invalid("metadata.name", name, rule) for rule in _broken_name_rules(resource, name)]
    errors += _label_errors(metadata.get("labels") or {})
    errors += _annotation_errors(metadata.get("annotations") or {})
    if resource in (CONFIG_MAPS, SECRETS):
        errors += _data_errors(obj, before)
    if resource in (ROLE_BINDINGS, CLUSTER_ROLE_BINDINGS):
        errors += _binding_errors(resource, obj, before)
    if errors:
        raise invalid(resource.qualified_kind, name, errors)


def _broken_name_rules(resource: Resource, name: str) -> list[str]:
    if resource in _PATH_SEGMENT_KINDS or resource.group.endswith(".openshift.io"):
        if name in (".", ".."):
            return [f"may not be '{name}'"]
        return [f"may not contain '{each}'" for each in "/%" if each in name]
    pattern, limit, rule = _SUBDOMAIN, 253, _SUBDOMAIN_RULE
    if resource is NAMESPACES:
        pattern, limit, rule = _LABEL, 63, _LABEL_RULE
    rules = [] if _PATTERNS[pattern].fullmatch(name) else [rule]
    return [f"must be no more than {limit} characters", *rules] if len(name) > limit else rules


def _key_rules(key: str) -> list[str]:
    prefix, slash, name = key.rpartition("/")
    rules = []
    if slash and not prefix:
        rules.append("prefix part must be non-empty")
    elif slash and not _PATTERNS[_SUBDOMAIN].fullmatch(prefix):
        rules.append(f"prefix part {_SUBDOMAIN_RULE}")
    if not name:
        rules.append("name part must be non-empty")
    elif len(name) > 63:  # noqa: PLR2004 - the length that Kubernetes gives to names of labels
        rules.append("name part must be no more than 63 characters")
    if not _PATTERNS[_NAME_PART].fullmatch(name):
        rules.append(_NAME_PART_RULE)
    return rules


def _label_errors(labels: dict[str, str]) -> list[FieldError]:
    errors = []
    for key, value in labels.items():
        errors += [FieldError.invalid("metadata.labels", key, rule) for rule in _key_rules(key)]
        if len(value) > 63:  # noqa: PLR2004 - the length that Kubernetes gives to values of labels
            errors.append(FieldError.invalid("metadata.labels", value, "must be no more than 63 bytes"))
        if not _PATTERNS[_VALUE].fullmatch(value):
            errors.append(FieldError.invalid("metadata.labels", value, _VALUE_RULE))
    return errors


def _annotation_errors(annotations: dict[str, str]) -> list[FieldError]:
    errors = [
        FieldError.invalid("metadata.annotations", key, rule)
        for key in annotations
        for rule in _key_rules(key.lower())
    ]
    size = sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items())
    if size > ANNOTATIONS_LIMIT:
        detail = f"Too long: may not be more than {ANNOTATIONS_LIMIT} bytes"
        errors.append(FieldError("metadata.annotations", "FieldValueTooLong", detail))
    return errors


def _data_errors(obj: Object, before: Object | None) -> list[FieldError]:
    errors = []
    content = {**(obj.get("data") or {}), **(obj.get("binaryData") or {})}
    for key in content:
        if not re.fullmatch(r"[-._a-zA-Z0-9]{1,253}", key):
            rule = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. "
            rule += (
                "'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
            )
            errors.append(FieldError.invalid(f"data[{key}]", key, rule))
    if sum(len(value) for value in content.values()) > DATA_LIMIT:
        detail = f"Too long: may not be more than {DATA_LIMIT} bytes"
        errors.append(FieldError("[]", "FieldValueTooLong", detail))
    if before is not None and before.get("immutable"):
        errors += [
            FieldError.forbidden(field, "field is immutable when `immutable` is set")
            for field in ("immutable", "data", "binaryData")
            if (obj.get(field) or None) != (before.get(field) or None)
        ]
    return errors


def _binding_errors(resource: Resource, obj: Object, before: Object | None) -> list[FieldError]:
    ref = obj.get("roleRef") or {}
    errors = []
    if ref.get("kind") not in (ROLES.kind, CLUSTER_ROLES.kind):
        supported = (ROLES.kind, CLUSTER_ROLES.kind)
        errors.append(FieldError.not_supported("roleRef.kind", ref.get("kind", ""), supported))
    if not ref.get("name"):
        errors.append(FieldError.required("roleRef.name"))
    elif before is not None and ref != before["roleRef"]:
        shown = json.dumps(
            {"APIGroup": ref.get("apiGroup"), "Kind": ref.get("kind"), "Name": ref["name"]},
            separators=(",", ":"),
        )
        detail = f"Invalid value: {shown}: cannot change roleRef"
        errors.append(FieldError("roleRef", "FieldValueInvalid", detail))
    if resource is CLUSTER_ROLE_BINDINGS:
        errors += [
            FieldError.required(f"subjects[{index}].namespace")
            for index, subject in enumerate(obj.get("subjects") or [])
            if subject.get("kind") == "ServiceAccount" and not subject.get("namespace")
        ]
    return errors


def _check_base64(obj: Object) -> None:
    for each in (obj.get("data") or {}).values():
        try:
            base64.b64decode(each, validate=True)
        except (binascii.Error, ValueError):
            raise bad_request(
                'Secret in version "v1" cannot be handled as a Secret: illegal base64 data'
            ) from None
