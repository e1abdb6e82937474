"""The API server as an ASGI application: who asks, may they, and who answers.

The order is that of a real API server: authentication, impersonation, authorization, and only then the
question whether there is something at the path.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote

import orjson
from starlette.requests import ClientDisconnect, Request

from app.embedded.kubernetes import (
    documents,
    handlers,
    impersonation,
    requests,
    responses,
    reviews,
    token_requests,
)
from app.embedded.kubernetes.authentication import AuthenticationError
from app.embedded.kubernetes.errors import (
    APIError,
    GroupName,
    PathNotFoundError,
    bad_request,
    forbidden,
    method_not_allowed,
    not_found,
    resource_not_found,
    unauthorized,
)
from app.embedded.kubernetes.handlers import Call
from app.embedded.kubernetes.resources import NAMESPACES
from app.embedded.kubernetes.users import ANONYMOUS, User

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from app.embedded.kubernetes.cluster import Cluster
    from app.embedded.kubernetes.rbac import Attributes
    from app.embedded.kubernetes.requests import Target
    from app.embedded.kubernetes.resources import Catalogue, Resource

_HANDLERS: dict[str, Callable[[Call], Awaitable[ASGIApp]]] = {
    "create": handlers.create,
    "delete": handlers.delete,
    "deletecollection": handlers.delete_collection,
    "get": handlers.get,
    "list": handlers.list_,
    "patch": handlers.patch_,
    "update": handlers.update,
    "watch": handlers.watch_,
}
_COLLECTION = frozenset(("create", "deletecollection", "list", "watch"))
_ALL_NAMESPACES = frozenset(("list", "watch"))
_SUBRESOURCE_VERBS = {"status": ("get", "patch", "update"), "token": ("create",)}


def create_app(cluster: Cluster) -> ASGIApp:
    """Return the API server of a cluster as an ASGI application."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(cluster, receive, send)
        elif scope["type"] == "http":
            response = await _respond(cluster, Request(scope, receive))
            if response is not None:
                await response(scope, receive, send)

    return app


async def _lifespan(cluster: Cluster, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    cluster.close()
    await send({"type": "lifespan.shutdown.complete"})


async def _respond(cluster: Cluster, request: Request) -> ASGIApp | None:
    """Return the answer to a request; None if the client went away in the middle of it."""
    try:
        await cluster.faults.strike(request.method, request.url.path)
        target = requests.target(request.method, _path(request), request.query_params)
        user = _impersonated(cluster, request, _authenticated(cluster, request))
        _authorize(cluster, user, target.attributes())
        if target.resource:
            return await _resource(cluster, request, target, user)
        if target.verb not in ("get", "head"):
            raise method_not_allowed()
        return documents.respond(cluster, request, target.path)
    except APIError as error:
        return responses.failure(error)
    except PathNotFoundError:
        return responses.path_not_found()
    except (RecursionError, orjson.JSONEncodeError):
        return responses.failure(bad_request("the object is nested too deeply"))
    except ClientDisconnect:
        return None


def _path(request: Request) -> str:
    """Return the path as it was sent: names may contain what separates them, escaped."""
    raw: bytes | None = request.scope.get("raw_path")
    return quote(request.scope["path"]) if raw is None else raw.decode("latin-1")


def _authenticated(cluster: Cluster, request: Request) -> User:
    header = request.headers.get("authorization", "")
    if not header:
        return ANONYMOUS
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer":
        raise unauthorized()
    try:
        return cluster.authenticator.authenticate(token.strip()).user
    except AuthenticationError:
        raise unauthorized() from None


def _impersonated(cluster: Cluster, request: Request, user: User) -> User:
    wanted = impersonation.requested(request.headers)
    if wanted is None:
        return user
    someone, needed = wanted
    for attributes in needed:
        _authorize(cluster, user, attributes)
    return someone


def _authorize(cluster: Cluster, user: User, wanted: Attributes) -> None:
    """Refuse what RBAC does not allow.

    Raises:
        APIError: The user may not do this (403).
    """
    if not cluster.rbac.allows(user, wanted)[0]:
        raise forbidden(GroupName(wanted.group, wanted.resource), wanted.name, wanted.refusal(user))


async def _resource(cluster: Cluster, request: Request, target: Target, user: User) -> ASGIApp:
    resource = _find(cluster.catalogue, target)
    namespace = target.namespace if resource.namespaced else ""
    if target.subresource == "token":
        return await _token(cluster, request, target)
    if resource.stored:
        return await _HANDLERS[target.verb](Call(cluster, request, target, resource, namespace, user))
    body = await requests.read_object(request)
    body.setdefault("apiVersion", resource.group_version)
    answer = reviews.answer(cluster, resource.kind, user, namespace, body)
    return responses.json(answer, HTTPStatus.CREATED)


def _find(catalogue: Catalogue, target: Target) -> Resource:
    """Return the resource that a request is for.

    Raises:
        PathNotFoundError: There is none at the path.
        APIError: There is, and it does not have the verb (405).
    """
    resource = catalogue.get(target.group, target.version, target.resource)
    if resource is None:
        if catalogue.is_builtin(target.group, target.version):
            raise resource_not_found()
        raise PathNotFoundError
    everywhere = resource.namespaced and not target.namespace
    misplaced = target.namespace and not resource.namespaced and resource is not NAMESPACES
    unknown = target.subresource and target.subresource not in resource.subresources
    if misplaced or unknown or (everywhere and target.name and target.verb not in _ALL_NAMESPACES):
        raise not_found(resource.qualified, target.name) if resource.custom else resource_not_found()
    verbs = _SUBRESOURCE_VERBS[target.subresource] if target.subresource else resource.verbs
    wants_name = target.verb not in _COLLECTION or target.subresource == "token"
    if (
        target.verb not in verbs
        or (wants_name and not target.name)
        or (target.verb == "create" and target.name and not target.subresource)
        or (everywhere and target.verb not in _ALL_NAMESPACES)
    ):
        raise method_not_allowed()
    return resource


async def _token(cluster: Cluster, request: Request, target: Target) -> ASGIApp:
    body = await requests.read_object(request)
    answer, warning = token_requests.create(cluster, target.namespace, target.name, body)
    headers = {"Warning": f'299 - "{warning}"'} if warning else {}
    return responses.json(answer, HTTPStatus.CREATED, headers)
