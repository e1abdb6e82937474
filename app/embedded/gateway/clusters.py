"""Where Envoy sends something: its Clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.embedded.gateway.addresses import is_ip, socket_address

if TYPE_CHECKING:
    from app.embedded.gateway.addresses import Address


def cluster(name: str, address: Address) -> dict[str, Any]:
    """Return a Cluster of one address, which may be a name."""
    host, _ = address
    return {
        "name": name,
        "type": "STATIC" if is_ip(host) else "STRICT_DNS",
        "connect_timeout": "2s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket_address(address)}}]}],
        },
    }
