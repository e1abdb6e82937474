"""Listing, looking at and revoking one's own tokens."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import pytest

from app.kube.resources import SERVICE_ACCOUNTS
from tests.workspace import Caller, eventually, replica

if TYPE_CHECKING:
    from tests.workspace import Replica, Workspace


async def test_the_list_shows_the_token_at_once_and_never_its_secret(maas: Replica) -> None:
    alice = await maas.caller("alice")
    issued = await alice.issued(name="laptop")
    response = await alice.get("/maas-api/tokens")
    [shown] = response.json()["tokens"]
    assert shown["id"] == issued["id"]
    assert shown["name"] == "laptop"
    assert shown["tier"] == "free"
    assert shown["expiresAt"] == issued["expiresAt"]
    assert shown["createdAt"] < shown["expiresAt"]
    assert issued["token"] not in response.text
    assert "eyJ" not in response.text


async def test_everyone_sees_their_own_tokens_only(maas: Replica) -> None:
    alice, bob = await maas.caller("alice"), await maas.caller("bob", "premium-users")
    mine, theirs = await alice.issued(), await bob.issued()
    assert [token["id"] for token in await alice.listed()] == [mine["id"]]
    assert [token["id"] for token in await bob.listed()] == [theirs["id"]]
    assert (await alice.get(f"/maas-api/tokens/{theirs['id']}")).json()["code"] == "token_not_found"
    assert (await alice.delete(f"/maas-api/tokens/{theirs['id']}")).json()["code"] == "token_not_found"


async def test_one_token_can_be_looked_at(maas: Replica) -> None:
    alice = await maas.caller("alice")
    issued = await alice.issued(name="ci")
    shown = (await alice.get(f"/maas-api/tokens/{issued['id']}")).json()
    assert shown == (await alice.listed())[0]


async def test_revoking_all_takes_those_too_that_this_replica_has_not_seen_yet(workspace: Workspace) -> None:
    async with replica(workspace) as elsewhere, replica(workspace) as here:
        alice = await here.caller("alice")
        issued = await Caller(elsewhere.public, alice.token).issued()
        # As if the watch were a moment behind.
        await eventually(lambda: here.service.inventory.by_id(issued["id"]))
        here.service.inventory.replace([], sys.maxsize)
        # The last list is from before the token was issued.
        here.service.inventory.replace([], 0)
        response = await alice.delete("/maas-api/tokens")
        assert response.json() == {"revoked": 1}
        assert await workspace.service_accounts() == []


async def test_a_revoked_token_that_a_finalizer_holds_on_to_is_refused_by_every_replica(
    workspace: Workspace,
) -> None:
    async with replica(workspace) as acting, replica(workspace) as watching:
        alice = await acting.caller("alice")
        issued = await alice.issued()

        async def status() -> int:
            return (await watching.authorize(issued["token"], path="/v1/models", method="GET")).status_code

        assert await status() == 200

        async def hold(*finalizers: str) -> None:
            await workspace.cluster.admin.merge_patch(
                SERVICE_ACCOUNTS,
                issued["id"],
                {"metadata": {"finalizers": list(finalizers)}},
                namespace=workspace.namespace,
            )

        await hold("example.com/slow")
        assert (await alice.delete(f"/maas-api/tokens/{issued['id']}")).status_code == 204
        assert len(await workspace.service_accounts()) == 1

        async def refused() -> bool:
            return await status() == 401

        await eventually(refused, seconds=1)
        assert await alice.listed() == []
        await hold()


async def test_pages_hold_every_token_once(maas: Replica) -> None:
    alice = await maas.caller("alice")
    issued = await asyncio.gather(*(alice.issued() for _ in range(7)))
    seen: list[str] = []
    following = ""
    while True:
        response = await alice.get("/maas-api/tokens?limit=3" + (following and f"&continue={following}"))
        page = response.json()
        seen += [token["id"] for token in page["tokens"]]
        assert len(page["tokens"]) <= 3
        if not (following := page["continue"]):
            break
    assert sorted(seen) == sorted(token["id"] for token in issued)


@pytest.mark.parametrize("query", ["limit=0", "limit=-1", "limit=501", "limit=x"])
async def test_a_limit_out_of_range_is_refused(maas: Replica, query: str) -> None:
    alice = await maas.caller("alice")
    response = await alice.get(f"/maas-api/tokens?{query}")
    assert response.status_code == 422
    assert response.json()["code"] == "invalid_request"


@pytest.mark.parametrize("cursor", ["%00", "1", "1.", ".a", "x.y", "1.A", "%F0%9F%98%80", "9" * 20 + ".a"])
async def test_a_cursor_that_no_page_gave_is_refused(maas: Replica, cursor: str) -> None:
    alice = await maas.caller("alice")
    response = await alice.get(f"/maas-api/tokens?continue={cursor}")
    assert response.status_code == 422
    assert response.json()["code"] == "invalid_request"


async def test_revoking_one_token_stops_it_at_once_and_no_other(maas: Replica) -> None:
    alice = await maas.caller("alice")
    first, second = await alice.issued(), await alice.issued()
    await maas.known(model := await maas.workspace.model("qwen3", "maas:tier:free"))
    assert (await maas.authorize(first["token"], model)).status_code == 200
    assert (await alice.delete(f"/maas-api/tokens/{first['id']}")).status_code == 204
    refused = await maas.authorize(first["token"], model)
    assert refused.status_code == 401
    assert refused.json()["error"]["code"] == "invalid_api_key"
    assert (await maas.authorize(second["token"], model)).status_code == 200
    assert [token["id"] for token in await alice.listed()] == [second["id"]]


async def test_a_token_revoked_twice_is_not_found_the_second_time(maas: Replica) -> None:
    alice = await maas.caller("alice")
    issued = await alice.issued()
    assert (await alice.delete(f"/maas-api/tokens/{issued['id']}")).status_code == 204
    assert (await alice.delete(f"/maas-api/tokens/{issued['id']}")).status_code == 404


async def test_revoking_all_takes_all_of_mine_and_nobody_elses(maas: Replica) -> None:
    alice, bob = await maas.caller("alice"), await maas.caller("bob")
    await asyncio.gather(*(alice.issued() for _ in range(5)))
    kept = await bob.issued()
    response = await alice.delete("/maas-api/tokens")
    assert response.json() == {"revoked": 5}
    assert await alice.listed() == []
    assert [token["id"] for token in await bob.listed()] == [kept["id"]]
    assert (await alice.delete("/maas-api/tokens")).json() == {"revoked": 0}


async def test_a_token_that_somebody_deleted_with_kubectl_is_gone(maas: Replica) -> None:
    alice = await maas.caller("alice")
    issued = await alice.issued()
    admin, namespace = maas.workspace.cluster.admin, maas.workspace.namespace
    await admin.delete(SERVICE_ACCOUNTS, issued["id"], namespace=namespace)

    async def gone() -> bool:
        return await alice.listed() == []

    await eventually(gone, seconds=1)


async def test_a_service_account_made_again_under_the_name_is_another_token(maas: Replica) -> None:
    alice = await maas.caller("alice")
    issued = await alice.issued()
    await maas.known(model := await maas.workspace.model("qwen3", "maas:tier:free"))
    [account] = await maas.workspace.service_accounts()
    admin, namespace = maas.workspace.cluster.admin, maas.workspace.namespace
    await admin.delete(SERVICE_ACCOUNTS, issued["id"], namespace=namespace)
    for server_side in ("uid", "resourceVersion", "creationTimestamp", "managedFields"):
        account["metadata"].pop(server_side, None)
    again = await admin.create(SERVICE_ACCOUNTS, account, namespace=namespace)
    await eventually(lambda: maas.service.inventory.by_uid(again["metadata"]["uid"]))
    assert (await maas.authorize(issued["token"], model)).status_code == 401


async def test_a_replica_finds_what_another_one_issued(workspace: Workspace) -> None:
    async with replica(workspace) as one, replica(workspace) as other:
        caller_token = await workspace.person("alice")
        headers = {"Authorization": f"Bearer {caller_token}"}
        for _ in range(5):
            issued = (await one.public.post("/maas-api/token", headers=headers)).json()
            shown = await other.public.get(f"/maas-api/tokens/{issued['id']}", headers=headers)
            assert shown.status_code == 200
            listed = await other.gateway.get(
                "/internal/authorize/v1/models", headers={"Authorization": f"Bearer {issued['token']}"}
            )
            assert listed.status_code == 200


async def test_what_one_replica_revokes_ends_on_the_other_within_a_second(workspace: Workspace) -> None:
    async with replica(workspace) as one, replica(workspace) as other:
        alice = await one.caller("alice")
        issued = await alice.issued()

        async def status() -> int:
            return (await other.authorize(issued["token"], path="/v1/models", method="GET")).status_code

        assert await status() == 200
        await alice.delete(f"/maas-api/tokens/{issued['id']}")

        async def refused() -> bool:
            return await status() == 401

        await eventually(refused, seconds=1)
