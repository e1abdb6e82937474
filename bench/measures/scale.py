"""What many live tokens cost: start-up, memory, listing one's own, deciding, a new list of everything."""

from __future__ import annotations

import statistics
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from bench.changes import follow
from bench.figures import Figure, Must
from bench.http_load import Load, run_load
from bench.platform import cluster
from bench.relist import relist
from bench.run import Measure
from bench.samples import Rounds, percentile, spread
from bench.subject import serving_tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.changes import Followed
    from bench.run import Bench
    from bench.subject import Subject

_BASELINE, _MIDDLE, _MOST = 1_000, 10_000, 100_000
# One request at a time: what waits for what does not blur what is compared.
_CLIENTS = 1
_TURN = 100


async def carry_out(bench: Bench) -> list[Figure]:
    counts = [_BASELINE, _MIDDLE] if bench.quick else [_BASELINE, _MIDDLE, _MOST]
    async with AsyncExitStack() as stack:
        where = await stack.enter_async_context(cluster(bench))
        subjects = [
            await stack.enter_async_context(
                serving_tokens(bench, where, count, starts=1 if count > _BASELINE else bench.choose(7, 2))
            )
            for count in counts
        ]
        figures = [*_start_up(subjects), *_memory(subjects), *await _asked_in_turn(bench, subjects)]
        for subject in subjects:
            followed = await follow(
                bench, subject, mappings=bench.choose(60, 10), revocations=bench.choose(140, 20)
            )
            figures += _followed(subject, followed)
        for _ in bench.each("new lists of everything", range(1)):
            slowest = await relist(where, subjects)
        figures += _relisted(subjects, slowest)
    return figures


def _start_up(subjects: Sequence[Subject]) -> list[Figure]:
    return [
        Figure(
            "scale",
            f"from start to ready, {subject.count:,} tokens",
            "s",
            statistics.median(subject.ready_seconds),
            spread=(min(ready), max(ready)) if len(ready := subject.ready_seconds) > 1 else None,
            must=Must("value", "<=", 2) if subject.count == _BASELINE else None,
            spread_of="value",
        )
        for subject in subjects
    ] + [
        Figure(
            "scale",
            f"processor time until ready, {subject.count:,} tokens",
            "s",
            subject.processor_seconds,
        )
        for subject in subjects
    ]


def _memory(subjects: Sequence[Subject]) -> list[Figure]:
    figures = [
        Figure(
            "scale",
            f"resident memory, {subject.count:,} tokens",
            "MB",
            subject.memory,
            must=Must("value", "<=", 120) if subject.count == _MIDDLE else None,
        )
        for subject in subjects
    ]
    fewer, more = subjects[-2:]
    figures.append(
        Figure(
            "scale",
            f"resident memory of one more token, from {fewer.count:,} to {more.count:,}",
            "KB",
            (more.memory - fewer.memory) * 1000 / (more.count - fewer.count),
            must=Must("value", "<=", 2),
        )
    )
    return figures


async def _asked_in_turn(bench: Bench, subjects: Sequence[Subject]) -> list[Figure]:
    lists = {subject.count: Rounds() for subject in subjects}
    decisions = {subject.count: Rounds() for subject in subjects}
    # The machine's speed changes within a second, so turns are short.
    for number in bench.each("listing and deciding", range(bench.choose(35, 4) + 1)):
        for subject in subjects:
            for rounds, port, requests in (
                (lists, subject.process.public, subject.lists),
                (decisions, subject.process.gateway, subject.decisions),
            ):
                load = Load(port, requests, connections=_CLIENTS, count=_TURN, warm_up=20)
                run = await bench.clients.run(run_load, load)
                if number:  # The first round is for caches.
                    rounds[subject.count].latencies.append(run.latencies)
    return [
        _compared(name, rounds, subject.count, must)
        for name, rounds, must in (
            ("list ten tokens of one's own", lists, Must("ratio", "<=", 1.5)),
            ("one decision", decisions, None),
        )
        for subject in subjects[1:]
    ]


def _compared(name: str, rounds: dict[int, Rounds], count: int, must: Must | None) -> Figure:
    mine, base = rounds[count], rounds[_BASELINE]
    return Figure(
        "scale",
        f"{name}, {count:,} tokens: p50",
        "ms",
        mine.percentile(50),
        base.percentile(50),
        f"the same with {_BASELINE:,} tokens",
        spread(mine.percentiles(50), base.percentiles(50)),
        must,
    )


def _followed(subject: Subject, followed: Followed) -> list[Figure]:
    return [
        Figure(
            "scale",
            f"{name}, {subject.count:,} tokens: p{percent} of {len(seconds)}",
            "ms",
            1000 * percentile(seconds, percent),
            spread=(1000 * min(seconds), 1000 * max(seconds)),
            must=Must("value", "<=", 250) if percent == 99 else None,  # noqa: PLR2004
            spread_of="value",
        )
        for name, seconds in (
            ("new mapping to first decision by it", followed.mappings),
            ("revoke to first refusal", followed.revocations),
        )
        for percent in (50, 99)
    ]


def _relisted(subjects: Sequence[Subject], slowest: dict[int, float]) -> list[Figure]:
    figures = []
    for subject in subjects:
        tokens = f"{subject.count:,} tokens"
        figures += [
            Figure("scale", f"a new list of everything, {tokens}", "s", subject.process.lists()[-1]),
            Figure("scale", f"slowest decision meanwhile, {tokens}", "ms", 1000 * slowest[subject.count]),
            Figure("scale", f"most memory ever, {tokens}", "MB", subject.process.program.peak_memory()),
        ]
    return figures


MEASURE = Measure("scale", "what 1,000, 10,000 and 100,000 live tokens cost", carry_out, seconds=1800)
