"""The gateway, its policies for Envoy Gateway, and the models; `tests/e2e/envoy_gateway` runs them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import yaml

from app.embedded.gateway.metering import MeteringSettings, metering
from app.embedded.gateway.usage import usage_filters
from app.settings import Settings
from app.tiers.group import tier_group
from app.tiers.parser import parse_mapping
from tests.kustomize import MANIFESTS, rendered
from tests.unit.test_manifests import PROJECT

OVERLAY = MANIFESTS / "overlays" / "kubernetes"
MODELS = MANIFESTS / "models"
MODEL_FOLDERS = sorted(path.parent for path in MODELS.glob("*/model.yaml"))
FOLDERS = sorted(
    path.parent
    for part in ("gateway", "policies/envoy-gateway", "components/tls-self-signed", "models")
    for path in (MANIFESTS / part).rglob("kustomization.yaml")
)
KSERVE_LABEL = "serving.kserve.io/inferenceservice"
NOT_FOR_MODELS = {"authorization", "x-forwarded-access-token", "cookie", "accept-encoding"}
every_model = pytest.mark.parametrize("folder", MODEL_FOLDERS, ids=lambda path: path.name)

Document = dict[str, Any]


def of_kind(kind: str, folder: Any = OVERLAY) -> dict[str, Document]:
    """By name."""
    found = (document for document in rendered(folder) if document["kind"] == kind)
    return {document["metadata"]["name"]: document for document in found}


def the(kind: str, folder: Any) -> Document:
    (found,) = of_kind(kind, folder).values()
    return found


def shipped_limits() -> dict[str, int | None]:
    mapping = parse_mapping(of_kind("ConfigMap")["tier-to-group-mapping"]["data"])
    return {tier.name: tier.requests_per_minute for tier in mapping.tiers}


def targets(policy: Document) -> list[tuple[str, str]]:
    return [(target["kind"], target["name"]) for target in policy["spec"]["targetRefs"]]


@pytest.mark.parametrize("route", ["maas-inference", "maas-models"])
def test_each_route_behind_a_token_has_limits_of_its_own(route: str) -> None:
    policy = of_kind("BackendTrafficPolicy")[route]
    assert targets(policy) == [("HTTPRoute", route)]
    assert policy["spec"]["rateLimit"]["local"]["rules"]


def test_the_answer_429_says_when_the_smallest_limit_has_a_request_again() -> None:
    overrides = of_kind("BackendTrafficPolicy")["maas-default-gateway"]["spec"]["responseOverride"]
    (refusal,) = (
        override for override in overrides if override["match"]["statusCodes"][0].get("value") == 429
    )
    seconds = math.ceil(60 / min(limit for limit in shipped_limits().values() if limit))
    assert refusal["response"]["header"]["set"] == [{"name": "retry-after", "value": str(seconds)}]


def test_what_the_gateway_itself_answers_is_json() -> None:
    for policy in of_kind("BackendTrafficPolicy").values():
        for override in policy["spec"].get("responseOverride", ()):
            assert override["source"] == "Local"
            assert yaml.safe_load(override["response"]["body"]["inline"])


def test_the_route_is_chosen_by_model_after_requests_are_counted() -> None:
    order = of_kind("EnvoyProxy")["maas-default-gateway"]["spec"]["filterOrder"]
    assert [position["after"] for position in order if position["name"] == "envoy.filters.http.lua"] == [
        "envoy.filters.http.local_ratelimit",
        "envoy.filters.http.ratelimit",
    ]
    assert targets(of_kind("EnvoyExtensionPolicy")["maas-inference"]) == [("HTTPRoute", "maas-inference")]


def test_the_patch_finds_the_routes_of_the_listener() -> None:
    (listener,) = the("Gateway", OVERLAY)["spec"]["listeners"]
    policies = of_kind("EnvoyPatchPolicy")
    assert policies.keys() == {"limits-of-many-owners", "metering"}
    for policy in policies.values():
        names = {patch["name"] for patch in policy["spec"]["jsonPatches"]}
        assert names == {f"maas/maas-default-gateway/{listener['name']}"}


def test_the_gateway_counts_as_the_local_one_does() -> None:
    most = Settings.model_fields["gateway"].default.max_body_bytes
    patches = of_kind("EnvoyPatchPolicy")["metering"]["spec"]["jsonPatches"]
    added = [patch["operation"] for patch in patches]

    loggers = [operation["value"] for operation in added if operation.get("path") == "/access_log/-"]
    assert loggers == metering(MeteringSettings())
    filters = [operation["value"] for operation in added if "http_filters" in operation["jsonPath"]]
    assert filters == [{**one, "disabled": True} for one in usage_filters(most)]
    assert [operation["path"] for operation in added if "routes" in operation["jsonPath"]] == [
        f"/typed_per_filter_config/{one['name']}" for one in filters
    ]


def test_every_route_has_a_policy_and_what_has_none_is_denied() -> None:
    policies = of_kind("SecurityPolicy")
    assert policies["maas-default-gateway"]["spec"]["authorization"] == {"defaultAction": "Deny"}
    assert targets(policies["maas-default-gateway"]) == [("Gateway", "maas-default-gateway")]
    covered = [target for name in ("maas-api", "maas-inference") for target in targets(policies[name])]
    assert sorted(covered) == [("HTTPRoute", name) for name in sorted(of_kind("HTTPRoute"))]


def test_the_gateway_app_decides_about_every_request_with_a_maas_token() -> None:
    http, gateway = (Settings.model_fields[name].default for name in ("http", "gateway"))
    decision = of_kind("SecurityPolicy")["maas-inference"]["spec"]["extAuth"]
    assert decision["failOpen"] is False
    assert decision["bodyToExtAuth"] == {"maxRequestBytes": gateway.max_body_bytes}
    assert decision["http"]["path"] == "/internal/authorize"
    assert decision["http"]["backendRefs"] == [{"name": "maas-api", "port": http.gateway_port}]
    assert set(decision["http"]["headersToBackend"]) == {"x-maas-user", "x-maas-tier", "x-maas-model"}


def test_no_larger_request_reaches_the_service_than_it_reads() -> None:
    policy = of_kind("BackendTrafficPolicy")["maas-api"]["spec"]
    most = Settings.model_fields["http"].default.max_body_bytes
    assert policy["requestBuffer"] == {"limit": f"{most // 1024}Ki"}
    assert f"{most} bytes" in policy["responseOverride"][0]["response"]["body"]["inline"]


def test_no_route_leads_to_the_gateway_app() -> None:
    public = Settings.model_fields["http"].default.public_port
    for route in of_kind("HTTPRoute").values():
        for rule in route["spec"]["rules"]:
            assert rule["backendRefs"] == [{"name": "maas-api", "port": public}]


def test_what_the_gateway_app_says_about_a_request_no_client_can_say() -> None:
    headers = the("ClientTrafficPolicy", OVERLAY)["spec"]["headers"]
    removed = headers["earlyRequestHeaders"]["removeOnMatch"]
    assert {"type": "Prefix", "value": "x-maas-"} in removed
    assert headers["withUnderscoresAction"] == "DropHeader"


def test_the_certificate_is_the_one_of_the_listener() -> None:
    (listener,) = the("Gateway", OVERLAY)["spec"]["listeners"]
    secret = of_kind("Certificate")["maas-gateway-tls"]["spec"]["secretName"]
    assert listener["tls"]["certificateRefs"] == [{"name": secret}]
    assert (listener["port"], listener["protocol"]) == (443, "HTTPS")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_every_file_of_a_folder_is_applied(folder: Any) -> None:
    resources = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    here = {name for name in resources if not name.startswith("..")}
    assert here | {"kustomization.yaml"} == {path.name for path in folder.iterdir()}


@every_model
def test_a_model_is_reached_by_its_name_through_the_gateway_alone(folder: Any) -> None:
    (name,) = of_kind("InferenceService", folder)
    model, route = the("InferenceService", folder), the("HTTPRoute", folder)
    assert name == folder.name == route["metadata"]["name"]
    assert model["metadata"]["labels"]["networking.kserve.io/visibility"] == "cluster-local"
    (rule,) = route["spec"]["rules"]
    (match,) = rule["matches"]
    assert match["path"] == {"type": "PathPrefix", "value": "/v1"}
    assert match["headers"] == [{"name": "x-maas-model", "value": name}]
    assert rule["backendRefs"] == [{"name": f"{name}-predictor", "port": 80}]
    assert rule["timeouts"] == {"request": "0s"}
    assert set(rule["filters"][0]["requestHeaderModifier"]["remove"]) == NOT_FOR_MODELS


@every_model
def test_a_model_lives_where_routes_are_allowed_and_only_the_gateway_comes(folder: Any) -> None:
    namespace = the("Namespace", folder)
    (listener,) = the("Gateway", OVERLAY)["spec"]["listeners"]
    wanted = listener["allowedRoutes"]["namespaces"]["selector"]["matchLabels"]
    assert wanted.items() <= namespace["metadata"]["labels"].items()
    assert wanted.items() <= of_kind("Namespace")["maas"]["metadata"]["labels"].items()
    for kind in ("InferenceService", "HTTPRoute", "RoleBinding"):
        assert the(kind, folder)["metadata"]["namespace"] == namespace["metadata"]["name"]
    selected = []
    for policy in of_kind("NetworkPolicy", folder).values():
        assert policy["metadata"]["namespace"] == namespace["metadata"]["name"]
        assert policy["spec"]["policyTypes"] == ["Ingress"]
        selected.append(policy["spec"]["podSelector"])
    # What KServe labels the pods of its two kinds with.
    assert {"matchExpressions": [{"key": KSERVE_LABEL, "operator": "Exists"}]} in selected
    assert {"matchLabels": {"app.kubernetes.io/part-of": "llminferenceservice"}} in selected


@every_model
def test_every_image_has_a_tag_that_stays(folder: Any) -> None:
    containers = [
        container
        for kind, path in (("InferenceService", ("predictor",)), ("ServingRuntime", ()))
        for document in of_kind(kind, folder).values()
        for container in _under(document["spec"], *path).get("containers", ())
    ]
    for container in containers:
        name, _, tag = container["image"].partition(":")
        assert tag
        assert tag != "latest"
        assert not name.startswith("ghcr.io/privatemaas/") or tag == PROJECT["version"]


def _under(document: Document, *path: str) -> Document:
    for key in path:
        document = document[key]
    return document


@pytest.mark.parametrize(
    ("model", "tiers"),
    [
        ("simulator", {"free", "premium", "enterprise"}),
        ("qwen3", {"free", "premium", "enterprise"}),
        ("facebook-opt-125m", {"free", "premium", "enterprise"}),
        ("granite-7b", {"premium", "enterprise"}),
        ("your-own-model", {"premium", "enterprise"}),
    ],
)
def test_the_tiers_that_may_call_a_model(model: str, tiers: set[str]) -> None:
    bindings = [
        *of_kind("RoleBinding", MODELS / model).values(),
        *of_kind("ClusterRoleBinding", MODELS / model).values(),
    ]
    groups = {subject["name"] for binding in bindings for subject in binding["subjects"]}
    assert groups == {tier_group(tier) for tier in tiers}


def test_every_model_is_listed_above() -> None:
    assert {folder.name for folder in MODEL_FOLDERS} == {
        "simulator",
        "qwen3",
        "facebook-opt-125m",
        "granite-7b",
        "your-own-model",
    }
