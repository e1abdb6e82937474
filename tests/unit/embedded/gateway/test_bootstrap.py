from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.embedded.gateway.addresses import GatewayAddresses
from app.embedded.gateway.bootstrap import bootstrap
from app.embedded.gateway.certificates import Certificates
from app.embedded.gateway.listener import ListenerSettings
from app.embedded.gateway.state import StateDirectory

STATE = StateDirectory(Path("/state"))
CERTIFICATES = Certificates(Path("/ca.pem"), Path("/server.pem"), Path("/server.key"))
ADDRESSES = GatewayAddresses(
    listen=("127.0.0.1", 8443),
    public_app=("127.0.0.1", 8080),
    gateway_app=("::1", 8081),
    model=("models.example", 8000),
)


def connection_manager(**settings: Any) -> dict[str, Any]:
    made = bootstrap(ADDRESSES, STATE, CERTIFICATES, ListenerSettings(**settings))
    (listener,) = made["static_resources"]["listeners"]
    (chain,) = listener["filter_chains"]
    manager: dict[str, Any] = chain["filters"][0]["typed_config"]
    return manager


def authorization(**settings: Any) -> dict[str, Any]:
    filters = {entry["name"]: entry for entry in connection_manager(**settings)["http_filters"]}
    found: dict[str, Any] = filters["envoy.filters.http.ext_authz"]["typed_config"]
    return found


def test_addresses_that_are_names_are_resolved() -> None:
    clusters = bootstrap(ADDRESSES, STATE, CERTIFICATES)["static_resources"]["clusters"]

    assert {cluster["name"]: cluster["type"] for cluster in clusters} == {
        "public-app": "STATIC",
        "gateway-app": "STATIC",
        "model": "STRICT_DNS",
    }


def test_admin_is_on_the_loopback_interface_unless_said_otherwise() -> None:
    admin = bootstrap(ADDRESSES, STATE, CERTIFICATES)["admin"]["address"]

    assert admin == {"socket_address": {"address": "127.0.0.1", "port_value": 0}}


def test_old_versions_of_tls_are_not_spoken() -> None:
    (listener,) = bootstrap(ADDRESSES, STATE, CERTIFICATES)["static_resources"]["listeners"]

    tls = listener["filter_chains"][0]["transport_socket"]["typed_config"]["common_tls_context"]
    assert tls["tls_params"] == {"tls_minimum_protocol_version": "TLSv1_2"}
    assert tls["alpn_protocols"] == ["h2", "http/1.1"]


def test_authorization_comes_before_limits_and_fails_closed() -> None:
    names = [entry["name"] for entry in connection_manager()["http_filters"]]

    assert names.index("envoy.filters.http.ext_authz") < names.index("maas.limits")
    assert names[-1] == "envoy.filters.http.router"
    assert authorization()["failure_mode_allow"] is False


def test_what_the_authorizer_may_cost_is_a_setting() -> None:
    made = authorization(max_request_bytes=1234, authorize_seconds=1.5)

    assert made["with_request_body"]["max_request_bytes"] == 1234
    assert made["http_service"]["server_uri"]["timeout"] == "1.5s"


@pytest.mark.parametrize(
    ("chosen", "path"), [(None, "/state/access.log"), (Path("/dev/stdout"), "/dev/stdout")]
)
def test_the_access_log_goes_where_it_is_told(chosen: Path | None, path: str) -> None:
    log, *_ = connection_manager(access_log=chosen)["access_log"]

    assert log["typed_config"]["path"] == path
