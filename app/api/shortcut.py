"""The way past the framework, for the request that everybody waits for.

FastAPI's routing and layers, and the middleware that counts requests, take as much of the processor as all
the rest of issuing a token (decision 14). The endpoint is the router's own, which OpenAPI describes.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from prometheus_fastapi_instrumentator.metrics import Info
from starlette.requests import Request
from starlette.routing import Route

from app.api.errors import response_to

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from fastapi import FastAPI
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send


class Shortcut:
    """ASGI: answers one route by itself, and has the application answer everything else.

    Args:
        app: the application.
        method: of the requests that are answered here.
        path: theirs, without parameters.
        endpoint: answers them; what it raises is answered as the application would.
        count: take note of an answer, as of those of the application, but for what was said in it.
    """

    def __init__(
        self,
        app: FastAPI,
        method: str,
        path: str,
        endpoint: Callable[[Request], Awaitable[Response]],
        count: Sequence[Callable[[Info], None]],
    ) -> None:
        self._app = app
        self._method = method
        self._path = path
        self._endpoint = endpoint
        self._count = count
        self._route = Route(path, endpoint, methods=[method])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or (scope["method"], scope["path"]) != (self._method, self._path):
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        scope["app"], scope["route"] = self._app, self._route
        request = Request(scope, receive)
        try:
            response = await self._endpoint(request)
        except Exception as error:  # noqa: BLE001  # whatever happens, there is an answer to it
            response = response_to(request, error)
        await response(scope, receive, send)
        seconds = time.perf_counter() - started
        status = f"{response.status_code // 100}xx"
        # Without request and answer: who counts may keep this for a while, and there are tokens in both.
        info = Info(None, None, self._method, self._path, status, seconds, seconds)  # type: ignore[arg-type]
        for count in self._count:
            count(info)
