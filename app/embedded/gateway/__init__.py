"""The local gateway: Envoy on this machine, doing what `maas-default-gateway` does in a cluster."""

from __future__ import annotations

from app.embedded.gateway.binary import find_envoy
from app.embedded.gateway.errors import EnvoyNotFoundError, EnvoyStartError, GatewayError, PortTakenError
from app.embedded.gateway.gateway import LocalGateway
from app.embedded.gateway.tracing import GatewayTracing

__all__ = [
    "EnvoyNotFoundError",
    "EnvoyStartError",
    "GatewayError",
    "GatewayTracing",
    "LocalGateway",
    "PortTakenError",
    "find_envoy",
]
