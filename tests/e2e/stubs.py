"""What the data plane has around it: an authorizer, the public app and a model, each as small as can be."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import ASGIApp, Receive, Scope, Send

_METHODS = ["GET", "POST", "DELETE"]
USAGE = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}


def stubs(*names: str) -> dict[str, ASGIApp]:
    """Those of these names."""
    made: dict[str, ASGIApp] = {"authorizer": Authorizer(), "public": public_app(), "model": Model()}
    return {name: made[name] for name in names}


class Authorizer:
    """Takes a token `<owner>.<tier>.<anything>` for a MaaS token of that owner; knows the model `qwen3`."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._decide(Request(scope, receive))
        await response(scope, receive, send)

    async def _decide(self, request: Request) -> Response:
        assert request.url.path.startswith("/internal/authorize/")
        owner, dot, rest = request.headers.get("authorization", "").removeprefix("Bearer ").partition(".")
        if not dot:
            return _refusal(401, "invalid_token", {"www-authenticate": "Bearer"})
        headers = {"x-maas-user": owner, "x-maas-tier": rest.partition(".")[0]}
        if request.method != "GET":
            model = json.loads(await request.body())["model"]
            if model == "forbidden":
                return _refusal(403, "model_forbidden", {})
            headers["x-maas-model"] = model
        return Response(headers=headers)


class Model:
    """Answers with what it was sent; a stream pauses after its first part until `/v1/go-on` is asked for.

    Every answer and every stream says the same usage.
    """

    def __init__(self) -> None:
        self._go_on = asyncio.Event()
        self._app = _everywhere(self._answer)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        body = await request.body()
        if request.url.path == "/v1/go-on":
            self._go_on.set()
        if json.loads(body).get("stream"):
            return StreamingResponse(self._parts(), media_type="text/event-stream")
        return _echo(request, "model", len(body), usage=USAGE)

    async def _parts(self) -> AsyncIterator[str]:
        yield 'data: {"part": 1}\n\n'
        await self._go_on.wait()
        yield f"data: {json.dumps({'usage': USAGE})}\n\n"
        yield "data: [DONE]\n\n"


def public_app() -> ASGIApp:
    """Answers with what it was sent."""

    async def answer(request: Request) -> Response:
        return _echo(request, "public", len(await request.body()))

    return _everywhere(answer)


def _everywhere(endpoint: Any) -> ASGIApp:
    return Starlette(routes=[Route("/{path:path}", endpoint, methods=_METHODS)])


def _echo(request: Request, answered_by: str, size: int, **more: Any) -> Response:
    return JSONResponse(
        {
            "by": answered_by,
            "path": request.url.path,
            "headers": request.headers.items(),
            "size": size,
            **more,
        }
    )


def _refusal(status: int, code: str, headers: dict[str, str]) -> Response:
    error = {"message": "refused", "type": "invalid_request_error", "code": code}
    return JSONResponse({"error": error}, status_code=status, headers=headers)
