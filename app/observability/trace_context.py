"""What a `traceparent` says (W3C Trace Context, https://www.w3.org/TR/trace-context/).

`tracestate` is not read: it belongs to tracing systems, and nothing here has anything to say in it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.{0,200})?")
_SAMPLED = 1


@dataclass(frozen=True, slots=True)
class TraceParent:
    """The span that a request comes from.

    Attributes:
        trace_id: 32 hexadecimal digits.
        span_id: 16 of them.
        sampled: whether whoever sent it says that the trace is recorded.
    """

    trace_id: str
    span_id: str
    sampled: bool


def trace_parent(header: bytes) -> TraceParent | None:
    """What the header says; None for one that is empty, malformed or endless, which counts as not sent."""
    if len(header) < 55 or (found := _TRACEPARENT.fullmatch(header)) is None:  # noqa: PLR2004  # the shortest
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == b"ff" or (version == b"00" and more) or not trace_id.strip(b"0") or not span_id.strip(b"0"):
        return None
    return TraceParent(trace_id.decode(), span_id.decode(), bool(int(flags, 16) & _SAMPLED))
