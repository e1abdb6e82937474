"""The way past the framework answers first, and counts then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from starlette.responses import Response

from app.api.shortcut import Shortcut

if TYPE_CHECKING:
    from starlette.requests import Request


async def _answer(_request: Request) -> Response:
    return Response(status_code=201)


async def test_an_answer_is_on_its_way_before_it_is_counted() -> None:
    seen: list[str] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        seen.append(message["type"])

    shortcut = Shortcut(FastAPI(), "POST", "/here", _answer, [lambda info: seen.append(info.modified_status)])
    scope = {"type": "http", "method": "POST", "path": "/here", "headers": [], "query_string": b""}
    await shortcut(scope, receive, send)
    assert seen == ["http.response.start", "http.response.body", "2xx"]
