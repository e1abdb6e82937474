"""A token, beside the three calls to the API server that it takes at the least."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.bare_calls import BareCalls, run_bare_calls
from bench.figures import Figure, Must
from bench.http_load import Load, post, run_load
from bench.platform import AUDIENCE, cluster, credential, opened, service
from bench.run import Measure
from bench.samples import Rounds, spread

if TYPE_CHECKING:
    from bench.http_load import Run
    from bench.platform import Cluster
    from bench.run import Bench
    from bench.service_process import ServiceProcess
    from tests.workspace import Workspace

_MANY = 32
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
        callers = await self._callers(count + warm_up)
        requests = [post("/maas-api/token", b"{}", authorization=f"Bearer {caller}") for caller in callers]
        return await self._bench.clients.run(
            run_load,
            Load(
                self._service.public,
                requests,
                connections=connections,
                count=count,
                warm_up=warm_up,
                status=201,
            ),
        )

    async def bare(
        self, connections: int, count: int, warm_up: int, *, queries_per_second: float | None = None
    ) -> Run:
        return await self._bench.clients.run(
            run_bare_calls,
            BareCalls(
                port=self._cluster.port,
                ca_file=str(self._cluster.control_plane.ca_file),
                credential=self._credential,
                namespace=self._bare.namespace,
                audience=AUDIENCE,
                groups=(*_GROUPS, "system:authenticated"),
                callers=await self._callers(count + warm_up),
                connections=connections,
                warm_up=warm_up,
                queries_per_second=queries_per_second,
                burst=_BURST,
            ),
        )


async def carry_out(bench: Bench) -> list[Figure]:
    async with cluster(bench) as where:
        mine, bare = await opened(where), await opened(where)
        async with service(bench, mine) as process:
            sides = _Sides(bench, where, (mine, process), bare)
            await sides.log_in()
            # The machine's speed changes from one second to the next: many short rounds share what it does.
            one = await _in_turn(bench, sides, 1, rounds=bench.choose(25, 4), count=bench.choose(100, 40))
            figures = _latencies(*one)
            many = await _in_turn(
                bench, sides, _MANY, rounds=bench.choose(9, 2), count=bench.choose(1000, 300)
            )
            figures += _throughput(*many)
            figures.append(await _throttled(bench, sides, many[0]))
    return figures


async def _in_turn(
    bench: Bench, sides: _Sides, connections: int, *, rounds: int, count: int
) -> tuple[Rounds, Rounds]:
    mine, bare = Rounds(), Rounds()
    title = f"issuing, {connections} client{'s' if connections > 1 else ''}"
    warm_up = max(20, connections)
    for _ in bench.each(title, range(rounds)):
        for seen, side in ((bare, sides.bare), (mine, sides.mine)):
            run = await side(connections, count, warm_up)
            seen.latencies.append(run.latencies)
            seen.rates.append(run.rate)
    return mine, bare


def _latencies(mine: Rounds, bare: Rounds) -> list[Figure]:
    return [
        Figure(
            "issue",
            f"issue a token, 1 client: p{percent}",
            "ms",
            mine.percentile(percent),
            bare.percentile(percent),
            _BARE,
            spread(mine.percentiles(percent), bare.percentiles(percent)),
            Must("ratio", "<=", limit),
        )
        for percent, limit in ((50, 1.15), (99, 1.5))
    ]


def _throughput(mine: Rounds, bare: Rounds) -> list[Figure]:
    return [
        Figure(
            "issue",
            f"issue tokens, {_MANY} clients",
            "tokens/s",
            mine.rate(),
            bare.rate(),
            _BARE,
            spread(mine.rates, bare.rates),
            Must("ratio", ">=", 0.8),
        )
    ]


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
