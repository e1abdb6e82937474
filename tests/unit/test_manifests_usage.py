from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from app.embedded.cluster import SAMPLE
from app.settings import Settings, UsageSettings
from app.usage.price_parser import parse_prices
from tests.kustomize import MANIFESTS, ROOT, rendered, with_component, yaml_blocks

if TYPE_CHECKING:
    from pathlib import Path

import yaml

PROFILES = ["openshift", "kubernetes"]


def the(documents: tuple[dict[str, Any], ...], kind: str, name: str) -> dict[str, Any]:
    (found,) = (each for each in documents if (each["kind"], each["metadata"]["name"]) == (kind, name))
    return found


def environment(documents: tuple[dict[str, Any], ...]) -> dict[str, str]:
    (container,) = the(documents, "Deployment", "maas-api")["spec"]["template"]["spec"]["containers"]
    return {each["name"]: each["value"] for each in container["env"] if "value" in each}


@pytest.mark.parametrize("profile", PROFILES)
def test_the_variables_of_the_component_are_settings_beside_those_of_the_base(
    profile: str, tmp_path: Path
) -> None:
    before = environment(rendered(MANIFESTS / "overlays" / profile))
    after = environment(rendered(with_component(profile, f"usage-{profile}", tmp_path)))
    assert before.items() <= after.items()
    added = {name.removeprefix("MAAS_USAGE_").lower(): after[name] for name in after.keys() - before.keys()}
    assert UsageSettings.model_validate(added).prometheus_url


@pytest.mark.parametrize("profile", PROFILES)
def test_the_component_lets_the_pods_out_to_prometheus_and_to_dns_only(profile: str, tmp_path: Path) -> None:
    documents = rendered(with_component(profile, f"usage-{profile}", tmp_path))
    spec = the(documents, "NetworkPolicy", "maas-api-usage")["spec"]
    pods = the(documents, "Deployment", "maas-api")["spec"]["template"]["metadata"]["labels"]
    assert spec["podSelector"]["matchLabels"].items() <= pods.items()
    assert spec["policyTypes"] == ["Egress"]
    url = environment(documents)["MAAS_USAGE_PROMETHEUS_URL"]
    (prometheus, dns) = spec["egress"]
    assert [port["port"] for port in prometheus["ports"]] == [int(url.rpartition(":")[2])]
    (peer,) = prometheus["to"]
    assert f".{peer['namespaceSelector']['matchLabels']['kubernetes.io/metadata.name']}.svc:" in url
    assert {port["protocol"] for port in dns["ports"]} == {"UDP", "TCP"}
    assert all(peer["namespaceSelector"]["matchLabels"] for peer in dns["to"])


def test_on_openshift_the_service_may_view_metrics_and_is_bound_to_nothing_else(tmp_path: Path) -> None:
    documents = rendered(with_component("openshift", "usage-openshift", tmp_path))
    binding = the(documents, "ClusterRoleBinding", "maas-api-cluster-monitoring-view")
    assert binding["roleRef"]["name"] == "cluster-monitoring-view"
    (subject,) = binding["subjects"]
    assert (subject["kind"], subject["name"], subject["namespace"]) == ("ServiceAccount", "maas-api", "maas")


def test_the_sample_models_have_prices_and_nothing_else_has() -> None:
    documents = [document for document in yaml.safe_load_all(SAMPLE.read_text()) if document]
    (config_map,) = (document for document in documents if document["kind"] == "ConfigMap")
    assert config_map["metadata"]["name"] == Settings.model_fields["pricing"].default.config_map
    models = {each["metadata"]["name"] for each in documents if each["kind"].endswith("InferenceService")}
    assert parse_prices(config_map["data"]).models.keys() == models


def test_the_prices_of_the_documentation_are_read() -> None:
    (example,) = yaml_blocks(ROOT / "docs" / "usage.md")
    assert parse_prices(yaml.safe_load(example)["data"]).currency == "USD"


def test_no_prices_are_shipped_that_somebody_could_be_charged_by() -> None:
    name = Settings.model_fields["pricing"].default.config_map
    for profile in PROFILES:
        for document in rendered(MANIFESTS / "overlays" / profile):
            assert document["metadata"]["name"] != name
