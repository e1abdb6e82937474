"""Starts the service's tasks and stops them in reverse."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from app.kube.backoff import Backoff
from app.kube.connect import connect
from app.kube.errors import KubeError
from app.kube.eternal import eternally
from app.measuring import measure
from app.observability.metrics import Metrics
from app.observability.tracing import open_tracer
from app.reconcilers.running import run_all
from app.service import Service, build

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from app.observability.tracing import Tracer
    from app.settings import Settings

logger = logging.getLogger(__name__)

# Who rotates keys because one has leaked wants the old one refused soon. New ones are fetched when needed.
_KEYS_SECONDS = 300
# Reconcilers end at once; this is for an API server that is away when the lease is to be released.
_STAND_DOWN_SECONDS = 5


@asynccontextmanager
async def running(
    settings: Settings, *, metrics: Metrics | None = None, stopping: asyncio.Event | None = None
) -> AsyncIterator[Service]:
    """The service with its reflectors running; they are synced a moment later, which `/readyz` tells.

    Once `stopping` is set, reconcilers end and the lease is released; the rest goes on to the end of the
    context, so that requests are answered.

    Raises:
        KubeError: there is no usable configuration for the cluster.
        TracingError: traces are asked for and cannot be made.
    """
    metrics = metrics or Metrics()
    chance = random.SystemRandom()
    tracer = open_tracer(settings.tracing, random=random.Random())  # noqa: S311  # chooses what is traced
    try:
        async with _running(settings, metrics, chance, tracer, stopping) as service:
            yield service
    finally:
        if tracer is not None:
            await tracer.close()


@asynccontextmanager
async def _running(
    settings: Settings,
    metrics: Metrics,
    chance: random.Random,
    tracer: Tracer | None,
    stopping: asyncio.Event | None,
) -> AsyncIterator[Service]:
    client = await connect(
        settings.kubeconfig,
        timeout_seconds=settings.kube.request_seconds,
        connections=settings.kube.connections,
        observe=metrics.note_kube_call,
        random=chance,
    )
    try:
        service = build(settings, client, metrics, random=chance, stopping=stopping, tracer=tracer)
        measure(service, now=time.time)
        tasks = [
            asyncio.create_task(reflector.run(), name=f"reflector {reflector.name}")
            for reflector in service.reflectors
        ]
        tasks.append(asyncio.create_task(_keep_keys(service, Backoff(chance)), name="signing keys"))
        tasks.append(asyncio.create_task(_forever(service.events.run, "events", chance), name="events"))
        tasks.append(asyncio.create_task(_forever(service.orphans.run, "orphans", chance), name="orphans"))
        tasks.append(asyncio.create_task(_forever(service.claims.run, "claims", chance), name="claims"))
        leading = asyncio.create_task(_lead(service, chance), name="leading")
        try:
            yield service
        finally:
            # First, while everything that reconcilers stand on still runs: the next leader need not wait.
            service.stopping.set()
            await asyncio.wait([leading], timeout=_STAND_DOWN_SECONDS)
            await _end(leading)
            await _end(*tasks)
            await service.access_reviewer.close()
            await service.token_reviewer.close()
            await service.meter.close()
    finally:
        await client.close()


async def _lead(service: Service, chance: random.Random) -> None:
    """Stand for election, and run the reconcilers while elected, until the service stops."""

    async def reconcile() -> None:
        await run_all(service.reconcilers, random=chance, clock=time.monotonic)

    async def stand() -> None:
        if service.settings.leader.enabled:
            await service.election.run(reconcile)
        else:
            service.metrics.observe_leader(leading=True)
            await reconcile()

    election = asyncio.create_task(_forever(stand, "leader election", chance), name="leader election")
    try:
        await service.stopping.wait()
    finally:
        await _end(election)


async def _forever(run: Callable[[], Coroutine[Any, Any, None]], name: str, chance: random.Random) -> None:
    await eternally(name, run, backoff=Backoff(chance), clock=time.monotonic)


async def _end(*tasks: asyncio.Task[Any]) -> None:
    for task in reversed(tasks):
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _keep_keys(service: Service, backoff: Backoff) -> None:
    """Have the signing keys before the first request, and forget those that are no longer published."""
    while True:
        try:
            await service.signing_keys.fetch()
        except KubeError as error:
            logger.warning("signing keys: %s", error)
            await asyncio.sleep(backoff.next_seconds())
        else:
            backoff.reset()
            await asyncio.sleep(_KEYS_SECONDS)
