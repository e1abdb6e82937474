"""The shipped manifests for Envoy Gateway's standalone mode: the same documents, on this machine.

Without a cluster nobody resolves Services, starts proxies or makes certificates, so these are replaced,
and nothing else: backendRefs to Services by Backends on 127.0.0.1, the gateway's port, how the EnvoyProxy
gets its Envoy, and the Certificate by a Secret. Standalone mode forgets the labels of namespaces, so it is
decided here which of them the gateway's listener takes routes from. Kinds that Envoy Gateway does not read
are left out.
"""

from __future__ import annotations

import base64
import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

ENVOY_VERSION = "1.40.0"

_GROUPS = ("gateway.networking.k8s.io/", "gateway.envoyproxy.io/")
_LOOPBACK = "127.0.0.1"

Address = tuple[str, int]


def standalone(
    documents: Iterable[dict[str, Any]],
    *,
    services: Mapping[Address, int],
    port: int,
    certificate: bytes,
    key: bytes,
) -> list[dict[str, Any]]:
    """What standalone mode reads.

    Args:
        documents: of the rendered overlay and models.
        services: the port on this machine of each Service and port that a route or policy refers to.
        port: where the gateway listens.
        certificate: PEM of the gateway's certificate chain.
        key: PEM of its key.
    """
    documents = list(documents)
    open_namespaces = _open_namespaces(documents)
    kept = {}
    backends: dict[tuple[str, str], dict[str, Any]] = {}
    for document in documents:
        kind, metadata = document["kind"], document["metadata"]
        if kind != "Namespace" and not document["apiVersion"].startswith(_GROUPS):
            continue
        if kind == "HTTPRoute" and metadata["namespace"] not in open_namespaces:
            continue
        moved = copy.deepcopy(document)
        if kind == "Gateway":
            (listener,) = moved["spec"]["listeners"]
            listener["port"] = port
            listener["allowedRoutes"]["namespaces"] = {"from": "All"}
        elif kind == "EnvoyProxy":
            moved["spec"]["provider"] = {"type": "Host", "host": {"envoyVersion": ENVOY_VERSION}}
        for reference in _service_references(moved):
            name, number = reference["name"], reference.pop("port")
            reference.pop("namespace", None)
            reference |= {"group": "gateway.envoyproxy.io", "kind": "Backend", "name": f"{name}-{number}"}
            backend = _backend(metadata["namespace"], reference["name"], services[name, number])
            backends[metadata["namespace"], reference["name"]] = backend
        kept[kind, metadata.get("namespace"), metadata["name"]] = moved
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": "maas-gateway-tls", "namespace": "maas"},
        "data": {
            "tls.crt": base64.b64encode(certificate).decode(),
            "tls.key": base64.b64encode(key).decode(),
        },
    }
    return [*kept.values(), *backends.values(), secret]


def rate_limit_service_at(port: int) -> dict[str, Any]:
    """Where the rate limit service is on this machine, in place of a Service; there without TLS."""
    address = "/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address"
    operations: list[dict[str, Any]] = [
        {"op": "replace", "path": f"{address}/address", "value": _LOOPBACK},
        {"op": "replace", "path": f"{address}/port_value", "value": port},
        {"op": "remove", "path": "/transport_socket"},
    ]
    cluster = {"type": "type.googleapis.com/envoy.config.cluster.v3.Cluster", "name": "ratelimit_cluster"}
    return {
        "apiVersion": "gateway.envoyproxy.io/v1alpha1",
        "kind": "EnvoyPatchPolicy",
        "metadata": {"name": "rate-limit-service", "namespace": "maas"},
        "spec": {
            "type": "JSONPatch",
            "targetRef": {
                "group": "gateway.networking.k8s.io",
                "kind": "Gateway",
                "name": "maas-default-gateway",
            },
            "jsonPatches": [{**cluster, "operation": operation} for operation in operations],
        },
    }


def configuration(directory: Path, resources: Path, redis: str | None = None) -> dict[str, Any]:
    """How `envoy-gateway` runs standalone.

    Args:
        directory: for its files.
        resources: what it reads.
        redis: where global limits are counted, as `host:port`; None for no global limits.
    """
    # What docs/kubernetes.md asks for.
    limits = {"backend": {"type": "Redis", "redis": {"url": redis}}, "failClosed": True}
    host = {name: str(directory / name) for name in ("configHome", "dataHome", "stateHome", "runtimeDir")}
    return {
        "apiVersion": "gateway.envoyproxy.io/v1alpha1",
        "kind": "EnvoyGateway",
        "gateway": {"controllerName": "gateway.envoyproxy.io/gatewayclass-controller"},
        "provider": {
            "type": "Custom",
            "custom": {
                "resource": {"type": "File", "file": {"paths": [str(resources)]}},
                "infrastructure": {"type": "Host", "host": host},
            },
        },
        "logging": {"level": {"default": "info"}},
        # The first two are what docs/kubernetes.md asks for; the last is for the Backends above.
        "extensionApis": {"enableLua": True, "enableEnvoyPatchPolicy": True, "enableBackend": True},
        **({"rateLimit": limits} if redis else {}),
    }


def _open_namespaces(documents: Iterable[dict[str, Any]]) -> set[str]:
    """The namespaces that the gateway's listener takes routes from."""
    (gateway,) = (document for document in documents if document["kind"] == "Gateway")
    (listener,) = gateway["spec"]["listeners"]
    wanted = listener["allowedRoutes"]["namespaces"]["selector"]["matchLabels"]
    return {
        document["metadata"]["name"]
        for document in documents
        if document["kind"] == "Namespace" and wanted.items() <= document["metadata"]["labels"].items()
    }


def _service_references(document: dict[str, Any]) -> list[dict[str, Any]]:
    spec = document.get("spec", {})
    if document["kind"] == "HTTPRoute":
        return [reference for rule in spec["rules"] for reference in rule["backendRefs"]]
    if document["kind"] == "SecurityPolicy" and "extAuth" in spec:
        references: list[dict[str, Any]] = spec["extAuth"]["http"]["backendRefs"]
        return references
    if document["kind"] == "EnvoyProxy" and "telemetry" in spec:
        collectors: list[dict[str, Any]] = spec["telemetry"]["tracing"]["provider"]["backendRefs"]
        return collectors
    return []


def _backend(namespace: str, name: str, port: int) -> dict[str, Any]:
    return {
        "apiVersion": "gateway.envoyproxy.io/v1alpha1",
        "kind": "Backend",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"endpoints": [{"ip": {"address": _LOOPBACK, "port": port}}]},
    }
