"""A MaaS token as the cluster keeps it: ServiceAccount to record and back."""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import Any

import msgspec
import orjson

from app.kube.timestamps import epoch, timestamp
from app.tiers.group import TIER_GROUPS
from app.tokens.errors import RecordError
from app.tokens.names import owner_label

TIER_LABEL = "tier"
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
MANAGED_BY = "maas-api"
OWNER_LABEL = "maas.opendatahub.io/owner"
SUSPENDED_LABEL = "maas.opendatahub.io/suspended"
USERNAME_ANNOTATION = "maas.opendatahub.io/username"
GROUPS_ANNOTATION = "maas.opendatahub.io/groups"
CLUSTER_GROUPS_ANNOTATION = "maas.opendatahub.io/cluster-groups"
NAME_ANNOTATION = "maas.opendatahub.io/name"
ISSUE_ANNOTATION = "maas.opendatahub.io/issue"
EXPIRES_AT_ANNOTATION = "maas.opendatahub.io/expires-at"

SELECTOR = f"{MANAGED_BY_LABEL}={MANAGED_BY}"
"""The label selector of every MaaS token's ServiceAccount."""


class MaasToken(msgspec.Struct, frozen=True, gc=False):
    """What is known of one MaaS token; the token itself is kept nowhere.

    There may be hundreds of thousands in memory. They hold nothing but strings and numbers, so the garbage
    collector need not look at them; whatever many of them say is kept once.

    Attributes:
        id: the name of its ServiceAccount.
        uid: the ServiceAccount's uid, which the JWT carries too.
        owner: the user it was issued to.
        groups: the owner's groups, as they were last seen.
        cluster_groups: those of them that were Groups of the cluster, not the identity provider's claims.
        tier: the tier on the ServiceAccount's label.
        suspended: whether it is marked as one whose owner has no tier; the label `tier` then is the last one.
        name: the owner's own name for it; may be empty.
        created_at: seconds since the epoch.
        expires_at: seconds since the epoch.
        resource_version: of the ServiceAccount, which orders what is known of it.
    """

    id: str
    uid: str
    owner: str
    groups: tuple[str, ...]
    cluster_groups: tuple[str, ...]
    tier: str
    suspended: bool
    name: str
    created_at: int
    expires_at: int
    resource_version: int


def service_account(
    *,
    token_id: str,
    namespace: str,
    owner: str,
    groups: tuple[str, ...],
    cluster_groups: tuple[str, ...],
    tier: str,
    name: str,
    expires_at: int,
    issue: str,
) -> dict[str, Any]:
    """The ServiceAccount that stands for a new token, ready to be created.

    `issue` marks the attempt that makes it: what a failed one has left can be told by it.
    """
    annotations = groups_annotations(groups, cluster_groups)
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {
            "name": token_id,
            "namespace": namespace,
            "labels": {
                TIER_LABEL: tier,
                MANAGED_BY_LABEL: MANAGED_BY,
                OWNER_LABEL: owner_label(owner),
            },
            "annotations": {
                USERNAME_ANNOTATION: owner,
                **{key: text for key, text in annotations.items() if text is not None},
                NAME_ANNOTATION: name,
                EXPIRES_AT_ANNOTATION: timestamp(expires_at),
                ISSUE_ANNOTATION: issue,
            },
        },
        "automountServiceAccountToken": False,
    }


def groups_annotations(groups: tuple[str, ...], cluster_groups: tuple[str, ...]) -> dict[str, str | None]:
    """The annotations for an owner's groups; None, as in a merge patch, for one that must not be there."""
    return {
        GROUPS_ANNOTATION: orjson.dumps(groups).decode(),
        CLUSTER_GROUPS_ANNOTATION: orjson.dumps(cluster_groups).decode() if cluster_groups else None,
    }


def read(obj: dict[str, Any]) -> MaasToken:
    """The token that a ServiceAccount stands for.

    Raises:
        RecordError: it is not a MaaS token, or it was changed into something that cannot be trusted; the
            message says what is wrong.
    """
    metadata = obj["metadata"]
    if metadata.get("deletionTimestamp"):
        # A finalizer may keep it for as long as it likes; for the API server it is no user any more either.
        raise RecordError("it is being deleted")
    labels = metadata.get("labels") or {}
    annotations = metadata.get("annotations") or {}
    owner = annotations.get(USERNAME_ANNOTATION)
    if labels.get(MANAGED_BY_LABEL) != MANAGED_BY or not owner:
        raise RecordError("label or annotation of a MaaS token is missing")
    if labels.get(OWNER_LABEL) != owner_label(owner):
        raise RecordError(f"label {OWNER_LABEL} does not belong to the user in {USERNAME_ANNOTATION}")
    try:
        expires_at = epoch(annotations.get(EXPIRES_AT_ANNOTATION, ""))
    except ValueError:
        raise RecordError(f"annotation {EXPIRES_AT_ANNOTATION} is not an RFC 3339 time") from None
    return MaasToken(
        id=metadata["name"],
        uid=metadata["uid"],
        owner=sys.intern(owner),
        groups=_groups(annotations, GROUPS_ANNOTATION, default=""),
        cluster_groups=_groups(annotations, CLUSTER_GROUPS_ANNOTATION, default="[]"),
        suspended=SUSPENDED_LABEL in labels,
        tier=sys.intern(labels.get(TIER_LABEL, "")),
        name=sys.intern(annotations.get(NAME_ANNOTATION, "")),
        created_at=epoch(metadata["creationTimestamp"]),
        expires_at=expires_at,
        resource_version=int(metadata["resourceVersion"]),
    )


def _groups(annotations: dict[str, str], key: str, *, default: str) -> tuple[str, ...]:
    groups = _parsed_groups(annotations.get(key, default))
    if groups is None:
        raise RecordError(f"annotation {key} is not a JSON list of strings")
    return groups


# Lists come in the order of names, so the tokens of one owner, which say the same, follow each other.
@lru_cache(maxsize=256)
def _parsed_groups(text: str) -> tuple[str, ...] | None:
    """The groups in an annotation; None if they cannot be read."""
    try:
        groups = orjson.loads(text)
    except ValueError:
        return None
    if not isinstance(groups, list) or not all(isinstance(group, str) for group in groups):
        return None
    # Only a tier gives a tier group; a real group of such a name must not open anything.
    return tuple(sys.intern(group) for group in groups if not group.startswith(TIER_GROUPS))
