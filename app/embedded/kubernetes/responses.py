"""Answers: JSON in the form the client accepts, Status objects, and the plain 404 of unknown paths."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
from starlette.responses import PlainTextResponse, Response

from app.embedded.kubernetes import protobuf
from app.embedded.kubernetes.errors import not_acceptable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.embedded.kubernetes.errors import APIError
    from app.embedded.kubernetes.resources import Resource
    from app.embedded.kubernetes.storage import Object, Stored

_ANY_JSON = frozenset(("application/json", "application/*", "*/*", ""))
_TRANSFORMED = frozenset(("Table", "PartialObjectMetadata", "PartialObjectMetadataList"))


def accepted_form(accept: str) -> str:
    """Return in which form the client wants objects: empty for as they are, or `Table`, or metadata only.

    Raises:
        APIError: The client accepts neither JSON nor anything more general (406).
    """
    for media_range in accept.split(","):
        media_type, *parameters = (part.strip() for part in media_range.split(";"))
        if media_type not in _ANY_JSON:
            continue
        given = dict(parameter.partition("=")[::2] for parameter in parameters)
        form = given.get("as", "")
        if form in _TRANSFORMED and given.get("g") == "meta.k8s.io" and given.get("v") == "v1":
            return form
        if not form:
            return ""
    raise not_acceptable(("application/json", "application/yaml", protobuf.MEDIA_TYPE))


def json(value: Any, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None) -> Response:
    """Return a value as JSON."""
    return Response(orjson.dumps(value) + b"\n", status, headers, "application/json")


def stored(value: Stored, status: int = HTTPStatus.OK) -> Response:
    """Return an object as it is kept."""
    return Response(value.json, status, media_type="application/json")


def embedded(value: Stored) -> orjson.Fragment:
    """Return an object as part of something larger, without writing its JSON again."""
    return orjson.Fragment(value.json)


def _item(resource: Resource, value: Stored) -> orjson.Fragment:
    if resource.custom:
        return orjson.Fragment(value.json)
    # The items of a typed list do not repeat what the list says they are.
    return orjson.Fragment(b"{" + value.json[len(resource.identity) :])


def listing(resource: Resource, items: list[Stored], metadata: Object) -> Response:
    """Return a list of objects."""
    body = {
        "kind": f"{resource.kind}List",
        "apiVersion": resource.group_version,
        "metadata": metadata,
        "items": [_item(resource, value) for value in items],
    }
    return json(body)


def deleted(resource: Resource, value: Stored) -> Response:
    """Say that an object is gone."""
    details = {**resource.qualified.details(value.name), "uid": value.metadata["uid"]}
    return json(
        {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
    )


def failure(error: APIError) -> Response:
    """Return a failure as a Status object."""
    headers = {}
    if error.details and "retryAfterSeconds" in error.details:
        headers["Retry-After"] = str(error.details["retryAfterSeconds"])
    return json(error.status(), error.code, headers)


def path_not_found() -> Response:
    """Say that nothing is served at a path."""
    return PlainTextResponse(
        "404 page not found\n", HTTPStatus.NOT_FOUND, headers={"X-Content-Type-Options": "nosniff"}
    )
