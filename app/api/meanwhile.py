"""Something that goes on by itself while something else is waited for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator

T = TypeVar("T")


class Meanwhile(Generic[T]):
    """A context in which some work is done, to be awaited there; it ends with the context at the latest.

    It begins when its task first waits for something, and so holds up nothing that is sent before. What it
    raises is for whoever awaits it, and of no interest to anybody else.
    """

    __slots__ = ("_beginning", "_name", "_task", "_work")

    def __init__(self, work: Coroutine[Any, Any, T], *, name: str) -> None:
        self._work = work
        self._name = name
        self._task: asyncio.Task[T] | None = None
        self._beginning = asyncio.get_running_loop().call_soon(self._begin)

    def __await__(self) -> Generator[Any, Any, T]:
        """What the work gives."""
        return self._begin().__await__()

    async def __aenter__(self) -> Self:
        """It begins soon."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """End it."""
        task = self._task
        if task is None:
            self._beginning.cancel()
            self._work.close()
            return
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
        if not task.cancelled():
            task.exception()

    def _begin(self) -> asyncio.Task[T]:
        if self._task is None:
            self._task = asyncio.create_task(self._work, name=self._name)
        return self._task
