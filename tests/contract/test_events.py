"""`kubectl describe` tells what became of the mapping."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from app.kube.resources import EVENTS, LEASES
from tests.kubectl import Kubectl
from tests.workspace import eventually, replica

if TYPE_CHECKING:
    from pathlib import Path

    from tests.workspace import Replica, Workspace

GOOD = 'tiers: {everyone: {groups: ["system:authenticated"], rateLimit: {requestsPerMinute: 7}}}'
BAD = 'tiers: {everyone: {groups: ["system:authenticated"], ratelimit: {requestsPerMinute: 7}}}'


class Described:
    """What `kubectl describe` says of the mapping's ConfigMap."""

    def __init__(self, workspace: Workspace, kubectl: Kubectl) -> None:
        self._workspace = workspace
        self._kubectl = kubectl

    async def says(self, pattern: str) -> None:
        """Wait until there is an event like that."""

        async def said() -> bool:
            place = ("-n", self._workspace.namespace)
            shown = await self._kubectl.ok("describe", "configmap", "tier-to-group-mapping", *place)
            return bool(re.search(pattern, shown.partition("Events:")[2]))

        await eventually(said, seconds=20)


@pytest.fixture
async def described(workspace: Workspace, tmp_path: Path) -> Described:
    token = await workspace.person("operator", "system:masters")
    return Described(workspace, Kubectl(workspace.cluster.kubeconfig(token), tmp_path))


async def events(workspace: Workspace) -> list[dict[str, Any]]:
    page = await workspace.cluster.admin.list(EVENTS, namespace=workspace.namespace)
    items: list[dict[str, Any]] = page["items"]
    return items


async def leading(*replicas: Replica) -> Replica:
    found: Replica = await eventually(
        lambda: next((each for each in replicas if each.service.election.leading), None), seconds=10
    )
    return found


async def test_a_rejected_mapping_and_its_mending_are_told_once_by_two_replicas(
    workspace: Workspace, described: Described
) -> None:
    async with replica(workspace) as one, replica(workspace) as two:
        await leading(one, two)
        await workspace.map_tiers(BAD)
        await described.says(r"Warning\s+MappingRejected\s+.*maas-api\s+.*did you mean `rateLimit`\?")
        await workspace.map_tiers(GOOD)
        await described.says(r"Normal\s+MappingInForce\s+.*The tier mapping is in force: everyone\.")
        await eventually(
            lambda: all(each.service.tiers.generation == 2 for each in (one, two)),
        )

        told = {event["reason"]: event["count"] for event in await events(workspace)}
        assert told == {"MappingRejected": 1, "MappingInForce": 1}


async def test_without_an_election_every_replica_reconciles_and_there_is_no_lease(
    workspace: Workspace,
) -> None:
    await workspace.map_tiers(BAD)
    async with replica(workspace, leader={"enabled": False}) as only:

        async def told() -> bool:
            return [event["reason"] for event in await events(workspace)] == ["MappingRejected"]

        await eventually(told, seconds=20)
        metrics = (await only.gateway.get("/metrics")).text
        assert "maas_leader 1.0" in metrics
    leases = await workspace.cluster.admin.list(LEASES, namespace=workspace.namespace)
    assert not leases["items"]


async def test_what_the_next_leader_finds_rejected_is_the_same_event_once_more(workspace: Workspace) -> None:
    await workspace.map_tiers(BAD)
    for times in (1, 2):
        async with replica(workspace):

            async def counted(times: int = times) -> bool:
                return [event["count"] for event in await events(workspace)] == [times]

            await eventually(counted, seconds=20)
