"""What is at the paths that are no resources: health, version, discovery, OpenAPI, OpenID Connect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import PlainTextResponse

from app.embedded.kubernetes import discovery, openapi, responses
from app.embedded.kubernetes.errors import PathNotFoundError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from app.embedded.kubernetes.cluster import Cluster

_HEALTH = frozenset(("/healthz", "/livez", "/readyz"))


def respond(cluster: Cluster, request: Request, path: str) -> Response:
    """Return the document at a path.

    Raises:
        PathNotFoundError: There is none.
    """
    path = path.rstrip("/")
    if path in _HEALTH:
        return PlainTextResponse("ok", headers={"X-Content-Type-Options": "nosniff"})
    if path in ("/api", "/apis") and discovery.wants_aggregated(request.headers.get("accept", "")):
        names = [""] if path == "/api" else list(cluster.catalogue.groups())
        body = discovery.aggregated(cluster.catalogue, names)
        return responses.json(body, headers={"Content-Type": discovery.AGGREGATED})
    if path == "/openid/v1/jwks":
        keys = cluster.signer.key_set()
        return responses.json(keys, headers={"Content-Type": "application/jwk-set+json"})
    found = _discovery(cluster, path.strip("/").split("/")) or _other(cluster, request, path)
    if found is None:
        raise PathNotFoundError
    return responses.json(found)


def _discovery(cluster: Cluster, parts: list[str]) -> dict[str, Any] | None:
    catalogue, found = cluster.catalogue, None
    match parts:
        case ["api"]:
            found = discovery.versions()
        case ["apis"]:
            found = discovery.groups(catalogue)
        case ["apis", group]:
            found = discovery.group(catalogue, group)
        case ["api", version]:
            found = discovery.resources(catalogue, "", version)
        case ["apis", group, version]:
            found = discovery.resources(catalogue, group, version)
    return found


def _other(cluster: Cluster, request: Request, path: str) -> dict[str, Any] | None:
    found: dict[str, Any] | None = None
    if path == "/version":
        found = discovery.VERSION
    elif path == "/openapi/v2":
        found = openapi.v2(cluster.catalogue)
    elif path == "/openapi/v3":
        found = openapi.index(cluster.catalogue)
    elif path.startswith("/openapi/v3/"):
        found = openapi.v3(cluster.catalogue, path.removeprefix("/openapi/v3/"))
    elif path == "/.well-known/openid-configuration":
        found = cluster.signer.discovery(str(request.base_url).rstrip("/"))
    return found
