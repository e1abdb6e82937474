"""Decisions about inference requests, through Envoy, beside authorizers that decide less or otherwise."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from app.kube.resources import SERVICE_ACCOUNTS
from bench import authorino
from bench.envoy import answering, authorizing
from bench.figures import Figure, Must
from bench.http_load import Connection, Load, run_load, status_of
from bench.inference import chat, live_tokens, stand_in
from bench.platform import cluster, opened, service
from bench.run import Measure
from bench.samples import Rounds, percentile, spread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.platform import Cluster
    from bench.run import Bench

_CLIENTS = 16
_TOKENS = 1000
_MINE, _LIMIT, _AUTHORINO, _NOTHING = "ours", "pass-all", "authorino", "nothing"
_NAMES = {
    _LIMIT: "an authorizer that answers without looking",
    _AUTHORINO: "Authorino with TokenReview and SubjectAccessReview cached",
    _NOTHING: "no authorizer",
}
_REFUSED_SECONDS = 5


async def carry_out(bench: Bench) -> list[Figure]:
    async with AsyncExitStack() as stack:
        where = await stack.enter_async_context(cluster(bench))
        workspace = await opened(where)
        revocations = bench.choose(40, 5)
        model, ids, jwts = await live_tokens(
            bench, where, workspace, count=_TOKENS + revocations, owners=(_TOKENS + revocations) // 5
        )
        process = await stack.enter_async_context(service(bench, workspace))
        _, limit = await stack.enter_async_context(stand_in(bench, "pass-all"))
        requests = [chat(jwt, model) for jwt in jwts[:_TOKENS]]
        ports = {}
        for name, running in (
            (_MINE, authorizing(bench.directory / _MINE, process.gateway, [])),
            (_LIMIT, authorizing(bench.directory / _LIMIT, limit, [])),
            (_NOTHING, answering(bench.directory / _NOTHING)),
        ):
            ports[name] = (await stack.enter_async_context(running)).port
        if not bench.quick:
            await _with_authorino(bench, stack, ports, where, (workspace.namespace, model, requests))
        sides = await _in_turn(bench, ports, requests)
        victims = list(zip(ids, jwts, strict=True))[_TOKENS:]
        refusals = await _revocations(
            bench, where, ports[_MINE], (workspace.namespace, model), (requests, victims)
        )
    return _figures(sides, refusals)


async def _with_authorino(
    bench: Bench,
    stack: AsyncExitStack,
    ports: dict[str, int],
    where: Cluster,
    about: tuple[str, str, Sequence[bytes]],
) -> None:
    """Start it if that can be done here, and let it ask about every token once."""
    namespace, model_id, requests = about
    if reason := authorino.why_not():
        bench.skip(f"beside Authorino: {reason}")
        return
    port = await stack.enter_async_context(
        authorino.running(bench, where, namespace=namespace, model=model_id)
    )
    envoy = await stack.enter_async_context(
        authorizing(bench.directory / _AUTHORINO, authorino.ext_authz(), [authorino.envoy_cluster(port)])
    )
    ports[_AUTHORINO] = envoy.port
    step = 20
    for first in bench.each("Authorino's first look", range(0, len(requests), step)):
        some = requests[first : first + step]
        await bench.clients.run(run_load, Load(envoy.port, some, connections=4, count=len(some)))


async def _in_turn(bench: Bench, ports: dict[str, int], requests: Sequence[bytes]) -> dict[str, Rounds]:
    sides = {name: Rounds() for name in ports}
    count = bench.choose(15_000, 3_000)
    for number in bench.each(f"authorizing, {_CLIENTS} clients", range(bench.choose(7, 2) + 1)):
        for name, port in ports.items():
            load = Load(port, requests, connections=_CLIENTS, count=count, warm_up=_TOKENS)
            run = await bench.clients.run(run_load, load)
            if number:  # The first round is for caches.
                sides[name].latencies.append(run.latencies)
                sides[name].rates.append(run.rate)
    return sides


async def _revocations(
    bench: Bench,
    where: Cluster,
    port: int,
    model: tuple[str, str],
    load: tuple[Sequence[bytes], list[tuple[str, str]]],
) -> list[float]:
    """Seconds from the API server's answer to a deletion until Envoy refuses, while others are authorized."""
    namespace, model_id = model
    requests, victims = load
    busy = asyncio.create_task(
        bench.clients.run(
            run_load,
            Load(
                port,
                requests,
                connections=_CLIENTS,
                count=1_000_000,
                seconds=bench.choose(20, 4),
                warm_up=100,
            ),
        ),
        name="load during revocations",
    )
    connection = await Connection.open(port)
    seconds = []
    for token_id, jwt in bench.each("revoking under load", victims):
        request = chat(jwt, model_id)
        if status_of(await connection.exchange(request)) != 200:  # noqa: PLR2004
            raise AssertionError("a live token was refused")
        await where.real.admin.delete(SERVICE_ACCOUNTS, token_id, namespace=namespace)
        started = time.perf_counter()
        while status_of(await connection.exchange(request)) != 401:  # noqa: PLR2004
            if time.perf_counter() - started > _REFUSED_SECONDS:
                raise AssertionError("a revoked token still opens the gateway")
        seconds.append(time.perf_counter() - started)
    connection.close()
    await busy
    return seconds


def _figures(sides: dict[str, Rounds], refusals: list[float]) -> list[Figure]:
    mine = sides[_MINE]
    musts = {_LIMIT: Must("ratio", ">=", 0.6), _AUTHORINO: Must("ratio", ">=", 2.5), _NOTHING: None}
    figures = [
        Figure(
            "authorize",
            f"authorize through Envoy, {_CLIENTS} clients, {_TOKENS:,} tokens",
            "requests/s",
            mine.rate(),
            sides[name].rate(),
            against,
            spread(mine.rates, sides[name].rates),
            musts[name],
        )
        for name, against in _NAMES.items()
        if name in sides
    ]
    figures += [
        Figure(
            "authorize",
            f"authorize through Envoy, {_CLIENTS} clients: p{percent}",
            "ms",
            mine.percentile(percent),
            sides[_LIMIT].percentile(percent),
            _NAMES[_LIMIT],
            spread(mine.percentiles(percent), sides[_LIMIT].percentiles(percent)),
            Must("value", "<=", 5) if percent == 99 else None,  # noqa: PLR2004
        )
        for percent in (50, 99)
    ]
    figures.append(
        Figure(
            "authorize",
            f"revoke to first refusal under that load: p99 of {len(refusals)}",
            "ms",
            1000 * percentile(refusals, 99),
            spread=(1000 * min(refusals), 1000 * max(refusals)),
            must=Must("value", "<=", 1000),
            spread_of="value",
        )
    )
    return figures


MEASURE = Measure("authorize", "decide about inference requests through Envoy", carry_out, seconds=1800)
