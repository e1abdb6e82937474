"""Limits follow the mapping: what is written, what is left to others, and what is told."""

from __future__ import annotations

import asyncio
import random
import re
import time
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest
import yaml
from prometheus_client import generate_latest

from app.kube.connect import connect
from app.kube.errors import KubeConflictError, KubeError, KubeNotFoundError
from app.kube.resources import CONFIG_MAPS, EVENTS
from app.limits.envoy_gateway import TrafficLimits
from app.limits.kuadrant import RequestLimits
from app.limits.policy import FIELD_MANAGER
from app.limits.profiles import policies_of
from app.observability.metrics import Metrics
from app.reconcilers.limits import LimitsReconciler
from app.reconcilers.policy_keeper import Keeping
from app.reconcilers.policy_writer import PolicyWriter
from app.tiers.parser import parse_mapping
from app.tiers.source import TierSource
from tests.kubectl import Kubectl
from tests.policies import OTHERS, Policies
from tests.workspace import ROLES, Replica, eventually, replica

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.clusters import TestCluster
    from tests.workspace import Workspace

INFERENCE, MODELS = "maas-inference", "maas-models"
PROFILES = ["kuadrant", "envoy-gateway", "global-limits"]
SHIPPED = {"free": 10, "premium": 100, "enterprise": 1000, OTHERS: 10}
every_profile = pytest.mark.parametrize("policies", PROFILES, indirect=True)


@pytest.fixture
async def policies(workspace: Workspace, request: pytest.FixtureRequest) -> Policies:
    """The shipped policies of a profile, Kuadrant's if none is named, as `kubectl apply` leaves them."""
    made = Policies(workspace, getattr(request, "param", "kuadrant"))
    await made.install()
    return made


@pytest.fixture
async def follower(policies: Policies) -> AsyncIterator[Replica]:
    """A replica that has looked at the policies."""
    async with replica(policies.workspace) as running:
        for name in (INFERENCE, MODELS):
            await in_step(running, f"{policies.kind}/{name}")
        yield running


def mapping(**numbers: int | None) -> str:
    tiers = {
        name: {"groups": [name]} | ({"rateLimit": {"requestsPerMinute": number}} if number else {})
        for name, number in numbers.items()
    }
    return yaml.safe_dump({"tiers": tiers})


async def metric(running: Replica, name: str, policy: str) -> float | None:
    text = (await running.gateway.get("/metrics")).text
    found = re.search(rf'^{name}{{policy="{policy}"}} (\S+)$', text, re.MULTILINE)
    return float(found[1]) if found else None


async def in_step(running: Replica, policy: str, value: float | None = 1, *, seconds: float = 20) -> None:
    """Wait until the metric says so of a policy."""

    async def said() -> bool:
        return await metric(running, "maas_limits_in_step", policy) == value

    await eventually(said, seconds=seconds)


async def becomes(policies: Policies, expected: dict[str, int], *names: str, seconds: float = 20) -> None:
    """Wait until the policies have these numbers."""

    async def so() -> bool:
        return all([await policies.numbers(name) == expected for name in names or (INFERENCE, MODELS)])

    await eventually(so, seconds=seconds)


async def told(workspace: Workspace, reason: str) -> str:
    """Wait for the Event with this reason; its message."""

    async def found() -> str:
        page = await workspace.cluster.admin.list(EVENTS, namespace=workspace.namespace)
        events = [event for event in page["items"] if event["reason"] == reason]
        assert {(event["type"], event["involvedObject"]["name"]) for event in events} <= {
            ("Warning", "tier-to-group-mapping")
        }
        return str(events[-1]["message"]) if events else ""

    message: str = await eventually(found, seconds=20)
    return message


@every_profile
async def test_a_changed_mapping_is_in_the_policies_within_two_seconds(
    policies: Policies, follower: Replica
) -> None:
    await policies.workspace.map_tiers(mapping(free=20, premium=200, gold=5))
    await becomes(policies, {"free": 20, "premium": 200, "gold": 5, OTHERS: 5}, seconds=2)
    await policies.workspace.map_tiers(mapping(free=30))
    await becomes(policies, {"free": 30, OTHERS: 30}, seconds=2)
    assert await metric(follower, "maas_limits_written_total", f"{policies.kind}/{INFERENCE}") == 3


