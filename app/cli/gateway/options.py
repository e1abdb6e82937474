"""The options about the gateway, the same for every command that has them."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Annotated

import typer

GatewayAddress = Annotated[
    str,
    typer.Option(
        "--gateway",
        envvar="GATEWAY_URL",
        metavar="HOST[:PORT]",
        help="The gateway, or its URL; by default the Route or the Gateway's status says where it is.",
        show_default=False,
    ),
]
CaCertificates = Annotated[
    Path | None,
    typer.Option("--cacert", help="CA certificates of the gateway (PEM).", exists=True, dir_okay=False),
]
Insecure = Annotated[
    bool,
    typer.Option(
        "--insecure",
        "-k",
        help="Take any certificate, as curl -k does: whoever is in between reads your token.",
    ),
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        help="File with a caller token. Otherwise: MAAS_CALLER_TOKEN, or the one you are logged in with.",
        exists=True,
        dir_okay=False,
    ),
]


def check(gateway: str, cacert: Path | None, *, insecure: bool) -> str:
    """The gateway's URL as given, `https://` before it where it names no scheme; empty if none is given.

    Raises:
        typer.BadParameter: it is no address, or the options contradict each other.
    """
    if cacert and insecure:
        raise typer.BadParameter("--cacert and --insecure contradict each other", param_hint="--insecure")
    url = gateway if "://" in gateway or not gateway else f"https://{gateway}"
    if url and not url.startswith(("https://", "http://")):
        raise typer.BadParameter("expected HOST, HOST:PORT or https://HOST", param_hint="--gateway")
    return url.rstrip("/")


def trust(cacert: Path | None, *, insecure: bool) -> ssl.SSLContext | bool:
    """Which certificates httpx takes.

    Raises:
        OSError: the file cannot be read, or has no certificates (ssl.SSLError).
    """
    if cacert is None:
        return not insecure
    return ssl.create_default_context(cafile=str(cacert))
