"""What controllers and nodes of a whole cluster would write: here it is the test that writes it."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import trustme

    from tests.control_plane import ControlPlane


async def issue_gateway_certificate(control_plane: ControlPlane, certificate: trustme.LeafCert) -> None:
    """As cert-manager does for the Certificate `maas-gateway-tls`."""
    chain = b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
    files = {"tls.crt": chain, "tls.key": certificate.private_key_pem.bytes()}
    await control_plane.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/tls",
            "metadata": {"name": "maas-gateway-tls", "namespace": "maas"},
            "data": {name: base64.b64encode(content).decode() for name, content in files.items()},
        }
    )


async def write_status(control_plane: ControlPlane, path: str, status: Mapping[str, Any]) -> None:
    """Set the status of the object at a path of the API."""
    merge = {"Content-Type": "application/merge-patch+json"}
    answer = await control_plane.client.patch(f"{path}/status", json={"status": status}, headers=merge)
    answer.raise_for_status()


async def run_pods_of(
    control_plane: ControlPlane, namespace: str, service: str, ports: Mapping[str, int]
) -> None:
    """As the controller of EndpointSlices does when pods of a Service run: they listen on this machine.

    An EndpointSlice refuses loopback addresses; names under `localhost` are resolved to them, and nobody else
    is asked.

    Args:
        control_plane: the cluster.
        namespace: the Service's.
        service: its name.
        ports: where the pods listen, by the name of the port.
    """
    await control_plane.apply(
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": service,
                "namespace": namespace,
                "labels": {"kubernetes.io/service-name": service},
            },
            "addressType": "FQDN",
            "endpoints": [{"addresses": [f"{service}.localhost"], "conditions": {"ready": True}}],
            "ports": [{"name": name, "port": port, "protocol": "TCP"} for name, port in ports.items()],
        }
    )


async def apply(control_plane: ControlPlane, documents: Iterable[Mapping[str, Any]]) -> None:
    """As `kubectl apply` does: namespaces before what is in them."""
    for document in sorted(documents, key=lambda document: bool(document["kind"] != "Namespace")):
        await control_plane.apply(document)


async def deploy_models(
    control_plane: ControlPlane, documents: Iterable[Mapping[str, Any]], ports: Mapping[str, int]
) -> None:
    """As KServe does for the InferenceServices in `documents`, whose pods listen on these ports, by name."""
    for document in documents:
        if document["kind"] == "InferenceService":
            name = document["metadata"]["name"]
            await _deploy_model(control_plane, document["metadata"]["namespace"], name, ports[name])


async def _deploy_model(control_plane: ControlPlane, namespace: str, model: str, port: int) -> None:
    service: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": f"{model}-predictor", "namespace": namespace},
        "spec": {"ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
    }
    await control_plane.apply(service)
    await run_pods_of(control_plane, namespace, f"{model}-predictor", {"http": port})
