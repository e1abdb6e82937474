"""What the real operators make of the shipped overlay for OpenShift."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from tests.e2e.envoy_gateway.machine import PATIENT
from tests.e2e.istio.envoy_filters import patched
from tests.e2e.kuadrant.engines import AUTHORINO, LIMITADOR
from tests.e2e.kuadrant.platform import AUTH_CONFIGS, ENVOY_FILTERS, POLICIES, SECONDS, condition
from tests.kustomize import MANIFESTS, rendered
from tests.workspace import eventually

if TYPE_CHECKING:
    from tests.e2e.kuadrant.manifests import Json
    from tests.e2e.kuadrant.platform import Platform

pytestmark = [pytest.mark.cluster, PATIENT]

_ROUTES = "/apis/gateway.networking.k8s.io/v1/httproutes"
_GATEWAYS = "/apis/gateway.networking.k8s.io/v1/gateways"


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("AuthPolicy", {"maas-default-gateway", "maas-api", "maas-models", "maas-inference"}),
        ("RateLimitPolicy", {"maas-api", "maas-models", "maas-inference"}),
        ("TokenRateLimitPolicy", {"maas-inference"}),
        ("TelemetryPolicy", {"maas-default-gateway"}),
    ],
)
async def test_every_policy_is_accepted_and_enforced(gateway: Platform, kind: str, names: set[str]) -> None:
    async def enforced() -> dict[str, Json] | None:
        policies = {policy["metadata"]["name"]: policy for policy in await gateway.listed(POLICIES[kind])}
        done = all(condition(policy, "Enforced") == "True" for policy in policies.values())
        return policies if done else None

    policies = await eventually(enforced, seconds=SECONDS)
    assert policies.keys() == names
    for policy in policies.values():
        assert condition(policy, "Accepted") == "True", policy["status"]


async def test_the_gateway_is_programmed_and_takes_every_route(gateway: Platform) -> None:
    (resource,) = await gateway.listed(_GATEWAYS)
    assert condition(resource, "Programmed") == "True"
    routes = await gateway.listed(_ROUTES)
    (listener,) = resource["status"]["listeners"]
    assert listener["attachedRoutes"] == len(routes)
    for route in routes:
        (parent,) = (
            parent
            for parent in route["status"]["parents"]
            if parent["controllerName"] == "openshift.io/gateway-controller/v1"
        )
        conditions = {entry["type"]: entry["status"] for entry in parent["conditions"]}
        assert (conditions["Accepted"], conditions["ResolvedRefs"]) == ("True", "True")


async def test_authorino_has_a_ready_rule_for_every_route(gateway: Platform) -> None:
    async def ready() -> list[Json] | None:
        configs = await gateway.listed(AUTH_CONFIGS)
        return configs if {condition(config, "Ready") for config in configs} == {"True"} else None

    configs = await eventually(ready, seconds=SECONDS)
    assert len(configs) == len(await gateway.listed(_ROUTES))


async def test_the_operator_keeps_the_cache_that_is_large_enough_for_tokens(gateway: Platform) -> None:
    answer = await gateway.control_plane.client.get(AUTHORINO)
    assert answer.json()["spec"]["evaluatorCacheSize"] == 16


@pytest.mark.parametrize("route", ["maas-inference", "maas-models"])
async def test_limitador_serves_the_limits_of_the_mapping_per_owner(gateway: Platform, route: str) -> None:
    (mapping,) = (
        yaml.safe_load(document["data"]["mapping.yaml"])
        for document in rendered(MANIFESTS / "base")
        if document["kind"] == "ConfigMap"
    )
    served = [
        limit
        for limit in await gateway.limitador.served(f"maas/{route}")
        if "tokenlimit." not in limit["conditions"][0]
    ]
    assert {limit["name"]: (limit["max_value"], limit["seconds"]) for limit in served} == {
        name: (tier["rateLimit"]["requestsPerMinute"], 60) for name, tier in mapping["tiers"].items()
    } | {"other_tiers": (10, 60)}
    for limit in served:
        assert limit["variables"] == ['descriptors[0]["auth.identity.owner"]']


async def test_a_changed_mapping_reaches_limitador_through_the_policies(gateway: Platform) -> None:
    path = "/api/v1/namespaces/maas/configmaps/tier-to-group-mapping"
    shipped = (await gateway.control_plane.client.get(path)).raise_for_status().json()["data"]["mapping.yaml"]

    async def map_to(mapping: str) -> None:
        answer = await gateway.control_plane.client.patch(
            path,
            json={"data": {"mapping.yaml": mapping}},
            headers={"Content-Type": "application/merge-patch+json"},
        )
        answer.raise_for_status()

    async def asked_for() -> set[int]:
        limits = (
            (await gateway.control_plane.client.get(LIMITADOR)).raise_for_status().json()["spec"]["limits"]
        )
        return {limit["max_value"] for limit in limits if limit["namespace"] == "maas/maas-inference"}

    async def more() -> bool:
        return 77 in await asked_for()

    async def as_before() -> bool:
        return 77 not in await asked_for()

    await map_to(shipped.replace("requestsPerMinute: 100,", "requestsPerMinute: 77,"))
    try:
        await eventually(more, seconds=SECONDS)
    finally:
        await map_to(shipped)
    await eventually(as_before, seconds=SECONDS)


async def test_limitador_serves_the_limits_on_tokens_of_models(gateway: Platform) -> None:
    served = {
        limit["name"]: limit["max_value"]
        for limit in await gateway.limitador.served("maas/maas-inference")
        if "tokenlimit." in limit["conditions"][0]
    }
    assert served == {"free": 10_000, "premium": 100_000, "enterprise": 1_000_000, "other_tiers": 10_000}


async def test_kuadrants_filter_stands_between_reading_the_model_and_choosing_its_route(
    gateway: Platform,
) -> None:
    made = patched(await gateway.listed(ENVOY_FILTERS))
    assert [http_filter["name"] for http_filter in made.http_filters] == [
        "maas.model-of-the-body",
        "maas.requested-model",
        "envoy.filters.http.wasm",
        "maas.route-by-model",
    ]
