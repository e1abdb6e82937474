"""Kuadrant's operator, Authorino and Limitador as processes, and what operators would set up for them."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import yaml

from app.embedded.gateway import tether
from tests.control_plane.process import Process
from tests.e2e.cluster_controllers import write_status
from tests.e2e.envoy_gateway.in_cluster import write_files
from tests.e2e.pod import process_in_pod
from tests.loopback import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from tests.control_plane import ControlPlane

NAMESPACE = "kuadrant-system"
SECONDS = 60
LIMITADOR = f"/apis/limitador.kuadrant.io/v1alpha1/namespaces/{NAMESPACE}/limitadors/limitador"
AUTHORINO = f"/apis/operator.authorino.kuadrant.io/v1beta1/namespaces/{NAMESPACE}/authorinos/authorino"
# What Kuadrant's operator writes into the Limitador resource.
METRIC_LABELS = "descriptors[1]"
# The Service that Limitador's operator makes.
_LIMITADOR = (f"limitador-limitador.{NAMESPACE}.svc.cluster.local", 8081)
_LOOPBACK = "127.0.0.1"
_AUTHORINO_RULES = [
    {
        "apiGroups": ["authorino.kuadrant.io"],
        "resources": ["authconfigs"],
        "verbs": ["get", "list", "watch", "update", "patch"],
    },
    {
        "apiGroups": ["authorino.kuadrant.io"],
        "resources": ["authconfigs/status"],
        "verbs": ["get", "update", "patch"],
    },
    {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "watch"]},
    {
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "verbs": ["get", "list", "create", "update"],
    },
    {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]},
    {"apiGroups": ["authorization.k8s.io"], "resources": ["subjectaccessreviews"], "verbs": ["create"]},
]


@dataclass(frozen=True)
class Ports:
    """Where the engines listen for Envoy."""

    authorino: int
    limitador: int

    @property
    def services(self) -> dict[tuple[str, int], int]:
        """By the names and ports that the operator gives Envoy."""
        return {
            (f"authorino-authorino-authorization.{NAMESPACE}.svc.cluster.local", 50051): self.authorino,
            _LIMITADOR: self.limitador,
        }


class Engine:
    """A program that can be taken away and brought back.

    Args:
        process: the program.
        client: a client of the interface that says how it is.
        health: the path that answers once it is ready.
    """

    def __init__(self, process: Process, client: httpx.AsyncClient, health: str) -> None:
        self._process = process
        self.client = client
        self._health = health

    async def start(self) -> None:
        await self._process.start(self.client, self._health, within_seconds=SECONDS)

    async def kill(self) -> None:
        await self._process.kill()


@asynccontextmanager
async def authorino(
    control_plane: ControlPlane, program: Path, directory: Path, manifest: Mapping[str, Any], port: int
) -> AsyncIterator[Engine]:
    """Authorino as its operator would run it for the resource `manifest`: in a pod, with its own rights."""
    await _grant_authorino(control_plane)
    spec = manifest["spec"]
    assert spec["clusterWide"]
    assert not spec["listener"]["tls"]["enabled"]
    token = await control_plane.service_account_token(NAMESPACE, "authorino")
    ca = await asyncio.to_thread(control_plane.ca_file.read_bytes)
    mounted = directory / "serviceaccount"
    write_files(mounted, {"token": token.encode(), "ca.crt": ca, "namespace": NAMESPACE.encode()})
    server = httpx.URL(control_plane.url)
    health = f"{_LOOPBACK}:{free_port()}"
    process = process_in_pod(
        program,
        [
            "server",
            f"--ext-auth-grpc-port={port}",
            f"--ext-auth-http-port={free_port()}",
            f"--oidc-http-port={free_port()}",
            f"--health-probe-addr={health}",
            f"--metrics-addr={_LOOPBACK}:{free_port()}",
            f"--evaluator-cache-size={spec['evaluatorCacheSize']}",
            f"--allow-superseding-host-subsets={str(spec['supersedingHostSubsets']).lower()}",
        ],
        root=directory / "root",
        mounts={"/var/run/secrets/kubernetes.io/serviceaccount": mounted},
        log=directory / "authorino.log",
        variables={"KUBERNETES_SERVICE_HOST": server.host, "KUBERNETES_SERVICE_PORT": str(server.port)},
    )
    async with _running(process, health, "/readyz") as engine:
        yield engine


@asynccontextmanager
async def limitador(
    program: Path, directory: Path, manifest: Mapping[str, Any], port: int
) -> AsyncIterator[Limitador]:
    """Limitador as its operator would run it for the resource `manifest`; `serve` gives it limits."""
    http, file = free_port(), directory / "limits.yaml"
    file.write_text("[]")
    listen = ("-b", _LOOPBACK, "-p", str(port), "-B", _LOOPBACK, "-P", str(http))
    answers = ("--rate-limit-headers", manifest["spec"]["rateLimitHeaders"])
    labels = ("--metric-labels-default", METRIC_LABELS)
    process = Process(program, [*listen, *answers, *labels, str(file)], log=directory / "limitador.log")
    async with _running(process, f"{_LOOPBACK}:{http}", "/status") as engine:
        yield Limitador(engine, file)


@dataclass(frozen=True)
class Limitador:
    """A running Limitador.

    Attributes:
        engine: the program.
        file: where it reads limits from.
    """

    engine: Engine
    file: Path

    def serve(self, limits: list[dict[str, Any]]) -> None:
        """As Limitador's operator does when the resource has other limits: it changes the file."""
        self.file.write_text(yaml.safe_dump(limits))

    async def served(self, namespace: str) -> list[dict[str, Any]]:
        """The limits that it enforces in one of its namespaces."""
        answer = await self.engine.client.get(f"/limits/{namespace.replace('/', '%2F')}")
        limits: list[dict[str, Any]] = answer.raise_for_status().json()
        return limits


