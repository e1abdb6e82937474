"""Something that goes on by itself while something else is waited for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


class Meanwhile(Generic[T]):
    """A context that gives the task of some work; the work ends with the context at the latest.

    What it raises is for whoever awaits the task, and of no interest to anybody else.
    """

    __slots__ = ("_task",)

    def __init__(self, work: Coroutine[Any, Any, T], *, name: str) -> None:
        self._task = asyncio.create_task(work, name=name)

    async def __aenter__(self) -> asyncio.Task[T]:
        """The task."""
        return self._task

    async def __aexit__(self, *_: object) -> None:
        """End it."""
        if not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.exception()
