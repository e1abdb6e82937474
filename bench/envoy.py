"""Envoy with the gateway's own configuration, made simpler where that makes sides comparable.

It listens without TLS, as whatever it is compared with does.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from app.embedded.gateway import find_envoy
from app.embedded.gateway.addresses import GatewayAddresses
from app.embedded.gateway.bootstrap import bootstrap
from app.embedded.gateway.certificates import Certificates
from app.embedded.gateway.limits import rate_limits
from app.embedded.gateway.listener import ListenerSettings
from app.embedded.gateway.resource_file import ResourceFile
from app.embedded.gateway.routes import AUTHORIZATION_FILTER, route_configuration
from app.embedded.gateway.state import StateDirectory
from bench.programs import Program, program
from tests.loopback import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

Json = dict[str, Any]
_LOOPBACK = "127.0.0.1"
# High enough that nobody is refused.
_PER_MINUTE = 1_000_000_000
_BUFFER: Json = {
    "name": "envoy.filters.http.buffer",
    "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer",
        "max_request_bytes": 65536,
    },
}


@dataclass(frozen=True)
class Envoy:
    """A running Envoy.

    Attributes:
        program: its process.
        port: where it listens.
    """

    program: Program
    port: int


@asynccontextmanager
async def whole_gateway(
    directory: Path, *, public: int, gateway: int, model: int, model_id: str, counted: bool = True
) -> AsyncIterator[Envoy]:
    """The gateway as `maasctl up` has it: authorization, choice of the model, limits, counters, access log.

    Args:
        directory: for its files.
        public: port of the public app.
        gateway: port of the gateway app.
        model: port of the model server.
        model_id: the only model.
        counted: whether requests and tokens are counted, as they are in `maasctl up`.
    """
    state = _state(directory)
    settings = ListenerSettings() if counted else ListenerSettings(metering=None)
    configuration = _shipped(state, settings, public=public, gateway=gateway, model=model)
    tiers = {"free": _PER_MINUTE, "premium": _PER_MINUTE}
    ResourceFile(state.limits).write(rate_limits(tiers))
    ResourceFile(state.routes).write(route_configuration([model_id]))
    async with _running(state, configuration) as running:
        yield running


@asynccontextmanager
async def authorizing(directory: Path, authorizer: int | Json, clusters: list[Json]) -> AsyncIterator[Envoy]:
    """Only the authorization, before an answer that Envoy gives itself.

    Args:
        directory: for its files.
        authorizer: the port of a gateway app, which is asked as in `maasctl up`; or the configuration of
            another `ext_authz` filter.
        clusters: further ones.
    """
    state = _state(directory)
    port = authorizer if isinstance(authorizer, int) else 1
    configuration = _shipped(state, gateway=port)
    manager = _manager(configuration)
    (shipped,) = (each for each in manager["http_filters"] if each["name"] == AUTHORIZATION_FILTER)
    (router,) = (each for each in manager["http_filters"] if each["name"] == "envoy.filters.http.router")
    asked = (
        shipped if isinstance(authorizer, int) else {"name": AUTHORIZATION_FILTER, "typed_config": authorizer}
    )
    manager["http_filters"] = [asked, router]
    _answer_itself(manager)
    configuration["static_resources"]["clusters"] += clusters
    async with _running(state, configuration) as running:
        yield running


@asynccontextmanager
async def answering(directory: Path) -> AsyncIterator[Envoy]:
    """No authorization at all: what Envoy and the client can do by themselves."""
    state = _state(directory)
    configuration = _shipped(state)
    manager = _manager(configuration)
    manager["http_filters"] = manager["http_filters"][-1:]
    _answer_itself(manager)
    async with _running(state, configuration) as running:
        yield running


def grpc_cluster(name: str, port: int) -> Json:
    """A cluster of one server on this machine that speaks gRPC."""
    endpoint = {"address": {"socket_address": {"address": _LOOPBACK, "port_value": port}}}
    options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "2s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}],
        },
        "typed_extension_protocol_options": {
            options: {
                "@type": f"type.googleapis.com/{options}",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
    }


def _state(directory: Path) -> StateDirectory:
    state = StateDirectory(directory)
    state.create()
    return state


def _shipped(
    state: StateDirectory,
    settings: ListenerSettings | None = None,
    *,
    public: int = 1,
    gateway: int = 1,
    model: int = 1,
) -> Json:
    """The bootstrap configuration of `maasctl up`, on free ports and without TLS."""
    addresses = GatewayAddresses(
        listen=(_LOOPBACK, free_port()),
        public_app=(_LOOPBACK, public),
        gateway_app=(_LOOPBACK, gateway),
        model=(_LOOPBACK, model),
        admin=(_LOOPBACK, free_port()),
    )
    nothing = state.path / "no-certificate"
    configuration = bootstrap(addresses, state, Certificates(nothing, nothing, nothing), settings)
    for chain in configuration["static_resources"]["listeners"][0]["filter_chains"]:
        del chain["transport_socket"]
    return configuration


def _manager(configuration: Mapping[str, Any]) -> Json:
    """The configuration of the listener's connection manager, to be changed."""
    (chain,) = configuration["static_resources"]["listeners"][0]["filter_chains"]
    manager: Json = chain["filters"][0]["typed_config"]
    return manager


def _answer_itself(manager: Json) -> None:
    """Let Envoy answer in place of a model, once it has the whole request, and write no access log."""
    # Envoy ends the connection of a client whose body it has not read when it answers.
    manager["http_filters"] = [_BUFFER, *manager["http_filters"]]
    del manager["rds"], manager["access_log"], manager["local_reply_config"]
    route = {
        "match": {"prefix": "/"},
        "direct_response": {"status": 200, "body": {"inline_string": "{}"}},
    }
    manager["route_config"] = {
        "name": "direct",
        "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}],
    }


@asynccontextmanager
async def _running(state: StateDirectory, configuration: Json) -> AsyncIterator[Envoy]:
    state.bootstrap.write_bytes(orjson.dumps(configuration))
    listener = configuration["static_resources"]["listeners"][0]["address"]["socket_address"]
    admin = configuration["admin"]["address"]["socket_address"]
    command = [str(find_envoy()), "--config-path", str(state.bootstrap), "--disable-hot-restart"]
    # One worker: with more there would be more threads than processors, beside all the others.
    command += ["--concurrency", "1", "--log-level", "warning"]
    async with program(
        command, log=state.envoy_log, ready=f"http://{_LOOPBACK}:{admin['port_value']}/ready"
    ) as running:
        yield Envoy(running, listener["port_value"])