async def test_limits_on_tokens_follow_and_go_with_their_last_number(policies: Policies) -> None:
    workspace = policies.workspace
    tokens = Policies(workspace, "token-limits")
    await tokens.install()
    limited = {"rateLimit": {"requestsPerMinute": 10, "tokensPerMinute": 500}, "groups": ["x"]}
    await workspace.map_tiers(yaml.safe_dump({"tiers": {"free": limited}}))
    async with replica(workspace):
        await becomes(tokens, {"free": 500, OTHERS: 500}, INFERENCE)
        await workspace.map_tiers(mapping(free=10))
        await becomes(tokens, {OTHERS: 1_000_000_000}, INFERENCE)


@every_profile
@pytest.mark.usefixtures("follower")
async def test_what_others_have_added_survives(policies: Policies) -> None:
    burst = {"rates": [{"limit": 5, "window": "1s"}]}
    extra = {"limits": {"burst": burst}} if policies.part == "kuadrant" else {"retry": {"numRetries": 1}}
    theirs = policies.fragment(INFERENCE, extra, annotations={"team": "platform"})
    await policies.apply(theirs, field_manager="somebody", force=False)
    await policies.workspace.map_tiers(mapping(free=20))
    expected = {"free": 20, OTHERS: 20}
    await becomes(policies, {**expected, "burst": 5} if "limits" in extra else expected, INFERENCE)
    policy = await policies.get(INFERENCE)
    assert policy["metadata"]["annotations"]["team"] == "platform"
    assert policy["spec"].get("retry") == extra.get("retry")
    assert policy["spec"].get("limits", {}).get("burst") == extra.get("limits", {}).get("burst")


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("how", [("apply",), ("apply", "--server-side")], ids=" ".join)
async def test_what_kubectl_has_installed_is_taken_over_each_time(
    workspace: Workspace, profile: str, how: tuple[str, ...], tmp_path: Path
) -> None:
    policies = Policies(workspace, profile)
    kubectl = Kubectl(workspace.cluster.kubeconfig(await workspace.person("op", "system:masters")), tmp_path)
    shipped = yaml.safe_dump_all(policies.documents())
    await kubectl.ok(*how, "-f", "-", stdin=shipped)
    await workspace.map_tiers(mapping(free=20, gold=7))
    async with replica(workspace) as running:
        await becomes(policies, {"free": 20, "gold": 7, OTHERS: 7})
        # Installed again, as for an upgrade.
        again = ("--force-conflicts",) if "--server-side" in how else ()
        await kubectl.ok(*how, *again, "-f", "-", stdin=shipped)
        await becomes(policies, {"free": 20, "gold": 7, OTHERS: 7})
        await in_step(running, f"{policies.kind}/{INFERENCE}")


@every_profile
async def test_installing_the_same_once_more_is_no_conflict(
    policies: Policies, follower: Replica, tmp_path: Path
) -> None:
    workspace = follower.workspace
    kubectl = Kubectl(workspace.cluster.kubeconfig(await workspace.person("op", "system:masters")), tmp_path)
    await kubectl.ok("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(policies.documents()))


@pytest.mark.parametrize("how", [("apply",), ("apply", "--server-side")], ids=" ".join)
async def test_limits_that_are_counted_globally_take_the_place_of_local_ones_and_back(
    workspace: Workspace, how: tuple[str, ...], tmp_path: Path
) -> None:
    local, everywhere = Policies(workspace, "envoy-gateway"), Policies(workspace, "global-limits")
    kubectl = Kubectl(workspace.cluster.kubeconfig(await workspace.person("op", "system:masters")), tmp_path)
    force = ("--force-conflicts",) if "--server-side" in how else ()
    await workspace.map_tiers(mapping(free=20, gold=7))
    async with replica(workspace):
        for policies, place in ((local, "local"), (everywhere, "global"), (local, "local")):
            await kubectl.ok(*how, *force, "-f", "-", stdin=yaml.safe_dump_all(policies.documents()))
            await eventually(partial(counts, local, place), seconds=20)
            await becomes(local, {"free": 20, "gold": 7, OTHERS: 7})


async def counts(policies: Policies, place: str) -> bool:
    """Whether the policies count there and nowhere else."""
    specs = [(await policies.get(name))["spec"] for name in (INFERENCE, MODELS)]
    return [list(spec["rateLimit"]) for spec in specs] == [[place]] * 2


async def test_kubectl_is_told_who_keeps_the_limits(
    policies: Policies, follower: Replica, tmp_path: Path
) -> None:
    workspace = follower.workspace
    kubectl = Kubectl(workspace.cluster.kubeconfig(await workspace.person("op", "system:masters")), tmp_path)
    documents = [each for each in policies.documents() if each["metadata"]["name"] == INFERENCE]
    documents[0]["spec"]["limits"]["free"]["rates"][0]["limit"] = 99
    code, output = await kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(documents))
    assert code != 0
    assert f'conflict with "{FIELD_MANAGER}": .spec.limits.free.rates' in output


