"""POST /maas-api/token."""

from __future__ import annotations

import asyncio
import base64
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from app.kube.resources import SERVICE_ACCOUNTS, TOKEN_REVIEWS
from app.tokens.names import owner_label
from tests.workspace import ROLES, eventually, replica

if TYPE_CHECKING:
    import httpx

    from tests.workspace import Replica, Workspace

FULL_MAPPING = """
tiers:
  free: {groups: ["system:authenticated"], rateLimit: {requestsPerMinute: 10}, maxTokens: 3}
"""


def claims_of(jwt: str) -> dict[str, Any]:
    payload = jwt.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


async def test_the_answer_begins_with_token_tier_and_expiry(maas: Replica) -> None:
    alice = await maas.caller("alice")
    response = await alice.issue()
    assert response.status_code == 201
    assert list(response.json())[:3] == ["token", "tier", "expiresAt"]
    assert response.json()["token"].startswith("eyJ")
    assert response.json()["tier"] == "free"
    assert response.headers["cache-control"] == "no-store"


async def test_without_a_body_a_token_lives_for_a_day(maas: Replica) -> None:
    alice = await maas.caller("alice")
    issued = (await alice.request("POST", "/maas-api/token")).json()
    expires_at = datetime.fromisoformat(issued["expiresAt"])
    assert abs(expires_at - datetime.now(UTC) - timedelta(days=1)) < timedelta(seconds=10)


async def test_both_headers_with_the_same_token_are_one_token(maas: Replica) -> None:
    token = await maas.workspace.person("alice")
    headers = {"Authorization": f"Bearer {token}", "X-Forwarded-Access-Token": token}
    response = await maas.public.post("/maas-api/token", headers=headers)
    assert response.status_code == 201


async def test_the_forwarded_header_alone_is_enough(maas: Replica) -> None:
    token = await maas.workspace.person("alice")
    response = await maas.public.post("/maas-api/token", headers={"X-Forwarded-Access-Token": token})
    assert response.status_code == 201


@pytest.mark.parametrize(
    ("groups", "tier"),
    [
        ((), "free"),
        (("premium-users",), "premium"),
        (("enterprise-users",), "enterprise"),
        (("premium-users", "enterprise-users"), "enterprise"),
    ],
)
async def test_groups_decide_the_tier(maas: Replica, groups: tuple[str, ...], tier: str) -> None:
    caller = await maas.caller("someone", *groups)
    assert (await caller.issued())["tier"] == tier


async def test_the_service_account_is_the_token(maas: Replica) -> None:
    alice = await maas.caller("alice@example.com", "premium-users")
    issued = await alice.issued(name="laptop", expiration="4h")
    [account] = await maas.workspace.service_accounts()
    metadata = account["metadata"]
    assert metadata["name"] == issued["id"]
    assert metadata["name"].startswith("alice-sa-1")
    assert metadata["labels"] == {
        "tier": "premium",
        "app.kubernetes.io/managed-by": "maas-api",
        "maas.opendatahub.io/owner": owner_label("alice@example.com"),
    }
    assert metadata["annotations"].pop("maas.opendatahub.io/issue")
    assert metadata["annotations"] == {
        "maas.opendatahub.io/username": "alice@example.com",
        "maas.opendatahub.io/groups": '["premium-users","system:authenticated"]',
        "maas.opendatahub.io/name": "laptop",
        "maas.opendatahub.io/expires-at": issued["expiresAt"],
    }
    assert account["automountServiceAccountToken"] is False


async def test_the_jwt_is_bound_to_the_service_account_and_to_our_audience(maas: Replica) -> None:
    alice = await maas.caller("alice")
    issued = await alice.issued(expiration=3600)
    claims = claims_of(issued["token"])
    [account] = await maas.workspace.service_accounts()
    assert claims["aud"] == ["maas-default-gateway-sa"]
    assert claims["kubernetes.io"]["serviceaccount"]["uid"] == account["metadata"]["uid"]
    assert claims["exp"] == datetime.fromisoformat(issued["expiresAt"]).timestamp()


async def test_the_cluster_itself_accepts_the_token_for_our_audience(maas: Replica) -> None:
    alice = await maas.caller("alice")
    issued = await alice.issued()
    review = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": issued["token"], "audiences": ["maas-default-gateway-sa"]},
    }
    status = (await maas.workspace.cluster.admin.review(TOKEN_REVIEWS, review))["status"]
    assert status["authenticated"] is True
    assert status["user"]["username"].endswith(issued["id"])


@pytest.mark.parametrize(
    ("expiration", "seconds"),
    [("4h", 14_400), ("90m", 5_400), ("7d", 604_800), (600, 600), ("3600", 3600), ("30d", 2_592_000)],
)
async def test_lifetimes_can_be_chosen(maas: Replica, expiration: str | int, seconds: int) -> None:
    alice = await maas.caller("alice")
    issued = await alice.issued(expiration=expiration)
    lifetime = datetime.fromisoformat(issued["expiresAt"]) - datetime.now(UTC)
    assert abs(lifetime.total_seconds() - seconds) < 10


