"""The one place where errors become HTTP.

Errors of ``/maas-api`` are problem documents (RFC 9457) with a stable `code`; errors of ``/v1`` have the
shape that OpenAI's clients read.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse

from app.identity.errors import (
    ConflictingTokensError,
    InsufficientScopeError,
    InvalidTokenError,
    MaasTokenNotAcceptedError,
    MissingTokenError,
)
from app.kube.errors import KubeError, KubeForbiddenError, KubeUnauthorizedError, KubeUnavailableError
from app.observability.logging import ids
from app.tiers.source import NoMappingError
from app.tokens.errors import (
    ExpirationOutOfRangeError,
    RevocationIncompleteError,
    TokenLimitReachedError,
    TokenNotAcceptedError,
    TokenNotFoundError,
)
from app.usage.errors import (
    UsageAnswerError,
    UsageNotConfiguredError,
    UsageTooLargeError,
    UsageUnavailableError,
    UsersNotRecordedError,
    WindowError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger(__name__)

PROBLEM_JSON = "application/problem+json"
_RETRY_SECONDS = 5


class NoTierError(Exception):
    """No tier's groups include the caller."""

    def __init__(self) -> None:
        super().__init__(
            "None of your groups belongs to a tier; ask your platform team to add one of them to the "
            "ConfigMap tier-to-group-mapping."
        )


class TierNotFoundError(Exception):
    """The mapping has no such tier."""

    def __init__(self, tier: str) -> None:
        super().__init__(f"There is no tier {tier!r}; GET /maas-api/tiers lists them.")


class ForbiddenError(Exception):
    """The caller may not do this."""


class ModelNotFoundError(Exception):
    """There is no such model."""

    def __init__(self, model: str) -> None:
        super().__init__(f"The model {model!r} does not exist; GET /v1/models lists those you may use.")


class ModelForbiddenError(Exception):
    """The model exists, but not for this caller."""

    def __init__(self, model: str, tier: str) -> None:
        super().__init__(
            f"The model {model!r} is not available to you in tier {tier!r}; "
            "GET /v1/models lists those you may use."
        )


class BadRequestError(Exception):
    """The request cannot be understood; `str()` says what is wrong with it and what was expected."""


class BodyTooLargeError(Exception):
    """The body is larger than is accepted."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"The request body is larger than {limit} bytes, the most that is accepted.")


@dataclass(frozen=True, slots=True)
class Problem:
    """What a client is told.

    Attributes:
        status: HTTP status.
        code: stable and made for programs.
        detail: made for people; says what to do.
        headers: for the answer.
        extra: further members of a problem document.
    """

    status: int
    code: str
    detail: str
    headers: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Whether something failed here: nothing was refused to anybody."""
        return self.status >= HTTPStatus.INTERNAL_SERVER_ERROR

    @property
    def title(self) -> str:
        """The status in words."""
        return HTTPStatus(self.status).phrase


_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="maas"'}
_TRY_LATER = {"Retry-After": str(_RETRY_SECONDS)}
_TABLE: dict[type[Exception], tuple[int, str, Mapping[str, str]]] = {
    MissingTokenError: (401, "missing_token", _CHALLENGE),
    InvalidTokenError: (
        401,
        "invalid_token",
        {"WWW-Authenticate": 'Bearer realm="maas", error="invalid_token"'},
    ),
    MaasTokenNotAcceptedError: (401, "invalid_token", _CHALLENGE),
    TokenNotAcceptedError: (401, "invalid_token", _CHALLENGE),
    InsufficientScopeError: (403, "insufficient_scope", {}),
    ConflictingTokensError: (400, "conflicting_tokens", {}),
    BadRequestError: (400, "invalid_request", {}),
    BodyTooLargeError: (413, "body_too_large", {}),
    ForbiddenError: (403, "forbidden", {}),
    TierNotFoundError: (404, "tier_not_found", {}),
    NoTierError: (403, "no_tier", {}),
    ModelForbiddenError: (403, "model_forbidden", {}),
    ModelNotFoundError: (404, "model_not_found", {}),
    TokenNotFoundError: (404, "token_not_found", {}),
    TokenLimitReachedError: (409, "token_limit_reached", {}),
    ExpirationOutOfRangeError: (422, "expiration_out_of_range", {}),
    WindowError: (422, "invalid_window", {}),
    UsageTooLargeError: (422, "usage_too_large", {}),
    UsageNotConfiguredError: (501, "usage_not_configured", {}),
    UsersNotRecordedError: (501, "users_not_recorded", {}),
    UsageAnswerError: (502, "usage_unavailable", _TRY_LATER),
    UsageUnavailableError: (503, "usage_unavailable", _TRY_LATER),
    NoMappingError: (503, "mapping_unavailable", _TRY_LATER),
}

