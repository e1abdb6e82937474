"""Switches for tests: let the API server misbehave in the ways that real ones do."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.embedded.kubernetes.errors import APIError

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.embedded.kubernetes.storage import Storage

_REASONS = {
    401: "Unauthorized",
    403: "Forbidden",
    409: "Conflict",
    410: "Expired",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


@dataclass(slots=True)
class _Failure:
    code: int
    left: int | None
    matches: Callable[[str, str], bool]
    retry_after: int | None


class Faults:
    """What goes wrong at the moment. Nothing does until a method is called.

    Attributes:
        delay: How long every request waits before it is answered, in seconds.
        gone_as_status: Whether a watch from a forgotten resourceVersion gets HTTP status 410. Otherwise it
            gets 200 and the 410 as an event, as real servers do most of the time.
        frozen: Whether watches stay open and silent: changes are not sent, nor are bookmarks.
    """

    def __init__(self, storage: Storage) -> None:
        self.delay = 0.0
        self.gone_as_status = False
        self.frozen = False
        self.drops = 0
        self.cuts = 0
        self._storage = storage
        self._failure: _Failure | None = None

    def fail(
        self,
        code: int,
        *,
        times: int | None = None,
        matches: Callable[[str, str], bool] = lambda _method, _path: True,
        retry_after: int | None = None,
    ) -> None:
        """Answer requests with an error status, before anything else is looked at.

        Args:
            code: The status.
            times: How many requests; all until `clear()` if None.
            matches: Which requests, by HTTP method and path.
            retry_after: The seconds in the `Retry-After` header, if it is to be sent.
        """
        self._failure = _Failure(code, times, matches, retry_after)

    def drop_watches(self, *, cut: bool = False) -> None:
        """End all watches now, as a server does that shuts down.

        Args:
            cut: Whether the connections break off in the middle of the answer instead of ending properly.
        """
        self.drops += 1
        self.cuts += cut
        self._storage.wake()

    def compact(self) -> None:
        """Forget all changes so far: lists and watches of earlier resourceVersions get 410."""
        self._storage.compact()
        self._storage.wake()

    def freeze_watches(self) -> None:
        """Let watches fall silent until `thaw_watches()`."""
        self.frozen = True

    def thaw_watches(self) -> None:
        """Send what the silent watches missed."""
        self.frozen = False
        self._storage.wake()

    def clear(self) -> None:
        """Behave again."""
        self.delay, self.gone_as_status, self._failure = 0.0, False, None
        self.thaw_watches()

    async def strike(self, method: str, path: str) -> None:
        """Wait, or fail, as the switches say.

        Raises:
            APIError: This request is to fail.
        """
        if self.delay:
            await asyncio.sleep(self.delay)
        failure = self._failure
        if failure is None or not failure.matches(method, path):
            return
        if failure.left is not None:
            failure.left -= 1
            if failure.left <= 0:
                self._failure = None
        reason = _REASONS.get(failure.code, "")
        details = {"retryAfterSeconds": failure.retry_after} if failure.retry_after is not None else None
        raise APIError(failure.code, reason, f"the server is told to fail with {failure.code}", details)
