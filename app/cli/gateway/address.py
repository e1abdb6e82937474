"""Where the gateway is, as the cluster tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.cli.kubectl import NotFoundError, UnknownKindError, items

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.cli.kubectl import Kubectl

GATEWAYS = "gateways.gateway.networking.k8s.io"
OPENSHIFT_ROUTES = "routes.route.openshift.io"

_HTTPS = 443


def gateway_url(name: str, routes: Iterable[dict[str, Any]], gateway: dict[str, Any] | None) -> str:
    """The gateway's address: that of an OpenShift Route to it, or of its load balancer; empty for neither.

    Args:
        name: of the Gateway.
        routes: the OpenShift Routes of its namespace.
        gateway: the Gateway itself, if it is there.
    """
    for route in routes:
        spec = route["spec"]
        if spec["to"]["name"].startswith(name) and (host := spec.get("host")):
            return f"https://{host}"
    for address in (gateway or {}).get("status", {}).get("addresses", ()):
        for listener in (gateway or {})["spec"]["listeners"]:
            if listener["protocol"] == "HTTPS":
                return _url(address["value"], listener)
    return ""


async def find(kubectl: Kubectl, namespace: str, name: str) -> str:
    """As `gateway_url`, of what is in the cluster.

    Raises:
        KubectlError: the cluster cannot be asked.
    """
    where = f"--namespace={namespace}"
    try:
        routes = items(await kubectl.json("get", OPENSHIFT_ROUTES, where))
    except UnknownKindError:
        routes = []
    try:
        gateway = await kubectl.json("get", GATEWAYS, name, where)
    except (NotFoundError, UnknownKindError):
        gateway = None
    return gateway_url(name, routes, gateway)


def _url(address: str, listener: dict[str, Any]) -> str:
    host, port = listener.get("hostname") or address, listener["port"]
    host = f"[{host}]" if ":" in host else host.replace("*.", "maas.")
    return f"https://{host}" if port == _HTTPS else f"https://{host}:{port}"