async def test_what_another_manager_keeps_is_told_not_fought_over_and_healed_when_they_let_go(
    policies: Policies, follower: Replica
) -> None:
    policy = f"RateLimitPolicy/{INFERENCE}"
    theirs = {"limits": {"premium": {"rates": [{"limit": 7, "window": "1m"}]}}}
    await policies.apply(policies.fragment(INFERENCE, theirs), field_manager="argocd-controller")
    await in_step(follower, policy, 0)
    assert await metric(follower, "maas_limits_contested_fields", policy) == 1
    message = await told(follower.workspace, "LimitsConflict")
    assert ".spec.limits.premium.rates (of argocd-controller)" in message
    assert policy in message

    # All other tiers still follow, and what limits the contested one to its tier is not touched.
    await follower.workspace.map_tiers(mapping(free=20, premium=200))
    await becomes(policies, {"free": 20, "premium": 7, OTHERS: 20}, INFERENCE)
    await becomes(policies, {"free": 20, "premium": 200, OTHERS: 20}, MODELS)
    premium = (await policies.get(INFERENCE))["spec"]["limits"]["premium"]
    assert premium["when"] == [{"predicate": 'auth.identity.tier == "premium"'}]

    await policies.apply(policies.fragment(INFERENCE, {}), field_manager="argocd-controller")
    await becomes(policies, {"free": 20, "premium": 200, OTHERS: 20}, INFERENCE)
    await in_step(follower, policy)
    assert await metric(follower, "maas_limits_contested_fields", policy) == 0


@every_profile
async def test_an_edit_by_hand_stays_and_is_told(policies: Policies, follower: Replica) -> None:
    policy = f"{policies.kind}/{INFERENCE}"
    spec = (await policies.get(INFERENCE))["spec"]
    if policies.part == "kuadrant":
        spec["limits"]["free"]["rates"][0]["limit"] = 99
    else:
        ((_, limit),) = spec["rateLimit"].items()
        limit["rules"][0]["limit"]["requests"] = 99
    await policies.patch(INFERENCE, {"spec": spec})
    await in_step(follower, policy, 0)
    before = await policies.get(INFERENCE)
    assert "99" in str(before["spec"])
    assert "of " in await told(follower.workspace, "LimitsConflict")
    # Nobody writes it again and again.
    written = await metric(follower, "maas_limits_written_total", policy)
    await policies.workspace.map_tiers(mapping(free=11, premium=100, enterprise=1000))
    await becomes(policies, {**SHIPPED, "free": 11, OTHERS: 11}, MODELS)
    assert (await policies.numbers(INFERENCE))["free"] == 99
    assert written is not None
    assert (await metric(follower, "maas_limits_written_total", policy) or 0) <= written + 1
    # Installed again, it is an installer's.
    await policies.install(policies.kind)
    await becomes(policies, {**SHIPPED, "free": 11, OTHERS: 11})
    await in_step(follower, policy)


async def test_others_who_say_the_same_are_no_conflict(policies: Policies) -> None:
    await policies.install("RateLimitPolicy", field_manager="argocd-controller")
    gateways = Policies(policies.workspace, "envoy-gateway")
    await gateways.install(field_manager="argocd-controller")
    async with replica(policies.workspace) as running:
        for policy in (f"RateLimitPolicy/{INFERENCE}", f"BackendTrafficPolicy/{INFERENCE}"):
            await in_step(running, policy)
            assert await metric(running, "maas_limits_contested_fields", policy) == 0


async def test_a_tier_that_is_gone_stays_where_another_manager_keeps_it(policies: Policies) -> None:
    shipped = policies.fragment(INFERENCE, {"limits": (await policies.get(INFERENCE))["spec"]["limits"]})
    await policies.apply(shipped, field_manager="argocd-controller")
    await policies.workspace.map_tiers(mapping(free=10, premium=100))
    async with replica(policies.workspace) as running:
        await becomes(policies, {"free": 10, "premium": 100, OTHERS: 10}, MODELS)
        message = await told(policies.workspace, "LimitsConflict")
        assert ".spec.limits.enterprise (of argocd-controller)" in message
        await in_step(running, f"RateLimitPolicy/{INFERENCE}", 0)
    assert (await policies.numbers(INFERENCE))["enterprise"] == 1000


