"""The protobuf messages of the builtin kinds: field numbers as in the `generated.proto` files of k8s.io/api.

What clients send is enough; the answers in reviews, for one, are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class Scalar(Enum):
    """A field that is no message, or one that JSON does not show as one."""

    STRING = auto()
    INTEGER = auto()
    BOOLEAN = auto()
    BYTES = auto()
    """Base64 in JSON."""
    TIME = auto()
    """RFC 3339 in JSON."""
    STRINGS = auto()
    """A message around a list of strings."""
    JSON = auto()
    """A message around JSON text."""


@dataclass(frozen=True, slots=True)
class Many:
    """A list."""

    of: Scalar | Message


@dataclass(frozen=True, slots=True)
class Map:
    """A map with strings as keys."""

    of: Scalar | Message


Message = dict[int, "tuple[str, Scalar | Many | Map | Message]"]

_STRING, _INTEGER, _BOOLEAN, _TIME = Scalar.STRING, Scalar.INTEGER, Scalar.BOOLEAN, Scalar.TIME
_STRINGS, _TEXTS = Many(Scalar.STRING), Map(Scalar.STRING)


def _texts(*names: str) -> Message:
    """A message whose first fields are all strings."""
    return {number: (name, _STRING) for number, name in enumerate(names, 1)}


UNKNOWN: Message = {1: ("typeMeta", _texts("apiVersion", "kind")), 2: ("raw", Scalar.BYTES)}

_OWNER_REFERENCE: Message = {
    1: ("kind", _STRING), 3: ("name", _STRING), 4: ("uid", _STRING), 5: ("apiVersion", _STRING),
    6: ("controller", _BOOLEAN), 7: ("blockOwnerDeletion", _BOOLEAN),
}  # fmt: skip
_MANAGED_FIELDS_ENTRY: Message = {
    1: ("manager", _STRING), 2: ("operation", _STRING), 3: ("apiVersion", _STRING), 4: ("time", _TIME),
    6: ("fieldsType", _STRING), 7: ("fieldsV1", Scalar.JSON), 8: ("subresource", _STRING),
}  # fmt: skip
_METADATA: Message = {
    1: ("name", _STRING), 2: ("generateName", _STRING), 3: ("namespace", _STRING), 5: ("uid", _STRING),
    6: ("resourceVersion", _STRING), 7: ("generation", _INTEGER), 8: ("creationTimestamp", _TIME),
    9: ("deletionTimestamp", _TIME), 10: ("deletionGracePeriodSeconds", _INTEGER), 11: ("labels", _TEXTS),
    12: ("annotations", _TEXTS), 13: ("ownerReferences", Many(_OWNER_REFERENCE)),
    14: ("finalizers", _STRINGS), 17: ("managedFields", Many(_MANAGED_FIELDS_ENTRY)),
}  # fmt: skip
_OBJECT_REFERENCE = _texts("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")

_EVENT: Message = {
    1: ("metadata", _METADATA), 2: ("involvedObject", _OBJECT_REFERENCE), 3: ("reason", _STRING),
    4: ("message", _STRING), 5: ("source", _texts("component", "host")), 6: ("firstTimestamp", _TIME),
    7: ("lastTimestamp", _TIME), 8: ("count", _INTEGER), 9: ("type", _STRING), 10: ("eventTime", _TIME),
    11: ("series", {1: ("count", _INTEGER), 2: ("lastObservedTime", _TIME)}), 12: ("action", _STRING),
    13: ("related", _OBJECT_REFERENCE), 14: ("reportingComponent", _STRING),
    15: ("reportingInstance", _STRING),
}  # fmt: skip
_LEASE_SPEC: Message = {
    1: ("holderIdentity", _STRING), 2: ("leaseDurationSeconds", _INTEGER), 3: ("acquireTime", _TIME),
    4: ("renewTime", _TIME), 5: ("leaseTransitions", _INTEGER), 6: ("strategy", _STRING),
    7: ("preferredHolder", _STRING),
}  # fmt: skip
_NAMESPACE_CONDITION: Message = {
    1: ("type", _STRING), 2: ("status", _STRING), 4: ("lastTransitionTime", _TIME), 5: ("reason", _STRING),
    6: ("message", _STRING),
}  # fmt: skip

_RULE: Message = {
    1: ("verbs", _STRINGS), 2: ("apiGroups", _STRINGS), 3: ("resources", _STRINGS),
    4: ("resourceNames", _STRINGS), 5: ("nonResourceURLs", _STRINGS),
}  # fmt: skip
_LABEL_SELECTOR: Message = {
    1: ("matchLabels", _TEXTS),
    2: ("matchExpressions", Many({1: ("key", _STRING), 2: ("operator", _STRING), 3: ("values", _STRINGS)})),
}
_ROLE: Message = {
    1: ("metadata", _METADATA),
    2: ("rules", Many(_RULE)),
    3: ("aggregationRule", {1: ("clusterRoleSelectors", Many(_LABEL_SELECTOR))}),
}
_BINDING: Message = {
    1: ("metadata", _METADATA),
    2: ("subjects", Many(_texts("kind", "apiGroup", "name", "namespace"))),
    3: ("roleRef", _texts("apiGroup", "kind", "name")),
}

_ACCESS: Message = {
    1: (
        "resourceAttributes",
        _texts("namespace", "verb", "group", "version", "resource", "subresource", "name"),
    ),
    2: ("nonResourceAttributes", _texts("path", "verb")),
}
_SUBJECT_ACCESS: Message = {
    **_ACCESS,
    3: ("user", _STRING),
    4: ("groups", _STRINGS),
    5: ("extra", Map(Scalar.STRINGS)),
    6: ("uid", _STRING),
}
_TOKEN_REQUEST_SPEC: Message = {
    1: ("audiences", _STRINGS),
    3: ("boundObjectRef", _texts("kind", "apiVersion", "name", "uid")),
    4: ("expirationSeconds", _INTEGER),
}


def _review(spec: Message) -> Message:
    return {1: ("metadata", _METADATA), 2: ("spec", spec)}


KINDS: dict[str, Message] = {
    "ClusterRole": _ROLE,
    "ClusterRoleBinding": _BINDING,
    "ConfigMap": {
        1: ("metadata", _METADATA), 2: ("data", _TEXTS), 3: ("binaryData", Map(Scalar.BYTES)),
        4: ("immutable", _BOOLEAN),
    },
    "DeleteOptions": {
        1: ("gracePeriodSeconds", _INTEGER), 2: ("preconditions", _texts("uid", "resourceVersion")),
        3: ("orphanDependents", _BOOLEAN), 4: ("propagationPolicy", _STRING), 5: ("dryRun", _STRINGS),
    },
    "Event": _EVENT,
    "Lease": {1: ("metadata", _METADATA), 2: ("spec", _LEASE_SPEC)},
    "LocalSubjectAccessReview": _review(_SUBJECT_ACCESS),
    "Namespace": {
        1: ("metadata", _METADATA), 2: ("spec", {1: ("finalizers", _STRINGS)}),
        3: ("status", {1: ("phase", _STRING), 2: ("conditions", Many(_NAMESPACE_CONDITION))}),
    },
    "Role": _ROLE,
    "RoleBinding": _BINDING,
    "Secret": {
        1: ("metadata", _METADATA), 2: ("data", Map(Scalar.BYTES)), 3: ("type", _STRING),
        4: ("stringData", _TEXTS), 5: ("immutable", _BOOLEAN),
    },
    "SelfSubjectAccessReview": _review(_ACCESS),
    "SelfSubjectReview": {1: ("metadata", _METADATA)},
    "SelfSubjectRulesReview": _review(_texts("namespace")),
    "ServiceAccount": {
        1: ("metadata", _METADATA), 2: ("secrets", Many(_OBJECT_REFERENCE)),
        3: ("imagePullSecrets", Many(_texts("name"))), 4: ("automountServiceAccountToken", _BOOLEAN),
    },
    "SubjectAccessReview": _review(_SUBJECT_ACCESS),
    "TokenRequest": _review(_TOKEN_REQUEST_SPEC),
    "TokenReview": _review({1: ("token", _STRING), 2: ("audiences", _STRINGS)}),
}  # fmt: skip
