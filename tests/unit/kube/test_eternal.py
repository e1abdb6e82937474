"""What must not end is started again."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from app.kube.backoff import Backoff
from app.kube.eternal import eternally
from tests.workspace import eventually

if TYPE_CHECKING:
    from collections.abc import Callable


class Flawed:
    """Does what it is told to, once for each start."""

    def __init__(self, *steps: Callable[[], None]) -> None:
        self.steps = list(steps)
        self.starts = 0
        self.now = 0.0

    async def run(self) -> None:
        self.starts += 1
        if self.steps:
            self.steps.pop(0)()
        else:
            await asyncio.Event().wait()

    def fail(self) -> None:
        raise RuntimeError("a bug")

    def end(self) -> None:
        pass

    def fail_late(self) -> None:
        self.now += 61
        raise RuntimeError("a bug")


class Waits(Backoff):
    """Notes how long it waits, and does not wait."""

    def __init__(self) -> None:
        super().__init__(random.Random(1), first=1, most=60)  # noqa: S311  # spreads restarts
        self.noted: list[float] = []

    def next_seconds(self) -> float:
        self.noted.append(super().next_seconds())
        return 0


@pytest.mark.parametrize(("flaw", "said"), [("fail", "failed and will"), ("end", "ended, which it")])
async def test_whatever_ends_it_it_is_logged_and_started_again(
    caplog: pytest.LogCaptureFixture, flaw: str, said: str
) -> None:
    flawed = Flawed()
    flawed.steps = [getattr(flawed, flaw)] * 3
    task = asyncio.create_task(eternally("the test", flawed.run, backoff=Waits(), clock=lambda: 0))
    await eventually(lambda: flawed.starts == 4)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert [record.message for record in caplog.records if said in record.message] == [
        record.message for record in caplog.records
    ]
    assert len(caplog.records) == 3
    assert "the test" in caplog.text


async def test_waits_grow_until_it_has_run_for_a_while() -> None:
    flawed, waits = Flawed(), Waits()
    flawed.steps = [*[flawed.fail] * 5, flawed.fail_late, flawed.fail]
    task = asyncio.create_task(eternally("the test", flawed.run, backoff=waits, clock=lambda: flawed.now))
    await eventually(lambda: flawed.starts == 8)
    task.cancel()
    await asyncio.wait([task])

    assert waits.noted[4] >= 8
    assert waits.noted[5] <= 1
    assert waits.noted[6] <= 2