@every_profile
async def test_where_only_reports_are_wanted_nothing_is_written(policies: Policies) -> None:
    workspace, policy = policies.workspace, f"{policies.kind}/{INFERENCE}"
    async with replica(workspace, limits={"mode": "report"}) as running:
        await in_step(running, policy)
        before = await policies.get(INFERENCE)
        await workspace.map_tiers(mapping(free=20, premium=100, enterprise=1000))
        await in_step(running, policy, 0, seconds=2)
        message = await told(workspace, "LimitsDiffer")
        assert ".spec." in message
        assert await policies.get(INFERENCE) == before
        # Somebody, or something, does what is to be done.
        async with replica(workspace, leader={"enabled": False}):
            await in_step(running, policy)
    async with replica(workspace, limits={"mode": "off"}) as running:
        await workspace.map_tiers(mapping(free=30))
        await eventually(lambda: running.service.election.leading)
        await eventually(lambda: running.service.tiers.current().get("free") is not None)
        assert [each.name for each in running.service.reconcilers].count("limits") == 0
        assert (await policies.numbers(INFERENCE))["free"] == 20


async def test_a_policy_that_is_deleted_is_not_made_again_and_followed_when_it_comes_back(
    policies: Policies, follower: Replica
) -> None:
    policy = f"RateLimitPolicy/{INFERENCE}"
    await policies.delete(INFERENCE)
    await in_step(follower, policy, None)
    await follower.workspace.map_tiers(mapping(free=20))
    await becomes(policies, {"free": 20, OTHERS: 20}, MODELS)
    with pytest.raises(KubeNotFoundError):
        await policies.get(INFERENCE)
    await policies.install("RateLimitPolicy")
    await becomes(policies, {"free": 20, OTHERS: 20})
    await in_step(follower, policy)


async def test_limits_follow_again_when_the_api_server_is_back(
    cluster: TestCluster, policies: Policies, follower: Replica
) -> None:
    await cluster.pause()
    await eventually(lambda: not follower.service.decisions.connected, seconds=20)
    await cluster.resume()
    await eventually(lambda: reachable(policies.workspace), seconds=30)
    await policies.workspace.map_tiers(mapping(free=20))
    await becomes(policies, {"free": 20, OTHERS: 20}, seconds=60)


async def test_without_a_role_policies_are_left_alone_in_silence(workspace: Workspace) -> None:
    policies = Policies(workspace, "kuadrant")
    await policies.install("RateLimitPolicy")
    await workspace.map_tiers(mapping(free=20))
    async with replica(workspace) as running:
        await eventually(lambda: running.service.election.leading)
        text = 'maas_kubernetes_request_seconds_count{resource="selfsubjectaccessreviews",status="201"'

        async def asked() -> bool:
            return text in (await running.gateway.get("/metrics")).text

        await eventually(asked)
        metrics = (await running.gateway.get("/metrics")).text
        assert 'status="403"' not in metrics
        assert "maas_limits_in_step{" not in metrics
    assert await policies.numbers(INFERENCE) == SHIPPED


async def test_a_role_that_comes_later_is_noticed_also_after_an_outage(
    cluster: TestCluster, workspace: Workspace
) -> None:
    policies = Policies(workspace, "kuadrant")
    await policies.install("RateLimitPolicy")
    tiers, metrics = TierSource(), Metrics()
    await workspace.map_tiers(mapping(free=20))
    tiers.put(
        await workspace.cluster.admin.get(CONFIG_MAPS, "tier-to-group-mapping", namespace=workspace.namespace)
    )
    async with limits_alone(workspace, tiers, metrics):
        await eventually(lambda: b"selfsubjectaccessreviews" in generate_latest(metrics.registry))
        assert await policies.numbers(INFERENCE) == SHIPPED
        await cluster.pause()
        unanswered = b'maas_kubernetes_request_seconds_count{resource="selfsubjectaccessreviews",status="0"'
        await eventually(lambda: unanswered in generate_latest(metrics.registry), seconds=20)
        await cluster.resume()
        await eventually(lambda: reachable(workspace), seconds=30)
        await policies.install("Role", "RoleBinding")
        await becomes(policies, {"free": 20, OTHERS: 20}, seconds=30)


async def reachable(workspace: Workspace) -> bool:
    try:
        await workspace.cluster.admin.list(CONFIG_MAPS, namespace=workspace.namespace)
    except KubeError:
        return False
    return True


