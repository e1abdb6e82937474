"""What the gateway adds to a streamed chat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.figures import Figure, Must
from bench.inference import chat, whole_path
from bench.run import Measure
from bench.samples import Rounds, spread
from bench.streams import Streams, run_streams

if TYPE_CHECKING:
    from bench.run import Bench


async def carry_out(bench: Bench) -> list[Figure]:
    first = {"through": Rounds(), "direct": Rounds()}
    chunks = {"through": Rounds(), "direct": Rounds()}
    async with whole_path(bench, count=1) as path:
        request = chat(path.jwts[0], path.model, stream=True)
        count = bench.choose(60, 20)
        for _ in bench.each("streamed chats", range(bench.choose(7, 2))):
            for name, to in (("direct", path.port), ("through", path.envoy.port)):
                seen = await bench.clients.run(run_streams, Streams(to, request, count))
                first[name].latencies.append(seen.first)
                chunks[name].latencies.append(seen.chunks)
    return [
        _added("time to the first token: p50", first, Must("difference", "<=", 2)),
        _added("time of one further chunk: p50", chunks, Must("difference", "<=", 0.1)),
        _added("time of one further chunk: p99", chunks, None, percent=99),
    ]


def _added(name: str, sides: dict[str, Rounds], must: Must | None, percent: float = 50) -> Figure:
    through, direct = sides["through"], sides["direct"]
    return Figure(
        "stream",
        f"streamed chat through the gateway, {name}",
        "ms",
        through.percentile(percent),
        direct.percentile(percent),
        "the model directly",
        spread(through.percentiles(percent), direct.percentiles(percent), lambda one, other: one - other),
        must,
        "difference",
    )


MEASURE = Measure("stream", "what the gateway adds to a streamed chat", carry_out)
