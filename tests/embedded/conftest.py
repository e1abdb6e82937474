"""The platform as `maasctl up` runs it, and people to use it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from app.kube.resources import SERVICE_ACCOUNTS
from tests.clusters import admin_client
from tests.maasctl import Up, up
from tests.workspace import NAMESPACES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from app.kube.client import KubeClient


@dataclass(frozen=True)
class Newcomer:
    """A person whom nobody has seen before, of tier free, with limits that nobody has used.

    Attributes:
        token: their caller token.
        group: a group that nobody else is in.
    """

    token: str
    group: str


@pytest.fixture(scope="session")
async def platform(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Up]:
    """A platform that tests share; nothing that one of them does may show in another."""
    async with up(tmp_path_factory.mktemp("platform")) as running:
        yield running


@pytest.fixture(scope="session")
async def cluster_admin(platform: Up) -> AsyncIterator[KubeClient]:
    """The embedded cluster, by the kubeconfig that is printed."""
    client = await admin_client(platform.kubeconfig)
    yield client
    await client.close()


@pytest.fixture
async def newcomer(cluster_admin: KubeClient) -> Newcomer:
    """A ServiceAccount: the one kind of caller that can be made while the embedded cluster runs."""
    namespace, name = f"people-{secrets.token_hex(4)}", f"person-{secrets.token_hex(4)}"
    await cluster_admin.create(
        NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    )
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
    await cluster_admin.create(SERVICE_ACCOUNTS, account, namespace=namespace)
    answer = await cluster_admin.create(
        SERVICE_ACCOUNTS,
        {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}},
        namespace=namespace,
        name=name,
        subresource="token",
    )
    return Newcomer(answer["status"]["token"], f"system:serviceaccounts:{namespace}")
