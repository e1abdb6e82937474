"""Clients in a process of their own, so that they take no time from whatever this process does."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


Plan = TypeVar("Plan")
Gives = TypeVar("Gives")


class Clients:
    """One process that carries out one plan at a time."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    async def run(self, carry_out: Callable[[Plan], Gives], plan: Plan) -> Gives:
        """What `carry_out(plan)` returns there."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, carry_out, plan)


@asynccontextmanager
async def clients() -> AsyncIterator[Clients]:
    """The process, for as long as the context lasts."""
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=_leave_ctrl_c_to_parent)
    try:
        yield Clients(pool)
    finally:
        for process in list(pool._processes.values()):  # noqa: SLF001  # Python 3.14 has terminate_workers()
            process.terminate()
        await asyncio.to_thread(pool.shutdown, cancel_futures=True)


def _leave_ctrl_c_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
