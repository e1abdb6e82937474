"""`maasctl cluster`: the embedded cluster alone, for docker compose and for trying things."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from app.cli.environment import read_settings
from app.embedded.cluster import embedded_cluster
from app.observability.logging import configure
from app.serving import PortTakenError, bind, until_stopped


def cluster(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on (HTTPS).")] = 8444,
    state_dir: Annotated[Path, typer.Option(help="Where kubeconfigs and certificates go.")] = Path(".maas"),
    advertise: Annotated[str, typer.Option(help="Host name that the kubeconfigs give.")] = "localhost",
) -> None:
    """Run the embedded cluster alone: a Kubernetes API double, in memory, for trying and for tests only."""
    settings = read_settings()
    configure(settings.log.level, settings.log.format)
    try:
        uvloop.run(until_stopped(_cluster(host, port, state_dir, advertise, settings.namespace)))
    except PortTakenError as error:
        typer.echo(f"maasctl cluster: {error}; choose another with --port", err=True)
        raise typer.Exit(1) from None


async def _cluster(host: str, port: int, state_dir: Path, advertise: str, namespace: str) -> None:
    listener = bind("cluster", host, port)
    async with embedded_cluster(state_dir, listener, namespace=namespace, advertise=advertise) as running:
        typer.echo(f"{running.server}; export KUBECONFIG={running.kubeconfig.absolute()}")
        await asyncio.Event().wait()
