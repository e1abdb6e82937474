"""ServiceAccount to record and back."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from app.tokens.errors import RecordError
from app.tokens.record import read, service_account

EXPIRES_AT = 1_800_000_000


def an_account(username: str = "alice", **changes: Any) -> dict[str, Any]:
    """A ServiceAccount as the API server gives it back."""
    account = service_account(
        token_id="alice-sa-1",
        namespace="maas",
        owner=username,
        groups=("a", "b"),
        cluster_groups=("b",),
        tier="free",
        name="laptop",
        expires_at=EXPIRES_AT,
        issue="0123",
    )
    server_side = {"uid": "u-1", "resourceVersion": "7", "creationTimestamp": "2026-11-23T20:00:00Z"}
    account["metadata"] |= server_side | changes
    return account


@pytest.mark.parametrize("username", ["alice", "日本 \n/%", "x" * 1000])
def test_what_is_written_is_read_back(username: str) -> None:
    token = read(an_account(username))
    assert (token.id, token.uid, token.owner, token.groups) == ("alice-sa-1", "u-1", username, ("a", "b"))
    assert (token.cluster_groups, token.suspended) == (("b",), False)
    assert (token.tier, token.name, token.expires_at) == ("free", "laptop", EXPIRES_AT)
    assert (token.created_at, token.resource_version) == (1_795_464_000, 7)


@pytest.mark.parametrize(
    ("where", "key", "value", "says"),
    [
        ("labels", "app.kubernetes.io/managed-by", "someone-else", "missing"),
        ("labels", "maas.opendatahub.io/owner", "0" * 40, "does not belong"),
        ("annotations", "maas.opendatahub.io/username", "", "missing"),
        ("annotations", "maas.opendatahub.io/username", "admin", "does not belong"),
        ("annotations", "maas.opendatahub.io/groups", "premium-users", "JSON list"),
        ("annotations", "maas.opendatahub.io/groups", '{"a": 1}', "JSON list"),
        ("annotations", "maas.opendatahub.io/groups", "[1]", "JSON list"),
        ("annotations", "maas.opendatahub.io/expires-at", "tomorrow", "RFC 3339"),
        ("annotations", "maas.opendatahub.io/expires-at", "2026-01-28T00:00:00", "RFC 3339"),
        ("annotations", "maas.opendatahub.io/expires-at", "", "RFC 3339"),
        ("annotations", "maas.opendatahub.io/expires-at", "9999-12-31T23:59:59-12:00", "RFC 3339"),
    ],
)
def test_what_somebody_changed_is_not_trusted(where: str, key: str, value: str, says: str) -> None:
    account = copy.deepcopy(an_account())
    account["metadata"][where][key] = value
    with pytest.raises(RecordError, match=says):
        read(account)


def test_a_service_account_that_is_being_deleted_is_no_token_any_more() -> None:
    with pytest.raises(RecordError, match="being deleted"):
        read(an_account(deletionTimestamp="2026-11-24T20:00:00Z", finalizers=["example.com/slow"]))


def test_a_service_account_without_any_labels_is_no_token() -> None:
    with pytest.raises(RecordError):
        read(an_account(labels=None, annotations=None))
