"""Metrics are told, and nobody waits for that."""

from __future__ import annotations

import asyncio

from app.observability.timing import soon


async def test_what_is_told_soon_is_told_in_order_when_the_loop_comes_to_it() -> None:
    told: list[tuple[str, float]] = []

    def observe(step: str, seconds: float) -> None:
        told.append((step, seconds))

    tell = soon(observe)
    tell("create", 1.0)
    tell("token_request", 2.0)
    assert told == []
    await asyncio.sleep(0)
    assert told == [("create", 1.0), ("token_request", 2.0)]
