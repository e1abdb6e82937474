"""The command itself; each subcommand has a file of its own.

What only `up`, `cluster` and `simulator` need is an extra of the package (`privatemaas[embedded]`), so their
modules are imported when they are asked for.
"""

from __future__ import annotations

import importlib.util

import typer

from app.cli.deploy import deploy
from app.cli.logs import logs
from app.cli.serve import serve
from app.cli.tiers import create_tiers
from app.cli.token import create_token
from app.cli.usage import usage
from app.cli.verify import verify

_EMBEDDED = ("trustme", "jsonpatch")


def create_cli() -> typer.Typer:
    """`maasctl`, with the commands that can be run by what is installed."""
    cli = typer.Typer(
        name="maasctl",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )

    @cli.callback()
    def group() -> None:
        """PrivateMaaS: Models as a Service for OpenShift and Kubernetes."""

    cli.command("serve")(serve)
    cli.command("verify")(verify)
    cli.command("logs")(logs)
    cli.command("deploy")(deploy)
    cli.command("usage")(usage)
    cli.add_typer(create_tiers(), name="tiers")
    cli.add_typer(create_token(), name="token")
    if all(importlib.util.find_spec(module) for module in _EMBEDDED):
        from app.cli.cluster import cluster  # noqa: PLC0415  # only with the extra
        from app.cli.simulator import simulator  # noqa: PLC0415  # only with the extra
        from app.cli.up import up  # noqa: PLC0415  # only with the extra

        cli.command("up")(up)
        cli.command("cluster")(cluster)
        cli.command("simulator")(simulator)
    return cli


def main() -> None:
    """Run `maasctl`."""
    create_cli()()
