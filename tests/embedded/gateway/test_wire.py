from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from starlette.responses import StreamingResponse

from tests.embedded.gateway.wire import http1, http2

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.embedded.gateway.conftest import Stage

TRICKS = [
    "/internal/authorize/v1/models",
    "/internal/identity",
    "//internal/identity",
    "/./internal/identity",
    "/v1/../internal/identity",
    "/v1/%2e%2e/internal/identity",
    "/v1/%2E%2E/%69nternal/identity",
    "/v1/..%2finternal/identity",
    "/v1%2f..%2finternal/identity",
    "/v1/%5c..%5cinternal/identity",
    "/v1/..\\internal/identity",
    "/v1/models/../../internal/identity",
    "/maas-api/../internal/identity",
    "/maas-api/%2e%2e/internal/identity",
    "/maas-api/..//internal/identity",
    "/maas-api/..;/internal/identity",
    "/v1//..//..//internal/identity",
    "/v1/%252e%252e/internal/identity",
    "/v1/%00/../../internal/identity",
]


@pytest.mark.parametrize("path", TRICKS)
async def test_the_gateway_app_cannot_be_reached(stage: Stage, path: str) -> None:
    token = "Authorization: Bearer premium:alice"
    status, text = await http1(stage.gateway.address, stage.trust(), path, token)
    if status == 307:
        location = next(line for line in text.splitlines() if line.lower().startswith("location:"))
        cleaned = urlsplit(location.split(" ", 1)[1]).path
        status, text = await http1(stage.gateway.address, stage.trust(), cleaned, token)

    # Either there is nothing, or the path stayed under a prefix that the service answers.
    assert status in (400, 404) or '"app":"public"' in text
    assert not [got for got in stage.public.received if not got.path.startswith(("/v1/", "/maas-api"))]
    assert not [got for got in stage.authorizer.received if not got.path.startswith("/internal/authorize/v1")]


async def test_http2_is_spoken(stage: Stage) -> None:
    status_200 = 0x88

    headers = await http2(stage.gateway.address, stage.trust(), "/maas-api/healthz")

    assert headers[0] == status_200
    assert stage.public.received[0].path == "/maas-api/healthz"


async def test_streams_are_not_held_back(stage: Stage) -> None:
    seen = asyncio.Event()

    async def chunks() -> AsyncIterator[str]:
        yield "data: first\n\n"
        async with asyncio.timeout(5):
            await seen.wait()
        yield "data: [DONE]\n\n"

    stage.model.answer = lambda _: StreamingResponse(chunks(), media_type="text/event-stream")
    lines = []
    async with stage.client.stream(
        "POST",
        "/v1/chat/completions",
        json={"model": "opt", "stream": True},
        headers={"authorization": "Bearer premium:alice"},
    ) as response:
        async for line in response.aiter_lines():
            lines.append(line)
            seen.set()

    assert lines == ["data: first", "", "data: [DONE]", ""]
    assert response.headers["content-type"].startswith("text/event-stream")
