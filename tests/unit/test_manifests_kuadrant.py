from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from app.settings import Settings
from app.tiers.group import tier_group
from app.tiers.parser import parse_mapping
from tests.kustomize import MANIFESTS, rendered, with_component

if TYPE_CHECKING:
    from pathlib import Path

    from app.tiers.mapping import TierMapping

OVERLAY = MANIFESTS / "overlays" / "openshift"
PLATFORM = MANIFESTS / "platform" / "kuadrant"
BEHIND_A_TOKEN = ["maas-inference", "maas-models"]


def the(kind: str, name: str, directory: Path = OVERLAY) -> dict[str, Any]:
    (found,) = (
        document
        for document in rendered(directory)
        if (document["kind"], document["metadata"]["name"]) == (kind, name)
    )
    return found


def mapping(directory: Path = OVERLAY) -> TierMapping:
    return parse_mapping(the("ConfigMap", "tier-to-group-mapping", directory)["data"])


def test_issuing_is_limited_per_caller_with_a_counter_of_its_own() -> None:
    limits = the("RateLimitPolicy", "maas-api")["spec"]["limits"]
    assert set(limits) == {"issuing", "everything-else"}
    for rule in limits.values():
        assert rule["counters"] == [{"expression": "auth.identity.owner"}]


def test_the_mapping_that_comes_with_limits_on_tokens_is_otherwise_the_shipped_one(tmp_path: Path) -> None:
    directory = with_component("openshift", "token-limits", tmp_path)
    assert [(tier.name, tier.groups, tier.requests_per_minute) for tier in mapping(directory).tiers] == [
        (tier.name, tier.groups, tier.requests_per_minute) for tier in mapping().tiers
    ]


def test_every_route_of_the_service_has_a_policy_and_all_others_are_denied() -> None:
    targets = {
        (document["spec"]["targetRef"]["kind"], document["spec"]["targetRef"]["name"])
        for document in rendered(OVERLAY)
        if document["kind"] == "AuthPolicy"
    }
    routes = {
        ("HTTPRoute", document["metadata"]["name"])
        for document in rendered(OVERLAY)
        if document["kind"] == "HTTPRoute"
    }
    assert targets == routes | {("Gateway", "maas-default-gateway")}
    rules = the("AuthPolicy", "maas-default-gateway")["spec"]["defaults"]["rules"]
    assert rules["authorization"]["nobody"]["patternMatching"]["patterns"] == [{"predicate": "false"}]


@pytest.mark.parametrize("route", BEHIND_A_TOKEN)
def test_a_maas_token_is_checked_for_the_audience_it_is_issued_for(route: str) -> None:
    (rule,) = the("AuthPolicy", route)["spec"]["rules"]["authentication"].values()
    audience = Settings.model_fields["tokens"].default.audience
    assert rule["kubernetesTokenReview"] == {"audiences": [audience]}


@pytest.mark.parametrize("route", BEHIND_A_TOKEN)
def test_who_holds_a_token_is_asked_from_the_gateway_app_every_time(route: str) -> None:
    identity = the("AuthPolicy", route)["spec"]["rules"]["metadata"]["maas"]
    service = the("Service", "maas-api")
    (port,) = (port["port"] for port in service["spec"]["ports"] if port["name"] == "gateway")
    host = f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc.cluster.local"
    assert identity["http"]["url"] == f"http://{host}:{port}/internal/identity"
    # Encoded by Authorino: a body put together from strings could be ended by the name of a model.
    assert identity["http"]["contentType"] == "application/json"
    assert "body" not in identity["http"]
    assert "cache" not in identity


def test_access_to_a_model_is_that_of_the_owner_and_their_groups() -> None:
    rule = the("AuthPolicy", "maas-inference")["spec"]["rules"]["authorization"]["may-call-the-model"]
    review = rule["kubernetesSubjectAccessReview"]
    assert review["user"] == {"expression": "auth.metadata.maas.owner"}
    assert review["authorizationGroups"] == {"expression": "auth.metadata.maas.groups"}
    assert review["resourceAttributes"]["verb"] == {
        "value": Settings.model_fields["models"].default.access_verb
    }
    # What is remembered of one person, tier or model must not be taken for that of another.
    assert "auth.identity.user.uid" in rule["cache"]["key"]["expression"]
    for part in ("groups", "model.resource", "model.namespace", "model.name"):
        assert f"auth.metadata.maas.{part}" in rule["cache"]["key"]["expression"]


