"""What the meter makes of the counters, by a real Prometheus that holds a known history."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from app.settings import UsageSettings
from app.usage.amounts import Amounts
from app.usage.errors import UsageNotConfiguredError
from app.usage.meter import Meter
from app.usage.prometheus import Prometheus as Client
from app.usage.promql import Label
from tests.history import REQUESTS, TOKENS, History
from tests.prometheus import Prometheus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

NOW = 1_760_000_400
HOUR = 3600
LABELS = {"user": "alice", "tier": "free", "model": "m", "code": "200"}


pytestmark = pytest.mark.usefixtures("prometheus_programs")


@asynccontextmanager
async def metering(history: History, directory: Path) -> AsyncIterator[Meter]:
    await history.write(directory)
    async with Prometheus(directory) as server:
        meter = Meter(
            Client(UsageSettings(prometheus_url=server.url)), cache_seconds=1, time=lambda: NOW + 0.9
        )
        try:
            yield meter
        finally:
            await meter.close()


async def requests(meter: Meter, seconds: int, step: int | None = None) -> tuple[list[int], bool]:
    """Alice's requests in each step, and whether all of them were counted."""
    usage = await meter.usage(meter.window(seconds, step), by=[Label.MODEL], user="alice")
    steps = [part.get(("m",), Amounts()) for _, part in usage.steps]
    return [part.requests for part in steps], all(part.exact for part in steps)


