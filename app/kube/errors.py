"""What can go wrong when the Kubernetes API is called, typed by what the caller can do about it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

# How the API server words it (k8s.io/apimachinery/pkg/util/managedfields/internal/conflict.go).
_CONFLICT_WITH = re.compile(r'conflict with "([^"]*)"')


@dataclass(frozen=True, slots=True)
class FieldConflict:
    """A field that another field manager keeps, such as ``.spec.limits.free.rates``."""

    manager: str
    field: str


class KubeError(Exception):
    """A call to the Kubernetes API that did not succeed.

    Attributes:
        status: HTTP status, or 0 when there was no answer.
        reason: the `reason` of the Status object (``AlreadyExists``, …), or an empty string.
        retry_after: seconds the server asked to wait, if it did.
        causes: the `details.causes` of the Status object.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        reason: str = "",
        retry_after: float | None = None,
        causes: tuple[dict[str, Any], ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.retry_after = retry_after
        self.causes = causes


class KubeUnavailableError(KubeError):
    """No usable answer: no connection, a timeout, 429 or 5xx. The same call may succeed later."""


class KubeUnauthorizedError(KubeError):
    """401: the service's own credentials are not accepted."""


class KubeForbiddenError(KubeError):
    """403: the service's own RBAC does not allow the call."""


class KubeNotFoundError(KubeError):
    """404: no such object, namespace or resource type."""


class KubeConflictError(KubeError):
    """409: a precondition does not hold, the name is taken, or fields belong to others."""

    @property
    def already_exists(self) -> bool:
        """Whether the conflict is a taken name rather than a failed precondition."""
        return self.reason == "AlreadyExists"

    @property
    def field_conflicts(self) -> tuple[FieldConflict, ...]:
        """The fields that others keep, if that is why a server-side apply was refused."""
        return tuple(
            FieldConflict(found[1] if found else "unknown", str(cause.get("field")))
            for cause in self.causes
            if cause.get("reason") == "FieldManagerConflict"
            for found in [_CONFLICT_WITH.search(str(cause.get("message")))]
        )


class KubeGoneError(KubeError):
    """410: the resourceVersion or the continue token is too old."""


class KubeInvalidError(KubeError):
    """400 or 422: the API server does not accept what was sent."""


_BY_STATUS: dict[int, type[KubeError]] = {
    400: KubeInvalidError,
    401: KubeUnauthorizedError,
    403: KubeForbiddenError,
    404: KubeNotFoundError,
    409: KubeConflictError,
    410: KubeGoneError,
    422: KubeInvalidError,
    429: KubeUnavailableError,
}


def error_for(status: int, document: Any, *, retry_after: str | None = None) -> KubeError:
    """The typed error for an answer.

    Args:
        status: HTTP status, or the `code` of a Status object inside a watch.
        document: the decoded body; a `Status` object if the API server wrote it.
        retry_after: the header of that name.
    """
    answer = document if isinstance(document, dict) else {}
    details = answer.get("details")
    causes = details.get("causes") if isinstance(details, dict) else None
    causes = causes if isinstance(causes, list) else []
    kind = _BY_STATUS.get(status, KubeUnavailableError if status >= 500 else KubeError)  # noqa: PLR2004
    return kind(
        str(answer.get("message") or f"the Kubernetes API answered {status}"),
        status=status,
        reason=str(answer.get("reason") or ""),
        retry_after=float(retry_after) if retry_after and retry_after.isdigit() else None,
        causes=tuple(cause for cause in causes if isinstance(cause, dict)),
    )


def worth_another_try(error: KubeError) -> bool:
    """Whether the same may work at once: not for who was told when to come back, or has waited already."""
    waited = isinstance(error.__cause__, TimeoutError)
    return isinstance(error, KubeUnavailableError) and not error.retry_after and not waited
