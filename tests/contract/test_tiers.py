"""Tiers, and the mapping they come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from app.kube.resources import CONFIG_MAPS
from tests.workspace import eventually, replica

if TYPE_CHECKING:
    from tests.workspace import Replica, Workspace

NAME = "tier-to-group-mapping"


async def test_my_tier_comes_with_its_limits(maas: Replica) -> None:
    bob = await maas.caller("bob", "premium-users")
    assert (await bob.get("/maas-api/tier")).json() == {
        "tier": "premium",
        "displayName": "premium",
        "description": "",
        "limits": {"requestsPerMinute": 100, "tokensPerMinute": None, "maxTokens": 50},
    }


async def test_all_tiers_are_listed_from_the_lowest(maas: Replica) -> None:
    alice = await maas.caller("alice")
    tiers = (await alice.get("/maas-api/tiers")).json()["tiers"]
    assert [tier["tier"] for tier in tiers] == ["free", "premium", "enterprise"]
    assert [tier["limits"]["requestsPerMinute"] for tier in tiers] == [10, 100, 1000]


async def test_a_new_mapping_is_in_force_within_a_second(maas: Replica) -> None:
    alice = await maas.caller("alice")
    await maas.workspace.map_tiers(
        'tiers:\n  basic: {groups: ["system:authenticated"], rateLimit: {requestsPerMinute: 7}}\n'
    )

    async def changed() -> bool:
        tier = (await alice.get("/maas-api/tier")).json()
        return bool(tier["tier"] == "basic" and tier["limits"]["requestsPerMinute"] == 7)

    await eventually(changed, seconds=1)


async def test_the_upstream_list_form_is_read_too(maas: Replica) -> None:
    alice = await maas.caller("alice")
    await maas.workspace.map_tiers(
        "- {name: starter, displayName: Starter, level: 1, groups: ['system:authenticated']}\n", key="tiers"
    )

    async def changed() -> bool:
        return bool((await alice.get("/maas-api/tier")).json()["displayName"] == "Starter")

    await eventually(changed, seconds=1)


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "tiers: {}",
        "tiers: [",
        "tiers: {free: {groups: 7}}",
        "a: &a [*a]",
        "tiers:\n  free: {groups: [x], rateLimit: {requestsPerMinute: -1}}",
        "x" * 500_000,
    ],
)
async def test_a_broken_mapping_leaves_the_last_good_one_in_force_and_says_so(
    maas: Replica, broken: str
) -> None:
    await maas.workspace.map_tiers(broken)

    async def told() -> bool:
        document = (await maas.gateway.get("/readyz")).json()
        return bool(document["status"] == "degraded" and document["mapping"]["error"])

    await eventually(told, seconds=2)
    public = await maas.public.get("/maas-api/readyz")
    assert public.status_code == 200
    assert public.json()["problems"] == ["the tier mapping was rejected; the last good one is in force"]
    assert "error" not in public.json()["mapping"]
    assert "maas_mapping_valid 0.0" in (await maas.gateway.get("/metrics")).text
    bob = await maas.caller("bob", "premium-users")
    assert (await bob.issued())["tier"] == "premium"


async def test_a_mended_mapping_heals(maas: Replica) -> None:
    await maas.workspace.map_tiers("tiers: [")
    await eventually(lambda: maas.service.tiers.error)
    await maas.workspace.map_tiers(
        'tiers:\n  free: {groups: ["system:authenticated"], rateLimit: {requestsPerMinute: 10}}\n'
    )
    await eventually(lambda: maas.service.tiers.error is None)
    assert (await maas.public.get("/maas-api/readyz")).json()["status"] == "ok"


async def test_a_deleted_mapping_leaves_the_last_good_one_in_force(maas: Replica) -> None:
    admin, namespace = maas.workspace.cluster.admin, maas.workspace.namespace
    await admin.delete(CONFIG_MAPS, NAME, namespace=namespace)
    await eventually(lambda: maas.service.tiers.error)
    alice = await maas.caller("alice")
    assert (await alice.issued())["tier"] == "free"


async def test_without_any_mapping_nothing_is_issued_until_there_is_one(workspace: Workspace) -> None:
    admin, namespace = workspace.cluster.admin, workspace.namespace
    mapping = await admin.get(CONFIG_MAPS, NAME, namespace=namespace)
    await admin.delete(CONFIG_MAPS, NAME, namespace=namespace)
    async with replica(workspace) as maas:
        ready = await maas.public.get("/maas-api/readyz")
        assert ready.status_code == 503
        assert ready.json()["problems"] == ["no valid tier mapping yet"]
        alice = await maas.caller("alice")
        refused = await alice.issue()
        assert refused.status_code == 503
        assert refused.json()["code"] == "mapping_unavailable"
        fresh = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": NAME, "namespace": namespace},
            "data": mapping["data"],
        }
        await admin.create(CONFIG_MAPS, fresh, namespace=namespace)

        async def issued() -> bool:
            return (await alice.issue()).status_code == 201

        await eventually(issued, seconds=2)
