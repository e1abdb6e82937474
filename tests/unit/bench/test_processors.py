from __future__ import annotations

import contextlib
from pathlib import Path

from bench.processors import kept_awake


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
