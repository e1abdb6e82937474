"""Live tokens follow the mapping, the cluster's Groups and their owners' claims."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from app.kube.resources import CONFIG_MAPS, EVENTS, GROUPS, SERVICE_ACCOUNTS
from tests.workspace import Replica, Workspace, eventually, replica

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

MAPPING = """
tiers:
  free:    {{groups: ["system:authenticated"], rateLimit: {{requestsPerMinute: 10}}}}
  premium: {{groups: ["{premium}"], rateLimit: {{requestsPerMinute: 100}}}}
"""
NO_FREE = 'tiers: {premium: {groups: ["premium-users"], rateLimit: {requestsPerMinute: 100}}}'


@pytest.fixture
async def replicas(workspace: Workspace) -> AsyncIterator[list[Replica]]:
    """Two of them; one leads."""
    async with AsyncExitStack() as stack:
        running = [await stack.enter_async_context(replica(workspace)) for _ in range(2)]
        await eventually(lambda: any(each.service.election.leading for each in running))
        yield running


@pytest.fixture
async def group(workspace: Workspace) -> AsyncIterator[str]:
    """The name of a Group of the cluster that nobody is in; the mapping gives its members premium."""
    name = f"premium-{workspace.suffix}"
    admin = workspace.cluster.admin
    body = {"apiVersion": GROUPS.api_version, "kind": "Group", "metadata": {"name": name}, "users": []}
    await admin.create(GROUPS, body)
    await workspace.map_tiers(MAPPING.format(premium=name))
    yield name
    if name in {item["metadata"]["name"] for item in (await admin.list(GROUPS))["items"]}:
        await admin.delete(GROUPS, name)


async def put_into(workspace: Workspace, group: str, *users: str) -> None:
    await workspace.cluster.admin.merge_patch(GROUPS, group, {"users": list(users)})


async def tier_by(maas: Replica, token: str) -> str:
    """The tier by which a replica decides about a token, or the code of its refusal."""
    response = await maas.authorize(token, method="GET", path="/v1/models")
    return response.headers.get("x-maas-tier") or str(response.json()["error"]["code"])


async def soon(replicas: list[Replica], token: str, tier: str) -> None:
    """Every replica decides by this tier, within a second."""
    for maas in replicas:

        async def decided(maas: Replica = maas) -> bool:
            return await tier_by(maas, token) == tier

        await eventually(decided, seconds=1)


async def account(workspace: Workspace, token_id: str) -> dict[str, Any]:
    found = await workspace.cluster.admin.get(SERVICE_ACCOUNTS, token_id, namespace=workspace.namespace)
    metadata: dict[str, Any] = found["metadata"]
    return metadata


async def labelled(workspace: Workspace, token_id: str, **labels: str | None) -> dict[str, Any]:
    """Wait until the ServiceAccount carries these labels; `suspended` stands for its long name."""
    wanted = {
        key.replace("suspended", "maas.opendatahub.io/suspended"): value for key, value in labels.items()
    }

    async def there() -> dict[str, Any] | None:
        metadata = await account(workspace, token_id)
        return (
            metadata if all(metadata["labels"].get(key) == value for key, value in wanted.items()) else None
        )

    found: dict[str, Any] = await eventually(there)
    return found


async def test_a_changed_mapping_reaches_live_tokens_on_every_replica_and_then_their_labels(
    replicas: list[Replica], workspace: Workspace
) -> None:
    alice = await replicas[0].caller("alice", "research")
    issued = await alice.issued()
    await soon(replicas, issued["token"], "free")
    await workspace.map_tiers(MAPPING.format(premium="research"))
    await soon(replicas, issued["token"], "premium")
    await labelled(workspace, issued["id"], tier="premium")
    await workspace.map_tiers(MAPPING.format(premium="others"))
    await soon(replicas, issued["token"], "free")
    await labelled(workspace, issued["id"], tier="free")


async def test_a_person_who_joins_and_leaves_a_group_has_another_tier_on_their_live_tokens(
    replicas: list[Replica], workspace: Workspace, group: str
) -> None:
    alice = await replicas[0].caller("alice")
    issued = await alice.issued()
    await soon(replicas, issued["token"], "free")
    await put_into(workspace, group, "bob", "alice")
    await soon(replicas, issued["token"], "premium")
    joined = await labelled(workspace, issued["id"], tier="premium")
    assert group in joined["annotations"]["maas.opendatahub.io/groups"]
    assert joined["annotations"]["maas.opendatahub.io/cluster-groups"] == f'["{group}"]'
    await put_into(workspace, group, "bob")
    await soon(replicas, issued["token"], "free")
    left = await labelled(workspace, issued["id"], tier="free")
    assert group not in left["annotations"]["maas.opendatahub.io/groups"]
    assert "maas.opendatahub.io/cluster-groups" not in left["annotations"]


async def test_a_group_opens_and_closes_the_models_it_was_granted(
    replicas: list[Replica], workspace: Workspace, group: str
) -> None:
    maas = replicas[1]
    alice = await replicas[0].caller("alice")
    issued = await alice.issued()
    await maas.known(model := await workspace.model("qwen3", group))

    async def answers(status: int) -> bool:
        response: httpx.Response = await maas.authorize(issued["token"], model)
        return response.status_code == status

    await eventually(lambda: answers(403))
    await put_into(workspace, group, "alice")
    await eventually(lambda: answers(200), seconds=1)
    await put_into(workspace, group)
    await eventually(lambda: answers(403), seconds=1)


async def test_a_deleted_group_gives_nobody_a_tier_also_for_a_token_that_was_issued_by_it(
    replicas: list[Replica], workspace: Workspace, group: str
) -> None:
    await put_into(workspace, group, "alice")
    # What a TokenReview says of a member of a Group.
    alice = await replicas[0].caller("alice", group)
    await eventually(lambda: replicas[0].service.membership.groups_of("alice"))
    issued = await alice.issued()
    assert issued["tier"] == "premium"
    await workspace.cluster.admin.delete(GROUPS, group)
    await soon(replicas, issued["token"], "free")
    await labelled(workspace, issued["id"], tier="free")
    # The TokenReview that is remembered still names it; that changes nothing.
    assert (await alice.get("/maas-api/tier")).json()["tier"] == "free"
    assert (await alice.issued())["tier"] == "free"
    # Nor does a replica that starts now, and never saw the Group.
    async with replica(workspace) as fresh:
        assert await tier_by(fresh, issued["token"]) == "free"


async def test_claims_are_refreshed_whenever_the_person_calls(
    replicas: list[Replica], workspace: Workspace
) -> None:
    alice = await replicas[0].caller("alice")
    issued = await alice.issued()
    assert issued["tier"] == "free"
    logged_in_again = await replicas[1].caller("alice", "premium-users")
    assert (await logged_in_again.get("/maas-api/tier")).json()["tier"] == "premium"
    await soon(replicas, issued["token"], "premium")
    await labelled(workspace, issued["id"], tier="premium")


async def test_an_owner_left_without_a_tier_is_refused_and_marked_and_heals(
    replicas: list[Replica], workspace: Workspace
) -> None:
    alice, bob = await replicas[0].caller("alice"), await replicas[0].caller("bob", "premium-users")
    hers, his = await alice.issued(), await bob.issued()
    await workspace.map_tiers(NO_FREE)
    await soon(replicas, hers["token"], "no_tier")
    await soon(replicas, his["token"], "premium")
    marked = await labelled(workspace, hers["id"], tier="free", suspended="true")
    assert marked["uid"]
    await workspace.map_tiers(MAPPING.format(premium="premium-users"))
    await soon(replicas, hers["token"], "free")
    await labelled(workspace, hers["id"], tier="free", suspended=None)


async def test_a_mapping_that_suspends_more_than_half_of_all_owners_is_raised_loudly(
    replicas: list[Replica], workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("alice", "anna", "agnes"):
        await (await replicas[0].caller(name)).issued()
    await (await replicas[0].caller("bob", "premium-users")).issued()
    await workspace.map_tiers(NO_FREE)
    await eventually(lambda: "3 of 4 people who hold tokens have no tier" in caplog.text)

    async def told() -> bool:
        page = await workspace.cluster.admin.list(EVENTS, namespace=workspace.namespace)
        return any(item["reason"] == "MassSuspension" for item in page["items"])

    await eventually(told)
    leader = next(each for each in replicas if each.service.election.leading)
    value = leader.service.metrics.registry.get_sample_value
    assert value("maas_owners", {"standing": "suspended"}) == 3
    assert value("maas_owners", {"standing": "active"}) == 1


async def test_a_label_that_somebody_changed_by_hand_is_put_right_and_opens_nothing(
    replicas: list[Replica], workspace: Workspace
) -> None:
    alice = await replicas[0].caller("alice")
    issued = await alice.issued()
    await workspace.cluster.admin.merge_patch(
        SERVICE_ACCOUNTS,
        issued["id"],
        {"metadata": {"labels": {"tier": "enterprise", "mine": "stays"}}},
        namespace=workspace.namespace,
    )
    found = await labelled(workspace, issued["id"], tier="free")
    assert found["labels"]["mine"] == "stays"
    assert await tier_by(replicas[1], issued["token"]) == "free"


async def test_a_token_of_before_groups_were_told_apart_is_brought_up_to_date(
    replicas: list[Replica], workspace: Workspace, group: str
) -> None:
    await put_into(workspace, group, "alice")
    alice = await replicas[0].caller("alice", group)
    issued = await alice.issued()
    await workspace.cluster.admin.merge_patch(
        SERVICE_ACCOUNTS,
        issued["id"],
        {"metadata": {"annotations": {"maas.opendatahub.io/cluster-groups": None}}},
        namespace=workspace.namespace,
    )

    async def told_apart() -> bool:
        found = await account(workspace, issued["id"])
        return "maas.opendatahub.io/cluster-groups" in found["annotations"]

    await eventually(told_apart)


async def test_revoking_reaches_every_replica_within_a_second(replicas: list[Replica]) -> None:
    alice = await replicas[0].caller("alice")
    issued = await alice.issued()
    await soon(replicas, issued["token"], "free")
    started = time.monotonic()
    assert (await alice.delete(f"/maas-api/tokens/{issued['id']}")).status_code == 204
    await soon(replicas, issued["token"], "invalid_api_key")
    assert time.monotonic() - started < 1


async def test_an_administrator_revokes_the_tokens_of_a_tier(
    replicas: list[Replica], workspace: Workspace
) -> None:
    alice, bob = await replicas[0].caller("alice"), await replicas[0].caller("bob", "premium-users")
    hers, his = await alice.issued(), await bob.issued()
    admin = await replicas[1].caller("root", "system:masters")
    response = await admin.delete("/maas-api/admin/tiers/premium/tokens")
    assert response.json() == {"revoked": 1}
    await soon(replicas, his["token"], "invalid_api_key")
    assert await tier_by(replicas[0], hers["token"]) == "free"
    assert (await admin.delete("/maas-api/admin/tiers/gold/tokens")).json()["code"] == "tier_not_found"
    refused = await alice.delete("/maas-api/admin/tiers/free/tokens")
    assert refused.json()["code"] == "forbidden"
    assert len(await workspace.service_accounts()) == 1


async def aged(workspace: Workspace, token_id: str, expires_at: str) -> None:
    await workspace.cluster.admin.merge_patch(
        SERVICE_ACCOUNTS,
        token_id,
        {"metadata": {"annotations": {"maas.opendatahub.io/expires-at": expires_at}}},
        namespace=workspace.namespace,
    )


async def test_expired_tokens_leave_no_service_account_and_nothing_else_goes(workspace: Workspace) -> None:
    async with replica(workspace, reconcilers={"reaper_seconds": 0.1}) as maas:
        alice = await maas.caller("alice")
        expired, unreadable, live = [await alice.issued() for _ in range(3)]
        foreign = {"name": "foreign", "labels": {"app.kubernetes.io/managed-by": "maas-api"}}
        foreign["annotations"] = {"maas.opendatahub.io/expires-at": "2001-01-01T00:00:00Z"}
        body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": foreign}
        await workspace.cluster.admin.create(SERVICE_ACCOUNTS, body, namespace=workspace.namespace)
        await aged(workspace, unreadable["id"], "yesterday")
        await aged(workspace, expired["id"], "2026-01-01T00:00:00Z")

        async def names() -> set[str]:
            return {item["metadata"]["name"] for item in await workspace.service_accounts()}

        async def gone() -> bool:
            return expired["id"] not in await names()

        await eventually(gone)
        value = maas.service.metrics.registry.get_sample_value
        await eventually(lambda: value("maas_tokens_expired_total") == 1)
        assert await names() == {unreadable["id"], live["id"], "foreign"}
        assert value("maas_tokens_unreadable") == 2
        assert value("maas_tokens_overdue") == 0
        assert await tier_by(maas, live["token"]) == "free"


async def test_every_change_of_a_token_is_in_the_audit_log(
    replicas: list[Replica], workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="audit")
    alice = await replicas[0].caller("alice")
    issued = await alice.issued()
    await workspace.map_tiers(NO_FREE)
    await labelled(workspace, issued["id"], suspended="true")

    def line() -> Any:
        return next(
            (record for record in caplog.records if record.getMessage() == "token.changed done"), None
        )

    details = vars(await eventually(line))
    assert (details["actor"], details["tokenId"], details["owner"]) == ("maas-api", issued["id"], "alice")
    assert details["before"]["suspended"] is False
    assert details["after"]["suspended"] is True
    assert issued["token"] not in caplog.text


async def test_without_its_config_map_the_last_mapping_stays_and_nobody_is_suspended(
    replicas: list[Replica], workspace: Workspace
) -> None:
    alice = await replicas[0].caller("alice")
    issued = await alice.issued()
    await workspace.cluster.admin.delete(CONFIG_MAPS, "tier-to-group-mapping", namespace=workspace.namespace)
    await eventually(lambda: all(each.service.tiers.error for each in replicas))
    await soon(replicas, issued["token"], "free")
    assert "maas.opendatahub.io/suspended" not in (await account(workspace, issued["id"]))["labels"]
