from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.datastructures import Headers
    from starlette.types import Receive, Scope, Send


@dataclass(frozen=True)
class Received:
    path: str
    query: str
    headers: Headers
    body: bytes


Answer = "Callable[[Received], Response]"


class Stub:
    """An application that notes what it gets and answers as it is told."""

    def __init__(self, answer: Callable[[Received], Response]) -> None:
        self.received: list[Received] = []
        self.answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        got = Received(request.url.path, request.url.query, request.headers, await request.body())
        self.received.append(got)
        await self.answer(got)(scope, receive, send)


def says(name: str) -> Callable[[Received], Response]:
    return lambda got: JSONResponse({"app": name, "path": got.path})


def authorize(got: Received) -> Response:
    """Takes tokens of the form `tier:user:anything`; the model is the one in the body."""
    kind, _, token = got.headers.get("authorization", "").partition(" ")
    if kind != "Bearer":
        error = {"message": "Bring a token.", "type": "invalid_request_error", "code": "invalid_token"}
        headers = {"www-authenticate": "Bearer", "x-internal-detail": "hidden"}
        return JSONResponse({"error": error}, status_code=401, headers=headers)
    tier, user = token.split(":")[:2]
    headers = {"x-maas-tier": tier, "x-maas-user": user, "x-not-allowed": "no"}
    if got.body:
        headers["x-maas-model"] = json.loads(got.body)["model"]
    return Response(headers=headers)
