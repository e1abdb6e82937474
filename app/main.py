"""The two applications, put together from their parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi.openapi.utils import get_openapi
from fastapi_offline import FastAPIOffline
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_fastapi_instrumentator import Instrumentator
from prometheus_fastapi_instrumentator.metrics import latency, requests
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.api import admin, errors, health, models, schemas, tiers, tokens, usage
from app.api.request_context import BodyLimit, RequestContext
from app.api.shortcut import Shortcut
from app.gateway.authorize import PREFIX, Authorizer
from app.gateway.identity import identity
from app.observability.registry import LATENCY_BUCKETS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fastapi import FastAPI
    from prometheus_fastapi_instrumentator.metrics import Info
    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from app.answers_at_once import Headers
    from app.observability.registry import Registry
    from app.service import Service

_DESCRIPTION = """
Models as a Service: exchange your cluster token for a MaaS token, and call any model your tier may use.

```
curl -X POST https://$GATEWAY_URL/maas-api/token -H "Authorization: Bearer $(oc whoami -t)"
```
"""


def create_public_app(service: Service) -> ASGIApp:
    """The app that people reach through the gateway, on the public port."""
    # Its documentation page brings its own scripts: a cluster may have no way out.
    app = FastAPIOffline(
        title="MaaS API",
        version="1",
        description=_DESCRIPTION,
        openapi_url="/maas-api/openapi.json",
        docs_url="/maas-api/docs",
        redoc_url=None,
        static_url="/maas-api/docs/assets",
        swagger_ui_oauth2_redirect_url="/maas-api/docs/oauth2-redirect",
        redirect_slashes=False,
        separate_input_output_schemas=False,
        # Its own telemetry would tell paths, queries and messages of errors. Ours: `RequestContext`.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.service = service
    for router in (tokens.router, admin.router, tiers.router, usage.router, models.router):
        app.include_router(router)
    app.include_router(health.router, prefix="/maas-api")
    errors.install(app)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]  # FastAPI's own way to extend it
    count = _counting(service.metrics.registry)
    Instrumentator(excluded_handlers=["healthz", "readyz"]).add(*count).instrument(app)
    issue = Shortcut(
        app, "POST", "/maas-api/token", tokens.issue, [service.metrics.deferred(each) for each in count]
    )
    limited = BodyLimit(issue, service.settings.http.max_body_bytes)
    return RequestContext(limited, tracer=service.tracer, access_log=True)


def create_gateway_app(service: Service) -> ASGIApp:
    """The app that only the gateway, Authorino and Prometheus reach, on the gateway port."""

    async def healthz(_request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_request: Request) -> Response:
        document = health.readiness(service)
        return JSONResponse(document, status_code=503 if document["status"] == "unavailable" else 200)

    async def metrics(_request: Request) -> Response:
        return Response(service.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)

    starlette = Starlette(
        routes=[
            Route("/internal/identity", identity, methods=["POST"]),
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
        ]
    )
    starlette.state.service = service
    # Authorino asks about every inference request: too often for a line each.
    rest = RequestContext(starlette, tracer=service.tracer, access_log=False)
    authorizer = Authorizer(service, max_body_bytes=service.settings.gateway.max_body_bytes)

    return _GatewayApp(authorizer, rest)


class _GatewayApp:
    """Has the authorizer answer what is its, at once where it can, and another application all else."""

    def __init__(self, authorizer: Authorizer, rest: ASGIApp) -> None:
        self._authorizer = authorizer
        self._rest = rest

    def at_once(self, scope: Scope, body: bytes) -> Headers | None:
        """As `app.answers_at_once` has it."""
        return self._authorizer.at_once(scope, body) if self._is_authorizers(scope) else None

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer one request."""
        return (self._authorizer if self._is_authorizers(scope) else self._rest)(scope, receive, send)

    @staticmethod
    def _is_authorizers(scope: Scope) -> bool:
        mine: bool = scope["type"] == "http" and scope["path"].startswith(PREFIX)
        return mine


def _counting(registry: Registry) -> tuple[Callable[[Info], None], ...]:
    """What takes note of each answer: how many there are, and how long they took."""
    counted = (
        requests(registry=registry),
        latency(registry=registry, should_include_status=False, buckets=LATENCY_BUCKETS),
    )
    # The library gives None only where the registry has had them before.
    return tuple(each for each in counted if each)


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        # Only referred to from the responses, where FastAPI does not look for models.
        problem = schemas.ProblemDocument.model_json_schema()
        document.setdefault("components", {}).setdefault("schemas", {})["ProblemDocument"] = problem
        app.openapi_schema = document
    return app.openapi_schema