@asynccontextmanager
async def limits_alone(workspace: Workspace, tiers: TierSource, metrics: Metrics) -> AsyncIterator[None]:
    """The reconciler by itself, as the shipped ServiceAccount; it asks for its Role all the time."""
    chance = random.Random(1)  # noqa: S311  # spreads retries
    client = await connect(
        str(await workspace.service_kubeconfig()),
        timeout_seconds=5,
        connections=10,
        observe=metrics.observe_kube_call,
        random=chance,
    )

    async def unheard(reason: str, message: str) -> None:
        raise AssertionError(f"{reason}: {message}")

    keeping = Keeping(
        client=client,
        namespace=workspace.namespace,
        mode="apply",
        installers=frozenset({"kubectl"}),
        warn=unheard,
        observe=metrics,
        observe_reflector=metrics.observe_reflector,
        random=chance,
        clock=time.monotonic,
        role_seconds=0.05,
    )
    task = asyncio.create_task(LimitsReconciler(policies_of("auto"), tiers, keeping).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await client.close()


async def test_a_role_that_does_not_let_the_service_write_is_told(policies: Policies) -> None:
    workspace = policies.workspace
    (role,) = (each for each in policies.documents() if each["kind"] == "Role")
    rules = [{**rule, "verbs": ["get", "list", "watch"]} for rule in role["rules"]]
    await workspace.cluster.admin.merge_patch(
        ROLES, role["metadata"]["name"], {"rules": rules}, namespace=workspace.namespace
    )
    async with replica(workspace) as running:
        await in_step(running, f"RateLimitPolicy/{INFERENCE}", 0)
        assert "cannot patch resource" in await told(workspace, "LimitsRefused")


async def test_more_tiers_than_envoy_gateway_has_room_for_are_told(workspace: Workspace) -> None:
    policies = Policies(workspace, "envoy-gateway")
    await policies.install()
    await workspace.map_tiers(mapping(**{f"tier-{number}": number for number in range(1, 18)}))
    async with replica(workspace) as running:
        assert "tier-1, tier-2" in await told(workspace, "LimitsIncomplete")
        await in_step(running, f"BackendTrafficPolicy/{INFERENCE}", 0)
    expected = {f"tier-{number}": number for number in range(3, 18)}
    assert await policies.numbers(INFERENCE) == {**expected, OTHERS: 1}


async def test_a_mapping_without_limits_leaves_the_policies_as_they_are(policies: Policies) -> None:
    workspace = policies.workspace
    await workspace.map_tiers("- {name: free, groups: [x]}\n- {name: gold, groups: [y]}\n", key="tiers")
    async with replica(workspace) as running:
        await eventually(lambda: running.service.election.leading)
        await workspace.map_tiers(mapping(free=20))
        await becomes(policies, {"free": 20, OTHERS: 20})
        await workspace.map_tiers("- {name: free, groups: [x]}\n", key="tiers")
        await in_step(running, f"RateLimitPolicy/{INFERENCE}", None)
    assert (await policies.numbers(INFERENCE))["free"] == 20


async def test_the_next_leader_goes_on_and_the_former_says_nothing_more(policies: Policies) -> None:
    policy = f"RateLimitPolicy/{INFERENCE}"
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(replica(policies.workspace))
        await in_step(first, policy)
        async with replica(policies.workspace) as second:
            assert await metric(second, "maas_limits_in_step", policy) is None
            await stack.aclose()
            await in_step(second, policy)
            assert f'maas_limits_in_step{{policy="{policy}"}}' not in generated(first)
            await policies.workspace.map_tiers(mapping(free=20))
            await becomes(policies, {"free": 20, OTHERS: 20}, seconds=2)


def generated(running: Replica) -> str:
    return generate_latest(running.service.metrics.registry).decode()


@every_profile
async def test_a_write_that_comes_too_late_changes_nothing(policies: Policies) -> None:
    workspace = policies.workspace
    policy = RequestLimits(INFERENCE) if policies.part == "kuadrant" else TrafficLimits(INFERENCE)
    writer = PolicyWriter(
        workspace.cluster.admin, policy, namespace=workspace.namespace, installers=frozenset({"kubectl"})
    )
    old = await policies.get(INFERENCE)
    wanted = policy.wanted(parse_mapping({"mapping.yaml": mapping(free=1)}), old)
    await policies.patch(INFERENCE, {"metadata": {"annotations": {"changed": "meanwhile"}}})
    with pytest.raises(KubeConflictError) as caught:
        await writer.write(old, wanted)
    assert not caught.value.field_conflicts
    assert await policies.numbers(INFERENCE) == SHIPPED
    await policies.delete(INFERENCE)
    with pytest.raises(KubeError):
        await writer.write(old, wanted)
    with pytest.raises(KubeNotFoundError):
        await policies.get(INFERENCE)
