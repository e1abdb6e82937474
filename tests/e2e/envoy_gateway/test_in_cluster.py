"""The shipped overlay `kubernetes` on a real kube-apiserver, taken up by the real Envoy Gateway.

The status that it writes is what docs/kubernetes.md waits for. Requests are sent in test_journey.py.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from tests.control_plane import CRDS, MODEL_CRDS, ControlPlane
from tests.e2e.cluster_controllers import apply, deploy_models, issue_gateway_certificate, run_pods_of
from tests.e2e.envoy_gateway.in_cluster import CONTROLLER, SECONDS, envoy_gateway_of, say_that_envoy_is_up
from tests.e2e.envoy_gateway.machine import PATIENT
from tests.e2e.inference import MODELS
from tests.e2e.pod import why_no_pods
from tests.kustomize import MANIFESTS, rendered
from tests.requirement import require
from tests.workspace import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.control_plane import Binaries

pytestmark = [pytest.mark.cluster, PATIENT]

GATEWAY_API = "/apis/gateway.networking.k8s.io/v1"
ENVOY_GATEWAY_API = "/apis/gateway.envoyproxy.io/v1alpha1"
_CERT_MANAGER = CRDS / "github.com" / "cert-manager" / "cert-manager"
_CRDS = (
    CRDS / "sigs.k8s.io" / "gateway-api",
    CRDS / "github.com" / "envoyproxy",
    _CERT_MANAGER / "cert-manager.io_certificates.yaml",
    _CERT_MANAGER / "cert-manager.io_issuers.yaml",
    *MODEL_CRDS,
)
# In a namespace that nobody has allowed to have routes on the gateway.
_UNINVITED = {
    "apiVersion": "gateway.networking.k8s.io/v1",
    "kind": "HTTPRoute",
    "metadata": {"name": "uninvited", "namespace": "default"},
    "spec": {"parentRefs": [{"name": "maas-default-gateway", "namespace": "maas"}]},
}

Json = dict[str, Any]


@pytest.fixture(scope="module")
async def cluster(
    binaries: Binaries, envoy_gateway_program: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[ControlPlane]:
    """One with the overlay, all models, and Envoy Gateway, whose Envoy is not up yet."""
    require(why_no_pods())
    documents = [
        *rendered(MANIFESTS / "overlays" / "kubernetes"),
        *(document for model in MODELS for document in rendered(MANIFESTS / "models" / model)),
        _UNINVITED,
    ]
    async with AsyncExitStack() as stack:
        control_plane = await stack.enter_async_context(ControlPlane(binaries))
        await control_plane.install_crds(_CRDS)
        await apply(control_plane, documents)
        await issue_gateway_certificate(control_plane, trustme.CA().issue_cert("localhost"))
        await run_pods_of(control_plane, "maas", "maas-api", {"http": 8080, "gateway": 8081})
        await deploy_models(control_plane, documents, dict.fromkeys(MODELS, 8080))
        directory = tmp_path_factory.mktemp("envoy-gateway-in-cluster")
        await stack.enter_async_context(envoy_gateway_of(control_plane, envoy_gateway_program, directory))
        yield control_plane


async def listed(cluster: ControlPlane, path: str) -> dict[str, Json]:
    """The objects there, by their names."""
    items = (await cluster.client.get(path)).raise_for_status().json()["items"]
    return {item["metadata"]["name"]: item for item in items}


def conditions(status: Json) -> dict[str, str]:
    return {condition["type"]: condition["status"] for condition in status.get("conditions", ())}


async def test_the_gateway_is_programmed_once_its_envoy_is_up(cluster: ControlPlane) -> None:
    async def programmed() -> str | None:
        (gateway,) = (await listed(cluster, f"{GATEWAY_API}/gateways")).values()
        return conditions(gateway["status"]).get("Programmed")

    async def not_yet() -> bool:
        return await programmed() == "False"

    async def is_programmed() -> bool:
        return await programmed() == "True"

    await eventually(not_yet, seconds=SECONDS)
    await say_that_envoy_is_up(cluster, "maas-default-gateway")
    await eventually(is_programmed, seconds=SECONDS)


async def test_the_gateway_class_is_accepted(cluster: ControlPlane) -> None:
    async def accepted() -> bool:
        (gateway_class,) = (await listed(cluster, f"{GATEWAY_API}/gatewayclasses")).values()
        return conditions(gateway_class["status"]).get("Accepted") == "True"

    await eventually(accepted, seconds=SECONDS)


async def test_every_route_is_accepted_but_those_of_other_namespaces(cluster: ControlPlane) -> None:
    async def decided() -> dict[str, dict[str, str]] | None:
        routes = await listed(cluster, f"{GATEWAY_API}/httproutes")
        found = {
            name: conditions(parent)
            for name, route in routes.items()
            for parent in route.get("status", {}).get("parents", ())
            if parent["controllerName"] == CONTROLLER
        }
        return found if found.keys() == routes.keys() else None

    routes = await eventually(decided, seconds=SECONDS)
    assert routes.keys() == {"maas-api", "maas-models", "maas-inference", *MODELS, "uninvited"}
    assert routes.pop("uninvited")["Accepted"] == "False"
    for name, found in routes.items():
        assert (found["Accepted"], found["ResolvedRefs"]) == ("True", "True"), name


@pytest.mark.parametrize(
    "kind",
    [
        "SecurityPolicy",
        "BackendTrafficPolicy",
        "ClientTrafficPolicy",
        "EnvoyExtensionPolicy",
        "EnvoyPatchPolicy",
    ],
)
async def test_every_policy_is_accepted(cluster: ControlPlane, kind: str) -> None:
    shipped = {
        document["metadata"]["name"]
        for document in rendered(MANIFESTS / "overlays" / "kubernetes")
        if document["kind"] == kind
    }
    assert shipped
    path = f"{ENVOY_GATEWAY_API}/{kind.lower().replace('policy', 'policies')}"

    async def decided() -> dict[str, list[Json]] | None:
        found = {
            name: policy.get("status", {}).get("ancestors", [])
            for name, policy in (await listed(cluster, path)).items()
        }
        return found if all(found.values()) else None

    policies = await eventually(decided, seconds=SECONDS)
    assert policies.keys() == shipped
    for name, ancestors in policies.items():
        found = [conditions(ancestor) for ancestor in ancestors]
        # Of a policy for the whole gateway it also says into which others it was merged.
        assert any("Accepted" in entry for entry in found), name
        assert {status for entry in found for status in entry.values()} == {"True"}, ancestors
