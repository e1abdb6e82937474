"""One client each of two sides, which take turns of a few tokens: both see the same machine.

How fast a machine is changes within a second, and by more than what the sides differ by.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import uvloop

from bench.bare_calls import open_issuers
from bench.http_load import Connection, LoadError, Run, status_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from bench.bare_calls import BareCalls
    from bench.http_load import Load


@dataclass(frozen=True)
class Turns:
    """So many turns of each side.

    Attributes:
        bare: the bare calls, over one connection.
        load: the requests to the service, over one connection.
        turns: of each side; there are callers and requests enough for them.
        tokens: measured in each turn.
        warm_up: come before them, for they find the caches as the other side has left them.
        seconds: after which no further turn begins.
    """

    bare: BareCalls
    load: Load
    turns: int
    tokens: int
    warm_up: int
    seconds: float = 60


def run_turns(plan: Turns) -> tuple[Run, Run]:
    """Carry them out, and return what the bare calls gave and what the service did; blocks until it is done.

    Raises:
        LoadError: one of the sides refused something.
    """
    return uvloop.run(_run(plan))


async def _run(plan: Turns) -> tuple[Run, Run]:
    (issuer,) = await open_issuers(plan.bare)
    connection = await Connection.open(plan.load.port)
    callers, requests = iter(plan.bare.callers), iter(plan.load.requests)

    async def ask() -> None:
        answer = await connection.exchange(next(requests))
        if status_of(answer) != plan.load.status:
            raise LoadError(f"answered {answer[:1500].decode(errors='replace')!r}, not {plan.load.status}")

    try:
        bare, mine = await take_turns(
            [lambda: issuer.issue(next(callers), None), ask],
            turns=plan.turns,
            tokens=plan.tokens,
            warm_up=plan.warm_up,
            seconds=plan.seconds,
        )
    finally:
        issuer.close()
        connection.close()
    return bare, mine


async def take_turns(
    sides: Sequence[Callable[[], Awaitable[None]]], *, turns: int, tokens: int, warm_up: int, seconds: float
) -> list[Run]:
    """What each side gave; `Turns` has the rest."""
    runs = [Run() for _ in sides]
    until = time.perf_counter() + seconds
    for _ in range(turns):
        if time.perf_counter() > until:
            break
        for issue, run in zip(sides, runs, strict=True):
            for _ in range(warm_up):
                await issue()
            began, processor = time.perf_counter(), time.process_time()
            for _ in range(tokens):
                started = time.perf_counter()
                await issue()
                run.latencies.append(time.perf_counter() - started)
            run.seconds += time.perf_counter() - began
            run.processor_seconds += time.process_time() - processor
    return runs
