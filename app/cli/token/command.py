"""The commands: options in, exit code out; a token is all that is printed where one was asked for."""

from __future__ import annotations

import sys
from typing import Annotated

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


def create_token() -> typer.Typer:
    """`maasctl token` with its commands."""
    cli = typer.Typer(
        no_args_is_help=True,
        help="Get, list and revoke MaaS tokens, with the token you are logged in to the cluster with.",
    )
    cli.command("get")(get)
    cli.command("list")(list_tokens)
    cli.command("revoke")(revoke)
    return cli


def get(
    *,
    name: Annotated[str, typer.Option(help="Your own name for it, to tell it from others.")] = "",
    expiration: Annotated[
        str | None, typer.Option(metavar="DURATION", help="How long it lives, such as 4h; a day by default.")
    ] = None,
    gateway: GatewayAddress = "",
    cacert: CaCertificates = None,
    insecure: Insecure = False,
    token_file: TokenFile = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    gateway_name: GatewayName = DEFAULT_GATEWAY,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Get a MaaS token and print it, and nothing else, on standard output.

    MAAS_TOKEN=$(maasctl token get --name laptop --expiration 4h)

    Exit codes: 0 done, 1 refused or not reached, 2 wrong usage.
    """
    login = Login("token get", token_file, namespace, gateway_name, kubeconfig, context)
    with login.gateway(gateway, cacert, insecure=insecure) as maas:
        issued = maas.issue(name, expiration)
    about = f"tier {issued['tier']}, expires {issued['expiresAt']}, id {issued['id']}"
    typer.echo(about, err=True)
    typer.echo(issued["token"])


def list_tokens(
    *,
    gateway: GatewayAddress = "",
    cacert: CaCertificates = None,
    insecure: Insecure = False,
    token_file: TokenFile = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    gateway_name: GatewayName = DEFAULT_GATEWAY,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """List your own live MaaS tokens, oldest first.

    On a terminal as a table, elsewhere one id a line:
    maasctl token list | xargs -n 1 maasctl token revoke

    Exit codes: 0 done, 1 refused or not reached, 2 wrong usage.
    """
    login = Login("token list", token_file, namespace, gateway_name, kubeconfig, context)
    with login.gateway(gateway, cacert, insecure=insecure) as maas:
        tokens = list(maas.tokens())
    if not sys.stdout.isatty():
        for found in tokens:
            typer.echo(found["id"])
        return
    table = Table("id", "name", "tier", "created", "expires")
    for found in tokens:
        cells = (found[key] for key in ("id", "name", "tier", "createdAt", "expiresAt"))
        table.add_row(*map(escape, cells))
    Console(highlight=False).print(table)


def revoke(
    *,
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]…", help="The tokens, as `list` names them.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Revoke all of your tokens.")] = False,
    gateway: GatewayAddress = "",
    cacert: CaCertificates = None,
    insecure: Insecure = False,
    token_file: TokenFile = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    gateway_name: GatewayName = DEFAULT_GATEWAY,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Revoke some of your MaaS tokens, or all; they are refused from then on.

    Exit codes: 0 done, 1 refused or not reached, 2 wrong usage.
    """
    if bool(ids) == everything:
        typer.echo("maasctl token revoke: name the tokens, or give --all", err=True)
        raise typer.Exit(2)
    login = Login("token revoke", token_file, namespace, gateway_name, kubeconfig, context)
    with login.gateway(gateway, cacert, insecure=insecure) as maas:
        if everything:
            typer.echo(f"revoked {maas.revoke_all()}", err=True)
        for token_id in ids or ():
            maas.revoke(token_id)
            typer.echo(f"revoked {token_id}", err=True)
