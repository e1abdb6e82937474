"""HTTP/1.1 as fast as Python can ask: connections that stay open, one request at a time on each.

Nothing is parsed but the status and the length of the body, so that what is measured is the other side.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import uvloop

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_END_OF_HEAD = b"\r\n\r\n"
_LAST_CHUNK = b"0\r\n\r\n"
# Whoever says nothing for so long will not.
_SILENCE_SECONDS = 30


class LoadError(Exception):
    """The other side did not do its part."""


@dataclass(frozen=True)
class Load:
    """So many requests over so many connections.

    Attributes:
        port: where to, on 127.0.0.1.
        requests: what is sent, in turn.
        connections: how many ask at the same time.
        count: how many answers are measured.
        warm_up: how many come before them, and are not.
        status: the only good one.
        seconds: after which no further request is sent.
    """

    port: int
    requests: Sequence[bytes]
    connections: int
    count: int
    warm_up: int = 0
    status: int = 200
    seconds: float = 60


@dataclass
class Run:
    """What a load gave.

    Attributes:
        latencies: of each answer, in seconds.
        seconds: how long it all took.
        processor_seconds: what the client itself used of a processor meanwhile.
    """

    latencies: array[float] = field(default_factory=lambda: array("d"))
    seconds: float = 0.0
    processor_seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds


class Connection(asyncio.Protocol):
    """One connection; `exchange` sends a request and returns what comes back."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._received = b""
        self._answer: asyncio.Future[bytes] | None = None
        self._transport: asyncio.Transport

    @classmethod
    async def open(cls, port: int, context: ssl.SSLContext | None = None) -> Connection:
        """A connection to a port of this machine."""
        _, connection = await asyncio.get_running_loop().create_connection(
            cls, "127.0.0.1", port, ssl=context, server_hostname="localhost" if context else None
        )
        return connection

    def close(self) -> None:
        self._transport.close()

    async def exchange(self, request: bytes) -> bytes:
        """Send one request; return the answer, head and body.

        Raises:
            LoadError: the connection ended before the answer did.
        """
        self._answer = self._loop.create_future()
        self._transport.write(request)
        return await self._answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        received = self._received + data if self._received else data
        if not _complete(received):
            self._received = received
            return
        self._received = b""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(received)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(LoadError(f"the connection ended: {exc or 'it was closed'}"))


def _complete(received: bytes) -> bool:
    head = received.find(_END_OF_HEAD)
    if head < 0:
        return False
    lower = received[:head].lower()
    if (at := lower.find(b"\r\ncontent-length:")) >= 0:
        return len(received) >= head + 4 + int(lower[at + 17 :].partition(b"\r\n")[0])
    return b"\r\ntransfer-encoding: chunked" not in lower or received.endswith(_LAST_CHUNK)


def status_of(answer: bytes) -> int:
    """The status of an answer."""
    return int(answer[9:12])


def body_of(answer: bytes) -> bytes:
    """The body of an answer that has a length."""
    return answer.partition(_END_OF_HEAD)[2]


def post(path: str, body: bytes, **headers: str) -> bytes:
    """A request with a JSON body; `_` in the name of a header stands for `-`."""
    lines = [f"POST {path} HTTP/1.1", "host: localhost", "content-type: application/json"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    lines.append(f"content-length: {len(body)}")
    return "\r\n".join(lines).encode() + _END_OF_HEAD + body


def get(path: str, **headers: str) -> bytes:
    """A request without a body; `_` in the name of a header stands for `-`."""
    lines = [f"GET {path} HTTP/1.1", "host: localhost"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + _END_OF_HEAD


def trusting(ca_file: Path) -> ssl.SSLContext:
    """TLS that trusts one CA and no other."""
    return ssl.create_default_context(cafile=str(ca_file))


def run_load(load: Load) -> Run:
    """Carry a load out; blocks until it is done.

    Raises:
        LoadError: an answer had another status, or there was none.
    """
    return uvloop.run(_run(load))


async def _run(load: Load) -> Run:
    connections = [await Connection.open(load.port) for _ in range(load.connections)]
    numbers = iter(range(load.warm_up + load.count))
    try:
        await _ask(load, connections, numbers, load.warm_up, array("d"))
        run = Run()
        started, processor = time.perf_counter(), time.process_time()
        await _ask(load, connections, numbers, load.count, run.latencies)
        run.seconds = time.perf_counter() - started
        run.processor_seconds = time.process_time() - processor
    finally:
        for connection in connections:
            connection.close()
    return run


async def _ask(
    load: Load, connections: list[Connection], numbers: Iterator[int], count: int, latencies: array[float]
) -> None:
    left = iter(range(count))
    until = time.perf_counter() + load.seconds

    async def work(connection: Connection) -> None:
        requests, expected = load.requests, load.status
        for _ in left:
            request = requests[next(numbers) % len(requests)]
            started = time.perf_counter()
            if started > until:
                break
            answer = await connection.exchange(request)
            latencies.append(time.perf_counter() - started)
            if status_of(answer) != expected:
                raise LoadError(f"answered {answer[:1500].decode(errors='replace')!r}, not {expected}")

    async with asyncio.timeout(load.seconds + _SILENCE_SECONDS), asyncio.TaskGroup() as group:
        for connection in connections:
            group.create_task(work(connection))
