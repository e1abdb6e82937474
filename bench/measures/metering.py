"""What counting requests and LLM tokens costs the gateway: Envoy with it, beside Envoy without it."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from bench.envoy import whole_gateway
from bench.figures import Figure
from bench.http_load import Load, run_load
from bench.inference import chat, stand_in
from bench.run import Measure
from bench.samples import spread

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from bench.envoy import Envoy
    from bench.run import Bench

_CLIENTS = 16
_MODEL = "qwen3"
_CHATS = {
    "a chat in JSON": chat("token", _MODEL),
    "a stream of 200 chunks, usage in each": chat("token", _MODEL, stream=True, max_tokens=200),
}


async def carry_out(bench: Bench) -> list[Figure]:
    async with (
        stand_in(bench, "model") as (_, model),
        stand_in(bench, "pass-all") as (_, everybody),
        _gateway(bench, "counted", everybody, model) as counted,
        _gateway(bench, "uncounted", everybody, model) as uncounted,
    ):
        return [
            await _processor_time(bench, name, request, (counted, uncounted))
            for name, request in _CHATS.items()
        ]


def _gateway(bench: Bench, name: str, authorizer: int, model: int) -> AbstractAsyncContextManager[Envoy]:
    return whole_gateway(
        bench.directory / name,
        public=authorizer,
        gateway=authorizer,
        model=model,
        model_id=_MODEL,
        counted=name == "counted",
    )


async def _processor_time(bench: Bench, name: str, request: bytes, sides: tuple[Envoy, Envoy]) -> Figure:
    """Envoy's own processor time, which other programs on the machine disturb least."""
    count = bench.choose(4000, 1000)
    taken: tuple[list[float], list[float]] = ([], [])
    for number in bench.each(f"counting, {name}", range(bench.choose(7, 2) + 1)):
        for side, each in zip(sides, taken, strict=True):
            before = side.program.processor()
            await bench.clients.run(run_load, Load(side.port, [request], connections=_CLIENTS, count=count))
            if number:  # The first round is for caches.
                each.append((side.program.processor() - before) / count * 1e6)
    counted, uncounted = taken
    return Figure(
        "metering",
        f"Envoy's processor time for {name}",
        "us",
        statistics.median(counted),
        statistics.median(uncounted),
        "the same, not counted",
        spread(counted, uncounted),
    )


MEASURE = Measure("metering", "what counting requests and tokens costs Envoy", carry_out)
