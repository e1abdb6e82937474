"""Limits that all replicas of Envoy Gateway's proxies count together; `tests/e2e/envoy_gateway` runs them."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from app.limits.envoy_gateway import POLICIES
from app.limits.policy import Wanted
from app.tiers.parser import parse_mapping
from tests.kustomize import MANIFESTS, rendered, with_component

if TYPE_CHECKING:
    from pathlib import Path

    from app.limits.envoy_gateway import TrafficLimits

LOCAL = MANIFESTS / "overlays" / "kubernetes"
ANSWERS = "maas-default-gateway"


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    return with_component("kubernetes", "global-limits", tmp_path)


def of_kind(kind: str, folder: Path) -> dict[str, dict[str, Any]]:
    found = (document for document in rendered(folder) if document["kind"] == kind)
    return {document["metadata"]["name"]: document for document in found}


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
def test_the_limits_are_exactly_what_the_shipped_mapping_makes_of_them(
    policy: TrafficLimits, overlay: Path
) -> None:
    mapping = parse_mapping(of_kind("ConfigMap", overlay)["tier-to-group-mapping"]["data"])
    document = of_kind("BackendTrafficPolicy", overlay)[policy.name]
    assert list(document["spec"]["rateLimit"]) == ["global"]
    assert policy.wanted(mapping, document) == Wanted({"rateLimit": document["spec"]["rateLimit"]})


def test_the_gateway_answers_as_with_local_limits_but_for_when_to_come_back(overlay: Path) -> None:
    local = copy.deepcopy(of_kind("BackendTrafficPolicy", LOCAL)[ANSWERS])
    (refusal,) = (
        override["response"]
        for override in local["spec"]["responseOverride"]
        if override["match"]["statusCodes"][0].get("value") == 429
    )
    refusal["header"]["set"][0]["value"] = "60"
    assert of_kind("BackendTrafficPolicy", overlay)[ANSWERS] == local


def test_nothing_else_of_the_policies_changes(overlay: Path) -> None:
    changed = {"BackendTrafficPolicy", "EnvoyProxy"}
    gone = of_kind("EnvoyPatchPolicy", LOCAL)["limits-of-many-owners"]
    before = [
        document for document in rendered(LOCAL) if document["kind"] not in changed and document != gone
    ]
    after = [
        document for document in rendered(overlay) if document["metadata"].get("namespace") != "maas-limits"
    ]
    assert [document for document in before if document not in after] == []
    assert gone["metadata"]["name"] not in of_kind("EnvoyPatchPolicy", overlay)


def test_there_are_several_proxies_and_one_stays_when_nodes_are_drained(overlay: Path) -> None:
    provider = of_kind("EnvoyProxy", overlay)["maas-default-gateway"]["spec"]["provider"]
    assert provider["type"] == "Kubernetes"
    assert provider["kubernetes"] == {"envoyDeployment": {"replicas": 2}, "envoyPDB": {"minAvailable": 1}}


def test_redis_is_restricted_and_only_the_rate_limit_service_reaches_it(overlay: Path) -> None:
    redis = of_kind("Deployment", overlay)["maas-redis"]
    assert redis["metadata"]["namespace"] == "maas-limits"
    namespace = of_kind("Namespace", overlay)["maas-limits"]["metadata"]["labels"]
    assert namespace["pod-security.kubernetes.io/enforce"] == "restricted"
    pod = redis["spec"]["template"]
    selector = pod["metadata"]["labels"].items()
    policy = of_kind("NetworkPolicy", overlay)["maas-redis"]["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= selector
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    ((peer,),) = (rule["from"] for rule in policy["ingress"])
    assert peer["podSelector"] == {"matchLabels": {"app.kubernetes.io/name": "envoy-ratelimit"}}
    (container,) = pod["spec"]["containers"]
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod["spec"]["automountServiceAccountToken"] is False
