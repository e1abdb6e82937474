from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from app.embedded.kubernetes import Cluster, User, create_app
from app.embedded.kubernetes.tokens import generate_key
from tests.unit.embedded.kubernetes.api import API

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

ISSUER = "https://kubernetes.default.svc"
START = 1_700_000_000.0


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def signing_key() -> RSAPrivateKey:
    return generate_key()


@pytest.fixture
def cluster(clock: Clock, signing_key: RSAPrivateKey) -> Cluster:
    cluster = Cluster(
        issuer=ISSUER,
        users={
            "admin": User("admin", ("system:masters",)),
            "alice": User(
                "alice@example.com", ("premium-users",), uid="u-1", extra={"scopes": ("user:full",)}
            ),
        },
        clock=clock,
        signing_key=signing_key,
    )
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "maas"}})
    return cluster


@pytest.fixture
async def api(cluster: Cluster) -> AsyncIterator[API]:
    transport = httpx.ASGITransport(create_app(cluster))
    async with httpx.AsyncClient(transport=transport, base_url="https://cluster.test") as client:
        yield API(client, "admin")


@pytest.fixture
def alice(api: API) -> API:
    return api.acting("alice")


@pytest.fixture
def anonymous(api: API) -> API:
    return api.acting("")
