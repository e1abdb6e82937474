"""Gives every request an id, an upper bound and a line in the log."""

from __future__ import annotations

import logging
import re
import time
import uuid
from typing import TYPE_CHECKING

from app.api.problems import BodyTooLargeError
from app.observability.logging import request_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger("access")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def request_id_of(headers: Mapping[bytes, bytes]) -> str:
    """The id in ``x-request-id`` if it is a harmless one, or a new one."""
    given = headers.get(b"x-request-id", b"").decode("latin-1")
    return given if _REQUEST_ID.fullmatch(given) else str(uuid.uuid4())


class RequestContext:
    """ASGI middleware: the request id, taken from ``x-request-id`` or made, and the access log.

    The id is in every log line of the request, in its problem documents and in the answer's ``x-request-id``.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        identifier = request_id_of(dict(scope["headers"]))
        reset = request_id.set(identifier)
        started = time.perf_counter()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", identifier.encode())]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            logger.info(
                "%s %s",
                scope["method"],
                scope["path"],
                extra={"status": status, "milliseconds": round((time.perf_counter() - started) * 1000, 2)},
            )
            request_id.reset(reset)


class BodyLimit:
    """ASGI middleware: refuses bodies over `limit` bytes, whether they say their size or not."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request; reading more than the limit raises `BodyTooLargeError` where it is read."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        read = 0

        async def receive_some() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._limit:
                raise BodyTooLargeError(self._limit)
            return message

        await self._app(scope, receive_some, send)
