"""What the metrics show of what has happened."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.workspace import FREE, eventually, replica

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.clusters import TestCluster
    from tests.workspace import Replica, Workspace


async def shown(maas: Replica, name: str, **labels: str) -> dict[tuple[tuple[str, str], ...], float]:
    """The samples of this name that have these labels, by all their labels."""
    text = (await maas.gateway.get("/metrics")).text
    return {
        tuple(sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    }


async def value(maas: Replica, name: str, **labels: str) -> float:
    """The sum of those samples."""
    return sum((await shown(maas, name, **labels)).values())


@pytest.fixture
async def away(cluster: TestCluster) -> AsyncIterator[TestCluster]:
    """A cluster that a test pauses; it is back afterwards whatever the test did."""
    yield cluster
    await cluster.resume()


async def test_issuing_and_revoking_are_counted_and_each_step_is_timed(maas: Replica) -> None:
    alice, bob = await maas.caller("alice"), await maas.caller("bob")
    first, *_ = [await caller.issued() for caller in (alice, alice, bob)]
    await alice.delete(f"/maas-api/tokens/{first['id']}")

    async def told() -> bool:
        return await shown(maas, "maas_tokens_live") == {(("tier", "free"),): 2}

    await eventually(told)
    assert await value(maas, "maas_tokens_issued_total", tier="free") == 3
    assert await value(maas, "maas_tokens_revoked_total") == 1
    steps = {
        step: await value(maas, "maas_issue_seconds_count", step=step)
        for step in ("token_review", "create", "token_request")
    }
    assert steps == {"token_review": 2, "create": 3, "token_request": 3}


async def test_decisions_are_counted_by_tier_and_model_and_made_up_models_make_no_series(
    workspace: Workspace, maas: Replica
) -> None:
    token = (await (await maas.caller("alice")).issued())["token"]
    await maas.known(model := await workspace.model("qwen3", FREE))
    await maas.known(closed := await workspace.model("granite"))
    for name in (model, model, closed, *(f"made-up-{number}" for number in range(50))):
        await maas.authorize(token, name)
    await maas.authorize("nonsense", model)

    assert await shown(maas, "maas_authorizations_total") == {
        (("decision", "allowed"), ("model", model), ("tier", "free")): 2,
        (("decision", "model_forbidden"), ("model", closed), ("tier", "free")): 1,
        (("decision", "model_not_found"), ("model", ""), ("tier", "free")): 50,
        (("decision", "invalid_token"), ("model", ""), ("tier", "")): 1,
    }
    assert await value(maas, "maas_authorization_seconds_count", decision="allowed") == 2
    assert await value(maas, "maas_authorization_seconds_count", decision="refused") == 52


async def test_a_rejected_mapping_is_seen_and_so_is_the_next_good_one(
    workspace: Workspace, maas: Replica
) -> None:
    accepted = await value(maas, "maas_mapping_last_accepted_timestamp_seconds")
    assert accepted > 1_700_000_000
    assert await value(maas, "maas_mapping_last_error_timestamp_seconds") == 0
    good = "tiers: {free: {groups: ['system:authenticated'], rateLimit: {requestsPerMinute: 10}}}"
    await workspace.map_tiers("tiers: [what is this")

    async def rejected() -> bool:
        return await value(maas, "maas_mapping_valid") == 0

    await eventually(rejected)
    assert await value(maas, "maas_mapping_rejected_total") == 1
    at = await value(maas, "maas_mapping_last_error_timestamp_seconds")
    assert at >= accepted
    await workspace.map_tiers(good)

    async def in_force() -> bool:
        return await value(maas, "maas_mapping_last_accepted_timestamp_seconds") >= at

    await eventually(in_force)
    assert await value(maas, "maas_mapping_valid") == 1


async def test_an_api_server_that_is_away_is_seen_by_what_gets_old(
    workspace: Workspace, away: TestCluster
) -> None:
    async with replica(workspace, kube={"request_seconds": 1}) as maas:
        assert await value(maas, "maas_kubernetes_reachable") == 1
        await away.pause()

        async def unreachable() -> bool:
            return await value(maas, "maas_kubernetes_reachable") == 0

        await eventually(unreachable)
        before = await value(maas, "maas_reflector_lag_seconds", resource="serviceaccounts")

        async def older() -> bool:
            return await value(maas, "maas_reflector_lag_seconds", resource="serviceaccounts") > before

        await eventually(older)
        await away.resume()

        async def back() -> bool:
            return await value(maas, "maas_kubernetes_reachable") == 1

        await eventually(back)


async def test_the_leader_counts_what_its_reconcilers_do(maas: Replica) -> None:
    async def ran() -> bool:
        return await value(maas, "maas_reconciler_runs_total", reconciler="reaper", result="done") >= 1

    await eventually(ran)
    assert await value(maas, "maas_leader") == 1
    assert await value(maas, "maas_reconciler_run_seconds_count", reconciler="reaper") >= 1


async def test_the_running_version_is_shown_and_no_series_tells_when_it_began(maas: Replica) -> None:
    text = (await maas.gateway.get("/metrics")).text
    assert 'maas_build_info{version="' in text
    assert "_created" not in text
