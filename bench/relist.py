"""A new list of everything, which the service needs when the API server has forgotten the past."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from bench.http_load import Connection, LoadError, get, status_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.platform import Cluster
    from bench.subject import Subject

_SECONDS = 180
_POLL_SECONDS = 0.05
_PAUSE_SECONDS = 0.001


async def relist(cluster: Cluster, subjects: Sequence[Subject]) -> dict[int, float]:
    """Make all of them list everything at once; the slowest decision of each meanwhile, in seconds, by count.

    Raises:
        LoadError: a decision was another one meanwhile.
        TimeoutError: a list never came.
    """
    before = {subject.count: len(subject.process.lists()) for subject in subjects}
    stop = asyncio.Event()
    async with asyncio.timeout(_SECONDS), asyncio.TaskGroup() as group:
        deciding = {subject.count: group.create_task(_slowest(subject, stop)) for subject in subjects}
        await cluster.real.forget_history()
        for subject in subjects:
            while len(subject.process.lists()) == before[subject.count]:  # noqa: ASYNC110  # another process
                await asyncio.sleep(_POLL_SECONDS)
        await asyncio.sleep(1)
        stop.set()
    return {count: task.result() for count, task in deciding.items()}


async def _slowest(subject: Subject, stop: asyncio.Event) -> float:
    slowest = 0.0
    # What is asked of the API server, access to a model, would show how long that takes to come back.
    requests = [
        get("/internal/authorize/v1/models", authorization=f"Bearer {jwt}")
        for jwt in subject.jwts[: len(subject.jwts) // 4]
    ]
    connection = await Connection.open(subject.process.gateway)
    number = 0
    while not stop.is_set():
        started = time.perf_counter()
        answer = await connection.exchange(requests[number % len(requests)])
        slowest = max(slowest, time.perf_counter() - started)
        if status_of(answer) != 200:  # noqa: PLR2004
            raise LoadError(f"refused meanwhile: {answer[:200]!r}")
        number += 1
        await asyncio.sleep(_PAUSE_SECONDS)
    connection.close()
    return slowest
