"""The listener of the gateway: HTTPS, clean paths, clean headers, and the filters in their order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from app.embedded.gateway import limits, tracing
from app.embedded.gateway.access_log import access_log
from app.embedded.gateway.addresses import socket_address
from app.embedded.gateway.metering import MeteringSettings, metering
from app.embedded.gateway.replies import RETRY_AFTER_LUA, local_replies
from app.embedded.gateway.routes import AUTHORIZATION_FILTER, GATEWAY_APP, ROUTE_CONFIGURATION
from app.embedded.gateway.usage import usage_filters

if TYPE_CHECKING:
    from pathlib import Path

    from app.embedded.gateway.addresses import Address
    from app.embedded.gateway.certificates import Certificates
    from app.embedded.gateway.state import StateDirectory
    from app.embedded.gateway.tracing import GatewayTracing

_FILTERS = "type.googleapis.com/envoy.extensions.filters"

# Nobody behind the gateway believes what a client says in these headers. Some of them Envoy then
# writes itself: the address, the scheme, a new request id.
_FORGEABLE_PREFIXES = ("x-maas-", "x-envoy-", "x-remote-", "x-auth-")
_FORGEABLE = (
    "forwarded",
    "x-forwarded-email",
    "x-forwarded-for",
    "x-forwarded-groups",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-preferred-username",
    "x-forwarded-proto",
    "x-forwarded-user",
    "x-real-ip",
    "x-request-id",
)


@dataclass(frozen=True)
class ListenerSettings:
    """What the listener accepts.

    Attributes:
        max_request_bytes: The largest body of an inference request.
        authorize_seconds: How long the authorizer may take.
        silence_seconds: How long a request or an answer may be silent.
        access_log: Where the access log goes; None means into the state directory.
        tracing: Where spans go; None means that nothing is traced.
        metering: How requests and LLM tokens are counted; None means not at all.
    """

    max_request_bytes: int = 10 * 1024 * 1024
    authorize_seconds: float = 5
    silence_seconds: int = 300
    access_log: Path | None = None
    tracing: GatewayTracing | None = None
    metering: MeteringSettings | None = field(default_factory=MeteringSettings)


def listener(
    address: Address, state: StateDirectory, certificates: Certificates, settings: ListenerSettings
) -> dict[str, Any]:
    """Return Envoy's Listener."""
    return {
        "name": "maas-default-gateway",
        "address": socket_address(address),
        # Without this a second gateway on the same port would start and take half of the requests.
        "enable_reuse_port": False,
        "filter_chains": [
            {
                "transport_socket": _tls(certificates),
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": _connection_manager(state, settings),
                    }
                ],
            }
        ],
    }


def watched_file(path: Path) -> dict[str, Any]:
    """Return a ConfigSource that reads `path` again whenever it is replaced."""
    return {
        "resource_api_version": "V3",
        "path_config_source": {"path": str(path), "watched_directory": {"path": str(path.parent)}},
    }


def _tls(certificates: Certificates) -> dict[str, Any]:
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
                "tls_certificates": [
                    {
                        "certificate_chain": {"filename": str(certificates.chain)},
                        "private_key": {"filename": str(certificates.key)},
                    }
                ],
            },
        },
    }


def _connection_manager(state: StateDirectory, settings: ListenerSettings) -> dict[str, Any]:
    return {
        "@type": f"{_FILTERS}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "gateway",
        "codec_type": "AUTO",
        "rds": {"route_config_name": ROUTE_CONFIGURATION, "config_source": watched_file(state.routes)},
        # One path for routes, filters and applications. `%2F` is turned into `/` by a redirect, so that
        # everybody sees the path that was meant; ids of models have slashes, and clients escape them.
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "UNESCAPE_AND_REDIRECT",
        "use_remote_address": True,
        "always_set_request_id_in_response": True,
        "server_header_transformation": "PASS_THROUGH",
        "common_http_protocol_options": {
            "headers_with_underscores_action": "DROP_HEADER",  # x_maas_user is x-maas-user to some servers.
            "idle_timeout": "3600s",
            "max_headers_count": 100,
        },
        "http2_protocol_options": {
            "max_concurrent_streams": 100,
            "initial_stream_window_size": 256 * 1024,
            "initial_connection_window_size": 1024 * 1024,
        },
        "request_headers_timeout": "10s",
        "stream_idle_timeout": f"{settings.silence_seconds}s",
        "early_header_mutation_extensions": [_forget_forgeable_headers(settings)],
        **({"tracing": tracing.tracing(settings.tracing)} if settings.tracing else {}),
        "access_log": [
            access_log(settings.access_log or state.access_log),
            *(metering(settings.metering) if settings.metering else ()),
        ],
        "local_reply_config": local_replies(settings.max_request_bytes),
        "http_filters": [
            _retry_after(),
            _authorization(settings),
            {
                "name": limits.FILTER,
                "config_discovery": {
                    "config_source": watched_file(state.limits),
                    "type_urls": [limits.TYPE_URL],
                },
            },
            *(usage_filters(settings.max_request_bytes) if settings.metering else ()),
            {
                "name": "envoy.filters.http.router",
                "typed_config": {
                    "@type": f"{_FILTERS}.http.router.v3.Router",
                    "suppress_envoy_headers": True,
                },
            },
        ],
    }


def _forget_forgeable_headers(settings: ListenerSettings) -> dict[str, Any]:
    """Return the extension that acts before the first route is chosen."""
    names = _FORGEABLE + (tracing.CLIENT_HEADERS if settings.tracing else ())
    return {
        "name": "envoy.http.early_header_mutation.header_mutation",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.http.early_header_mutation."
            "header_mutation.v3.HeaderMutation",
            "mutations": [
                *(
                    {"remove_on_match": {"key_matcher": {"prefix": prefix, "ignore_case": True}}}
                    for prefix in _FORGEABLE_PREFIXES
                ),
                *({"remove": name} for name in names),
            ],
        },
    }


def _retry_after() -> dict[str, Any]:
    return {
        "name": "envoy.filters.http.lua",
        "typed_config": {
            "@type": f"{_FILTERS}.http.lua.v3.Lua",
            "default_source_code": {"inline_string": RETRY_AFTER_LUA},
        },
    }


def _authorization(settings: ListenerSettings) -> dict[str, Any]:
    return {
        "name": AUTHORIZATION_FILTER,
        "typed_config": {
            "@type": f"{_FILTERS}.http.ext_authz.v3.ExtAuthz",
            "failure_mode_allow": False,
            "status_on_error": {"code": "ServiceUnavailable"},
            "clear_route_cache": True,  # The route is chosen again, now by x-maas-model.
            "with_request_body": {
                "max_request_bytes": settings.max_request_bytes,
                "allow_partial_message": False,
            },
            # Authorization is always among them.
            "allowed_headers": _names("content-type", "content-encoding", "x-request-id", "traceparent"),
            "http_service": {
                "server_uri": {
                    "uri": f"http://{GATEWAY_APP}",
                    "cluster": GATEWAY_APP,
                    "timeout": f"{settings.authorize_seconds}s",
                },
                "path_prefix": "/internal/authorize",
                "authorization_response": {
                    "allowed_upstream_headers": _names("x-maas-user", "x-maas-tier", "x-maas-model"),
                    "allowed_client_headers": _names("content-type", "retry-after", "www-authenticate"),
                },
            },
        },
    }


def _names(*names: str) -> dict[str, Any]:
    return {"patterns": [{"exact": name} for name in names]}
