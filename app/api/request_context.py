"""Gives every request an id, a part in its trace, an upper bound and a line in the log."""

from __future__ import annotations

import logging
import os
import re
import time
from typing import TYPE_CHECKING

from app.api.problems import BodyTooLargeError
from app.api.request_span import begin_span, end_span
from app.observability import tracing
from app.observability.logging import request_id, trace_id
from app.observability.trace_context import trace_parent

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger("access")

# Whoever asks these asks them every few seconds.
_NOT_TRACED = frozenset(("/healthz", "/readyz", "/metrics", "/maas-api/healthz", "/maas-api/readyz"))
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def request_id_of(headers: Mapping[bytes, bytes]) -> str:
    """The id in ``x-request-id`` if it is a harmless one, or a new one."""
    given = headers.get(b"x-request-id", b"").decode("latin-1")
    return given if _REQUEST_ID.fullmatch(given) else os.urandom(16).hex()


def remember_ids(headers: dict[bytes, bytes]) -> str:
    """Have the ids of this request in every log line and problem from now on; return the request id.

    The trace id is that of the span, or else what came in ``traceparent``. A request id that had to be made
    is put into `headers`, so that asked again this says the same.
    """
    identifier = request_id_of(headers)
    headers[b"x-request-id"] = identifier.encode()
    request_id.set(identifier)
    if (span := tracing.current.get()) is not None:
        trace_id.set(span.trace_id)
    else:
        parent = trace_parent(headers.get(b"traceparent", b""))
        trace_id.set(parent.trace_id if parent is not None else "")
    return identifier


class RequestContext:
    """ASGI middleware: the ids of the request, its part in a trace, and the access log.

    The request id is taken from ``x-request-id`` or made. It is in every log line of the request, in its
    problem documents and in the answer's ``x-request-id``; the trace id is in the lines and the documents.

    Args:
        app: what answers.
        tracer: begins traces; None where there are none.
        access_log: whether each request is a line in the log.
    """

    def __init__(self, app: ASGIApp, *, tracer: tracing.Tracer | None, access_log: bool) -> None:
        self._app = app
        self._tracer = tracer
        self._access_log = access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        span = None
        if self._tracer is not None and scope["path"] not in _NOT_TRACED:
            span = begin_span(self._tracer, headers, scope["method"])
        tracing.current.set(span)
        identifier = remember_ids(headers)
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
            if span is not None:
                end_span(span, status, scope["method"], getattr(scope.get("route"), "path_format", ""))
            if self._access_log:
                milliseconds = round((time.perf_counter() - started) * 1000, 2)
                extra = {"status": status, "milliseconds": milliseconds}
                logger.info("%s %s", scope["method"], scope["path"], extra=extra)


class BodyLimit:
    """ASGI middleware: refuses bodies over `limit` bytes, whether they say their size or not."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Run one request; reading more than the limit raises `BodyTooLargeError` where it is read."""
        if scope["type"] != "http":
            return self._app(scope, receive, send)
        read = 0

        async def receive_some() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._limit:
                raise BodyTooLargeError(self._limit)
            return message

        return self._app(scope, receive_some, send)
