"""Hooks the problems into an application."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from app.api.problems import ERRORS, Problem, openai_response, problem_for, problem_response
from app.api.validation import InvalidBodyError
from app.kube.errors import KubeError
from app.observability import audit, tracing
from app.tokens.errors import RevocationIncompleteError

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.responses import Response

_FRAMEWORK_CODES = {400: "invalid_request", 404: "not_found", 405: "method_not_allowed"}


def install(app: FastAPI) -> None:
    """Answer every error of `app` by `response_to`."""

    async def answer(request: Request, error: Exception) -> Response:
        return response_to(request, error)

    kinds = (*ERRORS, RevocationIncompleteError, KubeError, Exception)
    for kind in (*kinds, RequestValidationError, InvalidBodyError, HTTPException):
        app.add_exception_handler(kind, answer)


def response_to(request: Request, error: Exception) -> Response:
    """The answer to an error, in the shape of the request's path; what is refused is counted and audited."""
    if isinstance(error, HTTPException):
        code = _FRAMEWORK_CODES.get(error.status_code, "http_error")
        detail = f"{request.method} {request.url.path}: {error.detail}."
        return _respond(request, Problem(error.status_code, code, detail, error.headers or {}))
    if isinstance(error, InvalidBodyError):
        problem = _invalid(error.errors)
    elif isinstance(error, RequestValidationError):
        problem = _invalid(error.errors())
    else:
        problem = problem_for(error)
    request.app.state.service.metrics.tokens_refused.labels(problem.code).inc()
    tracing.note({"maas.problem": problem.code})
    if not problem.failed:
        actor = request.scope.get("actor", "")
        audit.refused(
            f"{request.method} {request.url.path}", actor, reason=problem.code, status=problem.status
        )
    return _respond(request, problem)


def _respond(request: Request, problem: Problem) -> Response:
    path = request.url.path
    openai = path == "/v1" or path.startswith("/v1/")
    return openai_response(problem) if openai else problem_response(problem)


def _invalid(errors: Any) -> Problem:
    fields = [
        {"field": ".".join(str(part) for part in error["loc"]), "message": _message(error)}
        for error in errors
    ]
    first = fields[0]
    return Problem(422, "invalid_request", f"{first['field']}: {first['message']}.", extra={"errors": fields})


# pydantic's words for these speak of Python.
_MESSAGES = {
    "extra_forbidden": "There is no such field; there are `name` and `expiration`",
    "model_type": 'Expected an object such as {"name": "laptop", "expiration": "4h"}',
    "string_pattern_mismatch": "Has characters that are not allowed here",
}


def _message(error: Any) -> str:
    return _MESSAGES.get(error["type"]) or str(error["msg"]).removeprefix("Value error, ")
