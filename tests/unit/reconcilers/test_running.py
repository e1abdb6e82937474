"""Reconcilers run side by side, and one that fails takes nobody with it."""

from __future__ import annotations

import asyncio
import random
import time

from app.reconcilers.running import run_all
from tests.workspace import eventually


class Counting:
    """A reconciler that counts, and fails when told to."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.starts = 0
        self.running = False
        self.fails = asyncio.Event()

    async def run(self) -> None:
        self.starts += 1
        self.running = True
        try:
            await self.fails.wait()
            raise RuntimeError("a bug")
        finally:
            self.running = False


def start(*reconcilers: Counting) -> asyncio.Task[None]:
    running = run_all(reconcilers, random=random.Random(1), clock=time.monotonic)  # noqa: S311  # spreads restarts
    return asyncio.create_task(running)


async def test_each_has_a_task_that_bears_its_name_and_ends_with_the_rest() -> None:
    one, two = Counting("one"), Counting("two")
    task = start(one, two)
    await eventually(lambda: one.running and two.running)
    assert {"reconciler one", "reconciler two"} <= {each.get_name() for each in asyncio.all_tasks()}

    task.cancel()
    await asyncio.wait([task])
    assert not one.running
    assert not two.running
    assert task.cancelled()


async def test_one_that_fails_is_started_again_and_the_others_do_not_notice() -> None:
    good, bad = Counting("good"), Counting("bad")
    task = start(good, bad)
    await eventually(lambda: bad.running)
    bad.fails.set()
    await eventually(lambda: not bad.running)
    bad.fails.clear()

    await eventually(lambda: bad.starts == 2)
    assert good.starts == 1
    assert good.running
    task.cancel()
    await asyncio.wait([task])


async def test_without_any_it_still_does_not_end() -> None:
    task = start()
    ended, _ = await asyncio.wait([task], timeout=0.05)
    assert not ended
    task.cancel()
    await asyncio.wait([task])
