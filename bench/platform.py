"""A real control plane with a workspace in it, and the service as a process: what most measures stand on."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import yaml

from app.kube.resources import SERVICE_ACCOUNTS
from bench.machine import program_version
from bench.run import CannotMeasureError
from bench.service_process import service_process
from bench.token_load import put
from tests.clusters import RealCluster
from tests.control_plane import GROUP_CRD, MODEL_CRDS, ControlPlane, find_binaries, missing_tools
from tests.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from bench.run import Bench
    from bench.service_process import ServiceProcess
    from bench.token_load import Token

AUDIENCE = "maas-default-gateway-sa"
_AT_ONCE = 20
_DAY_SECONDS = 86_400


@dataclass(frozen=True)
class Cluster:
    """A control plane, and a client with all rights."""

    control_plane: ControlPlane
    real: RealCluster

    @property
    def port(self) -> int:
        """Where the API server listens."""
        port = urlsplit(self.control_plane.url).port
        assert port  # noqa: S101  # it always names one
        return port

    async def hold(self, bench: Bench, namespace: str, wanted: list[Token]) -> None:
        """Put these tokens into etcd, to live for a day, with a bar that shows how many are there."""
        task = bench.progress.add_task(f"{len(wanted):,} tokens into etcd", total=len(wanted))
        await put(
            self.control_plane.etcd_url,
            self.real.admin,
            namespace,
            wanted,
            expires_at=int(time.time()) + _DAY_SECONDS,
            advance=lambda some: bench.progress.advance(task, some),
        )

    async def maas_token(self, namespace: str, token_id: str, *, seconds: int = 36_000) -> str:
        """The JWT of a ServiceAccount that is there already."""
        answer = await self.real.admin.create(
            SERVICE_ACCOUNTS,
            {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenRequest",
                "spec": {"audiences": [AUDIENCE], "expirationSeconds": seconds},
            },
            namespace=namespace,
            name=token_id,
            subresource="token",
        )
        token: str = answer["status"]["token"]
        return token

    async def maas_tokens(self, namespace: str, token_ids: list[str]) -> list[str]:
        """The JWTs of many of them, in their order."""
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(token_id: str) -> str:
            async with gate:
                return await self.maas_token(namespace, token_id)

        return await asyncio.gather(*map(one, token_ids))


@asynccontextmanager
async def cluster(bench: Bench) -> AsyncIterator[Cluster]:
    """A control plane of its own.

    Raises:
        CannotMeasureError: its programs are not there.
    """
    if reason := missing_tools():
        raise CannotMeasureError(reason)
    binaries = find_binaries()
    bench.versions["kube-apiserver"] = await program_version(binaries.kube_apiserver)
    bench.versions["etcd"] = await program_version(binaries.etcd)
    async with ControlPlane(binaries) as control_plane:
        await control_plane.install_crds([*MODEL_CRDS, GROUP_CRD])
        real = RealCluster(control_plane)
        await real.start()
        try:
            yield Cluster(control_plane, real)
        finally:
            await real.stop()


@asynccontextmanager
async def service(bench: Bench, workspace: Workspace) -> AsyncIterator[ServiceProcess]:
    """The service in a workspace, with the rights that it is shipped with."""
    async with service_process(
        bench.directory, kubeconfig=await workspace.service_kubeconfig(), namespace=workspace.namespace
    ) as process:
        yield process


async def opened(cluster: Cluster) -> Workspace:
    """A new workspace."""
    workspace = Workspace(cluster.real)
    await workspace.open()
    return workspace


def credential(kubeconfig: Path) -> str:
    """The bearer token in a kubeconfig."""
    (user,) = yaml.safe_load(kubeconfig.read_text())["users"]
    token: str = user["user"]["token"]
    return token
