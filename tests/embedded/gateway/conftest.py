from __future__ import annotations

import socket
import ssl
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from app.embedded.gateway import LocalGateway
from tests.embedded.gateway.stubs import Stub, authorize, says
from tests.loopback import serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path


@dataclass(frozen=True)
class Backends:
    public: Stub
    authorizer: Stub
    model: Stub
    addresses: dict[str, tuple[str, int]]


@dataclass(frozen=True)
class Stage:
    """A running gateway with stubs behind it, and a client in front."""

    gateway: LocalGateway
    client: httpx.AsyncClient
    public: Stub
    authorizer: Stub
    model: Stub

    async def chat(self, token: str, model: str = "opt", **options: Any) -> httpx.Response:
        return await self.client.post(
            "/v1/chat/completions",
            json={"model": model},
            headers={"authorization": f"Bearer {token}", **options.pop("headers", {})},
            **options,
        )

    async def models(self, token: str) -> httpx.Response:
        return await self.client.get("/v1/models", headers={"authorization": f"Bearer {token}"})

    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.gateway.ca_certificate))


@pytest.fixture(scope="package")
async def running_backends() -> AsyncIterator[Backends]:
    stubs = {"public_app": Stub(says("public")), "gateway_app": Stub(authorize), "model": Stub(says("model"))}
    async with AsyncExitStack() as stack:
        addresses = {}
        for name, stub in stubs.items():
            addresses[name] = await stack.enter_async_context(serve(stub))
        yield Backends(stubs["public_app"], stubs["gateway_app"], stubs["model"], addresses)


@pytest.fixture
def backends(running_backends: Backends) -> Backends:
    answers = {"public": says("public"), "authorizer": authorize, "model": says("model")}
    for name, answer in answers.items():
        stub: Stub = getattr(running_backends, name)
        stub.received.clear()
        stub.answer = answer
    return running_backends


@pytest.fixture
def closed_port() -> Iterator[tuple[str, int]]:
    """An address that refuses connections: bound, so that nobody else gets it, and not listened on."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()


@pytest.fixture
def running(tmp_path: Path, backends: Backends) -> Callable[..., AbstractAsyncContextManager[Stage]]:
    @asynccontextmanager
    async def running(
        limits: dict[str, int] | None = None, models: tuple[str, ...] = ("opt", "granite"), **options: Any
    ) -> AsyncIterator[Stage]:
        arguments = {"listen": ("127.0.0.1", 0), **backends.addresses, **options}
        gateway = LocalGateway(tmp_path / "gateway", **arguments)
        gateway.update(limits or {"free": 3, "premium": 100}, models)
        async with gateway:
            host, port = gateway.address
            trust = ssl.create_default_context(cafile=str(gateway.ca_certificate))
            async with httpx.AsyncClient(
                base_url=f"https://{host}:{port}", verify=trust, trust_env=False, timeout=10
            ) as client:
                yield Stage(gateway, client, backends.public, backends.authorizer, backends.model)

    return running


@pytest.fixture
async def stage(running: Callable[..., AbstractAsyncContextManager[Stage]]) -> AsyncIterator[Stage]:
    async with running() as stage:
        yield stage
