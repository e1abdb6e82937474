"""The commands: options in, exit code out; a token is all that is printed where one was asked for."""

from __future__ import annotations

import asyncio
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from app.cli.connection import Context, Kubeconfig, connect
from app.cli.environment import read_settings
from app.cli.token.gateway import Gateway, GatewayCallError, find_gateway
from app.kube.caller_token import NoCallerTokenError, caller_token

if TYPE_CHECKING:
    from collections.abc import Iterator

Address = Annotated[
    str | None,
    typer.Option(
        envvar="GATEWAY_URL",
        metavar="HOST[:PORT]",
        help="The gateway; by default the one that the cluster's Route or Gateway names.",
    ),
]
Token = Annotated[
    str | None,
    typer.Option(
        envvar="TOKEN",
        help="Your caller token, by default that of the kubeconfig. Better in the environment: others on"
        " the machine can read command lines.",
        show_default=False,
    ),
]
Ca = Annotated[
    Path | None,
    typer.Option("--ca", help="The CA of the gateway's certificate (PEM).", exists=True, dir_okay=False),
]
Insecure = Annotated[
    bool,
    typer.Option(
        "--insecure",
        "-k",
        help="Take any certificate, as curl -k does: whoever is in between reads your token.",
    ),
]


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
    gateway: Address = None,
    token: Token = None,
    ca: Ca = None,
    insecure: Insecure = False,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Get a MaaS token and print it, and nothing else, on standard output.

    MAAS_TOKEN=$(maasctl token get --name laptop --expiration 4h)

    Exit codes: 0 done, 1 refused or not reached, 2 wrong usage.
    """
    with _gateway(
        "get", gateway, token, ca, insecure=insecure, kubeconfig=kubeconfig, context=context
    ) as maas:
        issued = maas.issue(name, expiration)
    about = f"tier {issued['tier']}, expires {issued['expiresAt']}, id {issued['id']}"
    typer.echo(about, err=True)
    typer.echo(issued["token"])


def list_tokens(
    *,
    gateway: Address = None,
    token: Token = None,
    ca: Ca = None,
    insecure: Insecure = False,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """List your own live MaaS tokens, oldest first.

    On a terminal as a table, elsewhere one id a line:
    maasctl token list | xargs -n 1 maasctl token revoke

    Exit codes: 0 done, 1 refused or not reached, 2 wrong usage.
    """
    with _gateway(
        "list", gateway, token, ca, insecure=insecure, kubeconfig=kubeconfig, context=context
    ) as maas:
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
    gateway: Address = None,
    token: Token = None,
    ca: Ca = None,
    insecure: Insecure = False,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Revoke some of your MaaS tokens, or all; they are refused from then on.

    Exit codes: 0 done, 1 refused or not reached, 2 wrong usage.
    """
    if bool(ids) == everything:
        typer.echo("maasctl token revoke: name the tokens, or give --all", err=True)
        raise typer.Exit(2)
    with _gateway(
        "revoke", gateway, token, ca, insecure=insecure, kubeconfig=kubeconfig, context=context
    ) as maas:
        if everything:
            typer.echo(f"revoked {maas.revoke_all()}", err=True)
        for token_id in ids or ():
            maas.revoke(token_id)
            typer.echo(f"revoked {token_id}", err=True)


@contextmanager
def _gateway(
    command: str,
    address: str | None,
    token: str | None,
    ca: Path | None,
    *,
    insecure: bool,
    kubeconfig: Path | None,
    context: str | None,
) -> Iterator[Gateway]:
    """The gateway, with the caller's token; what goes wrong there is said, and ends the command."""
    try:
        bearer = token or asyncio.run(caller_token(kubeconfig, context))
        where = address
        if not where:
            kubectl = connect(f"token {command}", kubeconfig, context)
            where = asyncio.run(find_gateway(kubectl, read_settings().namespace))
        gateway = Gateway(where, bearer, ca=ca, insecure=insecure)
        try:
            yield gateway
        finally:
            gateway.close()
    except (GatewayCallError, NoCallerTokenError) as error:
        typer.echo(f"maasctl token {command}: {error}", err=True)
        raise typer.Exit(1) from None
