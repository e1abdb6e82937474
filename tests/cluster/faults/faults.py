"""What can go wrong between the service and its API server, one class for each.

A fault is asked at several points of every exchange: before the request is passed on, when a watch opens and
ends, with each of its events, and with the whole body of any other answer. What it does not change goes on.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

_REASONS = {401: "Unauthorized", 410: "Expired", 429: "TooManyRequests", 500: "InternalError"}
# At most this many pieces of a slow answer in a second.
_PIECES = 10


class CutError(Exception):
    """The connection breaks off here."""


@dataclass(frozen=True)
class Call:
    """One request to the API server."""

    method: str
    path: str
    query: Mapping[str, str]
    authorization: str

    @property
    def watch(self) -> bool:
        return self.query.get("watch") == "true"

    @property
    def list(self) -> bool:
        return "limit" in self.query

    @property
    def resource(self) -> str:
        """Plural and subresource, such as ``serviceaccounts`` or ``serviceaccounts/token``."""
        parts = self.path.strip("/").split("/")
        # /api/v1/… or /apis/<group>/<version>/…
        parts = parts[2:] if parts[0] == "api" else parts[3:]
        if parts[:1] == ["namespaces"] and len(parts) > 2:
            parts = parts[2:]
        return "/".join(parts[::2])


def everything(_call: Call) -> bool:
    return True


class Fault:
    """No fault; what others are made of."""

    def __init__(self, matching: Callable[[Call], bool] = everything) -> None:
        self.matching = matching
        self.over = asyncio.Event()
        self.struck = 0
        """How often it has done something."""

    async def instead(self, call: Call) -> web.Response | None:  # noqa: ARG002  # others look at it
        """The answer, if the request is not to be passed on."""
        return None

    async def body(self, call: Call, content: bytes) -> AsyncIterator[bytes]:  # noqa: ARG002
        """What is sent of the body of an answer."""
        yield content

    async def opening(self, call: Call) -> AsyncIterator[bytes]:  # noqa: ARG002
        """What a watch says before the API server says anything."""
        return
        yield b""

    async def event(self, call: Call, line: bytes) -> AsyncIterator[bytes]:  # noqa: ARG002
        """What is sent of an event of a watch."""
        yield line

    async def ending(self, call: Call) -> None:
        """Return when a watch that the API server has ended may end."""


class Hang(Fault):
    """Nothing is passed on and nothing answered; in the end the connections break off."""

    async def instead(self, _call: Call) -> web.Response | None:
        self.struck += 1
        await self.over.wait()
        raise CutError

    async def event(self, _call: Call, line: bytes) -> AsyncIterator[bytes]:
        self.struck += 1
        await self.over.wait()
        yield line

    async def ending(self, _call: Call) -> None:
        await self.over.wait()
        raise CutError


class LoseAnswers(Fault):
    """Requests are passed on, and what they ask for is done; the answers never come."""

    async def body(self, _call: Call, _content: bytes) -> AsyncIterator[bytes]:
        self.struck += 1
        await self.over.wait()
        raise CutError
        yield b""


class Delay(Fault):
    """Requests arrive when the fault is over; whoever sent them may have given up long before."""

    async def instead(self, _call: Call) -> web.Response | None:
        self.struck += 1
        await self.over.wait()
        return None


class Answer(Fault):
    """The same answer to everything."""

    def __init__(self, status: int, headers: Mapping[str, str], matching: Callable[[Call], bool]) -> None:
        super().__init__(matching)
        self._status = status
        self._headers = headers

    async def instead(self, _call: Call) -> web.Response | None:
        self.struck += 1
        return web.Response(
            status=self._status,
            body=failure(self._status),
            headers={"Content-Type": "application/json", **self._headers},
        )


class Slow(Fault):
    """Answers come in small pieces."""

    def __init__(self, bytes_per_second: float, matching: Callable[[Call], bool]) -> None:
        super().__init__(matching)
        self._size = max(1, round(bytes_per_second / _PIECES))
        self._pause = self._size / bytes_per_second

    async def body(self, call: Call, content: bytes) -> AsyncIterator[bytes]:
        async for piece in self.event(call, content):
            yield piece

    async def event(self, _call: Call, line: bytes) -> AsyncIterator[bytes]:
        self.struck += 1
        for start in range(0, len(line), self._size):
            if not self.over.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._pause):
                        await self.over.wait()
            yield line[start : start + self._size]


class CutEvents(Fault):
    """Every event breaks off in its middle, and its connection with it."""

    async def event(self, _call: Call, line: bytes) -> AsyncIterator[bytes]:
        self.struck += 1
        yield line[: len(line) // 2]
        raise CutError


class TruncateLists(Fault):
    """Every watch needs a new list, and every page of a list breaks off in its middle."""

    def __init__(self) -> None:
        super().__init__(lambda call: call.list or call.watch)

    async def instead(self, call: Call) -> web.Response | None:
        return gone() if call.watch else None

    async def body(self, _call: Call, content: bytes) -> AsyncIterator[bytes]:
        self.struck += 1
        yield content[: len(content) // 2]
        raise CutError


class DuplicateEvents(Fault):
    """Every event comes twice."""

    async def event(self, _call: Call, line: bytes) -> AsyncIterator[bytes]:
        self.struck += 1
        yield line
        yield line


class Gone(Fault):
    """The history that every watch asks for is gone: as a status, or as the first event."""

    def __init__(self, *, in_stream: bool) -> None:
        super().__init__(lambda call: call.watch)
        self._in_stream = in_stream

    async def instead(self, _call: Call) -> web.Response | None:
        if self._in_stream:
            return None
        self.struck += 1
        return gone()

    async def opening(self, _call: Call) -> AsyncIterator[bytes]:
        self.struck += 1
        yield orjson.dumps({"type": "ERROR", "object": orjson.loads(failure(410))}) + b"\n"
        raise CutError


class Reorder(Fault):
    """Each watch needs a new list, and hears old events after it, newest first."""

    def __init__(self, history: Mapping[str, list[bytes]]) -> None:
        super().__init__(lambda call: call.watch)
        self._history = {path: list(lines) for path, lines in history.items()}
        self._opened: defaultdict[str, int] = defaultdict(int)

    async def instead(self, call: Call) -> web.Response | None:
        self._opened[call.path] += 1
        if self._opened[call.path] > 1:
            return None
        return gone()

    async def opening(self, call: Call) -> AsyncIterator[bytes]:
        if self._opened[call.path] == 2:  # The first one after the list.
            for line in reversed(self._history.get(call.path, [])):
                self.struck += 1
                yield line


def gone() -> web.Response:
    return web.Response(status=410, body=failure(410), content_type="application/json")


def failure(status: int) -> bytes:
    """A Status object as the API server would write it."""
    return orjson.dumps(
        {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "reason": _REASONS.get(status, "ServiceUnavailable"),
            "message": f"the proxy was told to answer {status}",
            "code": status,
        }
    )
