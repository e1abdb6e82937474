"""Where the components for traces send them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from app.settings import TracingSettings
from tests.kustomize import rendered, with_component

if TYPE_CHECKING:
    from pathlib import Path

Documents = dict[tuple[str, str], dict[str, Any]]


def documents(overlay: str, component: str, directory: Path) -> Documents:
    return {
        (document["kind"], document["metadata"]["name"]): document
        for document in rendered(with_component(overlay, component, directory))
    }


def variables(documents: Documents) -> dict[str, str]:
    (container,) = documents["Deployment", "maas-api"]["spec"]["template"]["spec"]["containers"]
    return {variable["name"]: variable.get("value", "") for variable in container["env"]}


@pytest.mark.parametrize(
    ("overlay", "component"),
    [("openshift", "tracing"), ("kubernetes", "tracing"), ("kubernetes", "tracing-envoy-gateway")],
)
def test_the_service_may_reach_the_collector_and_find_it(
    overlay: str, component: str, tmp_path: Path
) -> None:
    made = documents(overlay, component, tmp_path)
    endpoint = TracingSettings(endpoint=variables(made)["MAAS_TRACING_ENDPOINT"]).endpoint
    address = urlsplit(endpoint)
    policy = made["NetworkPolicy", "maas-api-tracing"]["spec"]
    assert policy["podSelector"] == made["NetworkPolicy", "maas-api"]["spec"]["podSelector"]
    collector, dns = policy["egress"]
    assert [port["port"] for port in collector["ports"]] == [address.port]
    (namespace,) = collector["to"]
    wanted = namespace["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
    assert str(address.hostname).split(".")[1] == wanted
    assert {port["port"] for port in dns["ports"]} == {53, 5353}
    assert dns["to"]


def test_the_gateway_decides_what_is_sampled_only_where_no_client_can(tmp_path: Path) -> None:
    made = documents("kubernetes", "tracing-envoy-gateway", tmp_path)
    assert variables(made)["MAAS_TRACING_SAMPLED_BY"] == "gateway"
    dropped = made["ClientTrafficPolicy", "maas-default-gateway"]["spec"]["headers"]["earlyRequestHeaders"]
    assert {"traceparent", "tracestate", "x-forwarded-for"} <= set(dropped["remove"])


def test_the_service_decides_itself_where_the_gateway_does_not_trace(tmp_path: Path) -> None:
    assert "MAAS_TRACING_SAMPLED_BY" not in variables(documents("openshift", "tracing", tmp_path))
    assert TracingSettings().sampled_by == "service"


def test_the_gateway_sends_its_spans_to_the_same_collector_and_tells_no_paths(tmp_path: Path) -> None:
    made = documents("kubernetes", "tracing-envoy-gateway", tmp_path)
    tracing = made["EnvoyProxy", "maas-default-gateway"]["spec"]["telemetry"]["tracing"]
    (collector,) = tracing["provider"]["backendRefs"]
    host = str(urlsplit(variables(made)["MAAS_TRACING_ENDPOINT"]).hostname)
    assert host.startswith(f"{collector['name']}.{collector['namespace']}.")
    assert "PATH" not in tracing["tags"]["http.url"].upper()
    assert not any("USER" in tag.upper() for tag in tracing["tags"].values())