def test_without_an_answer_about_the_model_nothing_passes() -> None:
    rules = the("AuthPolicy", "maas-inference")["spec"]["rules"]["authorization"]
    assert rules["may-call-the-model"]["when"] == [{"predicate": "auth.metadata.maas.model != null"}]
    # Authorino skips a rule whose condition cannot be evaluated.
    patterns = rules["in-force"]["patternMatching"]["patterns"]
    assert {"predicate": "has(auth.metadata.maas.model)"} in patterns


def test_what_is_cached_fits_the_cache_of_authorino() -> None:
    megabytes = the("Authorino", "authorino", PLATFORM)["spec"]["evaluatorCacheSize"]
    longest_token = 8 * 1024
    assert megabytes * 1024 * 1024 / 1024 > longest_token


def test_authorino_is_let_through_to_the_service() -> None:
    peers = [
        peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
        for rule in the("NetworkPolicy", "maas-api")["spec"]["ingress"]
        for peer in rule["from"]
        if peer["podSelector"].get("matchLabels", {}).get("authorino-resource") == "authorino"
    ]
    assert peers == [the("Kuadrant", "kuadrant", PLATFORM)["metadata"]["namespace"]]


def test_everything_that_names_a_person_is_removed_before_anything_else_happens() -> None:
    patches = the("EnvoyFilter", "model-selection")["spec"]["configPatches"]
    first = [
        patch["patch"]["value"]["name"] for patch in patches if patch["patch"]["operation"] == "INSERT_FIRST"
    ]
    # Each is put before the one above it.
    assert first == ["maas.requested-model", "maas.model-of-the-body"]
    lua = patches[1]["patch"]["value"]["typed_config"]["default_source_code"]["inline_string"]
    assert '"^x[-_]maas[-_]"' in lua


def test_the_largest_request_is_the_one_that_the_service_accepts() -> None:
    (listener,) = (
        patch["patch"]["value"]
        for patch in the("EnvoyFilter", "model-selection")["spec"]["configPatches"]
        if patch["applyTo"] == "LISTENER"
    )
    most = Settings.model_fields["gateway"].default.max_body_bytes
    assert listener == {"per_connection_buffer_limit_bytes": most}


def test_enterprise_is_a_tier_group_of_the_mapping() -> None:
    tiers = {tier_group(tier.name) for tier in mapping().tiers}
    bound = {
        subject["name"]
        for document in rendered(MANIFESTS / "models" / "granite-7b")
        if document["kind"].endswith("RoleBinding") or document["kind"].endswith("ClusterRoleBinding")
        for subject in document["subjects"]
    }
    assert bound <= tiers


def test_the_route_leads_to_the_service_that_istio_makes_for_the_gateway() -> None:
    gateway = the("Gateway", "maas-default-gateway")
    route = the("Route", "maas-default-gateway")["spec"]
    expected = f"{gateway['metadata']['name']}-{gateway['spec']['gatewayClassName']}"
    assert route["to"] == {"kind": "Service", "name": expected}
    assert route["tls"]["termination"] == "passthrough"
    assert route["port"]["targetPort"] in [listener["name"] for listener in gateway["spec"]["listeners"]]


@pytest.mark.parametrize("overlay", ["openshift", "kubernetes"])
def test_a_certificate_of_ones_own_takes_the_place_of_the_self_signed_one(
    overlay: str, tmp_path: Path
) -> None:
    directory = with_component(overlay, "tls-custom", tmp_path)
    (listener,) = the("Gateway", "maas-default-gateway", directory)["spec"]["listeners"]
    assert [reference["name"] for reference in listener["tls"]["certificateRefs"]] == ["custom-gateway-cert"]


def test_the_number_of_replicas_belongs_to_the_autoscaler_alone(tmp_path: Path) -> None:
    directory = with_component("openshift", "ha", tmp_path)
    assert "replicas" not in the("Deployment", "maas-api", directory)["spec"]
    target = the("HorizontalPodAutoscaler", "maas-api", directory)["spec"]["scaleTargetRef"]
    assert target == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "maas-api"}
