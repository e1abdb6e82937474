"""The service with everything that manifests/base/rbac.yaml permits works; with anything less it does not.

A permission that is added there needs a row in `NEEDED_FOR`: a feature that is lost without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from app.kube.resources import EVENTS, GROUPS, INFERENCE_SERVICES, LLM_INFERENCE_SERVICES, SERVICE_ACCOUNTS
from tests.cluster.permissions import Permission, permissions, settled, shipped_rules, take_away
from tests.clusters import RealCluster
from tests.control_plane import GROUP_CRD, MODEL_CRDS, ControlPlane
from tests.workspace import FREE, Workspace, eventually, replica

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from app.kube.resources import Resource
    from tests.control_plane import Binaries
    from tests.workspace import Replica

    # Uses something as people do, and returns whether it works.
    Feature = Callable[[Replica], Awaitable[bool]]

pytestmark = pytest.mark.cluster

REVIEWS = "authorization.k8s.io"
MODELS = "serving.kserve.io"
MAPPING, PRICES = "tier-to-group-mapping", "maas-pricing"


async def a_token_is_issued(maas: Replica) -> bool:
    answer = await (await maas.caller("alice")).issue()
    assert answer.status_code in (201, 503)
    return answer.status_code == 201


async def a_token_that_ends_sooner_than_asked_says_so(maas: Replica) -> bool:
    answer = await (await maas.caller("alice")).issue(expiration="4h")
    if answer.status_code == 503:
        # What was made for it is gone again.
        await eventually(lambda: not maas.service.inventory.of_owner("alice"))
        return False
    (account,) = await maas.workspace.service_accounts()
    written: str = account["metadata"]["annotations"]["maas.opendatahub.io/expires-at"]
    return bool(written == answer.json()["expiresAt"])


async def a_token_that_is_not_in_view_is_looked_up(maas: Replica) -> bool:
    answer = await (await maas.caller("alice")).get("/maas-api/tokens/alice-sa-1")
    assert answer.status_code in (404, 503)
    return answer.status_code == 404


async def a_token_is_revoked(maas: Replica) -> bool:
    alice = await maas.caller("alice")
    answer = await alice.delete(f"/maas-api/tokens/{(await alice.issued())['id']}")
    assert answer.status_code in (204, 503)
    return answer.status_code == 204


async def a_model_answers_those_who_may_call_it(maas: Replica) -> bool:
    model = await maas.workspace.model("model", FREE)
    await maas.known(model)
    token = (await (await maas.caller("alice")).issued())["token"]
    answer = await maas.authorize(token, model)
    assert answer.status_code in (200, 503)
    return answer.status_code == 200


async def it_becomes_ready(maas: Replica) -> bool:
    async def readiness() -> str:
        """The status, once it is certain."""
        document = (await maas.gateway.get("/readyz")).json()
        certain = document["status"] == "ok" or any(_refused(maas, name) for name in _reflected(maas))
        return document["status"] if certain else ""

    return bool(await eventually(readiness, seconds=10) == "ok")


async def a_token_that_someone_deletes_is_refused(maas: Replica) -> bool:
    issued = await (await maas.caller("alice")).issued()

    async def revoke() -> None:
        admin, namespace = maas.workspace.cluster.admin, maas.workspace.namespace
        await admin.delete(SERVICE_ACCOUNTS, issued["id"], namespace=namespace)

    return await _hears_of(
        maas, "serviceaccounts", revoke, lambda: not maas.service.inventory.by_id(issued["id"])
    )


async def a_change_of_the_mapping_is_followed(maas: Replica) -> bool:
    async def change() -> None:
        tier = "{groups: [system:authenticated], rateLimit: {requestsPerMinute: 1}}"
        await maas.workspace.map_tiers(f"tiers: {{new: {tier}}}")

    return await _hears_of(maas, "configmaps", change, lambda: "new" in _tiers(maas))


async def a_change_of_prices_is_followed(maas: Replica) -> bool:
    async def change() -> None:
        await maas.workspace.set_prices("currency: USD\nmodels: {model: {request: 1}}")

    prices = maas.service.prices
    return await _hears_of(maas, f"configmaps/{PRICES}", change, lambda: prices.prices.models)


def a_new_model_is_found(resource: Resource) -> Feature:
    async def feature(maas: Replica) -> bool:
        async def add() -> None:
            await maas.workspace.model("model", FREE, resource=resource)

        model = f"model-{maas.workspace.suffix}"
        return await _hears_of(maas, resource.plural, add, lambda: maas.service.catalogue.get(model))

    return feature


async def who_joins_a_group_is_known(maas: Replica) -> bool:
    someone = f"someone-{maas.workspace.suffix}"

    async def join() -> None:
        group = {
            "apiVersion": GROUPS.api_version,
            "kind": "Group",
            "metadata": {"name": f"group-{maas.workspace.suffix}"},
            "users": [someone],
        }
        await maas.workspace.cluster.admin.create(GROUPS, group)

    return await _hears_of(maas, "groups", join, lambda: maas.service.membership.groups_of(someone))


async def one_replica_leads_and_goes_on_leading(maas: Replica) -> bool:
    renewed = {"verb": "update", "resource": "leases", "status": "200"}
    await eventually(lambda: _calls(maas, renewed) or _forbidden(maas, "leases"), seconds=15)
    return not _forbidden(maas, "leases")


async def a_rejected_mapping_is_told_at_the_config_map(maas: Replica) -> bool:
    return await _told(maas, "tiers: {}", "MappingRejected", times=1)


async def a_mapping_that_is_rejected_again_is_counted(maas: Replica) -> bool:
    good = "tiers: {new: {groups: [system:authenticated], rateLimit: {requestsPerMinute: 1}}}"
    await _told(maas, "tiers: {}", "MappingRejected", times=1)
    await _told(maas, good, "MappingInForce", times=1)
    return await _told(maas, "tiers: {}", "MappingRejected", times=2)


async def _told(maas: Replica, mapping: str, reason: str, *, times: int) -> bool:
    """Whether an Event says at the ConfigMap what becomes of `mapping`, rather than being forbidden."""
    await eventually(lambda: _tiers(maas))
    await maas.workspace.map_tiers(mapping)

    async def told() -> bool:
        page = await maas.workspace.cluster.admin.list(EVENTS, namespace=maas.workspace.namespace)
        said = [event["count"] for event in page["items"] if event["reason"] == reason]
        return said == [times] or _forbidden(maas, "events")

    await eventually(told, seconds=30)
    return not _forbidden(maas, "events")


NEEDED_FOR: dict[Permission, Feature] = {
    Permission("create", "serviceaccounts"): a_token_is_issued,
    Permission("get", "serviceaccounts"): a_token_that_is_not_in_view_is_looked_up,
    Permission("list", "serviceaccounts"): it_becomes_ready,
    Permission("watch", "serviceaccounts"): a_token_that_someone_deletes_is_refused,
    Permission("patch", "serviceaccounts"): a_token_that_ends_sooner_than_asked_says_so,
    Permission("delete", "serviceaccounts"): a_token_is_revoked,
    Permission("create", "serviceaccounts/token"): a_token_is_issued,
    Permission("list", "configmaps", name=MAPPING): it_becomes_ready,
    Permission("watch", "configmaps", name=MAPPING): a_change_of_the_mapping_is_followed,
    Permission("list", "configmaps", name=PRICES): a_change_of_prices_is_followed,
    Permission("watch", "configmaps", name=PRICES): a_change_of_prices_is_followed,
    Permission("get", "leases", "coordination.k8s.io", "maas-api"): one_replica_leads_and_goes_on_leading,
    Permission("update", "leases", "coordination.k8s.io", "maas-api"): one_replica_leads_and_goes_on_leading,
    Permission("create", "leases", "coordination.k8s.io"): one_replica_leads_and_goes_on_leading,
    Permission("create", "events"): a_rejected_mapping_is_told_at_the_config_map,
    Permission("get", "events"): a_mapping_that_is_rejected_again_is_counted,
    Permission("patch", "events"): a_mapping_that_is_rejected_again_is_counted,
    Permission("create", "tokenreviews", "authentication.k8s.io"): a_token_is_issued,
    Permission("create", "subjectaccessreviews", REVIEWS): a_model_answers_those_who_may_call_it,
    Permission("list", "inferenceservices", MODELS): it_becomes_ready,
    Permission("watch", "inferenceservices", MODELS): a_new_model_is_found(INFERENCE_SERVICES),
    Permission("list", "groups", "user.openshift.io"): it_becomes_ready,
    Permission("watch", "groups", "user.openshift.io"): who_joins_a_group_is_known,
    Permission("list", "llminferenceservices", MODELS): it_becomes_ready,
    Permission("watch", "llminferenceservices", MODELS): a_new_model_is_found(LLM_INFERENCE_SERVICES),
}


async def _hears_of(
    maas: Replica, resource: str, change: Callable[[], Awaitable[None]], heard: Callable[[], object]
) -> bool:
    """Whether a change that is made now arrives, rather than a refusal that /metrics counts.

    Without its watch the service lists again and again, less and less often, so it hears of it in the end.
    """
    (reflector,) = (known for known in maas.service.reflectors if known.name == resource)
    await eventually(lambda: reflector.synced or _refused(maas, resource))
    await change()
    await eventually(lambda: heard() or _refused(maas, resource))
    return not _refused(maas, resource)


def _refused(maas: Replica, resource: str) -> float | None:
    labels = {"resource": resource, "event": "error"}
    return maas.service.metrics.registry.get_sample_value("maas_reflector_events_total", labels)


def _calls(maas: Replica, labels: dict[str, str]) -> float | None:
    name = "maas_kubernetes_request_seconds_count"
    return maas.service.metrics.registry.get_sample_value(name, labels)


def _forbidden(maas: Replica, resource: str) -> bool:
    verbs = ("get", "create", "update", "patch")
    return any(_calls(maas, {"verb": verb, "resource": resource, "status": "403"}) for verb in verbs)


def _reflected(maas: Replica) -> list[str]:
    return [reflector.name for reflector in maas.service.reflectors]


def _tiers(maas: Replica) -> list[str]:
    mapping = maas.service.tiers.mapping
    return [tier.name for tier in mapping.tiers] if mapping else []


@pytest.fixture(scope="module")
async def cluster(binaries: Binaries) -> AsyncIterator[RealCluster]:
    """One that issues tokens for an hour at most, whatever is asked for."""
    flags = ["--service-account-max-token-expiration=1h"]
    async with ControlPlane(binaries, flags=flags) as control_plane:
        await control_plane.install_crds([*MODEL_CRDS, GROUP_CRD])
        made = RealCluster(control_plane)
        await made.start()
        yield made
        await made.stop()


@pytest.fixture
async def workspace(cluster: RealCluster) -> AsyncIterator[Workspace]:
    made = Workspace(cluster)
    await made.open()
    yield made
    await made.close()


def test_every_permission_has_a_feature_that_needs_it_and_is_given_once() -> None:
    given = [permission for rule in shipped_rules("Role", "ClusterRole") for permission in permissions(rule)]
    assert sorted(map(str, given)) == sorted(map(str, NEEDED_FOR))
    assert set(given) == set(NEEDED_FOR)


@pytest.mark.parametrize(
    "feature", dict.fromkeys(NEEDED_FOR.values()), ids=lambda feature: feature.__qualname__
)
async def test_with_the_shipped_rules_it_works(feature: Feature, workspace: Workspace) -> None:
    await settled(workspace)
    async with replica(workspace) as maas:
        assert await feature(maas)


@pytest.mark.parametrize("permission", NEEDED_FOR, ids=str)
async def test_without_the_permission_something_fails(permission: Permission, workspace: Workspace) -> None:
    await take_away(workspace, permission)
    async with replica(workspace, synced=False) as maas:
        await eventually(lambda: all(_seen(maas, name) for name in _reflected(maas)))
        assert not await NEEDED_FOR[permission](maas)


def _seen(maas: Replica, resource: str) -> bool:
    """Whether it was listed, or refused."""
    (reflector,) = (known for known in maas.service.reflectors if known.name == resource)
    return reflector.synced or bool(_refused(maas, resource))


async def test_a_replica_that_may_not_read_prices_is_ready_and_says_so(workspace: Workspace) -> None:
    await take_away(workspace, Permission("list", "configmaps", name=PRICES))
    async with replica(workspace, synced=False) as maas:

        async def degraded() -> bool:
            ready = await maas.public.get("/maas-api/readyz")
            return ready.status_code == 200 and "prices are not read" in str(ready.json()["problems"])

        await eventually(degraded)
        assert await a_token_is_issued(maas)
