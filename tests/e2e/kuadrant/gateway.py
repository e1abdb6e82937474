"""The Envoy of the gateway, as Istio would set it up.

Envoy Gateway stands in for OpenShift's Istio, which is published as an image only. It makes the configuration
from the shipped Gateway and HTTPRoutes; what only Istio understands, EnvoyFilters, reaches it as an
EnvoyPatchPolicy.
"""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import yaml

from app.embedded.gateway import find_envoy
from tests.e2e.envoy_gateway.in_cluster import (
    NAMESPACE,
    SECONDS,
    envoy_deployment,
    secret_files,
    write_files,
)
from tests.e2e.istio.envoy_filters import patched
from tests.e2e.kuadrant import shim
from tests.e2e.pod import process_in_pod
from tests.loopback import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping
    from pathlib import Path

    from tests.control_plane import ControlPlane

GATEWAY = "maas-default-gateway"
_LISTENER = f"maas/{GATEWAY}/https"
_LOOPBACK = "127.0.0.1"
_XDS_PORT = 18000

Json = dict[str, Any]


def patch_policy(
    envoy_filters: Iterable[Mapping[str, Any]], *, port: int, services: Mapping[tuple[str, int], int]
) -> Json:
    """What these EnvoyFilters do, as an EnvoyPatchPolicy.

    Args:
        envoy_filters: the shipped one and those of the operator.
        port: where the gateway listens.
        services: the ports on this machine of the Services that clusters of theirs lead to.
    """
    made = patched(envoy_filters)
    filters: list[Json] = []
    per_filter: Json = {}
    for http_filter in made.http_filters:
        if http_filter["name"] == "envoy.filters.http.wasm":
            wasm = http_filter["typed_config"]["value"]["config"]
            configuration = json.loads(wasm["configuration"]["value"])
            filters += shim.http_filters(configuration)
            per_filter |= shim.per_filter_config(configuration)
        else:
            filters.append(http_filter)
    assert per_filter, "the operator has set up nothing"
    listener = "type.googleapis.com/envoy.config.listener.v3.Listener"
    routes = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
    patches = [
        _add(listener, _LISTENER, "/0", value, json_path="$..http_filters") for value in reversed(filters)
    ]
    patches += [_add(listener, _LISTENER, f"/{name}", value) for name, value in made.listener.items()]
    patches.append(_add(listener, _LISTENER, "/address/socket_address/port_value", port))
    patches.append(_add(routes, _LISTENER, "/typed_per_filter_config", per_filter))
    clusters = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
    for cluster in made.clusters:
        if moved := _moved(cluster, services):
            patches.append(_add(clusters, cluster["name"], "", moved))
    return {
        "apiVersion": "gateway.envoyproxy.io/v1alpha1",
        "kind": "EnvoyPatchPolicy",
        "metadata": {"name": "envoy-filters", "namespace": "maas"},
        "spec": {
            "targetRef": {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": GATEWAY},
            "type": "JSONPatch",
            "jsonPatches": patches,
        },
    }


@asynccontextmanager
async def envoy(control_plane: ControlPlane, directory: Path) -> AsyncIterator[None]:
    """The Envoy of the Deployment that Envoy Gateway made, with its arguments and its files."""
    deployment = await envoy_deployment(control_plane, GATEWAY)
    (container,) = (
        container
        for container in deployment["spec"]["template"]["spec"]["containers"]
        if container["name"] == "envoy"
    )
    admin = free_port()
    arguments = [_here(argument, admin) for argument in container["args"]]
    await secret_files(control_plane, "envoy", directory / "certs")
    path = f"/api/v1/namespaces/{NAMESPACE}/configmaps/{deployment['metadata']['name']}"
    answer = await control_plane.client.get(path)
    files: dict[str, str] = answer.raise_for_status().json()["data"]
    write_files(directory / "sds", {name: content.encode() for name, content in files.items()})
    process = process_in_pod(
        find_envoy(),
        [*arguments, "--use-dynamic-base-id", "--concurrency", "1"],
        root=directory / "root",
        mounts={"/certs": directory / "certs", "/sds": directory / "sds"},
        log=directory / "envoy.log",
    )
    async with httpx.AsyncClient(base_url=f"http://{_LOOPBACK}:{admin}", trust_env=False) as client:
        await process.start(client, "/ready", within_seconds=SECONDS)
    try:
        yield
    finally:
        await process.kill()


def _here(argument: str, admin_port: int) -> str:
    """The argument, with addresses of this machine where it is the bootstrap configuration."""
    if "static_resources:" not in argument:
        return argument
    flag, equals, text = (
        argument.partition("=") if argument.startswith("--config-yaml=") else ("", "", argument)
    )
    bootstrap = yaml.safe_load(text)
    bootstrap["admin"]["address"]["socket_address"]["port_value"] = admin_port
    static = bootstrap["static_resources"]
    static["listeners"] = []  # Metrics, on all addresses.
    # The other replicas, for which it would wait in vain.
    del bootstrap["cluster_manager"]
    static["clusters"] = [cluster for cluster in static["clusters"] if cluster["type"] != "EDS"]
    (xds,) = (cluster for cluster in static["clusters"] if cluster["name"] == "xds_cluster")
    (endpoint,) = xds["load_assignment"]["endpoints"][0]["lb_endpoints"]
    endpoint["endpoint"]["address"]["socket_address"] = {"address": _LOOPBACK, "port_value": _XDS_PORT}
    return f"{flag}{equals}{yaml.safe_dump(bootstrap)}"


def _add(kind: str, name: str, path: str, value: Any, *, json_path: str | None = None) -> Json:
    operation = {"op": "add", "path": path, "value": value} | ({"jsonPath": json_path} if json_path else {})
    return {"type": kind, "name": name, "operation": operation}


def _moved(cluster: Json, services: Mapping[tuple[str, int], int]) -> Json | None:
    """The cluster on this machine; None for one that leads to what is not there."""
    moved: Json = json.loads(json.dumps(cluster))
    (endpoints,) = moved["load_assignment"]["endpoints"]
    (endpoint,) = endpoints["lb_endpoints"]
    address = endpoint["endpoint"]["address"]["socket_address"]
    port = services.get((address["address"], address["port_value"]))
    if port is None:
        return None
    address |= {"address": _LOOPBACK, "port_value": port}
    return moved
