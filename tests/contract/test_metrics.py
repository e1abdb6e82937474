"""What the metrics show of what has happened."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.kube.resources import INFERENCE_SERVICES
from tests.workspace import FREE, eventually, replica

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Iterable

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


async def each(requests: Iterable[Awaitable[Any]], *, at_once: int = 20) -> None:
    """Make all of them, some at once."""
    waiting = iter(requests)

    async def work() -> None:
        for request in waiting:
            await request

    await asyncio.gather(*(work() for _ in range(at_once)))


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
        return await shown(maas, "maas_tokens_live") == {
            (("tier", "free"),): 2,
            (("tier", "premium"),): 0,
            (("tier", "enterprise"),): 0,
        }

    await eventually(told)
    assert await value(maas, "maas_tokens_issued_total", tier="free") == 3
    assert await value(maas, "maas_tokens_revoked_total") == 1
    steps = {
        step: await value(maas, "maas_issue_seconds_count", step=step)
        for step in ("token_review", "create", "token_request")
    }
    assert steps == {"token_review": 2, "create": 3, "token_request": 3}


async def test_issues_are_counted_with_all_other_requests_the_refused_ones_too(maas: Replica) -> None:
    await (await maas.caller("alice")).issued()
    assert (await maas.public.post("/maas-api/token")).status_code == 401
    assert (await maas.public.put("/maas-api/token")).status_code == 405
    of_issues = {"handler": "/maas-api/token"}

    async def told() -> bool:
        counted = {
            (dict(labels)["method"], dict(labels)["status"]): count
            for labels, count in (await shown(maas, "http_requests_total", **of_issues)).items()
        }
        return counted == {("POST", "2xx"): 1, ("POST", "4xx"): 1, ("PUT", "4xx"): 1}

    await eventually(told)
    assert await value(maas, "http_request_duration_seconds_count", method="POST", **of_issues) == 2


async def test_decisions_are_counted_by_tier_and_model_and_made_up_models_make_no_series(
    workspace: Workspace, maas: Replica
) -> None:
    token = (await (await maas.caller("alice")).issued())["token"]
    await maas.known(model := await workspace.model("qwen3", FREE))
    await maas.known(closed := await workspace.model("granite"))
    for name in (model, model, closed):
        await maas.authorize(token, name)
    await each(maas.authorize(token, f"made-up-{number}") for number in range(1000))
    await maas.authorize("nonsense", model)

    assert await shown(maas, "maas_authorizations_total") == {
        (("decision", "allowed"), ("model", model), ("tier", "free")): 2,
        (("decision", "model_forbidden"), ("model", closed), ("tier", "free")): 1,
        (("decision", "model_not_found"), ("model", ""), ("tier", "free")): 1000,
        (("decision", "invalid_token"), ("model", ""), ("tier", "")): 1,
    }
    assert await value(maas, "maas_authorization_seconds_count", decision="allowed") == 2
    assert await value(maas, "maas_authorization_seconds_count", decision="refused") == 1002


async def test_a_model_or_a_tier_that_is_gone_has_no_series_any_more(
    workspace: Workspace, maas: Replica
) -> None:
    token = (await (await maas.caller("alice")).issued())["token"]
    await maas.known(kept := await workspace.model("qwen3", FREE))
    await maas.known(gone := await workspace.model("granite", FREE))
    for name in (kept, gone):
        assert (await maas.authorize(token, name)).status_code == 200
    await workspace.cluster.admin.delete(INFERENCE_SERVICES, gone, namespace=workspace.namespace)
    await eventually(lambda: maas.service.catalogue.get(gone) is None)
    assert await value(maas, "maas_authorizations_total", model=gone) == 0
    assert await value(maas, "maas_authorizations_total", model=kept, tier="free") == 1
    await workspace.map_tiers(
        "tiers: {basic: {groups: ['system:authenticated'], rateLimit: {requestsPerMinute: 10}}}"
    )

    async def relabelled() -> bool:
        return await shown(maas, "maas_tokens_live") == {(("tier", "basic"),): 1}

    await eventually(relabelled)
    assert await shown(maas, "maas_authorizations_total", tier="free") == {}


async def test_a_refusal_is_of_the_tier_that_its_caller_has_now(workspace: Workspace, maas: Replica) -> None:
    alice = await maas.caller("alice", "premium-users")
    token = (await alice.issued())["token"]
    await maas.known(closed := await workspace.model("granite"))
    assert (await maas.authorize(token, closed)).status_code == 403
    await workspace.map_tiers("tiers: {other: {groups: ['nobody'], rateLimit: {requestsPerMinute: 10}}}")
    await eventually(lambda: maas.service.tiers.names == {"other"})
    assert (await maas.authorize(token, closed)).status_code == 403
    assert await shown(maas, "maas_authorizations_total") == {
        (("decision", "no_tier"), ("model", ""), ("tier", "")): 1,
    }


async def test_a_decision_that_cannot_be_made_is_counted_as_a_failure(
    workspace: Workspace, away: TestCluster
) -> None:
    async with replica(workspace, kube={"request_seconds": 1}, models={"access_cache_seconds": 0}) as maas:
        token = (await (await maas.caller("alice")).issued())["token"]
        await maas.known(model := await workspace.model("qwen3", FREE))
        await away.pause()
        assert (await maas.authorize(token, model)).status_code == 503
        labels = {"tier": "free", "model": model, "decision": "upstream_unavailable"}
        assert await value(maas, "maas_authorizations_total", **labels) == 1
        assert await value(maas, "maas_authorization_seconds_count", decision="failed") == 1
        assert await value(maas, "maas_authorization_seconds_count", decision="refused") == 0


async def test_what_authorino_is_told_is_counted(maas: Replica) -> None:
    issued = await (await maas.caller("alice")).issued()
    [account] = await maas.workspace.service_accounts()
    username = f"system:serviceaccount:{maas.workspace.namespace}:{issued['id']}"
    known = {"username": username, "uid": account["metadata"]["uid"]}
    questions: list[Any] = [known, known, {**known, "uid": "another"}, {"username": username}, []]
    for question in questions:
        await maas.gateway.post("/internal/identity", json=question)
    assert await shown(maas, "maas_identities_total") == {
        (("result", "active"), ("tier", "free")): 2,
        (("result", "invalid_token"), ("tier", "")): 1,
        (("result", "invalid_request"), ("tier", "")): 2,
    }


async def test_refusals_are_counted_by_reason_and_paths_that_people_make_up_make_no_series(
    maas: Replica,
) -> None:
    alice = await maas.caller("alice")
    await alice.issue(expiration="1s")
    await alice.issue(name=7)
    await alice.delete("/maas-api/tokens/nobody-sa-1")
    await maas.public.get("/maas-api/tokens", headers={"Authorization": "Bearer nonsense"})
    assert await shown(maas, "maas_tokens_refused_total") == {
        (("reason", "expiration_out_of_range"),): 1,
        (("reason", "invalid_request"),): 1,
        (("reason", "token_not_found"),): 1,
        (("reason", "invalid_token"),): 1,
    }
    before = await series(maas)
    await each(
        request
        for number in range(500)
        for request in (
            maas.public.get(f"/maas-api/tokens/made-up-{number}", headers={"Authorization": "Bearer x"}),
            maas.public.get(f"/made-up-{number}/%2e%2e?{number}"),
            maas.gateway.get(f"/internal/authorize/made-up-{number}"),
            maas.gateway.get(f"/made-up-{number}"),
        )
    )
    added = {(name, labels) for name, labels in await series(maas) - before}
    assert "made-up" not in str(added)
    assert len({name for name, _ in added}) < len(added) < 150


async def series(maas: Replica) -> set[tuple[str, str]]:
    """Everything that the metrics show, less the values."""
    text = (await maas.gateway.get("/metrics")).text
    return {
        (sample.name, str(sorted(sample.labels.items())))
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


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

        await eventually(back, seconds=20)  # A real API server starts first, and storage after it.


async def test_the_leader_counts_what_its_reconcilers_do(maas: Replica) -> None:
    async def ran() -> bool:
        return await value(maas, "maas_reconciler_runs_total", reconciler="reaper", result="done") >= 1

    await eventually(ran)
    assert await value(maas, "maas_leader") == 1
    assert await value(maas, "maas_reconciler_run_seconds_count", reconciler="reaper") >= 1


async def test_who_leads_is_seen_when_another_takes_over(workspace: Workspace) -> None:
    async with replica(workspace) as first, replica(workspace) as second:

        async def leading() -> list[float]:
            return [await value(each, "maas_leader") for each in (first, second)]

        async def one_leads() -> bool:
            return sorted(await leading()) == [0, 1]

        await eventually(one_leads)
        leader, other = (first, second) if (await leading())[0] else (second, first)
        assert await value(other, "maas_reconciler_runs_total") == 0
        leader.service.stopping.set()

        async def taken_over() -> bool:
            return await value(other, "maas_leader") == 1

        await eventually(taken_over, seconds=20)
        assert await value(leader, "maas_leader") == 0
        assert await value(leader, "maas_leader_transitions_total") == 2
        assert await value(other, "maas_leader_transitions_total") == 1

        async def at_work() -> bool:
            return await value(other, "maas_reconciler_runs_total", reconciler="reaper") >= 1

        await eventually(at_work)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell")
async def test_the_process_is_shown(maas: Replica) -> None:
    started = await value(maas, "process_start_time_seconds")
    assert time.time() - 24 * 3600 < started <= time.time() + 1
    assert await value(maas, "process_resident_memory_bytes") > 10_000_000
    assert 0 < await value(maas, "process_open_fds") < await value(maas, "process_max_fds")


async def test_the_running_version_is_shown_and_no_series_tells_when_it_began(maas: Replica) -> None:
    text = (await maas.gateway.get("/metrics")).text
    assert 'maas_build_info{version="' in text
    assert "_created" not in text