async def test_counts_are_exact_for_whatever_a_window_begins_and_ends_with(tmp_path: Path) -> None:
    history = History()
    # Read twice a minute for three hours; one more each minute, and 1000 from before that.
    samples = [(at, 1000 + (at - NOW + 3 * HOUR) // 60) for at in range(NOW - 3 * HOUR, NOW + 1, 30)]
    history.add(REQUESTS, LABELS, samples)
    async with metering(history, tmp_path) as meter:
        assert await requests(meter, HOUR) == ([60], True)
        assert await requests(meter, 7 * 60) == ([7], True)
        assert await requests(meter, 2 * HOUR, 600) == ([10] * 12, True)
        # All that the counter has ever counted: it had begun in the window as far as is known.
        assert await requests(meter, 4 * HOUR) == ([1180], True)
        usage = await meter.usage(meter.window(4 * HOUR), by=[Label.MODEL], user="alice")
        assert not usage.complete
        assert (await meter.usage(meter.window(2 * HOUR), by=[Label.MODEL], user="alice")).complete


async def test_the_first_value_of_a_new_series_counts(tmp_path: Path) -> None:
    history = History()
    history.add(REQUESTS, LABELS, [(NOW - 100, 3)])
    async with metering(history, tmp_path) as meter:
        assert await requests(meter, HOUR) == ([3], True)
        assert await requests(meter, HOUR, 600) == ([0, 0, 0, 0, 0, 3], True)


async def test_a_series_that_has_ended_still_counts_where_it_was(tmp_path: Path) -> None:
    history = History()
    history.add(REQUESTS, {**LABELS, "pod": "old"}, [(NOW - 3 * HOUR, 7), (NOW - 2 * HOUR - 600, 10)])
    new = [(NOW - 2 * HOUR - 500, 1), (NOW - 5000, 1), (NOW - 30, 5)]
    history.add(REQUESTS, {**LABELS, "pod": "new"}, new)
    async with metering(history, tmp_path) as meter:
        assert await requests(meter, 4 * HOUR) == ([15], True)
        assert await requests(meter, 3 * HOUR, HOUR) == ([4, 0, 4], True)


async def test_a_counter_that_begins_anew_between_two_steps_is_counted(tmp_path: Path) -> None:
    history = History()
    history.add(REQUESTS, LABELS, [(NOW - HOUR - 30, 100), (NOW - HOUR + 30, 2), (NOW - 30, 150)])
    async with metering(history, tmp_path) as meter:
        assert await requests(meter, HOUR) == ([150], True)
        assert await requests(meter, 2 * HOUR, HOUR) == ([100, 150], True)


async def test_a_counter_that_begins_anew_inside_of_a_window_is_estimated_and_it_says_so(
    tmp_path: Path,
) -> None:
    history = History()
    up = [(at, (at - NOW + 3 * HOUR) // 30) for at in range(NOW - 3 * HOUR, NOW - HOUR, 30)]
    again = [(at, (at - NOW + HOUR) // 30) for at in range(NOW - HOUR + 30, NOW + 1, 30)]
    history.add(REQUESTS, LABELS, up + again)
    history.add(REQUESTS, {**LABELS, "model": "other"}, [(NOW - 300, 1), (NOW - 30, 2)])
    async with metering(history, tmp_path) as meter:
        (estimated,), exact = await requests(meter, 2 * HOUR)
        assert not exact
        assert estimated == pytest.approx(240, abs=2)
        # Only the step that it falls in; where it falls between two, none.
        steps, exact = await requests(meter, 2 * HOUR, 1200)
        assert exact
        assert sum(steps) == 239
        usage = await meter.usage(meter.window(2 * HOUR), by=[Label.MODEL], user="alice")
        assert [(key, part.exact) for key, part in usage.rows().items()] == [
            (("m",), False),
            (("other",), True),
        ]


async def test_a_gap_of_scrapes_is_made_up_for_when_it_ends(tmp_path: Path) -> None:
    history = History()
    history.add(REQUESTS, LABELS, [(NOW - 5000, 10), (NOW - 4000, 20), (NOW - 2000, 90), (NOW - 100, 100)])
    async with metering(history, tmp_path) as meter:
        assert await requests(meter, 6000, 1000) == ([10, 10, 0, 70, 0, 10], True)


async def test_counters_of_several_gateways_add_up(tmp_path: Path) -> None:
    history = History()
    for number in range(5):
        history.add(REQUESTS, {**LABELS, "instance": f"{number}"}, [(NOW - 100, 10), (NOW - 50, 11 + number)])
        history.add(
            TOKENS, {"user": "alice", "model": "m", "type": "prompt", "instance": f"{number}"}, [(NOW, 2)]
        )
    async with metering(history, tmp_path) as meter:
        usage = await meter.usage(meter.window(HOUR), by=[], user="alice")
        assert usage.rows() == {(): Amounts(requests=65, answered=65, prompt_tokens=10)}


@pytest.mark.parametrize(
    ("code", "answered", "refused"),
    [("200", 9, 0), ("201", 9, 0), ("", 9, 0), ("429", 0, 9), ("500", 0, 0), ("0", 0, 0)],
)
async def test_what_a_model_has_answered_is_told_by_the_status(
    tmp_path: Path, code: str, answered: int, refused: int
) -> None:
    history = History()
    history.add(REQUESTS, {**LABELS, "code": code}, [(NOW - 100, 9)])
    async with metering(history, tmp_path) as meter:
        usage = await meter.usage(meter.window(HOUR), by=[], user="alice")
        assert usage.rows() == {(): Amounts(requests=9, answered=answered, refused=refused)}


async def test_without_a_prometheus_nothing_is_asked() -> None:
    meter = Meter(None, cache_seconds=5, time=lambda: NOW)
    with pytest.raises(UsageNotConfiguredError):
        await meter.usage(meter.window(60), by=[])
    with pytest.raises(UsageNotConfiguredError):
        await meter.last_minute("alice", tokens=True)
    await meter.close()


def test_windows_end_at_the_same_moment_for_everybody_who_asks_within_some_seconds() -> None:
    now = 1_000_004.0
    meter = Meter(None, cache_seconds=10, time=lambda: now)
    first = meter.window(60)
    now = 1_000_009.9
    assert meter.window(60) == first
    assert (first.start, first.end) == (999_940, 1_000_000)
