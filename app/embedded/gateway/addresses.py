"""Who listens where."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from typing import Any

from app.embedded.gateway.errors import PortTakenError

Address = tuple[str, int]


@dataclass(frozen=True)
class GatewayAddresses:
    """Where everything is, as (host, port).

    Attributes:
        listen: Where the gateway listens for HTTPS; port 0 is any free one.
        public_app: The public app.
        gateway_app: The gateway app, which authorizes.
        model: The model server.
        admin: Envoy's admin interface; port 0 is any free one.
    """

    listen: Address
    public_app: Address
    gateway_app: Address
    model: Address
    admin: Address = ("127.0.0.1", 0)


def socket_address(address: Address) -> dict[str, Any]:
    """Return an address the way Envoy writes it."""
    host, port = address
    return {"socket_address": {"address": host, "port_value": port}}


def is_ip(host: str) -> bool:
    """Return whether `host` is an IP address and no name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def ensure_free(address: Address) -> None:
    """Return if a server can listen on `address` now.

    Raises:
        PortTakenError: Another program listens there, or this one may not.
    """
    host, port = address
    try:
        family, kind, _, _, target = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            # Old connections that are still closing do not count, listeners do.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(target)
    except OSError as error:
        raise PortTakenError(host, port, error.strerror or str(error)) from error
