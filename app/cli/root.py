"""The command itself; each subcommand has a file of its own."""

from __future__ import annotations

import typer

from app.cli import serve

app = typer.Typer(
    name="maasctl",
    help="PrivateMaaS: Models as a Service for OpenShift and Kubernetes.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
app.command("serve")(serve.serve)


def main() -> None:
    """Run `maasctl`."""
    app()
