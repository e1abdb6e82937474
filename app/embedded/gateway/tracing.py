"""The gateway's own spans, which begin every trace: Envoy's OpenTelemetry tracer, by OTLP over HTTP.

A trace begins here and nowhere before: Envoy would record whatever the `traceparent` of a client says is
recorded, and a client's `x-client-trace-id` is an order to trace. What Envoy writes down of a request by
itself holds its path and query, in which people put tokens, so of an address only the host is left.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import certifi

from app.embedded.gateway import clusters
from app.embedded.gateway.addresses import is_ip

if TYPE_CHECKING:
    from collections.abc import Mapping

CLUSTER = "traces"
CLIENT_HEADERS = ("traceparent", "tracestate", "x-client-trace-id")
"""What clients must not send where the gateway traces."""

_SEND_SECONDS = 1


@dataclass(frozen=True)
class GatewayTracing:
    """Where the gateway's spans go.

    Attributes:
        endpoint: the base address of an OTLP/HTTP collector.
        ratio: the share of requests that is traced.
        headers: for the collector.
        ca_file: CA certificates to trust an https collector by; None for the public ones.
        user_names: whether users are named.
        service_name: the gateway's name in traces.
    """

    endpoint: str
    ratio: float = 1.0
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    ca_file: str | None = None
    user_names: bool = False
    service_name: str = "maas-default-gateway"


def tracing(settings: GatewayTracing) -> dict[str, Any]:
    """Return what the connection manager is told of tracing."""
    return {
        "random_sampling": {"value": settings.ratio * 100},
        "client_sampling": {"value": 0},
        "max_path_tag_length": 0,
        "operation": "%REQ(:METHOD)% %ROUTE_NAME%",
        "custom_tags": [
            {"tag": "http.route", "value": "%ROUTE_NAME%"},
            # Only the authorizer sets these.
            {"tag": "maas.tier", "request_header": {"name": "x-maas-tier"}},
            {"tag": "gen_ai.request.model", "request_header": {"name": "x-maas-model"}},
            *(
                [{"tag": "user.name", "request_header": {"name": "x-maas-user"}}]
                if settings.user_names
                else []
            ),
        ],
        "provider": {
            "name": "envoy.tracers.opentelemetry",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
                "service_name": settings.service_name,
                "http_service": {
                    "http_uri": {
                        "uri": f"{settings.endpoint}/v1/traces",
                        "cluster": CLUSTER,
                        "timeout": f"{_SEND_SECONDS}s",
                    },
                    "request_headers_to_add": [
                        {"header": {"key": name, "value": value.replace("%", "%%")}}
                        for name, value in settings.headers.items()
                    ],
                },
            },
        },
    }


def cluster(settings: GatewayTracing) -> dict[str, Any]:
    """Return the Cluster of the collector."""
    address = urlsplit(settings.endpoint)
    host, secure = address.hostname or "", address.scheme == "https"
    return {
        **clusters.cluster(CLUSTER, (host, address.port or (443 if secure else 80))),
        "dns_lookup_family": "V4_PREFERRED",  # Most of what listens on localhost does so on 127.0.0.1.
        **({"transport_socket": _tls(host, settings.ca_file)} if secure else {}),
    }


def _tls(host: str, ca_file: str | None) -> dict[str, Any]:
    kind = "ip_address" if is_ip(host) else "dns"
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            **({} if is_ip(host) else {"sni": host}),
            "common_tls_context": {
                "validation_context": {
                    "trusted_ca": {"filename": ca_file or certifi.where()},
                    "match_typed_subject_alt_names": [
                        {"san_type": kind.upper(), "matcher": {"exact": host}},
                    ],
                }
            },
        },
    }
