"""Which request goes where: Envoy's RouteConfiguration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.embedded.gateway.limits import FILTER as LIMITS_FILTER
from app.embedded.gateway.limits import INFERENCE, METADATA, MODELS
from app.embedded.gateway.usage import JSON_FILTER, STREAM_FILTER

if TYPE_CHECKING:
    from collections.abc import Sequence

ROUTE_CONFIGURATION = "maas-routes"
AUTHORIZATION_FILTER = "envoy.filters.http.ext_authz"
PUBLIC_APP = "public-app"
GATEWAY_APP = "gateway-app"
MODEL = "model"

# Whatever names or proves the person stays on this side of the model. The model is not asked to compress
# either: nobody could read the usage in its answers then.
_NOT_FOR_MODELS = ["authorization", "x-forwarded-access-token", "cookie", "accept-encoding"]
_RATE_HEADERS = ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"]


@dataclass(frozen=True)
class RouteSettings:
    """How patient the routes are.

    Attributes:
        answer_seconds: How long the service may take for one answer.
        silence_seconds: How long a stream from a model may be silent; its length has no limit.
    """

    answer_seconds: int = 30
    silence_seconds: int = 300


def route_configuration(models: Sequence[str], settings: RouteSettings | None = None) -> dict[str, Any]:
    """Return the RouteConfiguration for these models.

    `/maas-api` and `/v1/models` are answered by the service. Anything else under `/v1` goes to the
    model that the authorizer named in `x-maas-model`, and without such a model to the service,
    which answers `model_not_found`. There is nothing else, and no route leads to the gateway app.

    Args:
        models: The ids of the models there are, each once.
        settings: How patient the routes are.

    Raises:
        ValueError: An id is empty.
    """
    if not all(models):
        raise ValueError("a model needs an id")
    patience = settings or RouteSettings()
    service = {"cluster": PUBLIC_APP, "timeout": f"{patience.answer_seconds}s", "retry_policy": _RETRY}
    model = {
        "cluster": MODEL,
        "timeout": "0s",
        "idle_timeout": f"{patience.silence_seconds}s",
        "retry_policy": _RETRY,
    }
    return {
        "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        "name": ROUTE_CONFIGURATION,
        "virtual_hosts": [
            {
                "name": "maas",
                "domains": ["*"],
                "routes": [
                    {
                        "name": "maas-api",
                        "match": {"path_separated_prefix": "/maas-api"},
                        "route": service,
                        "typed_per_filter_config": _OPEN,
                    },
                    {
                        "name": "models",
                        "match": {"path_separated_prefix": "/v1/models"},
                        "route": service,
                        "typed_per_filter_config": _UNREAD,
                        **_counted(MODELS),
                    },
                    *(
                        {
                            "name": f"model:{name}",
                            "match": {
                                "path_separated_prefix": "/v1",
                                "headers": [{"name": "x-maas-model", "string_match": {"exact": name}}],
                            },
                            "route": model,
                            "request_headers_to_remove": _NOT_FOR_MODELS,
                            **_counted(INFERENCE),
                        }
                        for name in models
                    ),
                    {
                        "name": "no-model",
                        "match": {"path_separated_prefix": "/v1"},
                        "route": service,
                        **_counted(INFERENCE),
                    },
                    {
                        "name": "nothing",
                        "match": {"prefix": "/"},
                        "direct_response": {"status": 404},  # Its body: see `replies`.
                        "typed_per_filter_config": _OPEN,
                    },
                ],
            }
        ],
    }


# Only what the other side cannot have begun to work on.
_RETRY = {"retry_on": "connect-failure,refused-stream,reset-before-request", "num_retries": 2}

# Filters act on every route that does not say otherwise.
_OFF = {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": True}
_UNREAD = {JSON_FILTER: _OFF, STREAM_FILTER: _OFF}
_OPEN = {
    AUTHORIZATION_FILTER: {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute",
        "disabled": True,
    },
    LIMITS_FILTER: _OFF,
    **_UNREAD,
}


def _counted(counter: str) -> dict[str, Any]:
    return {
        "metadata": {"filter_metadata": {METADATA: {"counter": counter}}},
        "response_headers_to_remove": _RATE_HEADERS,
    }
