"""What goes on meanwhile is there when it is asked for, and does not outlive what it was for."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
from typing import TYPE_CHECKING

import pytest

from app.api.meanwhile import Meanwhile

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any


async def fails() -> int:
    raise ValueError("what came is wrong")


async def test_it_is_done_while_something_else_is_waited_for() -> None:
    done = asyncio.Event()

    async def work() -> int:
        done.set()
        return 7

    async with Meanwhile(work(), name="work") as task:
        await done.wait()
        assert await task == 7


async def test_what_it_raises_is_raised_where_it_is_asked_for() -> None:
    with pytest.raises(ValueError, match="what came is wrong"):
        async with Meanwhile(fails(), name="work") as task:
            await task


@pytest.mark.parametrize("turns", [0, 1, 2])
@pytest.mark.parametrize("work", [fails, asyncio.Event().wait])
async def test_where_something_else_fails_it_ends_and_is_not_heard_of(work: Any, turns: int) -> None:
    heard: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(context))
    doing: Coroutine[Any, Any, Any] = work()
    meanwhile = Meanwhile(doing, name="work")
    with contextlib.suppress(PermissionError):
        async with meanwhile:
            for _ in range(turns):
                await asyncio.sleep(0)
            raise PermissionError
    assert inspect.getcoroutinestate(doing) == inspect.CORO_CLOSED
    del doing, meanwhile
    gc.collect()
    assert heard == []


async def test_whoever_leaves_takes_it_along() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def ask() -> None:
        async with Meanwhile(work(), name="work") as task:
            await task

    asking = asyncio.create_task(ask())
    await begun.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert ended.is_set()


async def test_it_is_done_where_there_is_nothing_else_to_wait_for() -> None:
    async def work() -> int:
        return 7

    async with Meanwhile(work(), name="work") as doing:
        assert await doing == 7


async def test_what_is_waited_for_is_not_held_up_by_it() -> None:
    order: list[str] = []

    async def work() -> None:
        order.append("work")

    async with Meanwhile(work(), name="work"):
        order.append("what is waited for")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert order == ["what is waited for", "work"]
