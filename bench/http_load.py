"""A small, fast HTTP/1.1 load generator: so many requests over so many connections, one at a time on each."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence


@dataclass(frozen=True)
class Result:
    """What one run measured.

    Attributes:
        per_second: requests answered per second.
        p50: median latency in milliseconds.
        p99: 99th percentile of the latency in milliseconds.
        statuses: how many answers had which status.
    """

    per_second: float
    p50: float
    p99: float
    statuses: dict[int, int]


async def load(
    port: int,
    requests: Sequence[bytes],
    *,
    connections: int,
    count: int,
    trust: ssl.SSLContext | None = None,
) -> Result:
    """Send `count` requests, taken from `requests` in turn, and wait for each answer.

    With `trust` it speaks TLS.
    """
    latencies: list[float] = []
    statuses: dict[int, int] = {}
    numbers = iter(range(count))

    async def work() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust)
        for number in numbers:
            started = time.perf_counter()
            writer.write(requests[number % len(requests)])
            head = await reader.readuntil(b"\r\n\r\n")
            lower = head.lower()
            at = lower.find(b"content-length: ")
            size = int(lower[at + 16 : lower.find(b"\r\n", at)]) if at >= 0 else 0
            if size:
                await reader.readexactly(size)
            latencies.append(time.perf_counter() - started)
            status = int(head[9:12])
            statuses[status] = statuses.get(status, 0) + 1
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(connections)))
    seconds = time.perf_counter() - started
    latencies.sort()
    return Result(
        per_second=count / seconds,
        p50=latencies[len(latencies) // 2] * 1000,
        p99=latencies[int(len(latencies) * 0.99)] * 1000,
        statuses=statuses,
    )
