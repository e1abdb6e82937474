"""`maasctl usage`: what one has used, and what it costs."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from app.cli.connection import (
    DEFAULT_GATEWAY,
    DEFAULT_NAMESPACE,
    Context,
    GatewayName,
    Kubeconfig,
    Namespace,
)
from app.cli.gateway.options import CaCertificates, GatewayAddress, Insecure, TokenFile
from app.cli.token.login import Login

_AMOUNTS = ("requests", "refused", "promptTokens", "completionTokens", "unmetered")
_HEADINGS = ("requests", "refused", "prompt tokens", "completion tokens", "unmetered")


def usage(
    *,
    window: Annotated[
        str, typer.Option(metavar="DURATION", help="How far back, such as 15m, 24h or 7d.")
    ] = "24h",
    step: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Also in parts of this length, such as 1h.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Of this model only.")] = None,
    gateway: GatewayAddress = "",
    cacert: CaCertificates = None,
    insecure: Insecure = False,
    token_file: TokenFile = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    gateway_name: GatewayName = DEFAULT_GATEWAY,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Show what you have used, what it costs, and what is left of your limits.

    On a terminal as tables, elsewhere as JSON.

    Exit codes: 0 told, 1 refused or not reached, 2 wrong usage.
    """
    login = Login("usage", token_file, namespace, gateway_name, kubeconfig, context)
    with login.gateway(gateway, cacert, insecure=insecure) as maas:
        document = maas.usage(window, step, model)
    if sys.stdout.isatty():
        show(document, Console(highlight=False))
    else:
        typer.echo(json.dumps(document))


def show(document: dict[str, Any], console: Console) -> None:
    """Print what the service has answered, for people."""
    if document["steps"]:
        console.print(_table("from", document["steps"], document))
    models = [*document["models"], {"model": "total", **document["total"]}]
    console.print(_table("model", models, document))
    console.print(f"From {document['from']} to {document['to']}.")
    if not document["total"]["exact"]:
        console.print("~ a part is an estimate: a gateway has begun to count anew.")
    if not document["complete"]:
        console.print(
            "The gateway was not recorded at the beginning already; counts may be too high or too low."
        )
    for name, limit in (("requests", "requestsPerMinute"), ("tokens", "tokensPerMinute")):
        if left := (document["limits"] or {}).get(limit):
            known = left["remaining"] is not None
            said = (
                f"{left['remaining']} of {left['limit']}" if known else f"an unknown part of {left['limit']}"
            )
            console.print(
                f"Left of this minute's {name}: {said}, as of {document['limits']['asOf'] or 'never'}."
            )


def _table(first: str, rows: list[dict[str, Any]], document: dict[str, Any]) -> Table:
    table = Table(first, show_edge=False)
    for heading in (*_HEADINGS, f"cost ({document['currency']})" if document["currency"] else "cost"):
        table.add_column(escape(heading), justify="right")
    for row in rows:
        mark = "" if row["exact"] else "~"
        amounts = (f"{mark}{row[name]}" for name in _AMOUNTS)
        cost = "" if row["cost"] is None else f"{mark}{row['cost']}"
        table.add_row(*map(escape, (row[first], *amounts, cost)))
    return table
