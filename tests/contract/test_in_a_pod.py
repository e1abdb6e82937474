"""Without a kubeconfig the service is in a pod and uses what the kubelet puts there."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import yaml

from app.lifespan import running
from app.settings import Settings
from tests.workspace import eventually

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.workspace import Workspace

LOADER = "kubernetes_asyncio.config.incluster_config"


async def test_it_finds_the_cluster_by_its_environment_and_mounted_files(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubeconfig = yaml.safe_load((await workspace.service_kubeconfig()).read_text())
    cluster, user = kubeconfig["clusters"][0]["cluster"], kubeconfig["users"][0]["user"]
    address = urlsplit(cluster["server"])
    token = tmp_path / "token"
    token.write_text(user["token"])
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", str(address.hostname))
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(address.port))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setattr(f"{LOADER}.SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(f"{LOADER}.SERVICE_CERT_FILENAME", cluster["certificate-authority"])
    async with running(Settings(namespace=workspace.namespace)) as service:
        await eventually(lambda: service.decisions.synced and service.tiers.mapping, seconds=10)
