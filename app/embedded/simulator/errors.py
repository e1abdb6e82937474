"""The simulator's errors, in the words of vLLM."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


class ApiError(Exception):
    """A request that is answered with an error.

    Attributes:
        status: The HTTP status.
        message: What is wrong.
        kind: vLLM's name for this sort of error.
        param: The field that is wrong, when it is one.
    """

    def __init__(self, status: HTTPStatus, message: str, kind: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.param = param


def bad_request(message: str, param: str | None = None) -> ApiError:
    """Return the error for a request that makes no sense."""
    return ApiError(HTTPStatus.BAD_REQUEST, message, "BadRequestError", param)


def too_large(limit: int) -> ApiError:
    """Return the error for a body of more than `limit` bytes."""
    message = f"The request is larger than {limit} bytes."
    return ApiError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message, "BadRequestError")


def unknown_model(name: str) -> ApiError:
    """Return the error for a model that is not served."""
    message = f"The model `{name}` does not exist."
    return ApiError(HTTPStatus.NOT_FOUND, message, "NotFoundError", "model")


def respond(_: Request, error: Exception) -> Response:
    """Return the response for an `ApiError`, in the shape that OpenAI's clients understand."""
    error = cast("ApiError", error)  # It is registered for no other.
    body = {
        "message": error.message,
        "type": error.kind,
        "param": error.param,
        "code": int(error.status),
    }
    return JSONResponse({"error": body}, status_code=int(error.status))
