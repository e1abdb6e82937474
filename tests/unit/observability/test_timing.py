"""How long something takes is told, and nobody waits for that."""

from __future__ import annotations

import asyncio

import pytest

from app.observability.timing import Timed, soon


def test_what_fails_is_timed_too() -> None:
    told: list[float] = []
    with pytest.raises(ValueError, match="no"), Timed(told.append):
        raise ValueError("no")
    assert len(told) == 1
    assert 0 <= told[0] < 1


async def test_what_is_told_soon_is_told_in_order_when_the_loop_comes_to_it() -> None:
    told: list[tuple[str, float]] = []

    def observe(step: str, seconds: float) -> None:
        told.append((step, seconds))

    tell = soon(observe)
    tell("create", 1.0)
    tell(step="token_request", seconds=2.0)
    assert told == []
    await asyncio.sleep(0)
    assert told == [("create", 1.0), ("token_request", 2.0)]
