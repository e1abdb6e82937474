"""Who need not wait is let through at once, and overtakes nobody."""

from __future__ import annotations

import asyncio

from app.kube.gate import Gate


async def somebody_waits(gate: Gate) -> asyncio.Task[bool]:
    """Take the only place, and have a task wait for it."""
    assert gate.enter_now()
    waiting = asyncio.create_task(gate.acquire(), name="waiting")
    await asyncio.sleep(0)
    return waiting


async def test_as_many_as_there_are_places_are_let_through_at_once() -> None:
    gate = Gate(2)

    assert [gate.enter_now() for _ in range(3)] == [True, True, False]

    gate.release()
    assert gate.enter_now()


async def test_who_waits_is_not_overtaken() -> None:
    gate = Gate(1)
    waiting = await somebody_waits(gate)

    gate.release()  # The place is for who waits, who has not run since.

    assert not gate.enter_now()
    assert await waiting
    gate.release()
    assert gate.enter_now()


async def test_the_place_of_who_gave_up_waiting_is_free_for_others() -> None:
    gate = Gate(1)
    waiting = await somebody_waits(gate)
    waiting.cancel()
    await asyncio.wait([waiting])

    gate.release()

    assert gate.enter_now()
