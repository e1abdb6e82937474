"""A bounded cache of answers that takes each question to the Kubernetes API only once at a time."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from app.kube.errors import KubeError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

K = TypeVar("K", bound="Hashable")
V = TypeVar("V")


_PATIENCE_SECONDS = 1.0
_GRACE_SECONDS = 5.0


@dataclass(slots=True)
class _Entry(Generic[V]):
    value: V
    asked_at: float
    fresh_until: float
    spared_until: float = -math.inf  # Until then nobody who may remember it asks again.


class ReviewCache(Generic[K, V]):
    """Answers by question, fresh for a while.

    A question that is already on its way is shared by everyone who asks it. If whoever asked it first goes
    away, the next of those who wait asks. When the cache is full the entry written first goes first.
    """

    def __init__(self, *, name: str, seconds: float, entries: int, clock: Callable[[], float]) -> None:
        self._name = name
        self._seconds = seconds
        self._most = entries
        self._clock = clock
        self._entries: dict[K, _Entry[V]] = {}
        self._asking: dict[K, asyncio.Future[V]] = {}
        self._tasks: set[asyncio.Task[V]] = set()

    def fresh(self, key: K) -> V | None:
        """The answer if it is still fresh, without asking."""
        entry = self._entries.get(key)
        return entry.value if entry is not None and self._clock() < entry.fresh_until else None

    async def get(
        self, key: K, ask: Callable[[], Awaitable[V]], *, seconds: Callable[[V], float] | None = None
    ) -> V:
        """The fresh answer, or the one that `ask()` gives now; what `ask` raises is raised and not kept.

        Args:
            key: the question.
            ask: gets the answer.
            seconds: shortens how long this answer stays fresh.
        """
        while True:
            if (value := self.fresh(key)) is not None:
                return value
            if (asking := self._asking.get(key)) is None:
                return await self._ask(key, ask, seconds)
            await asyncio.wait([asking])
            if not asking.cancelled():
                return asking.result()

    def get_or_remember(
        self,
        key: K,
        ask: Callable[[], Awaitable[V]],
        *,
        remember_seconds: float,
        seconds: Callable[[V], float] | None = None,
    ) -> Awaitable[V]:
        """As `get`, but while nobody answers the last answer stands.

        It stands for `remember_seconds` since it was asked for. Whoever has one to fall back on waits for a
        new one no longer than a moment, and the next ones do not wait at all for some seconds: an API server
        that says nothing must not make every request slow.

        Raises:
            KubeError: nobody answers, and there is no answer to remember.
        """
        last = self._entries.get(key)
        if last is None or self._clock() - last.asked_at > remember_seconds:
            return self.get(key, ask, seconds=seconds)
        return self._get_or(last, key, ask, seconds)

    async def close(self) -> None:
        """End every question that nobody waits for any more."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _get_or(
        self, last: _Entry[V], key: K, ask: Callable[[], Awaitable[V]], seconds: Callable[[V], float] | None
    ) -> V:
        if (value := self.fresh(key)) is not None:
            return value
        if self._clock() < last.spared_until:
            return last.value
        # It goes on when nobody waits for it any more: who comes later has the answer then.
        task = asyncio.create_task(self.get(key, ask, seconds=seconds), name=f"{self._name} review")
        self._tasks.add(task)
        task.add_done_callback(self._end)
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                return await asyncio.shield(task)
        except (TimeoutError, KubeError):
            last.spared_until = self._clock() + _GRACE_SECONDS
            return last.value

    def _end(self, task: asyncio.Task[V]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # Perhaps nobody else looks at it.

    async def _ask(self, key: K, ask: Callable[[], Awaitable[V]], seconds: Callable[[V], float] | None) -> V:
        """Ask, and tell everyone who waits for the same."""
        asking = self._asking[key] = asyncio.get_running_loop().create_future()
        asked_at = self._clock()
        try:
            value = await ask()
        except Exception as error:
            # A refusal takes the place of what was answered before; where it is the API server that fails, or
            # the service's own credentials, the question was not answered.
            if not isinstance(error, KubeError):
                self._entries.pop(key, None)
            asking.set_exception(error)
            asking.exception()  # Perhaps nobody waits.
            raise
        except BaseException:
            asking.cancel()
            raise
        finally:
            del self._asking[key]
        self._keep(key, value, asked_at, seconds)
        asking.set_result(value)
        return value

    def _keep(self, key: K, value: V, asked_at: float, seconds: Callable[[V], float] | None) -> None:
        lifetime = min(self._seconds, seconds(value)) if seconds else self._seconds
        self._entries.pop(key, None)
        while len(self._entries) >= self._most:
            del self._entries[next(iter(self._entries))]
        # Freshness counts from the question, not the answer: what changed in between is not in it.
        self._entries[key] = _Entry(value, asked_at, asked_at + lifetime)
