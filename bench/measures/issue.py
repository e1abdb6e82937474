"""A token, beside the three calls to the API server that it takes at the least."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.bare_calls import BareCalls, run_bare_calls
from bench.figures import Figure, Must
from bench.http_load import Load, post, run_load
from bench.platform import AUDIENCE, cluster, credential, opened, service
from bench.processors import ways
from bench.run import Measure
from bench.samples import Rounds, spread
from bench.turns import Turns, run_turns

if TYPE_CHECKING:
    from bench.http_load import Run
    from bench.platform import Cluster
    from bench.processors import Way
    from bench.run import Bench
    from bench.service_process import ServiceProcess
    from tests.workspace import Workspace

_MANY = 32
# Of one client, how many tokens each side issues in a turn, and how many before them that are not measured.
_TURN, _WARM_UP = 10, 2
_GROUPS = ("team-7", "system:authenticated:oauth")
# client-go's defaults (rest.Config: QPS 5, Burst 10).
_QUERIES_PER_SECOND, _BURST = 5.0, 10
_BARE = "the three bare API calls"


class _Sides:
    """The service and the bare calls, each in a namespace of its own on the same API server."""

    def __init__(
        self, bench: Bench, cluster: Cluster, mine: tuple[Workspace, ServiceProcess], bare: Workspace
    ) -> None:
        self._bench = bench
        self._cluster = cluster
        self._workspace, self._service = mine
        self._bare = bare
        self._credential = ""
        self._number = 0

    async def log_in(self) -> None:
        self._credential = credential(await self._bare.service_kubeconfig())

    async def _callers(self, count: int) -> list[str]:
        """People whom nobody has seen before: no answer about them is remembered anywhere."""
        first, self._number = self._number, self._number + count
        return [
            await self._workspace.person(f"user-{number}@example.com", *_GROUPS)
            for number in range(first, first + count)
        ]

    async def mine(self, connections: int, count: int, warm_up: int) -> Run:
        return await self._bench.clients.run(run_load, await self._load(connections, count, warm_up))

    async def bare(
        self, connections: int, count: int, warm_up: int, *, queries_per_second: float | None = None
    ) -> Run:
        plan = await self._bare_calls(
            connections, warm_up, warm_up + count, queries_per_second=queries_per_second
        )
        return await self._bench.clients.run(run_bare_calls, plan)

    async def in_turn(self, turns: int) -> tuple[Run, Run]:
        """Of one client: the bare calls, and the service."""
        count = turns * (_WARM_UP + _TURN)
        plan = Turns(
            await self._bare_calls(1, 0, count),
            await self._load(1, count, 0),
            turns=turns,
            tokens=_TURN,
            warm_up=_WARM_UP,
        )
        return await self._bench.clients.run(run_turns, plan)

    async def _load(self, connections: int, count: int, warm_up: int) -> Load:
        callers = await self._callers(count + warm_up)
        return Load(
            self._service.public,
            [post("/maas-api/token", b"{}", authorization=f"Bearer {caller}") for caller in callers],
            connections=connections,
            count=count,
            warm_up=warm_up,
            status=201,
        )

    async def _bare_calls(
        self, connections: int, warm_up: int, callers: int, *, queries_per_second: float | None = None
    ) -> BareCalls:
        return BareCalls(
            port=self._cluster.port,
            ca_file=str(self._cluster.control_plane.ca_file),
            credential=self._credential,
            namespace=self._bare.namespace,
            audience=AUDIENCE,
            groups=(*_GROUPS, "system:authenticated"),
            callers=await self._callers(callers),
            connections=connections,
            warm_up=warm_up,
            queries_per_second=queries_per_second,
            burst=_BURST,
        )


@dataclass
class _Seen:
    """What was measured of both."""

    mine: Rounds = field(default_factory=Rounds)
    bare: Rounds = field(default_factory=Rounds)

    def add(self, bare: Run, mine: Run) -> None:
        """One round of each."""
        for rounds, run in ((self.bare, bare), (self.mine, mine)):
            rounds.latencies.append(run.latencies)
            rounds.rates.append(run.rate)


async def carry_out(bench: Bench) -> list[Figure]:
    async with cluster(bench) as where:
        mine, bare = await opened(where), await opened(where)
        async with service(bench, mine) as process:
            sides = _Sides(bench, where, (mine, process), bare)
            await sides.log_in()
            one = {way: _Seen() for way in ways()}
            for _ in bench.each("issuing, 1 client", range(bench.choose(25, 4))):
                for way, seen in one.items():
                    with way.taken():
                        seen.add(*await sides.in_turn(bench.choose(10, 4)))
            many = _Seen()
            for _ in bench.each(f"issuing, {_MANY} clients", range(bench.choose(9, 2))):
                count = bench.choose(1000, 300)
                many.add(*[await side(_MANY, count, _MANY) for side in (sides.bare, sides.mine)])
            throttled = await _throttled(bench, sides, many.mine)
    return [*_latencies(one), _throughput(many), throttled]


def _latencies(one: dict[Way, _Seen]) -> list[Figure]:
    asleep = next(seen for way, seen in one.items() if not way.awake)
    return [
        *(
            _latency(way.name("p50"), seen, 50, way.must(Must("ratio", "<=", 1.15)))
            for way, seen in one.items()
        ),
        _latency("p99", asleep, 99, Must("ratio", "<=", 1.5)),
    ]


def _latency(name: str, seen: _Seen, percent: float, must: Must | None) -> Figure:
    mine, bare = seen.mine, seen.bare
    return Figure(
        "issue",
        f"issue a token, 1 client: {name}",
        "ms",
        mine.percentile(percent),
        bare.percentile(percent),
        _BARE,
        spread(mine.percentiles(percent), bare.percentiles(percent)),
        must,
    )


def _throughput(many: _Seen) -> Figure:
    return Figure(
        "issue",
        f"issue tokens, {_MANY} clients",
        "tokens/s",
        many.mine.rate(),
        many.bare.rate(),
        _BARE,
        spread(many.mine.rates, many.bare.rates),
        Must("ratio", ">=", 0.8),
    )


async def _throttled(bench: Bench, sides: _Sides, mine: Rounds) -> Figure:
    """What is left of the bare calls where all of them share client-go's default throttle."""
    count = bench.choose(30, 5)
    (run,) = [
        await sides.bare(_MANY, count, warm_up=_BURST, queries_per_second=_QUERIES_PER_SECOND)
        for _ in bench.each("issuing, throttled", range(1))
    ]
    return Figure(
        "issue",
        f"issue tokens, {_MANY} clients, beside a throttled client",
        "tokens/s",
        mine.rate(),
        run.rate,
        f"{_BARE} at client-go's default of {_QUERIES_PER_SECOND:g} queries/s, burst {_BURST}",
    )


MEASURE = Measure("issue", "issue a token on a real kube-apiserver, beside the bare API calls", carry_out)
