"""A call to the Kubernetes API as a span."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.kube.errors import KubeError
from app.observability import tracing

if TYPE_CHECKING:
    from collections.abc import Awaitable

    # Its status, and the object that answers it.
    Answer = tuple[int, dict[str, Any]]


async def traced(call: Awaitable[Answer], verb: str, method: str, what: str, attempt: int) -> Answer:
    """One call as a part of the trace, by verb and resource: names of objects may be names of people."""
    attributes: dict[str, tracing.Attribute] = {
        "http.request.method": method,
        "maas.kubernetes.verb": verb,
        "maas.kubernetes.resource": what,
    }
    if attempt > 1:
        attributes["http.request.resend_count"] = attempt - 1
    with tracing.calling(f"{verb} {what}", attributes):
        try:
            answer = await call
        except KubeError as error:
            if error.status:
                tracing.note({"http.response.status_code": error.status})
            raise
        tracing.note({"http.response.status_code": answer[0]})
        return answer