@asynccontextmanager
async def kuadrant_operator(
    control_plane: ControlPlane,
    program: Path,
    extensions: Mapping[str, Path],
    directory: Path,
    variables: Mapping[str, str],
) -> AsyncIterator[None]:
    """Kuadrant's operator with its extensions, as a cluster admin."""
    folder = directory / "extensions"
    for name, extension in extensions.items():
        wrapper = folder / name / name
        wrapper.parent.mkdir(parents=True)
        # The operator starts it; killed, the operator could not stop it.
        wrapper.write_text(
            f'#!/bin/sh\nexec {sys.executable} -I -S {tether.__file__} $PPID {extension} "$@"\n'
        )
        wrapper.chmod(0o755)
    health = f"{_LOOPBACK}:{free_port()}"
    process = Process(
        program,
        [f"--health-probe-bind-address={health}", f"--metrics-bind-address={_LOOPBACK}:{free_port()}"],
        log=directory / "kuadrant-operator.log",
        variables={
            "KUBECONFIG": str(control_plane.admin_kubeconfig),
            "OPERATOR_NAMESPACE": NAMESPACE,
            "EXTENSIONS_DIR": str(folder),
            "EXTENSIONS_DESCRIPTOR_SERVICE_PORT": str(free_port()),
            "WASM_SERVER_PORT": str(free_port()),
            **variables,
        },
    )
    async with _running(process, health, "/healthz"):
        yield


async def say_that_engines_run(control_plane: ControlPlane) -> None:
    """What the operators of Authorino and Limitador would write. Without it Kuadrant's operator crashes."""
    since = "2026-01-01T00:00:00Z"
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "Provisioned",
        "message": "",
        "lastTransitionTime": since,
    }
    service = {"host": _LIMITADOR[0], "ports": {"http": 8080, "grpc": _LIMITADOR[1]}}
    await write_status(control_plane, LIMITADOR, {"conditions": [ready], "service": service})
    await write_status(control_plane, AUTHORINO, {"conditions": [ready]})


@asynccontextmanager
async def _running(process: Process, address: str, health: str) -> AsyncIterator[Engine]:
    async with httpx.AsyncClient(base_url=f"http://{address}", trust_env=False) as client:
        engine = Engine(process, client, health)
        await engine.start()
        try:
            yield engine
        finally:
            await engine.kill()


async def _grant_authorino(control_plane: ControlPlane) -> None:
    rbac = {"apiVersion": "rbac.authorization.k8s.io/v1"}
    name = {"name": "authorino"}
    account = {**name, "namespace": NAMESPACE}
    await control_plane.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account})
    await control_plane.apply({**rbac, "kind": "ClusterRole", "metadata": name, "rules": _AUTHORINO_RULES})
    await control_plane.apply(
        {
            **rbac,
            "kind": "ClusterRoleBinding",
            "metadata": name,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "authorino"},
            "subjects": [{"kind": "ServiceAccount", **account}],
        }
    )
