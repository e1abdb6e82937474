"""The errors that endpoints declare in the OpenAPI document."""

from __future__ import annotations

from typing import Any

from app.api.problems import PROBLEM_JSON
from app.api.schemas import OpenAIError, ProblemDocument

_MEANINGS = {
    400: "The request cannot be understood (`invalid_request`, `conflicting_tokens`).",
    401: "No valid token (`missing_token`, `invalid_token`).",
    403: "Not for you (`no_tier`, `insufficient_scope`, `forbidden`).",
    404: "There is none (`token_not_found`, `model_not_found`).",
    409: "You hold as many live tokens as you may (`token_limit_reached`).",
    413: "The body is too large (`body_too_large`).",
    422: "A value is not acceptable (`invalid_request`, `expiration_out_of_range`, "
    "`invalid_window`, `usage_too_large`).",
    501: "The platform is not set up for this (`usage_not_configured`, `users_not_recorded`).",
    502: "The Kubernetes API or Prometheus refused (`upstream_error`, `usage_unavailable`).",
    503: "Try again after `Retry-After` seconds (`upstream_unavailable`, `mapping_unavailable`, "
    "`usage_unavailable`).",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses=` for endpoints of ``/maas-api``; what any request can meet is always among them."""
    schema = {"$ref": f"#/components/schemas/{ProblemDocument.__name__}"}
    return {
        status: {"description": _MEANINGS[status], "content": {PROBLEM_JSON: {"schema": schema}}}
        for status in sorted({400, 401, 413, 502, 503, *statuses})
    }


def openai_errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses=` for endpoints of ``/v1``."""
    return {
        status: {"description": _MEANINGS[status], "model": OpenAIError}
        for status in sorted({400, 401, 403, 503, *statuses})
    }
