"""Which cluster a command talks to: options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from app.cli.kubectl import Kubectl, ProgramMissingError

Kubeconfig = Annotated[
    Path | None,
    typer.Option(
        help="The kubeconfig to use, in place of KUBECONFIG or ~/.kube/config.", exists=True, dir_okay=False
    ),
]
Context = Annotated[
    str | None, typer.Option(help="A context of the kubeconfig, in place of its current one.")
]

Namespace = Annotated[
    str, typer.Option("--namespace", "-n", envvar="MAAS_NAMESPACE", help="Namespace of the platform.")
]
GatewayName = Annotated[str, typer.Option(help="Name of the platform's Gateway.")]
DEFAULT_NAMESPACE = "maas"
DEFAULT_GATEWAY = "maas-default-gateway"


def connect(command: str, kubeconfig: Path | None, context: str | None) -> Kubectl:
    """The cluster that the options name.

    Args:
        command: who asks, for the message.
        kubeconfig: as given, or None.
        context: as given, or None.

    Raises:
        typer.Exit: code 1, when it has said that neither `oc` nor `kubectl` is installed.
    """
    try:
        return Kubectl.find(kubeconfig=str(kubeconfig) if kubeconfig else None, context=context)
    except ProgramMissingError as error:
        typer.echo(f"maasctl {command}: {error}", err=True)
        raise typer.Exit(1) from None
