"""Traces by OpenTelemetry's SDK, sent to a collector by OTLP over HTTP.

The SDK sends in a thread of its own, from a queue that is bounded: whoever records waits for nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import requests
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    format_span_id,
    format_trace_id,
    set_span_in_context,
)

from app.observability.tracing import TracingError

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping, Sequence

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import Span as SdkSpan
    from opentelemetry.trace import Tracer as SdkTracer

    from app.observability.trace_context import TraceParent
    from app.observability.tracing import Attribute
    from app.settings import TracingSettings

logger = logging.getLogger(__name__)
_SDK = logging.getLogger("opentelemetry")

_NOWHERE = Context()
_BATCH_SPANS = 512
_SEND_SECONDS = 2
_LONGEST_VALUE = 512
_QUIET_SECONDS = 60


class OtlpSpan:
    """A span that is recorded; see `app.observability.tracing.Span`."""

    __slots__ = ("_name_users", "_span", "_tracer", "trace_id", "traceparent")

    def __init__(self, tracer: SdkTracer, span: SdkSpan, *, name_users: bool) -> None:
        self._tracer = tracer
        self._span = span
        self._name_users = name_users
        context = span.get_span_context()
        self.trace_id = format_trace_id(context.trace_id)
        self.traceparent = f"00-{self.trace_id}-{format_span_id(context.span_id)}-01"

    def rename(self, name: str) -> None:
        """Call it otherwise."""
        self._span.update_name(name)

    def note(self, attributes: Mapping[str, Attribute]) -> None:
        """Add attributes."""
        self._span.set_attributes(attributes)

    def note_user(self, name: str) -> None:
        """Name the user, if that is wanted."""
        if self._name_users:
            self._span.set_attribute("user.name", name)

    def fail(self, kind: str) -> None:
        """Say that it failed."""
        self._span.set_attribute("error.type", kind)
        self._span.set_status(StatusCode.ERROR)

    def child(self, name: str, attributes: Mapping[str, Attribute]) -> OtlpSpan:
        """Begin a call that is a part of it."""
        span = self._tracer.start_span(
            name,
            context=set_span_in_context(self._span, _NOWHERE),
            kind=SpanKind.CLIENT,
            attributes=attributes,
        )
        return OtlpSpan(self._tracer, span, name_users=self._name_users)

    def end(self) -> None:
        """Have it sent."""
        self._span.end()


class OtlpTracer:
    """Begins traces and sends them; see `app.observability.tracing.Tracer`.

    Raises:
        TracingError: a file of the settings cannot be used.
    """

    def __init__(
        self,
        settings: TracingSettings,
        *,
        random: random.Random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._random = random
        self._complaints = _Complaints(settings.endpoint, clock=clock)
        session = requests.Session()
        # What the environment says of certificates (REQUESTS_CA_BUNDLE) would go before the file.
        session.trust_env = settings.ca_file is None
        self._exporter = _Exporter(
            endpoint=f"{settings.endpoint}/v1/traces",
            certificate_file=_readable(settings.ca_file),
            headers=read_headers(settings.headers_file),
            timeout=settings.export_seconds,
            session=session,
        )
        self._processor = BatchSpanProcessor(
            self._exporter,
            max_queue_size=settings.queue_spans,
            schedule_delay_millis=_SEND_SECONDS * 1000,
            max_export_batch_size=_BATCH_SPANS,
        )
        provider = TracerProvider(
            sampler=ALWAYS_ON,  # What is not to be traced never comes this far.
            resource=Resource.create(
                {
                    "service.name": settings.service_name,
                    "service.version": version("privatemaas"),
                    "service.instance.id": socket.gethostname(),
                }
            ),
            span_limits=SpanLimits(max_span_attribute_length=_LONGEST_VALUE),
            shutdown_on_exit=False,
        )
        provider.add_span_processor(self._processor)
        self._tracer = provider.get_tracer("privatemaas", version("privatemaas"))
        _SDK.addHandler(self._complaints)
        _SDK.propagate = False

    def begin(
        self, name: str, parent: TraceParent | None, attributes: Mapping[str, Attribute]
    ) -> OtlpSpan | None:
        """Begin a span, if this request is one of those that are traced."""
        settings = self._settings
        if parent is not None and settings.sampled_by == "gateway":
            sampled = parent.sampled
        else:
            # Not by the id of the trace, which a client may have chosen.
            sampled = self._random.random() < settings.ratio
        if not sampled:
            return None
        span = self._tracer.start_span(
            name, context=_context(parent), kind=SpanKind.SERVER, attributes=attributes
        )
        return OtlpSpan(self._tracer, span, name_users=settings.user_names)

    async def close(self) -> None:
        """Send what is left, for no longer than the settings say."""
        loop, sent = asyncio.get_running_loop(), asyncio.Event()

        def send() -> None:
            self._processor.shutdown()  # type: ignore[no-untyped-call]
            with contextlib.suppress(RuntimeError):  # Nobody waits any more.
                loop.call_soon_threadsafe(sent.set)

        # A daemon, unlike the threads of asyncio: a collector that says nothing does not hold up the end.
        threading.Thread(target=send, name="last spans", daemon=True).start()
        try:
            # Not `timeout`: in a task that was cancelled, Python before 3.11.3 makes a CancelledError of it.
            await asyncio.wait_for(sent.wait(), self._settings.flush_seconds)
        except TimeoutError:
            logger.warning(
                "the last spans were not sent within %g seconds, and are lost", self._settings.flush_seconds
            )
        finally:
            self._exporter.shutdown()
            _SDK.removeHandler(self._complaints)
            _SDK.propagate = not any(isinstance(handler, _Complaints) for handler in _SDK.handlers)


class _Exporter(OTLPSpanExporter):
    """One that can be ended while it sends and waits to try again, which the SDK's processor does not do."""

    _ended = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.FAILURE if self._ended else super().export(spans)

    def shutdown(self) -> None:
        if not self._ended:
            self._ended = True
            super().shutdown()  # type: ignore[no-untyped-call]