@pytest.mark.parametrize("expiration", ["1m", 599, "31d", "0", 0])
async def test_a_lifetime_out_of_range_names_the_range(maas: Replica, expiration: str | int) -> None:
    alice = await maas.caller("alice")
    response = await alice.issue(expiration=expiration)
    assert response.status_code == 422
    assert response.json()["code"] == "expiration_out_of_range"
    assert "600 seconds (10 minutes)" in response.json()["detail"]
    assert "2592000 seconds (30 days)" in response.json()["detail"]
    assert await maas.workspace.service_accounts() == []


async def test_many_at_once_get_names_and_tokens_of_their_own(maas: Replica) -> None:
    alice = await maas.caller("alice")
    issued = await asyncio.gather(*(alice.issued() for _ in range(30)))
    assert len({entry["id"] for entry in issued}) == 30
    assert {entry["id"] for entry in issued} == {entry["id"] for entry in await alice.listed()}


async def test_the_cap_on_live_tokens_holds_for_many_at_once(maas: Replica) -> None:
    await maas.workspace.map_tiers(FULL_MAPPING)
    alice = await maas.caller("alice")
    tiers = maas.service.tiers
    await eventually(lambda: tiers.mapping and tiers.mapping.tiers[0].max_tokens == 3)
    responses = await asyncio.gather(*(alice.issue() for _ in range(8)))
    assert sorted(response.status_code for response in responses) == [201] * 3 + [409] * 5
    refused = next(response for response in responses if response.status_code == 409).json()
    assert refused["code"] == "token_limit_reached"
    assert len(await maas.workspace.service_accounts()) == 3


async def test_who_cannot_tell_how_many_tokens_there_are_issues_none_and_revokes_all_the_same(
    maas: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = await maas.caller("alice")
    await alice.issued()
    # As before the first list, or after the watch was gone for too long.
    monkeypatch.setattr(maas.service.decisions, "staleness_seconds", -1)
    response = await alice.issue()
    assert response.status_code == 503
    assert response.json()["code"] == "upstream_unavailable"
    assert len(await maas.workspace.service_accounts()) == 1
    assert (await alice.delete("/maas-api/tokens")).json() == {"revoked": 1}


async def test_a_revoked_token_makes_room_under_the_cap(maas: Replica) -> None:
    alice = await maas.caller("alice")
    issued = [await alice.issued() for _ in range(3)]
    limited = maas.service.issuer
    wanted: dict[str, Any] = {
        "groups": (),
        "cluster_groups": (),
        "tier": "free",
        "name": "",
        "seconds": None,
        "max_tokens": 3,
    }
    with pytest.raises(Exception, match="hold 3 live tokens"):
        await limited.issue("alice", **wanted)
    assert (await alice.delete(f"/maas-api/tokens/{issued[0]['id']}")).status_code == 204
    await limited.issue("alice", **wanted)


async def test_the_default_cap_is_a_setting(workspace: Workspace) -> None:
    async with replica(workspace, tokens={"max_per_owner": 2}) as maas:
        alice = await maas.caller("alice")
        assert [(await alice.issue()).status_code for _ in range(3)] == [201, 201, 409]


async def test_who_has_no_tier_gets_no_token(maas: Replica) -> None:
    nobody = await maas.caller("nobody")
    await maas.workspace.map_tiers(
        "tiers:\n  premium: {groups: [premium-users], rateLimit: {requestsPerMinute: 1}}\n"
    )

    async def refused() -> bool:
        response = await nobody.issue()
        return response.status_code == 403 and response.json()["code"] == "no_tier"

    await eventually(refused)


async def test_a_token_request_that_fails_leaves_no_service_account(maas: Replica) -> None:
    """The role without `serviceaccounts/token`: the second of the two calls is forbidden."""
    cluster, namespace = maas.workspace.cluster, maas.workspace.namespace
    [role] = [
        role
        for role in (await cluster.admin.list(ROLES, namespace=namespace))["items"]
        if role["metadata"]["name"].startswith("maas-api")
    ]
    rules = [rule for rule in role["rules"] if "serviceaccounts/token" not in rule["resources"]]
    await cluster.admin.merge_patch(ROLES, role["metadata"]["name"], {"rules": rules}, namespace=namespace)
    alice = await maas.caller("alice")

    async def refused() -> httpx.Response | None:
        """RBAC is itself watched by the API server, so it may take a moment."""
        response = await alice.issue()
        if response.status_code == 201:
            await alice.delete("/maas-api/tokens")
            return None
        return response

    response = await eventually(refused)
    assert response.status_code == 503
    assert response.json()["code"] == "upstream_unavailable"
    assert response.headers["retry-after"] == "5"
    assert await maas.workspace.service_accounts() == []
    assert await alice.listed() == []


async def test_other_service_accounts_in_the_namespace_are_left_alone(maas: Replica) -> None:
    alice = await maas.caller("alice")
    await alice.issued()
    await alice.delete("/maas-api/tokens")
    query = {"fieldSelector": "metadata.name=maas-api"}
    cluster = maas.workspace.cluster
    page = await cluster.admin.list(SERVICE_ACCOUNTS, namespace=maas.workspace.namespace, query=query)
    assert len(page["items"]) == 1


async def test_a_request_without_any_token_says_what_to_send(maas: Replica) -> None:
    response = await maas.public.post("/maas-api/token")
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert response.json()["code"] == "missing_token"
    assert "oc whoami -t" in response.json()["detail"]
