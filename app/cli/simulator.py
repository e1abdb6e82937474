"""`maasctl simulator`: a model server that needs no model, for docker compose and for trying things."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
import uvloop

from app.cli.environment import read_settings
from app.embedded.simulator import SimulatorSettings, create_simulator
from app.observability.logging import configure
from app.serving import PortTakenError, bind, serving, until_stopped


def simulator(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8000,
    model: Annotated[
        list[str] | None, typer.Option(help="A model it serves; any if none is given. May be repeated.")
    ] = None,
    first_token: Annotated[float, typer.Option(min=0, help="Seconds until the first token.")] = 0.0,
    per_token: Annotated[float, typer.Option(min=0, help="Seconds for each further token.")] = 0.02,
    enable_force_include_usage: Annotated[
        bool,
        typer.Option(
            "--enable-force-include-usage",
            help="Say the usage in every stream, as vLLM does with this option.",
        ),
    ] = False,
) -> None:
    """Run the simulated model alone: OpenAI-compatible, deterministic, with vLLM's metric names."""
    settings = read_settings()
    configure(settings.log.level, settings.log.format)
    chosen = SimulatorSettings(
        models=tuple(model or ()),
        first_token_seconds=first_token,
        token_seconds=per_token,
        force_include_usage=enable_force_include_usage,
    )
    try:
        uvloop.run(until_stopped(_simulator(host, port, chosen)))
    except PortTakenError as error:
        typer.echo(f"maasctl simulator: {error}; choose another with --port", err=True)
        raise typer.Exit(1) from None


async def _simulator(host: str, port: int, settings: SimulatorSettings) -> None:
    listener = bind("simulator", host, port)
    async with serving((create_simulator(settings), listener), shutdown_seconds=2):
        typer.echo(f"http://{host}:{listener.port}/v1")
        await asyncio.Event().wait()
