"""`envoy-gateway` as it runs in a cluster (provider Kubernetes).

It reads everything from the API server and writes its own status there. It also makes the Deployment and the
Service of its Envoy, which nobody here runs: that they are up is said by the test.
"""

from __future__ import annotations

import asyncio
import base64
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import yaml

from tests.e2e.cluster_controllers import write_status
from tests.e2e.envoy_gateway.machine import only_envoy_gateway
from tests.e2e.pod import process_in_pod
from tests.workspace import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from tests.control_plane import ControlPlane

NAMESPACE = "envoy-gateway-system"
CONTROLLER = "gateway.envoyproxy.io/gatewayclass-controller"
SECONDS = 60
_DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
_SERVICES = f"/api/v1/namespaces/{NAMESPACE}/services"
_LABEL = "gateway.envoyproxy.io/owning-gateway-name"


@asynccontextmanager
async def envoy_gateway_of(
    control_plane: ControlPlane, program: Path, directory: Path, *, controller: str = CONTROLLER
) -> AsyncIterator[None]:
    """Run `program` for the GatewayClasses of this controller."""
    await control_plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    variables = {
        "KUBECONFIG": str(control_plane.admin_kubeconfig),
        "ENVOY_GATEWAY_NAMESPACE": NAMESPACE,
        "ENVOY_GATEWAY_POD_NAME": "envoy-gateway",
    }
    certificates = await asyncio.create_subprocess_exec(
        *(program, "certgen", "--disable-topology-injector"),
        env={**os.environ, **variables},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert await certificates.wait() == 0
    await secret_files(control_plane, "envoy-gateway", directory / "certs")
    settings = directory / "envoy-gateway.yaml"
    settings.write_text(yaml.safe_dump(_configuration(controller)))
    process = process_in_pod(
        program,
        ["server", "--config-path", str(settings)],
        root=directory / "root",
        mounts={"/certs": directory / "certs"},
        log=directory / "envoy-gateway.log",
        variables=variables,
    )
    async with only_envoy_gateway(), httpx.AsyncClient(base_url="http://127.0.0.1:8081") as health:
        await process.start(health, "/healthz", within_seconds=SECONDS)
        try:
            yield
        finally:
            await process.kill()


async def secret_files(control_plane: ControlPlane, name: str, directory: Path) -> None:
    """Write the files of one of Envoy Gateway's own secrets."""
    answer = await control_plane.client.get(f"/api/v1/namespaces/{NAMESPACE}/secrets/{name}")
    write_files(
        directory,
        {
            name: base64.b64decode(content)
            for name, content in answer.raise_for_status().json()["data"].items()
        },
    )


def write_files(directory: Path, files: Mapping[str, bytes]) -> None:
    """Make the directory, with these files in it."""
    directory.mkdir()
    for name, content in files.items():
        (directory / name).write_bytes(content)


async def envoy_deployment(control_plane: ControlPlane, gateway: str) -> dict[str, Any]:
    """The Deployment of a Gateway's Envoy, once Envoy Gateway has made it."""
    return await _one(control_plane, _DEPLOYMENTS, gateway)


async def say_that_envoy_is_up(control_plane: ControlPlane, gateway: str) -> None:
    """What controllers and nodes would write once it ran and had an address."""
    deployment = await envoy_deployment(control_plane, gateway)
    service = await _one(control_plane, _SERVICES, gateway)
    replicas = {"replicas": 1, "readyReplicas": 1, "availableReplicas": 1, "updatedReplicas": 1}
    address = {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}
    await write_status(control_plane, f"{_DEPLOYMENTS}/{deployment['metadata']['name']}", replicas)
    await write_status(control_plane, f"{_SERVICES}/{service['metadata']['name']}", address)


async def _one(control_plane: ControlPlane, path: str, gateway: str) -> dict[str, Any]:
    async def found() -> list[dict[str, Any]]:
        answer = await control_plane.client.get(path, params={"labelSelector": f"{_LABEL}={gateway}"})
        items: list[dict[str, Any]] = answer.raise_for_status().json()["items"]
        return items

    (item,) = await eventually(found, seconds=SECONDS)
    document: dict[str, Any] = item
    return document


def _configuration(controller: str) -> dict[str, Any]:
    return {
        "apiVersion": "gateway.envoyproxy.io/v1alpha1",
        "kind": "EnvoyGateway",
        "gateway": {"controllerName": controller},
        "provider": {"type": "Kubernetes", "kubernetes": {"leaderElection": {"disable": True}}},
        "logging": {"level": {"default": "info"}},
        # What docs/kubernetes.md asks for.
        "extensionApis": {"enableLua": True, "enableEnvoyPatchPolicy": True},
    }
