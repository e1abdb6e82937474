"""What docker-compose.yml starts, without containers: every command, variable and health check of it."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.compose import LOOPBACK, data_plane
from tests.e2e.containers import Container
from tests.loopback import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import httpx


@pytest.fixture
async def gateway(limitador: Path, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    ports = {name: free_port() for name in ("cluster", "public", "authorizer", "model")}
    translate = {
        "0.0.0.0": LOOPBACK,  # noqa: S104  # what stands in the file
        "/state": str(tmp_path),
        "cluster": "localhost",
        "8444": str(ports["cluster"]),
        "8081": str(ports["authorizer"]),
        "8000": str(ports["model"]),
    }
    variables = {
        "MAAS_HTTP_HOST": LOOPBACK,
        "MAAS_HTTP_PUBLIC_PORT": str(ports["public"]),
        "MAAS_HTTP_GATEWAY_PORT": str(ports["authorizer"]),
    }
    async with AsyncExitStack() as stack:
        for name in ("cluster", "maas-api", "model"):
            container = Container(name, translate, log=tmp_path / f"{name}.log", variables=variables)
            stack.push_async_callback(container.stop)
            await container.start()
        plane = await stack.enter_async_context(data_plane(tmp_path, limitador, ports))
        yield plane.client


def authorized(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_from_a_caller_token_to_an_answer_and_back(gateway: httpx.AsyncClient) -> None:
    issued = await gateway.post("/maas-api/token", headers=authorized("sha256~alice"))
    assert (issued.status_code, issued.json()["tier"]) == (201, "free")
    token = authorized(issued.json()["token"])

    async def ask(model: str, **options: Any) -> httpx.Response:
        body = {"model": model, "messages": [{"role": "user", "content": "Hello!"}], **options}
        return await gateway.post("/v1/chat/completions", json=body, headers=token)

    listed = (await gateway.get("/v1/models", headers=token)).json()["data"]
    assert [model["id"] for model in listed] == ["facebook-opt-125m", "qwen3"]
    assert (await ask("qwen3")).json()["choices"][0]["message"]["content"]
    streamed = await ask("facebook-opt-125m", stream=True)
    assert streamed.headers["content-type"].startswith("text/event-stream")
    assert streamed.text.rstrip().endswith("data: [DONE]")
    assert (await ask("granite-7b")).status_code == 403
    assert (await ask("no-such-model")).status_code == 404
    assert [(await ask("qwen3")).status_code for _ in range(9)] == [200] * 8 + [429]

    token_id = issued.json()["id"]
    revoked = await gateway.delete(f"/maas-api/tokens/{token_id}", headers=authorized("sha256~alice"))
    assert revoked.status_code == 204
    assert (await ask("qwen3")).status_code == 401
