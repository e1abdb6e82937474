"""Failures as the Kubernetes API reports them: an HTTP status and a `Status` object.

Messages, reasons and details follow k8s.io/apimachinery/pkg/api/errors, because clients (kubectl among
them) decide by them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class APIError(Exception):
    """A request that failed.

    Attributes:
        code: The HTTP status code.
        reason: The machine-readable reason, such as `NotFound`.
        message: What people read.
        details: The `details` of the Status object, or None.
        metadata: The `metadata` of the Status object, which is empty but for lists that can go on otherwise.
    """

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.metadata = metadata or {}

    def status(self) -> dict[str, Any]:
        """Return the `Status` object of API group meta/v1 that describes this failure."""
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": dict(self.metadata),
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            status["reason"] = self.reason
        if self.details is not None:
            status["details"] = dict(self.details)
        status["code"] = self.code
        return status


class PathNotFoundError(Exception):
    """Nothing is served at the path: the answer is plain text, not a Status object."""


@dataclass(frozen=True, slots=True)
class GroupName:
    """A resource (`configmaps`) or a kind (`ConfigMap`) with the API group it belongs to."""

    group: str
    name: str

    def __str__(self) -> str:
        return f"{self.name}.{self.group}" if self.group else self.name

    def details(self, name: str) -> dict[str, Any]:
        """Return the `details` that name one object of this resource or kind."""
        pairs = {"name": name, "group": self.group, "kind": self.name}
        return {key: value for key, value in pairs.items() if value}


@dataclass(frozen=True, slots=True)
class FieldError:
    """One field that is wrong, as k8s.io/apimachinery/pkg/util/validation/field words it."""

    field: str
    reason: str
    detail: str

    @classmethod
    def invalid(cls, field: str, value: object, detail: str) -> FieldError:
        """A value of the right type that is not acceptable."""
        shown = f'"{value}"' if isinstance(value, str) else str(value)
        return cls(field, "FieldValueInvalid", f"Invalid value: {shown}: {detail}")

    @classmethod
    def required(cls, field: str, detail: str = "") -> FieldError:
        """A value that is missing."""
        return cls(field, "FieldValueRequired", "Required value" + (f": {detail}" if detail else ""))

    @classmethod
    def not_supported(cls, field: str, value: object, supported: Sequence[str]) -> FieldError:
        """A value that is not one of those there are."""
        shown, listed = json.dumps(value), ", ".join(f'"{each}"' for each in supported)
        detail = f"Unsupported value: {shown}: supported values: {listed}"
        return cls(field, "FieldValueNotSupported", detail)

    @classmethod
    def forbidden(cls, field: str, detail: str) -> FieldError:
        """A value that may not be given here."""
        return cls(field, "FieldValueForbidden", f"Forbidden: {detail}")


def bad_request(message: str) -> APIError:
    """The request makes no sense (400)."""
    return APIError(HTTPStatus.BAD_REQUEST, "BadRequest", message)


def unauthorized() -> APIError:
    """The credentials say nobody (401)."""
    return APIError(HTTPStatus.UNAUTHORIZED, "Unauthorized", "Unauthorized")


def forbidden(resource: GroupName, name: str, why: str) -> APIError:
    """The user may not do this (403)."""
    if not resource.name:
        message = f"forbidden: {why}"
    elif not name:
        message = f"{resource} is forbidden: {why}"
    else:
        message = f'{resource} "{name}" is forbidden: {why}'
    return APIError(HTTPStatus.FORBIDDEN, "Forbidden", message, resource.details(name))


def not_found(resource: GroupName, name: str) -> APIError:
    """The object does not exist (404)."""
    return APIError(
        HTTPStatus.NOT_FOUND, "NotFound", f'{resource} "{name}" not found', resource.details(name)
    )


def resource_not_found() -> APIError:
    """The API group has no such resource (404)."""
    message = "the server could not find the requested resource"
    return APIError(HTTPStatus.NOT_FOUND, "NotFound", message, {})


def method_not_allowed() -> APIError:
    """The resource has no such verb (405)."""
    return APIError(
        HTTPStatus.METHOD_NOT_ALLOWED,
        "MethodNotAllowed",
        "the server does not allow this method on the requested resource",
        {},
    )


def not_acceptable(accepted: Sequence[str]) -> APIError:
    """No representation suits the client (406)."""
    listed = ", ".join(accepted)
    message = f"406: Not Acceptable\n\nAvailable representations: {listed}"
    return APIError(HTTPStatus.NOT_ACCEPTABLE, "NotAcceptable", message, {})


def already_exists(resource: GroupName, name: str) -> APIError:
    """An object of that name exists (409)."""
    return APIError(
        HTTPStatus.CONFLICT, "AlreadyExists", f'{resource} "{name}" already exists', resource.details(name)
    )


def conflict(resource: GroupName, name: str, why: str) -> APIError:
    """The object is not the one the client saw (409)."""
    message = f'Operation cannot be fulfilled on {resource} "{name}": {why}'
    return APIError(HTTPStatus.CONFLICT, "Conflict", message, resource.details(name))


def modified(resource: GroupName, name: str) -> APIError:
    """The object changed since the client read it (409)."""
    why = "the object has been modified; please apply your changes to the latest version and try again"
    return conflict(resource, name, why)


def expired(message: str) -> APIError:
    """The state the client wants is no longer kept (410)."""
    return APIError(HTTPStatus.GONE, "Expired", message)


def too_large(limit: int) -> APIError:
    """The body is longer than the server reads (413); `limit` is in bytes."""
    return APIError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "RequestEntityTooLarge",
        f"Request entity too large: limit is {limit}",
    )


def unsupported_media_type(accepted: Sequence[str]) -> APIError:
    """The body has a type the server does not read (415); those it reads may be left unsaid."""
    if not accepted:
        message = "415: Unsupported Media Type"
        return APIError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message, {})
    listed = ", ".join(accepted)
    message = f"the body of the request was in an unknown format - accepted media types include: {listed}"
    return APIError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message)


def invalid(kind: GroupName, name: str, errors: Sequence[FieldError]) -> APIError:
    """The object breaks the rules of its kind (422)."""
    texts = list(dict.fromkeys(f"{error.field}: {error.detail}" for error in errors))
    listed = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    causes = [{"reason": error.reason, "message": error.detail, "field": error.field} for error in errors]
    return APIError(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "Invalid",
        f'{kind} "{name}" is invalid: {listed}',
        {**kind.details(name), "causes": causes},
    )


def resource_version_too_large(asked: int, current: int) -> APIError:
    """The client has seen a state that this server has not reached (504)."""
    return APIError(
        HTTPStatus.GATEWAY_TIMEOUT,
        "Timeout",
        f"Timeout: Too large resource version: {asked}, current: {current}",
        {
            "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
            "retryAfterSeconds": 1,
        },
    )
