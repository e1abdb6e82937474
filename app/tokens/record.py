"""A MaaS token as the cluster keeps it: ServiceAccount to record and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from app.kube.timestamps import epoch, timestamp
from app.tiers.group import TIER_GROUPS
from app.tokens.errors import RecordError
from app.tokens.names import owner_label

if TYPE_CHECKING:
    from app.identity.user import User

TIER_LABEL = "tier"
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
MANAGED_BY = "maas-api"
OWNER_LABEL = "maas.opendatahub.io/owner"
USERNAME_ANNOTATION = "maas.opendatahub.io/username"
GROUPS_ANNOTATION = "maas.opendatahub.io/groups"
NAME_ANNOTATION = "maas.opendatahub.io/name"
EXPIRES_AT_ANNOTATION = "maas.opendatahub.io/expires-at"

SELECTOR = f"{MANAGED_BY_LABEL}={MANAGED_BY}"
"""The label selector of every MaaS token's ServiceAccount."""


@dataclass(frozen=True, slots=True)
class MaasToken:
    """What is known of one MaaS token; the token itself is kept nowhere.

    Attributes:
        id: the name of its ServiceAccount.
        uid: the ServiceAccount's uid, which the JWT carries too.
        owner: the user it was issued to.
        groups: the owner's groups, as they were last seen.
        tier: the tier on the ServiceAccount's label.
        name: the owner's own name for it; may be empty.
        created_at: seconds since the epoch.
        expires_at: seconds since the epoch.
        resource_version: of the ServiceAccount, which orders what is known of it.
    """

    id: str
    uid: str
    owner: str
    groups: tuple[str, ...]
    tier: str
    name: str
    created_at: int
    expires_at: int
    resource_version: int


def service_account(
    *, token_id: str, namespace: str, owner: User, tier: str, name: str, expires_at: int
) -> dict[str, Any]:
    """The ServiceAccount that stands for a new token, ready to be created."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {
            "name": token_id,
            "namespace": namespace,
            "labels": {
                TIER_LABEL: tier,
                MANAGED_BY_LABEL: MANAGED_BY,
                OWNER_LABEL: owner_label(owner.username),
            },
            "annotations": {
                USERNAME_ANNOTATION: owner.username,
                GROUPS_ANNOTATION: orjson.dumps(owner.groups).decode(),
                NAME_ANNOTATION: name,
                EXPIRES_AT_ANNOTATION: timestamp(expires_at),
            },
        },
        "automountServiceAccountToken": False,
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
        groups = orjson.loads(annotations.get(GROUPS_ANNOTATION, ""))
    except ValueError:
        groups = None
    if not isinstance(groups, list) or not all(isinstance(group, str) for group in groups):
        raise RecordError(f"annotation {GROUPS_ANNOTATION} is not a JSON list of strings")
    try:
        expires_at = epoch(annotations.get(EXPIRES_AT_ANNOTATION, ""))
    except ValueError:
        raise RecordError(f"annotation {EXPIRES_AT_ANNOTATION} is not an RFC 3339 time") from None
    return MaasToken(
        id=metadata["name"],
        uid=metadata["uid"],
        owner=owner,
        # Only a tier gives a tier group; a real group of such a name must not open anything.
        groups=tuple(group for group in groups if not group.startswith(TIER_GROUPS)),
        tier=labels.get(TIER_LABEL, ""),
        name=annotations.get(NAME_ANNOTATION, ""),
        created_at=epoch(metadata["creationTimestamp"]),
        expires_at=expires_at,
        resource_version=int(metadata["resourceVersion"]),
    )