class _Complaints(logging.Handler):
    """Says what the SDK has to complain of, once in a while: a collector may be away for days."""

    def __init__(self, endpoint: str, *, clock: Callable[[], float]) -> None:
        super().__init__(logging.WARNING)
        self._endpoint = endpoint
        self._clock = clock
        self._quiet_until = float("-inf")

    def emit(self, record: logging.LogRecord) -> None:
        now = self._clock()
        if now >= self._quiet_until:
            self._quiet_until = now + _QUIET_SECONDS
            logger.warning("traces for %s: %s", self._endpoint, record.getMessage())


def read_headers(path: str | None) -> dict[str, str]:
    """The headers in a file, one `name: value` a line; none without a file.

    Raises:
        TracingError: it cannot be read, or is not of that form; nothing of its content is told.
    """
    if path is None:
        return {}
    try:
        text = Path(path).read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        raise TracingError(
            f"MAAS_TRACING_HEADERS_FILE: {path} cannot be read ({type(error).__name__})"
        ) from error
    headers = {}
    for number, line in enumerate(text.splitlines(), 1):
        name, colon, value = line.partition(":")
        if not line.strip():
            continue
        if not colon or not _is_name(name.strip()) or not value.strip().isprintable() or not value.strip():
            raise TracingError(
                f"MAAS_TRACING_HEADERS_FILE: line {number} of {path} is no header; expected `name: value`"
            )
        headers[name.strip().lower()] = value.strip()
    return headers


def _is_name(name: str) -> bool:
    return bool(name) and all(letter.isalnum() or letter in "!#$%&'*+-.^_`|~" for letter in name)


def _readable(path: str | None) -> str | None:
    """The path of a file that is there."""
    if path is not None and not Path(path).is_file():
        raise TracingError(f"MAAS_TRACING_CA_FILE: there is no file {path}")
    return path


def _context(parent: TraceParent | None) -> Context:
    if parent is None:
        return _NOWHERE
    remote = SpanContext(
        int(parent.trace_id, 16),
        int(parent.span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )
    return set_span_in_context(NonRecordingSpan(remote), _NOWHERE)