ERRORS = tuple(_TABLE)
"""Every error of ours that has an answer of its own."""


def problem_for(error: Exception) -> Problem:
    """The answer to an error; one that nobody foresaw is logged and says nothing of itself."""
    if (known := _TABLE.get(type(error))) is not None:
        status, code, headers = known
        detail = str(error)
        if isinstance(error, UsageAnswerError | UsageUnavailableError):
            detail = "What was used cannot be told right now; try again in a moment."
        if isinstance(error, NoMappingError):
            detail = "There is no valid tier mapping yet; ask your platform team to look at /readyz."
        return Problem(status, code, detail, headers)
    if isinstance(error, RevocationIncompleteError):
        progress = {"revoked": error.revoked, "remaining": error.remaining}
        return Problem(503, "revocation_incomplete", str(error), _TRY_LATER, progress)
    if isinstance(error, KubeForbiddenError | KubeUnauthorizedError):
        # The message names what the service itself lacks: for its log, not for its callers.
        logger.error("the service's own credentials do not suffice: %s", error)
    elif isinstance(error, KubeError):
        logger.warning("kubernetes: %s", error)
    else:
        logger.error("unexpected error", exc_info=error)
        return Problem(
            500, "internal_error", "Something went wrong here; quote the request id when you report it."
        )
    if isinstance(error, KubeUnavailableError | KubeForbiddenError | KubeUnauthorizedError):
        seconds = max(_RETRY_SECONDS, round(error.retry_after or 0))
        return Problem(
            503,
            "upstream_unavailable",
            "The Kubernetes API cannot be asked right now; try again in a moment.",
            {"Retry-After": str(seconds)},
        )
    return Problem(502, "upstream_error", "The Kubernetes API did not accept what was asked of it.")


def problem_response(problem: Problem) -> JSONResponse:
    """A problem document: RFC 9457's members, `code`, the ids and what is special to the problem."""
    return JSONResponse(
        {
            "type": f"urn:privatemaas:problem:{problem.code}",
            "title": problem.title,
            "status": problem.status,
            "detail": problem.detail,
            "code": problem.code,
            **ids(),
            **problem.extra,
        },
        status_code=problem.status,
        headers=dict(problem.headers),
        media_type=PROBLEM_JSON,
    )


_OPENAI_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "invalid_request_error",
    429: "rate_limit_error",
}
_OPENAI_CODES = {"invalid_token": "invalid_api_key", "missing_token": "invalid_api_key"}


def openai_error(problem: Problem) -> dict[str, Any]:
    """The body of an error of ``/v1``: ``{"error": {"message", "type", "param", "code"}}``, and the ids."""
    fallback = "api_error" if problem.status >= 500 else "invalid_request_error"  # noqa: PLR2004
    return {
        "error": {
            "message": problem.detail,
            "type": _OPENAI_TYPES.get(problem.status, fallback),
            "param": "model" if problem.code.startswith("model_") else None,
            "code": _OPENAI_CODES.get(problem.code, problem.code),
        },
        **ids(),
    }


def openai_response(problem: Problem) -> JSONResponse:
    """An answer in the shape that OpenAI's clients read."""
    return JSONResponse(openai_error(problem), status_code=problem.status, headers=dict(problem.headers))
