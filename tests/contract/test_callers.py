"""Who is accepted as a caller, and who is not."""

from __future__ import annotations

import asyncio

import pytest

from app.kube.resources import SERVICE_ACCOUNTS
from tests.workspace import NAMESPACES, Caller, Replica, eventually

SCOPES = "scopes.authorization.openshift.io"


async def test_an_unknown_token_is_refused(maas: Replica) -> None:
    response = await Caller(maas.public, "sha256~nobody-has-this").issue()
    assert response.status_code == 401
    assert response.json()["code"] == "invalid_token"
    assert 'error="invalid_token"' in response.headers["www-authenticate"]


@pytest.mark.parametrize(
    "token", ["x" * 20_000, "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.", "a.b.c", "..", "~"]
)
async def test_malformed_tokens_are_refused(maas: Replica, token: str) -> None:
    response = await Caller(maas.public, token).issue()
    assert response.status_code == 401
    assert response.json()["code"] == "invalid_token"


@pytest.mark.parametrize("scheme", ["Basic YWxpY2U6c2VjcmV0", "Token abc", "Bearer", "abc"])
async def test_an_authorization_that_is_no_bearer_token_is_refused(maas: Replica, scheme: str) -> None:
    response = await maas.public.post("/maas-api/token", headers={"Authorization": scheme})
    assert response.status_code == 401
    assert response.json()["code"] == "missing_token"


async def test_two_different_tokens_are_an_error_and_not_a_choice(maas: Replica) -> None:
    alice, bob = await maas.workspace.person("alice"), await maas.workspace.person("bob")
    for headers in (
        [("Authorization", f"Bearer {alice}"), ("X-Forwarded-Access-Token", bob)],
        [("Authorization", f"Bearer {alice}"), ("Authorization", f"Bearer {bob}")],
        [("Authorization", "Basic YWxpY2U6c2VjcmV0"), ("X-Forwarded-Access-Token", bob)],
    ):
        response = await maas.public.post("/maas-api/token", headers=headers)
        assert response.status_code == 400
        assert response.json()["code"] == "conflicting_tokens"


async def test_a_maas_token_mints_no_maas_tokens(maas: Replica) -> None:
    alice = await maas.caller("alice")
    issued = await alice.issued()
    response = await Caller(maas.public, issued["token"]).issue()
    assert response.status_code == 401
    assert "oc whoami -t" in response.json()["detail"]
    assert len(await maas.workspace.service_accounts()) == 1


async def test_no_other_token_of_a_maas_service_account_mints_either(maas: Replica) -> None:
    """One made for the API server's own audience passes TokenReview."""
    alice = await maas.caller("alice")
    issued = await alice.issued()
    answer = await maas.workspace.cluster.admin.create(
        SERVICE_ACCOUNTS,
        {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}},
        namespace=maas.workspace.namespace,
        name=issued["id"],
        subresource="token",
    )
    response = await Caller(maas.public, answer["status"]["token"]).issue()
    assert response.status_code == 401
    assert "oc whoami -t" in response.json()["detail"]


async def test_a_service_account_of_elsewhere_may_be_a_caller(maas: Replica) -> None:
    namespace = f"robots-{maas.workspace.suffix}"
    admin = maas.workspace.cluster.admin
    await admin.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}}
    await admin.create(SERVICE_ACCOUNTS, account, namespace=namespace)
    answer = await admin.create(
        SERVICE_ACCOUNTS,
        {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}},
        namespace=namespace,
        name="robot",
        subresource="token",
    )
    issued = await Caller(maas.public, answer["status"]["token"]).issued()
    assert issued["id"].startswith(f"system-serviceaccount-{namespace}"[:20])
    await admin.delete(NAMESPACES, namespace)


@pytest.mark.parametrize("scopes", [["user:info"], ["user:info", "role:edit:maas"], [], ["user:fullish"]])
async def test_an_openshift_token_that_is_scoped_down_is_refused(maas: Replica, scopes: list[str]) -> None:
    caller = await maas.caller("alice", extra={SCOPES: scopes or [""]})
    response = await caller.issue()
    assert response.status_code == 403
    assert response.json()["code"] == "insufficient_scope"
    assert "user:full" in response.json()["detail"]


async def test_an_openshift_token_with_full_scope_is_accepted(maas: Replica) -> None:
    caller = await maas.caller("alice", extra={SCOPES: ["user:info", "user:full"]})
    assert (await caller.issue()).status_code == 201


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-User": "admin", "X-Remote-User": "admin", "X-Maas-User": "admin"},
        {"Impersonate-User": "admin", "X-Maas-Tier": "enterprise", "X-Forwarded-Groups": "enterprise-users"},
    ],
)
async def test_no_header_but_the_token_names_a_user(maas: Replica, headers: dict[str, str]) -> None:
    alice = await maas.caller("alice")
    response = await alice.request("POST", "/maas-api/token", headers=headers)
    assert response.json()["tier"] == "free"
    [account] = await maas.workspace.service_accounts()
    assert account["metadata"]["annotations"]["maas.opendatahub.io/username"] == "alice"


@pytest.mark.parametrize(
    "username",
    [
        "ålice åström 日本語 😀",
        "x" * 1000,
        "system:serviceaccount:elsewhere:robot",
        "../../etc/passwd",
        "first\nsecond",
        "-",
        "ALICE@EXAMPLE.COM",
        "a/b?c=d#e%2f",
    ],
)
async def test_absurd_user_names_work_like_any_other(maas: Replica, username: str) -> None:
    caller = await maas.caller(username)
    issued = await caller.issued()
    assert [entry["id"] for entry in await caller.listed()] == [issued["id"]]
    await maas.known(model := await maas.workspace.model("absurd", "maas:tier:free"))
    response = await maas.authorize(issued["token"], model)
    assert response.status_code == 200, response.text
    assert response.headers["x-maas-user"].isascii()
    assert (await caller.delete(f"/maas-api/tokens/{issued['id']}")).status_code == 204


async def test_more_groups_than_a_service_account_can_hold_are_refused(maas: Replica) -> None:
    caller = await maas.caller("alice", "日" * 100_000)
    response = await caller.issue()
    assert response.status_code == 401
    assert "longer than is supported" in response.json()["detail"]
    assert await maas.workspace.service_accounts() == []


async def test_people_whose_names_look_alike_are_not_mixed_up(maas: Replica) -> None:
    one, other = await maas.caller("al.ice"), await maas.caller("al-ice")
    issued = await one.issued()
    assert await other.listed() == []
    assert (await other.get(f"/maas-api/tokens/{issued['id']}")).status_code == 404
    assert (await other.delete(f"/maas-api/tokens/{issued['id']}")).status_code == 404
    assert len(await one.listed()) == 1


async def test_a_caller_token_that_ends_is_refused_within_the_cache_time(maas: Replica) -> None:
    token = await maas.workspace.person("alice")
    caller = Caller(maas.public, token)
    assert (await caller.issue()).status_code == 201
    await maas.workspace.cluster.remove_user(token)

    async def refused() -> bool:
        return (await caller.get("/maas-api/tier")).status_code == 401

    await eventually(refused, seconds=25)


async def test_one_token_is_reviewed_once_however_many_ask_at_once(maas: Replica) -> None:
    alice = await maas.caller("alice")
    await asyncio.gather(*(alice.get("/maas-api/tier") for _ in range(20)))
    samples = [
        sample
        for metric in maas.service.metrics.registry.collect()
        for sample in metric.samples
        if sample.name == "maas_kubernetes_request_seconds_count"
        and sample.labels["resource"] == "tokenreviews"
    ]
    assert sum(sample.value for sample in samples) == 1
