"""Where the gateway is, and who asks: what the operator says, or what the cluster and the login tell."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from app.cli.kubectl import KubectlError
from app.cli.verify.view import GATEWAYS, OPENSHIFT_ROUTES

if TYPE_CHECKING:
    from app.cli.kubectl import Kubectl
    from app.cli.verify.session import Options
    from app.cli.verify.view import View

_HTTPS = 443


async def gateway_url(view: View) -> str:
    """The gateway's address: that of an OpenShift Route to it, or of its load balancer; empty for neither.

    Raises:
        KubectlError: the cluster cannot be asked.
    """
    for route in await view.all(OPENSHIFT_ROUTES):
        spec = route["spec"]
        if spec["to"]["name"].startswith(view.gateway) and (host := spec.get("host")):
            return f"https://{host}"
    gateway = await view.one(GATEWAYS, view.gateway) or {}
    for address in gateway.get("status", {}).get("addresses", ()):
        for listener in gateway["spec"]["listeners"]:
            if listener["protocol"] == "HTTPS":
                return _url(address["value"], listener)
    return ""


def _url(address: str, listener: dict[str, Any]) -> str:
    host, port = listener.get("hostname") or address, listener["port"]
    host = f"[{host}]" if ":" in host else host.replace("*.", "maas.")
    return f"https://{host}" if port == _HTTPS else f"https://{host}:{port}"


async def caller_token(options: Options, kubectl: Kubectl) -> tuple[str, str]:
    """The caller token and where it comes from; two empty texts if there is none.

    Raises:
        OSError: the file cannot be read.
    """
    if options.token_file is not None:
        return (await asyncio.to_thread(options.token_file.read_text)).strip(), str(options.token_file)
    if options.caller_token:
        return options.caller_token, "MAAS_CALLER_TOKEN"
    if kubectl.name == "oc" and (token := await _said(kubectl, "whoami", "--show-token")):
        return token, "oc whoami -t"
    shown = ("config", "view", "--minify", "--raw", "--output=jsonpath={.users[0].user.token}")
    if token := await _said(kubectl, *shown):
        return token, "the kubeconfig"
    return "", ""


async def _said(kubectl: Kubectl, *arguments: str) -> str:
    try:
        return (await kubectl.text(*arguments)).strip()
    except KubectlError:
        return ""
