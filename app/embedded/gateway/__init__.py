"""The local gateway: Envoy on this machine, doing what `maas-default-gateway` does in a cluster."""

from __future__ import annotations

from .binary import find_envoy
from .errors import EnvoyNotFoundError, EnvoyStartError, GatewayError, PortTakenError
from .gateway import LocalGateway

__all__ = [
    "EnvoyNotFoundError",
    "EnvoyStartError",
    "GatewayError",
    "LocalGateway",
    "PortTakenError",
    "find_envoy",
]
