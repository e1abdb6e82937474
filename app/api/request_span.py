"""A request as a span, by OpenTelemetry's semantic conventions for HTTP.

Its path is not written down: paths have names of users in them, and their queries may have tokens.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from app.observability.trace_context import trace_parent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.observability.tracing import Span, Tracer

_METHODS = frozenset(("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"))


def begin_span(tracer: Tracer, headers: Mapping[bytes, bytes], method: str) -> Span | None:
    """Begin this service's part in the trace of a request, if it is traced."""
    known = method if method in _METHODS else "_OTHER"
    attributes = {"http.request.method": known, "url.scheme": "http"}
    return tracer.begin(_name(method), trace_parent(headers.get(b"traceparent", b"")), attributes)


def end_span(span: Span, status: int, method: str, route: str) -> None:
    """End it, and say whether an exception is on its way through here.

    Args:
        span: the span.
        status: what was answered; 0 for nothing.
        method: of the request.
        route: which of ours it took; empty for none.
    """
    if route:
        span.rename(f"{_name(method)} {route}")
        span.note({"http.route": route})
    if status:
        span.note({"http.response.status_code": status})
    if (error := sys.exception()) is not None:
        span.fail(type(error).__name__)
    elif status >= 500:  # noqa: PLR2004  # what a client did wrong is no error of a server
        span.fail(str(status))
    span.end()


def _name(method: str) -> str:
    return method if method in _METHODS else "HTTP"
