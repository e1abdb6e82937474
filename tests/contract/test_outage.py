"""The Kubernetes API goes away and comes back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from app.lifespan import running
from app.settings import Settings
from tests.workspace import FREE, Caller, eventually, replica

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from prometheus_client import Counter

    from tests.clusters import TestCluster
    from tests.workspace import Workspace


@pytest.fixture
async def away(cluster: TestCluster) -> AsyncIterator[TestCluster]:
    """A cluster that a test pauses; it is back afterwards whatever the test did."""
    yield cluster
    await cluster.resume()


async def test_reads_and_decisions_go_on_from_memory_and_issuing_asks_to_come_back(
    workspace: Workspace, away: TestCluster
) -> None:
    async with replica(workspace, kube={"request_seconds": 1}) as maas:
        alice = await maas.caller("alice")
        issued = await alice.issued()
        await maas.known(model := await workspace.model("qwen3", FREE))
        holder = Caller(maas.public, issued["token"])
        assert (await maas.authorize(issued["token"], model)).status_code == 200
        assert (await holder.get("/v1/models")).status_code == 200
        await away.pause()
        refused = await alice.issue()
        assert refused.status_code == 503
        assert refused.json()["code"] == "upstream_unavailable"
        assert int(refused.headers["retry-after"]) >= 1
        assert (await alice.delete(f"/maas-api/tokens/{issued['id']}")).status_code == 503
        assert [token["id"] for token in await alice.listed()] == [issued["id"]]
        assert (await alice.get("/maas-api/tier")).json()["tier"] == "free"
        assert (await maas.authorize(issued["token"], model)).status_code == 200
        assert model in [entry["id"] for entry in (await holder.get("/v1/models")).json()["data"]]
        assert (await maas.public.get("/maas-api/healthz")).status_code == 200

        async def told() -> bool:
            ready = await maas.public.get("/maas-api/readyz")
            return ready.status_code == 200 and "is away" in str(ready.json()["problems"])

        await eventually(told)
        await away.resume()

        async def back() -> bool:
            return (await alice.issue()).status_code == 201

        await eventually(back, seconds=20)


async def test_what_is_too_old_decides_nothing(workspace: Workspace, away: TestCluster) -> None:
    async with replica(workspace, kube={"request_seconds": 1, "staleness_seconds": 3}) as maas:
        alice = await maas.caller("alice")
        issued = await alice.issued()
        await away.pause()

        async def too_old() -> Any:
            response = await maas.authorize(issued["token"], path="/v1/models", method="GET")
            return response if response.status_code == 503 else None

        refused = await eventually(too_old, seconds=10)
        assert int(refused.headers["retry-after"]) >= 1
        ready = await maas.public.get("/maas-api/readyz")
        assert ready.status_code == 503
        assert ready.json()["status"] == "unavailable"
        assert (await alice.get("/maas-api/tokens")).status_code == 503
        await away.resume()

        async def back() -> bool:
            response = await maas.authorize(issued["token"], path="/v1/models", method="GET")
            return response.status_code == 200

        await eventually(back, seconds=20)


@pytest.fixture
async def silent(cluster: TestCluster) -> AsyncIterator[TestCluster]:
    """A cluster that a test silences; it speaks again afterwards whatever the test did."""
    yield cluster
    await cluster.speak()


async def test_a_cluster_that_says_nothing_does_not_hold_decisions_up(
    workspace: Workspace, silent: TestCluster
) -> None:
    settings: dict[str, Any] = {"models": {"access_cache_seconds": 0}, "identity": {"cache_seconds": 0}}
    async with replica(workspace, kube={"request_seconds": 4}, **settings) as maas:
        alice = await maas.caller("alice")
        issued = await alice.issued()
        await maas.known(model := await workspace.model("qwen3", FREE))
        assert (await maas.authorize(issued["token"], model)).status_code == 200
        assert (await alice.get("/maas-api/tier")).status_code == 200
        await silent.fall_silent()
        async with asyncio.timeout(8):
            for _ in range(20):
                assert (await maas.authorize(issued["token"], model)).status_code == 200
                assert (await alice.get("/maas-api/tier")).status_code == 200
        assert (await alice.issue()).status_code == 503
        await silent.speak()

        async def back() -> bool:
            return (await alice.issue()).status_code == 201

        await eventually(back, seconds=20)


async def test_an_idle_cluster_does_not_look_like_one_that_is_away(workspace: Workspace) -> None:
    async with replica(workspace, kube={"staleness_seconds": 3}) as maas:
        lists = maas.service.metrics.reflector_events.labels("serviceaccounts", "list")
        watches = maas.service.metrics.reflector_events.labels("serviceaccounts", "watch")

        async def went_on() -> bool:
            assert (await maas.gateway.get("/readyz")).json()["status"] == "ok"
            assert maas.service.decisions.age() < 3
            return _value(watches) >= 4

        await eventually(went_on, seconds=20)
        assert _value(lists) == 1


def _value(counter: Counter) -> float:
    return next(sample.value for metric in counter.collect() for sample in metric.samples)


async def test_what_happened_while_it_was_away_is_seen_when_it_is_back(
    workspace: Workspace, away: TestCluster
) -> None:
    async with replica(workspace) as watching, replica(workspace) as acting:
        alice = await acting.caller("alice")
        kept, revoked = await alice.issued(), await alice.issued()

        async def status(token: str) -> int:
            return (await watching.authorize(token, path="/v1/models", method="GET")).status_code

        assert [await status(kept["token"]), await status(revoked["token"])] == [200, 200]
        await away.pause()
        await away.resume()

        async def gone() -> bool:
            return (await alice.delete(f"/maas-api/tokens/{revoked['id']}")).status_code == 204

        await eventually(gone, seconds=20)

        async def refused() -> bool:
            return await status(revoked["token"]) == 401

        await eventually(refused, seconds=20)
        assert await status(kept["token"]) == 200


async def test_a_service_that_starts_while_it_is_away_becomes_ready_when_it_is_back(
    workspace: Workspace, away: TestCluster
) -> None:
    kubeconfig = await workspace.service_kubeconfig()
    await away.pause()
    async with running(Settings(namespace=workspace.namespace, kubeconfig=str(kubeconfig))) as service:
        assert not service.decisions.synced
        await away.resume()
        await eventually(lambda: service.decisions.synced and service.tiers.mapping, seconds=20)
