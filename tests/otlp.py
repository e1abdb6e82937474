"""A collector of traces on the loopback interface: it takes OTLP over HTTP and keeps what it was sent."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from starlette.requests import Request
from starlette.responses import Response

from tests.loopback import serve
from tests.workspace import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from starlette.types import Receive, Scope, Send

_SERVER, _CLIENT = 2, 3
_ERROR = 2


@dataclass(frozen=True)
class Span:
    """A span as it came over the wire.

    Attributes:
        service: whose it is.
        kind: `server`, `client` or neither.
        parent_id: empty for the first of a trace.
        seconds: how long it took.
    """

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]
    events: list[dict[str, Any]]
    failed: bool
    message: str
    seconds: float


@dataclass
class Collector:
    """What was sent, and how it is answered.

    Attributes:
        url: its address, as `MAAS_TRACING_ENDPOINT` takes it.
        requests: the headers of each request.
        raw: the bodies, as they came.
        status: what it answers.
        speaks: until it is set, nothing is answered.
    """

    url: str = ""
    spans: list[Span] = field(default_factory=list)
    requests: list[dict[str, str]] = field(default_factory=list)
    raw: bytes = b""
    status: int = 200
    speaks: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        assert (request.method, request.url.path) == ("POST", "/v1/traces")
        assert request.headers["content-type"] == "application/x-protobuf"
        body = await request.body()
        self.requests.append(dict(request.headers))
        await self.speaks.wait()
        if self.status == 200:
            self.raw += body
            self.spans += _spans(body)
        answer = ExportTraceServiceResponse().SerializeToString()
        response = Response(answer, self.status, media_type="application/x-protobuf")
        await response(scope, receive, send)

    async def span(self, name: str, **attributes: Any) -> Span:
        """Wait for a span of this name that has these attributes, with dots for double underscores."""
        wanted = {key.replace("__", "."): value for key, value in attributes.items()}

        def found() -> Span | None:
            return next(
                (
                    span
                    for span in self.spans
                    if span.name == name and wanted.items() <= span.attributes.items()
                ),
                None,
            )

        span: Span = await eventually(found, seconds=15)
        return span

    def children(self, parent: Span) -> list[Span]:
        """The spans right below one, in the order of their beginning."""
        return [
            span
            for span in self.spans
            if (span.trace_id, span.parent_id) == (parent.trace_id, parent.span_id)
        ]


@asynccontextmanager
async def collector() -> AsyncIterator[Collector]:
    """A collector on a free port, for as long as the context lasts."""
    running = Collector()
    running.speaks.set()
    async with serve(running) as (host, port):
        running.url = f"http://{host}:{port}"
        yield running


def _spans(body: bytes) -> list[Span]:
    request = ExportTraceServiceRequest.FromString(body)
    return [
        Span(
            service=_attributes(resource.resource.attributes).get("service.name", ""),
            name=span.name,
            kind={_SERVER: "server", _CLIENT: "client"}.get(span.kind, ""),
            trace_id=span.trace_id.hex(),
            span_id=span.span_id.hex(),
            parent_id=span.parent_span_id.hex(),
            attributes=_attributes(span.attributes),
            events=[{"name": event.name, **_attributes(event.attributes)} for event in span.events],
            failed=span.status.code == _ERROR,
            message=span.status.message,
            seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
        )
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in sorted(scope.spans, key=lambda span: span.start_time_unix_nano)
    ]


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    return getattr(value, kind) if (kind := value.WhichOneof("value")) else None
