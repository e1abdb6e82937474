from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings import Settings
from app.tiers.parser import parse_mapping
from app.tokens.record import MANAGED_BY, MANAGED_BY_LABEL
from tests.kustomize import MANIFESTS, rendered

ROOT = Path(__file__).parents[2]
BASE = MANIFESTS / "base"
RENDERED = [BASE, MANIFESTS / "overlays" / "kubernetes"]
CLUSTER_WIDE = {"Namespace", "ClusterRole", "ClusterRoleBinding", "GatewayClass"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def the(kind: str) -> dict[str, Any]:
    (found,) = (document for document in rendered(BASE) if document["kind"] == kind)
    return found


def container() -> dict[str, Any]:
    (found,) = the("Deployment")["spec"]["template"]["spec"]["containers"]
    return dict(found)


def rules() -> list[dict[str, Any]]:
    return [*the("Role")["rules"], *the("ClusterRole")["rules"]]


@pytest.mark.parametrize("directory", RENDERED, ids=lambda path: path.name)
def test_it_renders_with_common_labels_in_its_namespace(directory: Path) -> None:
    for document in rendered(directory):
        metadata = document["metadata"]
        assert metadata["labels"]["app.kubernetes.io/part-of"] == "privatemaas"
        assert document["kind"] in CLUSTER_WIDE or metadata["namespace"] == "maas"


@pytest.mark.parametrize("directory", RENDERED, ids=lambda path: path.name)
def test_every_image_has_the_version_of_the_project(directory: Path) -> None:
    images = [
        container["image"]
        for document in rendered(directory)
        if document["kind"] == "Deployment"
        for container in document["spec"]["template"]["spec"]["containers"]
    ]
    assert images == [f"ghcr.io/privatemaas/maas-api:{PROJECT['version']}"]


def test_every_file_of_the_base_is_applied() -> None:
    resources = yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"]
    assert {*resources, "kustomization.yaml"} == {path.name for path in BASE.iterdir()}


def test_the_shipped_mapping_is_the_one_of_the_guide() -> None:
    mapping = parse_mapping(the("ConfigMap")["data"])
    assert [(tier.name, tier.groups, tier.requests_per_minute) for tier in mapping.tiers] == [
        ("free", ("system:authenticated",), 10),
        ("premium", ("premium-users",), 100),
        ("enterprise", ("enterprise-users",), 1000),
    ]


def test_the_service_finds_the_mapping_under_its_default_name() -> None:
    name = Settings.model_fields["tiers"].default.config_map
    assert the("ConfigMap")["metadata"]["name"] == name


def test_the_service_may_read_the_config_maps_of_its_default_names_and_no_others() -> None:
    names = {Settings.model_fields[group].default.config_map for group in ("tiers", "pricing")}
    readable = [rule["resourceNames"] for rule in rules() if "configmaps" in rule["resources"]]
    assert sorted(readable) == sorted([name] for name in names)


def test_the_service_account_is_not_taken_for_a_maas_token() -> None:
    assert the("ServiceAccount")["metadata"]["labels"].get(MANAGED_BY_LABEL) != MANAGED_BY


def test_no_rule_grants_more_than_it_names() -> None:
    for rule in rules():
        assert "*" not in rule["apiGroups"] + rule["resources"] + rule["verbs"]
        assert not {"secrets", "pods"} & set(rule["resources"])
        assert not {"escalate", "bind", "impersonate"} & set(rule["verbs"])


def test_what_is_written_is_in_the_namespace_only() -> None:
    for rule in the("ClusterRole")["rules"]:
        reviews = all(resource.endswith("reviews") for resource in rule["resources"])
        assert reviews or set(rule["verbs"]) <= {"get", "list", "watch"}


def test_every_selector_selects_the_pods() -> None:
    pods = the("Deployment")["spec"]["template"]["metadata"]["labels"]
    selectors = [
        the("Deployment")["spec"]["selector"]["matchLabels"],
        the("Service")["spec"]["selector"],
        the("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        the("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        *(
            constraint["labelSelector"]["matchLabels"]
            for constraint in the("Deployment")["spec"]["template"]["spec"]["topologySpreadConstraints"]
        ),
    ]
    for selector in selectors:
        assert selector.items() <= pods.items()


def test_the_ports_are_those_the_service_listens_on() -> None:
    http = Settings.model_fields["http"].default
    ports = {port["name"]: port["containerPort"] for port in container()["ports"]}
    assert ports == {"http": http.public_port, "gateway": http.gateway_port}
    assert [(port["port"], port["targetPort"]) for port in the("Service")["spec"]["ports"]] == [
        (http.public_port, "http"),
        (http.gateway_port, "gateway"),
    ]


def test_every_variable_is_a_setting() -> None:
    known = {"MAAS_NAMESPACE"}
    for name, field in Settings.model_fields.items():
        for option in getattr(type(field.default), "model_fields", {}):
            known.add(f"MAAS_{name}_{option}".upper())
    assert {variable["name"] for variable in container()["env"]} <= known


def test_the_rules_are_for_the_lease_that_is_the_default() -> None:
    leases = [rule for rule in rules() if "leases" in rule["resources"]]
    name = Settings.model_fields["leader"].default.lease
    assert [(rule.get("resourceNames"), rule["verbs"]) for rule in leases] == [
        ([name], ["get", "update"]),
        (None, ["create"]),
    ]


def test_kubernetes_adds_no_variables_that_look_like_settings() -> None:
    assert the("Deployment")["spec"]["template"]["spec"]["enableServiceLinks"] is False


def test_requests_are_drained_and_those_in_flight_may_finish_before_a_pod_is_killed() -> None:
    env = {variable["name"]: variable.get("value") for variable in container()["env"]}
    drain, shutdown = (float(env[f"MAAS_HTTP_{name}_SECONDS"]) for name in ("DRAIN", "SHUTDOWN"))
    grace = the("Deployment")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert drain >= 5
    # What is left is for reflectors, connections and the interpreter.
    assert drain + shutdown + 5 <= grace


def test_the_pod_meets_the_restricted_standard_as_any_user() -> None:
    pod = the("Deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert container()["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    labels = the("Namespace")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_nobody_is_let_in_by_a_label_that_anyone_may_set() -> None:
    for rule in the("NetworkPolicy")["spec"]["ingress"]:
        assert rule["ports"]
        for peer in rule["from"]:
            assert peer["podSelector"]
            # Without a namespaceSelector it is the policy's own namespace.
            expected = {"kubernetes.io/metadata.name"}
            selector = peer.get("namespaceSelector", {"matchLabels": dict.fromkeys(expected)})
            keys = {*selector.get("matchLabels", ())}
            keys |= {expression["key"] for expression in selector.get("matchExpressions", ())}
            assert keys == expected
