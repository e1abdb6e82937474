"""What the gateway adds to a streamed chat."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.figures import Figure, Must
from bench.inference import chat, whole_path
from bench.processors import ways
from bench.run import Measure
from bench.samples import Rounds, spread
from bench.streams import Streams, run_streams

if TYPE_CHECKING:
    from bench.processors import Way
    from bench.run import Bench
    from bench.streams import Seen

_THROUGH, _DIRECT = "through", "direct"


def _both() -> dict[str, Rounds]:
    return {_THROUGH: Rounds(), _DIRECT: Rounds()}


@dataclass
class _Chats:
    """What was seen of streamed chats, through the gateway and directly.

    Attributes:
        first: until the first token.
        chunks: of each further chunk.
    """

    first: dict[str, Rounds] = field(default_factory=_both)
    chunks: dict[str, Rounds] = field(default_factory=_both)

    def take(self, name: str, seen: Seen) -> None:
        """Add a round of one side."""
        self.first[name].latencies.append(seen.first)
        self.chunks[name].latencies.append(seen.chunks)


async def carry_out(bench: Bench) -> list[Figure]:
    chats = {way: _Chats() for way in ways()}
    async with whole_path(bench, count=1) as path:
        request = chat(path.jwts[0], path.model, stream=True)
        count = bench.choose(40, 20)
        for _ in bench.each("streamed chats", range(bench.choose(7, 2))):
            for name, to in ((_DIRECT, path.port), (_THROUGH, path.envoy.port)):
                plan = Streams(to, request, count)
                for way, seen in chats.items():
                    with way.taken():
                        seen.take(name, await bench.clients.run(run_streams, plan))
    return _figures(chats)


def _figures(chats: dict[Way, _Chats]) -> list[Figure]:
    first, chunk = "time to the first token: p50", "time of one further chunk: p50"
    soon, quick = Must("difference", "<=", 2), Must("difference", "<=", 0.1)
    asleep = next(seen for way, seen in chats.items() if not way.awake)
    return [
        *(_added(way.name(first), seen.first, way.must(soon)) for way, seen in chats.items()),
        *(_added(way.name(chunk), seen.chunks, way.must(quick)) for way, seen in chats.items()),
        _added("time of one further chunk: p99", asleep.chunks, percent=99),
    ]


def _added(name: str, sides: dict[str, Rounds], must: Must | None = None, percent: float = 50) -> Figure:
    through, direct = sides[_THROUGH], sides[_DIRECT]
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
