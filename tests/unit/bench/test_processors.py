from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from bench.figures import Must
from bench.processors import kept_awake, ways
from bench.run import CannotMeasureError


def held(device: Path) -> bool:
    """Whether this process has the file open, which is what the kernel goes by."""
    return any(each.resolve() == device for each in Path("/proc/self/fd").iterdir())


def test_the_wish_for_no_sleep_is_held_within_the_context_however_that_ends(tmp_path: Path) -> None:
    device = tmp_path / "cpu_dma_latency"
    device.touch()

    with contextlib.suppress(RuntimeError), kept_awake(device) as could:
        assert could
        assert held(device)
        assert device.read_bytes() == b"\0\0\0\0"
        raise RuntimeError

    assert not held(device)


def test_where_the_kernel_takes_no_wishes_everything_stays_as_it_is(tmp_path: Path) -> None:
    missing = tmp_path / "cpu_dma_latency"

    with kept_awake(missing) as could:
        assert not could

    assert not missing.exists()


def test_what_is_measured_awake_says_so_and_is_held_to_its_limit(tmp_path: Path) -> None:
    device = tmp_path / "cpu_dma_latency"
    device.touch()
    limit = Must("value", "<=", 1)

    asleep, awake = ways(device)

    assert [way.name("p50") for way in (asleep, awake)] == ["p50", "p50, processors kept awake"]
    assert [way.must(limit) for way in (asleep, awake)] == [None, limit]
    assert not held(device)
    with asleep.taken():
        assert not held(device)
    with awake.taken():
        assert held(device)


def test_where_nothing_can_be_measured_awake_the_rest_is_held_to_its_limit(tmp_path: Path) -> None:
    limit = Must("value", "<=", 1)

    (asleep,) = ways(tmp_path / "missing")

    assert asleep.name("p50") == "p50"
    assert asleep.must(limit) is limit


def test_nothing_is_called_measured_awake_that_is_not(tmp_path: Path) -> None:
    device = tmp_path / "cpu_dma_latency"
    device.touch()
    _, awake = ways(device)
    device.unlink()

    with pytest.raises(CannotMeasureError, match="kept awake"), awake.taken():
        pass
