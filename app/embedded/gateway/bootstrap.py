"""What Envoy is started with: its listener, its clusters, its admin interface."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.embedded.gateway import tracing
from app.embedded.gateway.addresses import socket_address
from app.embedded.gateway.clusters import cluster
from app.embedded.gateway.listener import ListenerSettings, listener
from app.embedded.gateway.routes import GATEWAY_APP, MODEL, PUBLIC_APP

if TYPE_CHECKING:
    from app.embedded.gateway.addresses import Address, GatewayAddresses
    from app.embedded.gateway.certificates import Certificates
    from app.embedded.gateway.state import StateDirectory

_MOST_STREAMS = 10_000


def bootstrap(
    addresses: GatewayAddresses,
    state: StateDirectory,
    certificates: Certificates,
    settings: ListenerSettings | None = None,
) -> dict[str, Any]:
    """Return Envoy's bootstrap configuration.

    Routes and rate limits are not in it: Envoy reads them from the watched directory of `state`.
    """
    settings = settings or ListenerSettings()
    return {
        "node": {"id": "maas-default-gateway", "cluster": "privatemaas"},
        "admin": {
            "address": socket_address(addresses.admin),
            # Whoever reaches this port may look, but neither change nor stop anything.
            "allow_paths": [
                {"exact": "/ready"},
                {"exact": "/stats/prometheus"},
                {"exact": "/listeners?format=json"},
            ],
        },
        "static_resources": {
            "listeners": [listener(addresses.listen, state, certificates, settings)],
            "clusters": [
                _cluster(PUBLIC_APP, addresses.public_app),
                _cluster(GATEWAY_APP, addresses.gateway_app),
                _cluster(MODEL, addresses.model),
                *([tracing.cluster(settings.tracing)] if settings.tracing else []),
            ],
        },
        "overload_manager": {"resource_monitors": [_CONNECTIONS]},
    }


def _cluster(name: str, address: Address) -> dict[str, Any]:
    return {
        **cluster(name, address),
        "circuit_breakers": {
            "thresholds": [
                {
                    "max_connections": _MOST_STREAMS,
                    "max_pending_requests": _MOST_STREAMS,
                    "max_requests": _MOST_STREAMS,
                }
            ]
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http_protocol_options": {}},
                # Uvicorn closes idle connections after five seconds. Closing them first means that no
                # request is ever sent on a connection that is just going away.
                "common_http_protocol_options": {"idle_timeout": "4s"},
            }
        },
    }


_CONNECTIONS = {
    "name": "envoy.resource_monitors.global_downstream_max_connections",
    "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.resource_monitors."
        "downstream_connections.v3.DownstreamConnectionsConfig",
        "max_active_downstream_connections": _MOST_STREAMS,
    },
}
