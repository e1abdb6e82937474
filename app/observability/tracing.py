"""Traces of requests, and of the calls that they make; off unless a collector is named.

Off, this costs a look into a context variable, and nothing of OpenTelemetry's SDK is imported. On, what is
decided to be traced is recorded by `app.observability.otlp`.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Mapping

    from app.observability.trace_context import TraceParent
    from app.settings import TracingSettings

Attribute = str | int | list[str]


class TracingError(Exception):
    """Traces are asked for and cannot be made; `str()` says what to do."""


class Span(Protocol):
    """Something that is being done, from its beginning to `end`.

    Attributes:
        trace_id: 32 hexadecimal digits.
        traceparent: what to send to whoever does a part of it.
    """

    trace_id: str
    traceparent: str

    def rename(self, name: str) -> None:
        """Call it otherwise, now that more is known."""

    def note(self, attributes: Mapping[str, Attribute]) -> None:
        """Write down more about it."""

    def note_user(self, name: str) -> None:
        """Write down for whom it is done, if that is wanted."""

    def fail(self, kind: str) -> None:
        """Write down that it failed, by the kind of error and nothing else: messages may hold secrets."""

    def child(self, name: str, attributes: Mapping[str, Attribute]) -> Span:
        """Begin a call to somebody else that is a part of it."""

    def end(self) -> None:
        """It is done."""


class Tracer(Protocol):
    """Begins traces, and sends them."""

    def begin(
        self, name: str, parent: TraceParent | None, attributes: Mapping[str, Attribute]
    ) -> Span | None:
        """Begin the part that this service has in a trace, or None where this request is not traced."""

    async def close(self) -> None:
        """Send what is left, for a moment."""


current: ContextVar[Span | None] = ContextVar("span", default=None)
"""What is being done; None where nothing is traced."""


@contextmanager
def calling(name: str, attributes: Mapping[str, Attribute]) -> Iterator[Span | None]:
    """A call to somebody else, as a part of what is being done; the context ends it.

    Args:
        name: of the call.
        attributes: about it.
    """
    parent = current.get()
    if parent is None:
        yield None
        return
    span = parent.child(name, attributes)
    reset = current.set(span)
    try:
        yield span
    except BaseException as error:
        span.fail(type(error).__name__)
        raise
    finally:
        current.reset(reset)
        span.end()


def note(attributes: Mapping[str, Attribute]) -> None:
    """Write down more about what is being done, where it is traced."""
    if (span := current.get()) is not None:
        span.note(attributes)


def note_user(name: str) -> None:
    """Write down for whom it is done, where it is traced and users may be named."""
    if (span := current.get()) is not None:
        span.note_user(name)


def open_tracer(settings: TracingSettings, *, random: random.Random) -> Tracer | None:
    """What begins traces, or None without a collector.

    Raises:
        TracingError: OpenTelemetry is not installed, or a file of the settings cannot be used.
    """
    if not settings.endpoint:
        return None
    try:
        from app.observability.otlp import OtlpTracer  # noqa: PLC0415  # whoever has no traces need not load it
    except ImportError as error:
        raise TracingError(
            f"MAAS_TRACING_ENDPOINT (or OTEL_EXPORTER_OTLP_ENDPOINT) is set, but {error.name} is not "
            "installed: pip install 'privatemaas[tracing]', or set it to nothing"
        ) from error
    return OtlpTracer(settings, random=random)
