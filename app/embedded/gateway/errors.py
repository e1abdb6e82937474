"""What can go wrong when the local gateway starts."""

from __future__ import annotations


class GatewayError(Exception):
    """The local gateway cannot do what was asked; the message says why and what to do."""


class EnvoyNotFoundError(GatewayError):
    """No Envoy is installed."""


class PortTakenError(GatewayError):
    """The address that the gateway should listen on cannot be had.

    Attributes:
        host: The address.
        port: The port.
    """

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(
            f"The gateway cannot listen on {host}:{port} ({reason}). "
            "Stop the program that uses this port, or choose another one."
        )
        self.host = host
        self.port = port


class EnvoyStartError(GatewayError):
    """Envoy ended, or was not ready in time; the message ends with the last lines of its log."""
