"""Two sides take turns of a few tokens, and what a turn begins with is not measured."""

from __future__ import annotations

import asyncio
import itertools

from bench.turns import take_turns


async def test_sides_take_turns_and_the_first_tokens_of_each_are_not_measured() -> None:
    asked: list[str] = []

    async def one() -> None:
        asked.append("one")

    async def other() -> None:
        asked.append("other")
        await asyncio.sleep(0.002)

    runs = await take_turns([one, other], turns=2, tokens=3, warm_up=1, seconds=60)

    assert [(side, len(list(some))) for side, some in itertools.groupby(asked)] == [
        ("one", 4),
        ("other", 4),
    ] * 2
    assert [len(run.latencies) for run in runs] == [6, 6]
    assert max(runs[0].latencies) < min(runs[1].latencies)
    assert all(sum(run.latencies) <= run.seconds for run in runs)


async def test_no_turn_begins_after_the_time_that_they_may_take() -> None:
    async def slow() -> None:
        await asyncio.sleep(0.01)

    (run,) = await take_turns([slow], turns=10**9, tokens=2, warm_up=0, seconds=0.05)

    assert 0 < len(run.latencies) < 100
