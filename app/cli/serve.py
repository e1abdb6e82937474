"""`maasctl serve`: the service alone, in a pod or with a kubeconfig."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys

import typer
import uvloop

from app.cli.environment import read_settings
from app.kube.errors import KubeError
from app.lifespan import running
from app.main import create_gateway_app, create_public_app
from app.observability.logging import configure
from app.observability.tracing import TracingError
from app.serving import PortTakenError, bind, serving, until_stopped
from app.settings import Settings

logger = logging.getLogger(__name__)


def serve() -> None:
    """Run the service against a real cluster.

    In a pod it uses the pod's ServiceAccount; elsewhere set KUBECONFIG. Every setting is an environment
    variable MAAS_*; docs/settings.md lists them. Public app: port 8080. Gateway app: port 8081.
    """
    settings = read_settings()
    configure(settings.log.level, settings.log.format)
    try:
        uvloop.run(_serve(settings))
    except PortTakenError as error:
        sys.stderr.write(f"maasctl: {error}; choose another with MAAS_HTTP_{error.name.upper()}_PORT\n")
        raise typer.Exit(1) from None
    except (KubeError, TracingError) as error:
        sys.stderr.write(f"maasctl: {error}\n")
        raise typer.Exit(1) from None


async def _serve(settings: Settings) -> None:
    stopping = asyncio.Event()

    async def drain() -> None:
        # Whoever sends requests here needs a moment to see that this replica is no longer ready.
        stopping.set()
        await asyncio.sleep(settings.http.drain_seconds)

    await until_stopped(_serving(settings, stopping), drain=drain)


async def _serving(settings: Settings, stopping: asyncio.Event) -> None:
    http = settings.http
    public = bind("public", http.host, http.public_port)
    gateway = bind("gateway", http.host, http.gateway_port)
    async with (
        running(settings, stopping=stopping) as service,
        serving(
            (create_gateway_app(service), gateway),
            (create_public_app(service), public),
            shutdown_seconds=http.shutdown_seconds,
            stopping=stopping,
        ),
    ):
        # What was made until now stays; looking through it again and again would hold up requests for 50 ms.
        gc.freeze()
        logger.info("serving: public app on port %d, gateway app on port %d", public.port, gateway.port)
        try:
            await asyncio.Event().wait()
        finally:
            # Also where nothing was drained: the lease does not wait for requests in flight.
            stopping.set()
