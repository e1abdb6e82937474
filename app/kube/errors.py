"""What can go wrong when the Kubernetes API is called, typed by what the caller can do about it."""

from __future__ import annotations

from typing import Any


class KubeError(Exception):
    """A call to the Kubernetes API that did not succeed.

    Attributes:
        status: HTTP status, or 0 when there was no answer.
        reason: the `reason` of the Status object (``AlreadyExists``, …), or an empty string.
        retry_after: seconds the server asked to wait, if it did.
    """

    def __init__(
        self, message: str, *, status: int = 0, reason: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.retry_after = retry_after


class KubeUnavailableError(KubeError):
    """No usable answer: no connection, a timeout, 429 or 5xx. The same call may succeed later."""


class KubeUnauthorizedError(KubeError):
    """401: the service's own credentials are not accepted."""


class KubeForbiddenError(KubeError):
    """403: the service's own RBAC does not allow the call."""


class KubeNotFoundError(KubeError):
    """404: no such object, namespace or resource type."""


class KubeConflictError(KubeError):
    """409: a precondition does not hold, or the name is taken (`already_exists`)."""

    @property
    def already_exists(self) -> bool:
        """Whether the conflict is a taken name rather than a failed precondition."""
        return self.reason == "AlreadyExists"


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
    details = document if isinstance(document, dict) else {}
    kind = _BY_STATUS.get(status, KubeUnavailableError if status >= 500 else KubeError)  # noqa: PLR2004
    return kind(
        str(details.get("message") or f"the Kubernetes API answered {status}"),
        status=status,
        reason=str(details.get("reason") or ""),
        retry_after=float(retry_after) if retry_after and retry_after.isdigit() else None,
    )
