"""Whatever happens to the leader's API server, no two lead, and what they are for is done in the end."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from app.kube.resources import SERVICE_ACCOUNTS
from tests.cluster.faults.pair import KUBE, decides, decision
from tests.cluster.faults.proxy import FaultProxy, fault_proxy
from tests.workspace import Replica, Workspace, eventually, replica

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.cluster.faults.faults import Call

LEADER = {"lease_seconds": 3, "renew_seconds": 1.5, "retry_seconds": 0.2}
MAPPING = """
tiers:
  free:    {{groups: ["system:authenticated"], rateLimit: {{requestsPerMinute: 10}}}}
  premium: {{groups: ["{premium}"], rateLimit: {{requestsPerMinute: 100}}}}
"""


@dataclass
class Electorate:
    """Two replicas, each with a proxy of its own, and who led at every moment."""

    workspace: Workspace
    replicas: list[Replica] = field(default_factory=list)
    proxies: list[FaultProxy] = field(default_factory=list)
    together: int = 0

    @property
    def leading(self) -> list[int]:
        return [number for number, each in enumerate(self.replicas) if each.service.election.leading]

    async def look(self) -> None:
        while True:
            self.together += len(self.leading) > 1
            await asyncio.sleep(0.005)

    async def led(self, *candidates: int) -> int:
        """Wait until one of these leads."""

        def one() -> list[int]:
            return [number for number in self.leading if number in candidates]

        (leader,) = await eventually(one, seconds=30)
        return int(leader)

    async def agreed(self) -> None:
        """Wait until everybody knows the same leader."""

        def so() -> bool:
            known = {each.service.election.leader for each in self.replicas}
            return len(self.leading) == 1 and len(known) == 1 and known != {""}

        await eventually(so, seconds=30)

    async def labels(self) -> dict[str, str]:
        accounts = await self.workspace.service_accounts()
        return {item["metadata"]["name"]: item["metadata"]["labels"]["tier"] for item in accounts}

    async def becomes(self, expected: dict[str, str]) -> None:
        """Wait until these and no other tokens are there, with these tiers."""

        async def so() -> bool:
            return await self.labels() == expected

        await eventually(so, seconds=30)

    async def expire(self, token: dict[str, Any]) -> None:
        annotations = {"maas.opendatahub.io/expires-at": "2001-01-01T00:00:00Z"}
        await self.workspace.cluster.admin.merge_patch(
            SERVICE_ACCOUNTS,
            token["id"],
            {"metadata": {"annotations": annotations}},
            namespace=self.workspace.namespace,
        )


@pytest.fixture
async def electorate(workspace: Workspace) -> AsyncIterator[Electorate]:
    made = Electorate(workspace)
    async with AsyncExitStack() as stack:
        for _ in range(2):
            proxy = await stack.enter_async_context(fault_proxy(await workspace.service_kubeconfig()))
            made.proxies.append(proxy)
            made.replicas.append(
                await stack.enter_async_context(
                    replica(
                        workspace,
                        through=proxy.kubeconfig,
                        kube=KUBE,
                        leader=LEADER,
                        reconcilers={"reaper_seconds": 0.2},
                    )
                )
            )
        looking = asyncio.create_task(made.look(), name="look")
        yield made
        looking.cancel()
    assert made.together == 0


async def refuse(proxy: FaultProxy) -> None:
    await proxy.refuse()


async def hang(proxy: FaultProxy) -> None:
    proxy.hang()


async def fail(proxy: FaultProxy) -> None:
    proxy.answer(503)


def renewals(call: Call) -> bool:
    return call.resource == "leases" and call.method == "PUT"


@pytest.mark.parametrize("strike", [refuse, hang, fail])
async def test_a_leader_without_an_api_server_is_followed_and_its_work_goes_on(
    electorate: Electorate, strike: Callable[[FaultProxy], Awaitable[None]]
) -> None:
    first = await electorate.led(0, 1)
    second = 1 - first
    alice = await electorate.replicas[second].caller("alice", "research")
    live, expired = await alice.issued(), await alice.issued()
    await decides(electorate.replicas[first], live["token"], "free")

    await strike(electorate.proxies[first])
    await electorate.workspace.map_tiers(MAPPING.format(premium="research"))
    await electorate.expire(expired)
    await electorate.led(second)
    await electorate.becomes({live["id"]: "premium"})
    assert await decision(electorate.replicas[second], live["token"]) == "premium"

    await electorate.proxies[first].heal()
    await decides(electorate.replicas[first], live["token"], "premium")
    await decides(electorate.replicas[first], expired["token"], "invalid_api_key")
    await electorate.agreed()
    assert electorate.leading == [second]
    assert await electorate.labels() == {live["id"]: "premium"}


@pytest.mark.parametrize("strike", [refuse, hang])
async def test_while_nobody_has_an_api_server_nobody_leads_and_afterwards_everything_is_made_up_for(
    electorate: Electorate, strike: Callable[[FaultProxy], Awaitable[None]]
) -> None:
    await electorate.led(0, 1)
    alice = await electorate.replicas[0].caller("alice", "research")
    live, expired = await alice.issued(), await alice.issued()

    for proxy in electorate.proxies:
        await strike(proxy)
    await electorate.workspace.map_tiers(MAPPING.format(premium="research"))
    await electorate.expire(expired)
    await eventually(lambda: not electorate.leading, seconds=30)
    assert await electorate.labels() == {live["id"]: "free", expired["id"]: "free"}

    for proxy in electorate.proxies:
        await proxy.heal()
    await electorate.becomes({live["id"]: "premium"})
    for each in electorate.replicas:
        await decides(each, live["token"], "premium")
    await electorate.agreed()


async def test_a_leader_that_does_not_hear_that_it_is_one_does_nothing_until_it_does(
    electorate: Electorate,
) -> None:
    first = await electorate.led(0, 1)
    alice = await electorate.replicas[1 - first].caller("alice")
    live = await alice.issued()
    electorate.proxies[first].lose_answers(renewals)
    await eventually(lambda: first not in electorate.leading, seconds=30)
    await electorate.workspace.map_tiers(MAPPING.format(premium="system:authenticated"))
    await decides(electorate.replicas[first], live["token"], "premium")
    await electorate.proxies[first].heal()
    await electorate.becomes({live["id"]: "premium"})
    await electorate.agreed()


async def test_writes_that_fail_are_made_up_for_and_delete_nothing_that_lives(electorate: Electorate) -> None:
    first = await electorate.led(0, 1)
    alice = await electorate.replicas[1 - first].caller("alice", "research")
    live = [await alice.issued() for _ in range(5)]
    expired = await alice.issued()
    await decides(electorate.replicas[first], live[0]["token"], "free")

    def writes(call: Call) -> bool:
        return call.method in ("PATCH", "DELETE")

    electorate.proxies[first].answer(500, matching=writes)
    await electorate.workspace.map_tiers(MAPPING.format(premium="research"))
    await electorate.expire(expired)
    value = electorate.replicas[first].service.metrics.registry.get_sample_value
    await eventually(lambda: (value("maas_retier_pending") or 0) >= 5, seconds=30)
    for each in electorate.replicas:
        await decides(each, live[0]["token"], "premium")
        await decides(each, expired["token"], "invalid_api_key")
    assert set(await electorate.labels()) == {token["id"] for token in (*live, expired)}
    assert electorate.leading == [first]

    await electorate.proxies[first].heal()
    await electorate.becomes({token["id"]: "premium" for token in live})
    await eventually(lambda: value("maas_retier_pending") == 0)
