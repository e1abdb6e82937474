"""The gateway's whole path, beside a LiteLLM proxy in front of the same model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import litellm
from bench.figures import Figure, Must
from bench.http_load import Load, run_load
from bench.inference import chat, whole_path
from bench.processors import ways
from bench.run import Measure
from bench.samples import Rounds, spread

if TYPE_CHECKING:
    from bench.http_load import Run
    from bench.processors import Way
    from bench.run import Bench

_MANY = 16
_TOKENS = 200
_OURS, _THEIRS, _DIRECT = "ours", "litellm", "direct"
_AGAINST = "a LiteLLM proxy, one worker"

Side = tuple[int, list[bytes]]
Sides = dict[str, Rounds]


async def carry_out(bench: Bench) -> list[Figure]:
    async with (
        whole_path(bench, count=_TOKENS) as path,
        litellm.running(bench, path.port) as (proxy, proxy_port),
    ):
        sides = {
            _DIRECT: (path.port, [chat(path.jwts[0], path.model)]),
            _OURS: (path.envoy.port, [chat(jwt, path.model) for jwt in path.jwts]),
            _THEIRS: (proxy_port, [chat(litellm.KEY, litellm.MODEL)]),
        }
        one, many = await _in_turn(bench, sides)
        memory = (path.envoy.program.memory() + path.service.program.memory(), proxy.memory())
    return [*(_latency(way, seen) for way, seen in one.items()), *_throughput(many), _memory(*memory)]


async def _in_turn(bench: Bench, sides: dict[str, Side]) -> tuple[dict[Way, Sides], Sides]:
    one = {way: {name: Rounds() for name in sides} for way in ways()}
    many = {name: Rounds() for name in sides}
    rounds = range(bench.choose(7, 2) + 1)
    for number in bench.each("chats beside LiteLLM", rounds):
        for name, side in sides.items():
            # What takes a hundred times as long is asked less often.
            slow = name == _THEIRS
            for way, seen in one.items():
                with way.taken():
                    single = await _run(bench, side, connections=1, count=100 if slow else 1000)
                if number:  # The first round is for caches.
                    seen[name].latencies.append(single.latencies)
            crowd = await _run(bench, side, connections=_MANY, count=500 if slow else 8000)
            if number:
                many[name].latencies.append(crowd.latencies)
                many[name].rates.append(crowd.rate)
    return one, many


async def _run(bench: Bench, side: Side, *, connections: int, count: int) -> Run:
    port, requests = side
    load = Load(port, requests, connections=connections, count=count, warm_up=connections * 2)
    return await bench.clients.run(run_load, load)


def _latency(way: Way, sides: Sides) -> Figure:
    direct = sides[_DIRECT]
    added = {each: sides[each].percentile(50) - direct.percentile(50) for each in (_OURS, _THEIRS)}
    rounds = {
        each: [
            through - alone
            for through, alone in zip(sides[each].percentiles(50), direct.percentiles(50), strict=True)
        ]
        for each in (_OURS, _THEIRS)
    }
    return Figure(
        "litellm",
        way.name("a chat, 1 client: latency added to the model's, p50"),
        "ms",
        added[_OURS],
        added[_THEIRS],
        _AGAINST,
        spread(rounds[_OURS], rounds[_THEIRS]),
        way.must(Must("ratio", "<=", 1 / 20)),
    )


def _throughput(many: Sides) -> list[Figure]:
    return [
        Figure(
            "litellm",
            f"chats, {_MANY} clients",
            "requests/s",
            many[_OURS].rate(),
            many[other].rate(),
            against,
            spread(many[_OURS].rates, many[other].rates),
            must,
        )
        for other, against, must in (
            (_THEIRS, _AGAINST, Must("ratio", ">=", 25)),
            (_DIRECT, "the model directly", None),
        )
    ]


def _memory(ours: float, theirs: float) -> Figure:
    return Figure(
        "litellm",
        "resident memory after that load, Envoy and service",
        "MB",
        ours,
        theirs,
        _AGAINST,
        must=Must("ratio", "<=", 0.5),
    )


MEASURE = Measure(
    "litellm", "the gateway's whole path beside a LiteLLM proxy", carry_out, seconds=1800, external=True
)
