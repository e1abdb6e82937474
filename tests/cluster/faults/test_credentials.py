"""The service's own token expires while it runs; the kubelet has put a new one into the file, or will."""

from __future__ import annotations

import datetime as dt
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import yaml

from app.embedded.gateway.certificates import ensure_certificates
from tests.cluster.faults.pair import KUBE, becomes, decision, issues, refused
from tests.cluster.faults.proxy import FaultProxy, fault_proxy
from tests.workspace import Replica, Workspace, replica

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

LOADER = "kubernetes_asyncio.config.incluster_config"


class Pod:
    """A replica that finds the cluster as in a pod, through a proxy."""

    def __init__(self, maas: Replica, proxy: FaultProxy, token: Path) -> None:
        self.maas = maas
        self.proxy = proxy
        self._token = token
        self._used = token.read_text()

    def expire(self) -> None:
        """The token that is in use is not accepted any more."""
        self.proxy.expire(self._used)

    async def rotate(self) -> None:
        """Put another token into the file."""
        self._token.write_text(_token_of(await self.maas.workspace.service_kubeconfig()))


def _token_of(kubeconfig: Path) -> str:
    token: str = yaml.safe_load(kubeconfig.read_text())["users"][0]["user"]["token"]
    return token


@asynccontextmanager
async def _pod(workspace: Workspace, directory: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pod]:
    certificates = ensure_certificates(directory / "tls", lambda: dt.datetime.now(dt.UTC))
    token = directory / "token"
    async with fault_proxy(await workspace.service_kubeconfig(), certificates=certificates) as proxy:
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(proxy.port))
        monkeypatch.delenv("KUBECONFIG", raising=False)
        monkeypatch.setattr(f"{LOADER}.SERVICE_TOKEN_FILENAME", str(token))
        monkeypatch.setattr(f"{LOADER}.SERVICE_CERT_FILENAME", str(certificates.ca))

        def mounted(kubeconfig: Path) -> None:
            token.write_text(_token_of(kubeconfig))

        async with replica(workspace, through=mounted, kube=KUBE, identity={"cache_seconds": 0}) as maas:
            yield Pod(maas, proxy, token)


@pytest.fixture
async def pod(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pod]:
    async with _pod(workspace, tmp_path, monkeypatch) as made:
        yield made


async def test_nobody_notices_a_token_that_was_replaced_before_it_expired(pod: Pod) -> None:
    alice = await pod.maas.caller("alice")
    token = await alice.issued()
    # Within the minute for which the file is not read without need.
    await pod.rotate()
    pod.expire()
    assert (await alice.issue()).status_code == 201
    assert (await alice.delete(f"/maas-api/tokens/{token['id']}")).status_code == 204
    assert await decision(pod.maas, token["token"]) == "invalid_api_key"
    await becomes(pod.maas, "ok")


async def test_a_token_that_expires_before_it_is_replaced_is_an_outage_and_heals_with_the_file(
    pod: Pod,
) -> None:
    alice = await pod.maas.caller("alice")
    token = await alice.issued()
    pod.expire()
    refused(await alice.issue())
    assert await decision(pod.maas, token["token"]) == "free"
    await becomes(pod.maas, "degraded")
    await pod.rotate()
    # At once: nothing has to be read every minute for that.
    assert (await alice.issue()).status_code == 201
    await becomes(pod.maas, "ok")
    await issues(alice)
    assert len(await alice.listed()) == 3
