"""A call to the Kubernetes API as a span."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from app.kube.errors import KubeError
from app.observability import tracing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

_UNTRACED = nullcontext()


def traced(verb: str, method: str, what: str, attempt: int) -> AbstractContextManager[None]:
    """One call as a part of the trace, by verb and resource: names of objects may be names of people."""
    return _UNTRACED if tracing.current.get() is None else _traced(verb, method, what, attempt)


@contextmanager
def _traced(verb: str, method: str, what: str, attempt: int) -> Iterator[None]:
    attributes: dict[str, tracing.Attribute] = {
        "http.request.method": method,
        "maas.kubernetes.verb": verb,
        "maas.kubernetes.resource": what,
    }
    if attempt > 1:
        attributes["http.request.resend_count"] = attempt - 1
    with tracing.calling(f"{verb} {what}", attributes):
        try:
            yield
        except KubeError as error:
            if error.status:
                tracing.note({"http.response.status_code": error.status})
            raise
