"""Label and field selectors, as lists, watches and collection deletes take them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.embedded.kubernetes.errors import bad_request
from app.embedded.kubernetes.resources import EVENTS, NAMESPACES, SECRETS, Resource

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.embedded.kubernetes.storage import Object, Stored

_KEY = r"[A-Za-z0-9](?:[-A-Za-z0-9_./]*[A-Za-z0-9])?"
_VALUE = r"[-A-Za-z0-9_.]*"
_SET = re.compile(rf"({_KEY})\s+(in|notin)\s*\(\s*({_VALUE}(?:\s*,\s*{_VALUE})*)\s*\)")
_EQUAL = re.compile(rf"({_KEY})\s*(==|=|!=)\s*({_VALUE})")
_EXISTS = re.compile(rf"(!?)\s*({_KEY})")

# What kinds can be selected by besides name and namespace.
_EVENT_FIELDS = ("involvedObject.kind", "involvedObject.namespace", "involvedObject.name",
                 "involvedObject.uid", "involvedObject.apiVersion", "involvedObject.resourceVersion",
                 "involvedObject.fieldPath", "reason", "reportingComponent", "source", "type")  # fmt: skip
_FIELDS = {EVENTS: _EVENT_FIELDS, SECRETS: ("type",), NAMESPACES: ("status.phase",)}


@dataclass(frozen=True, slots=True)
class Requirement:
    """One term of a label selector: the label must, or must not, have one of the values (any, if None)."""

    key: str
    values: frozenset[str] | None
    wanted: bool

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels meets the requirement."""
        has = self.key in labels and (self.values is None or labels[self.key] in self.values)
        return has is self.wanted


@dataclass(frozen=True, slots=True)
class FieldRequirement:
    """One term of a field selector: the value at a dotted path must, or must not, be this one."""

    path: str
    value: str
    wanted: bool

    def matches(self, obj: Object) -> bool:
        """Whether an object meets the requirement; a missing field counts as empty."""
        found: object = obj
        for key in self.path.split("."):
            found = found.get(key) if isinstance(found, dict) else None
        return ((found or "") == self.value) is self.wanted


@dataclass(frozen=True, slots=True)
class Selector:
    """Which objects of a resource are meant."""

    labels: tuple[Requirement, ...] = ()
    fields: tuple[FieldRequirement, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.labels or self.fields)

    def matches(self, stored: Stored | None) -> bool:
        """Whether an object is meant; one that does not exist is not."""
        if stored is None:
            return False
        for requirement in self.labels:
            if not requirement.matches(stored.labels):
                return False
        return all(requirement.matches(stored.object) for requirement in self.fields)


def parse(resource: Resource, labels: str, fields: str) -> Selector:
    """Return the selector that a request's `labelSelector` and `fieldSelector` describe.

    Raises:
        APIError: One of them does not parse, or names a field that objects cannot be selected by (400).
    """
    return Selector(parse_labels(labels), tuple(_parse_fields(resource, fields)))


def parse_labels(text: str) -> tuple[Requirement, ...]:
    """Return the requirements of a label selector.

    Raises:
        APIError: It does not parse (400).
    """
    requirements: list[Requirement] = []
    position, text = 0, text.strip()
    while position < len(text):
        for pattern, build in ((_SET, _set), (_EQUAL, _equal), (_EXISTS, _exists)):
            match = pattern.match(text, position)
            rest = text[match.end() :].lstrip() if match else ""
            if match and (not rest or rest.startswith(",")):
                requirements.append(build(*match.groups()))
                break
        else:
            raise bad_request(
                f'unable to parse requirement: found "{text[position:]}", expected a requirement'
            )
        position = len(text) - len(rest)
        if rest:
            position += 1 + len(rest[1:]) - len(rest[1:].lstrip())
    return tuple(requirements)


def _set(key: str, operator: str, values: str) -> Requirement:
    return Requirement(key, frozenset(value.strip() for value in values.split(",")), operator == "in")


def _equal(key: str, operator: str, value: str) -> Requirement:
    return Requirement(key, frozenset((value,)), operator != "!=")


def _exists(negation: str, key: str) -> Requirement:
    return Requirement(key, None, not negation)


def _parse_fields(resource: Resource, text: str) -> list[FieldRequirement]:
    known = ("metadata.name", "metadata.namespace", *_FIELDS.get(resource, ()))
    requirements = []
    for term in filter(None, (each.strip() for each in text.split(","))):
        match = re.fullmatch(r"([^=!]+?)(==|=|!=)(.*)", term)
        if match is None:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{term}'")
        path, operator, value = match.groups()
        if path not in known:
            raise bad_request(_unknown(resource, path))
        requirements.append(FieldRequirement(path, value, operator != "!="))
    return requirements


def _unknown(resource: Resource, path: str) -> str:
    if resource in _FIELDS:
        return f"field label not supported: {path}"
    return f'"{path}" is not a known field selector: only "metadata.name", "metadata.namespace"'
