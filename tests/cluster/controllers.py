"""The controllers' part in a cluster that has none: what is applied becomes ready."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.control_plane import ControlPlane

_POLL_SECONDS = 0.5
_TIME = "2026-01-01T00:00:00Z"


def condition(type_: str, status: str = "True", reason: str = "", message: str = "fine") -> dict[str, Any]:
    return {
        "type": type_,
        "status": status,
        "reason": reason or type_,
        "message": message,
        "lastTransitionTime": _TIME,
    }


def _conditions(*types: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda _: {"conditions": [condition(type_) for type_ in types]}


def _ancestors(*types: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda item: {
        "ancestors": [
            {
                "ancestorRef": {"name": item["spec"].get("targetRefs", [{}])[0].get("name", "gateway")},
                "controllerName": "gateway.envoyproxy.io/gatewayclass-controller",
                "conditions": [condition(type_) for type_ in types],
            }
        ]
    }


def _parents(item: dict[str, Any]) -> dict[str, Any]:
    (parent,) = item["spec"]["parentRefs"]
    conditions = [condition("Accepted"), condition("ResolvedRefs")]
    return {
        "parents": [
            {
                "parentRef": parent,
                "controllerName": "example.com/gateway-controller",
                "conditions": conditions,
            }
        ]
    }


def available(deployment: dict[str, Any]) -> dict[str, Any]:
    replicas = deployment["spec"]["replicas"]
    counts = dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas", "readyReplicas"), replicas)
    return {"observedGeneration": deployment["metadata"]["generation"], **counts}


def subscribed(item: dict[str, Any]) -> dict[str, Any]:
    return {"currentCSV": f"{item['spec']['name']}.v1", "lastUpdated": _TIME}


ENVOY_POLICIES = "securitypolicies backendtrafficpolicies clienttrafficpolicies envoyextensionpolicies"
KUADRANT_POLICIES = "kuadrant.io/v1/authpolicies kuadrant.io/v1/ratelimitpolicies"
READY: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "apps/v1/deployments": available,
    "operators.coreos.com/v1alpha1/subscriptions": subscribed,
    "operators.coreos.com/v1alpha1/clusterserviceversions": lambda _: {"phase": "Succeeded"},
    "gateway.networking.k8s.io/v1/gatewayclasses": _conditions("Accepted"),
    "gateway.networking.k8s.io/v1/gateways": _conditions("Accepted", "Programmed"),
    "gateway.networking.k8s.io/v1/httproutes": _parents,
    "route.openshift.io/v1/routes": lambda _: {
        "ingress": [{"routerName": "default", "conditions": [{"type": "Admitted", "status": "True"}]}]
    },
    "cert-manager.io/v1/issuers": _conditions("Ready"),
    "cert-manager.io/v1/certificates": _conditions("Ready"),
    "kuadrant.io/v1beta1/kuadrants": _conditions("Ready"),
    "operator.authorino.kuadrant.io/v1beta1/authorinos": _conditions("Ready"),
    "limitador.kuadrant.io/v1alpha1/limitadors": _conditions("Ready"),
    **dict.fromkeys(KUADRANT_POLICIES.split(), _conditions("Accepted", "Enforced")),
    "extensions.kuadrant.io/v1alpha1/telemetrypolicies": _conditions("Accepted", "Enforced"),
    "datasciencecluster.opendatahub.io/v2/datascienceclusters": _conditions("Ready"),
    "serving.kserve.io/v1beta1/inferenceservices": _conditions("Ready"),
    **{
        f"gateway.envoyproxy.io/v1alpha1/{plural}": _ancestors("Accepted")
        for plural in ENVOY_POLICIES.split()
    },
    "gateway.envoyproxy.io/v1alpha1/envoypatchpolicies": _ancestors("Accepted", "Programmed"),
}


@asynccontextmanager
async def controllers(
    control_plane: ControlPlane, *, but: frozenset[str] = frozenset()
) -> AsyncIterator[None]:
    """Make everything ready that is applied meanwhile, except the resources named."""
    task = asyncio.create_task(_play(control_plane, READY.keys() - but), name="controllers")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled(), task.exception()


async def _play(control_plane: ControlPlane, resources: set[str]) -> None:
    while True:
        for resource in sorted(resources):
            for item in await listed(control_plane, resource):
                await _settle(control_plane, resource, item)
        await asyncio.sleep(_POLL_SECONDS)


async def _settle(control_plane: ControlPlane, resource: str, item: dict[str, Any]) -> None:
    status = READY[resource](item)
    if status.items() <= item.get("status", {}).items():
        return
    await set_status(control_plane, resource, item, status)
    if resource.endswith("/subscriptions"):
        await control_plane.apply(
            {
                "apiVersion": item["apiVersion"],
                "kind": "ClusterServiceVersion",
                "metadata": {"name": status["currentCSV"], "namespace": item["metadata"]["namespace"]},
                "spec": {"displayName": "Operator", "install": {"strategy": "deployment"}},
            }
        )


async def set_status(
    control_plane: ControlPlane, resource: str, item: dict[str, Any], status: dict[str, Any]
) -> None:
    answer = await control_plane.client.patch(
        f"{path(resource, item['metadata'].get('namespace'))}/{item['metadata']['name']}/status",
        json={"status": status},
        headers={"Content-Type": "application/merge-patch+json"},
    )
    gone = answer.status_code == 404 and answer.json()["details"].get("name") == item["metadata"]["name"]
    assert answer.is_success or gone, answer.text


async def listed(control_plane: ControlPlane, resource: str) -> list[dict[str, Any]]:
    """All objects; none where the kind is not served."""
    answer = await control_plane.client.get(path(resource))
    if not answer.is_success:
        return []
    document = answer.json()
    kind = {"apiVersion": document["apiVersion"], "kind": document["kind"].removesuffix("List")}
    return [{**kind, **item} for item in document["items"]]


def path(resource: str, namespace: str | None = None) -> str:
    version, _, plural = resource.rpartition("/")
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    return f"{root}/namespaces/{namespace}/{plural}" if namespace else f"{root}/{plural}"
