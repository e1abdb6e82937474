"""The options about the gateway, and what the cluster says of its address."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import typer

from app.cli.gateway.address import gateway_url
from app.cli.gateway.options import check, trust

if TYPE_CHECKING:
    from pathlib import Path

NAME = "maas-default-gateway"


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("", ""),
        ("maas.example.com", "https://maas.example.com"),
        ("localhost:8443", "https://localhost:8443"),
        ("https://maas.example.com/", "https://maas.example.com"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
    ],
)
def test_the_gateway_is_a_host_or_a_url(given: str, url: str) -> None:
    assert check(given, None, insecure=False) == url


def test_what_is_no_address_is_wrong_usage() -> None:
    with pytest.raises(typer.BadParameter, match="expected HOST"):
        check("ftp://maas.example.com", None, insecure=False)


def test_a_ca_and_any_certificate_contradict_each_other(tmp_path: Path) -> None:
    with pytest.raises(typer.BadParameter, match="contradict"):
        check("", tmp_path / "ca.pem", insecure=True)


def test_a_file_without_certificates_is_none_to_trust(tmp_path: Path) -> None:
    nonsense = tmp_path / "ca.pem"
    nonsense.write_text("no certificate")
    with pytest.raises(OSError):  # noqa: PT011  # ssl.SSLError, whose message is OpenSSL's
        trust(nonsense, insecure=False)


def gateway(address: str, **listener: Any) -> dict[str, Any]:
    return {
        "spec": {"listeners": [{"protocol": "HTTP", "port": 80}, {"protocol": "HTTPS", **listener}]},
        "status": {"addresses": [{"value": address}]},
    }


@pytest.mark.parametrize(
    ("found", "url"),
    [
        (gateway("192.0.2.1", port=443), "https://192.0.2.1"),
        (gateway("192.0.2.1", port=8443), "https://192.0.2.1:8443"),
        (gateway("2001:db8::1", port=443), "https://[2001:db8::1]"),
        (gateway("192.0.2.1", port=443, hostname="maas.example.com"), "https://maas.example.com"),
        (gateway("192.0.2.1", port=443, hostname="*.example.com"), "https://maas.example.com"),
        ({"spec": {"listeners": []}}, ""),
        (None, ""),
    ],
)
def test_the_gateways_status_says_where_it_is(found: dict[str, Any] | None, url: str) -> None:
    assert gateway_url(NAME, [], found) == url


def test_a_route_to_the_gateway_comes_first() -> None:
    route = {"spec": {"host": "maas.apps.example.com", "to": {"name": f"{NAME}-maas-gateway"}}}
    other = {"spec": {"host": "other.apps.example.com", "to": {"name": "other"}}}
    found = gateway("192.0.2.1", port=443)
    assert gateway_url(NAME, [other, route], found) == "https://maas.apps.example.com"
    assert gateway_url(NAME, [other], found) == "https://192.0.2.1"
