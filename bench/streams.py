"""Streamed chats, one after the other: when the first chunk comes, and how long each chunk is under way.

The model writes into each chunk when it was sent, by the clock that all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import re
import time
from array import array
from dataclasses import dataclass, field

import uvloop

from bench.http_load import LoadError

_SENT = re.compile(rb'"content":"(\d+) "')
_END = b"data: [DONE]"
_SECONDS = 30


@dataclass(frozen=True)
class Streams:
    """So many streams over one connection.

    Attributes:
        port: where to, on 127.0.0.1.
        request: what is sent each time.
        count: how many are measured.
        warm_up: how many come before them.
    """

    port: int
    request: bytes
    count: int
    warm_up: int = 2


@dataclass
class Seen:
    """What was seen, in seconds.

    Attributes:
        first: from the request until the first chunk, of each stream.
        chunks: from when the model sent a chunk until it came, of each chunk after the first.
    """

    first: array[float] = field(default_factory=lambda: array("d"))
    chunks: array[float] = field(default_factory=lambda: array("d"))


def run_streams(plan: Streams) -> Seen:
    """Carry it out; blocks until it is done.

    Raises:
        LoadError: an answer was no stream of such chunks.
    """
    return uvloop.run(_run(plan))


async def _run(plan: Streams) -> Seen:
    loop = asyncio.get_running_loop()
    transport, stream = await loop.create_connection(_Stream, "127.0.0.1", plan.port)
    seen = Seen()
    try:
        for number in range(plan.warm_up + plan.count):
            started = time.monotonic_ns()
            ended = stream.expect()
            transport.write(plan.request)
            async with asyncio.timeout(_SECONDS):
                await ended
            if not stream.chunks:
                raise LoadError(f"this is no stream: {stream.received[:1500]!r}")
            if number >= plan.warm_up:
                seen.first.append((stream.chunks[0][1] - started) / 1e9)
                seen.chunks.extend((came - sent) / 1e9 for sent, came in stream.chunks[1:])
    finally:
        transport.close()
    return seen


class _Stream(asyncio.Protocol):
    """One connection; `chunks` has when each chunk of the last answer was sent and came, in nanoseconds."""

    def __init__(self) -> None:
        self.chunks: list[tuple[int, int]] = []
        self.received = b""
        self._read = 0
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def expect(self) -> asyncio.Future[None]:
        """Get ready for an answer; done when it has ended."""
        self.chunks, self.received, self._read = [], b"", 0
        self._ended = asyncio.get_running_loop().create_future()
        return self._ended

    def data_received(self, data: bytes) -> None:
        came = time.monotonic_ns()
        self.received += data
        for found in _SENT.finditer(self.received, self._read):
            self._read = found.end()
            self.chunks.append((int(found.group(1)), came))
        head, complete, _ = self.received.partition(b"\r\n\r\n")
        over = self.received.endswith(b"0\r\n\r\n") and _END in self.received
        if complete and (over or b"text/event-stream" not in head) and not self._ended.done():
            self._ended.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._ended.done():
            self._ended.set_exception(LoadError(f"the connection ended: {exc or 'it was closed'}"))
