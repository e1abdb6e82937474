"""What counting requests and LLM tokens costs the gateway: `python -m bench.metering`.

Envoy is measured with and without it, in turns, between a client and backends that answer at once:
requests per second, latency, and Envoy's processor time per request, which other programs on the machine
disturb least.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import re
import ssl
import statistics
import tempfile
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from app.embedded.gateway import LocalGateway
from app.embedded.gateway.metering import MeteringSettings
from bench.http_load import Result, load

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

_ROUNDS, _COUNT, _CONNECTIONS, _USERS = 5, 4000, 16, 50
_USAGE = {"prompt_tokens": 20, "completion_tokens": 200, "total_tokens": 220}
_WHOLE = json.dumps({"choices": [{"message": {"content": "word " * 200}}], "usage": _USAGE}).encode()
_CHUNK = {"id": "chatcmpl-1", "choices": [{"index": 0, "delta": {"content": "word "}}], "usage": _USAGE}
_STREAM = b"".join(b"data: " + json.dumps(_CHUNK).encode() + b"\n\n" for _ in range(200))


@dataclass(frozen=True)
class Round:
    """One run: what the client measured, and Envoy's processor time in microseconds per request."""

    client: Result
    microseconds: float


async def main() -> None:
    """Print a line for each kind of answer, with and without metering."""
    for kind, content_type, body in (
        ("1 kB of JSON", "application/json", _WHOLE),
        ("a stream of 200 chunks, usage in each", "text/event-stream", _STREAM),
    ):
        rounds: dict[str, list[Round]] = {"without": [], "with": []}
        for _ in range(_ROUNDS):
            rounds["without"].append(await _measure(None, content_type, body))
            rounds["with"].append(await _measure(MeteringSettings(), content_type, body))
        for name, measured in rounds.items():
            per_second, p50, cpu = (
                statistics.median(values)
                for values in zip(
                    *((one.client.per_second, one.client.p50, one.microseconds) for one in measured),
                    strict=True,
                )
            )
            print(f"{kind}, {name}: {per_second:.0f}/s, p50 {p50:.2f} ms, Envoy {cpu:.0f} us a request")


async def _measure(metering: MeteringSettings | None, content_type: str, body: bytes) -> Round:
    numbers = itertools.count()

    def allow() -> bytes:
        user = f"x-maas-user: user-{next(numbers) % _USERS}"
        return _response(user, "x-maas-tier: free", "x-maas-model: opt")

    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        model = await stack.enter_async_context(
            _answering(lambda: _response(f"content-type: {content_type}", body=body))
        )
        gateway = LocalGateway(
            directory,
            listen=("127.0.0.1", 0),
            public_app=model,
            gateway_app=await stack.enter_async_context(_answering(allow)),
            model=model,
            concurrency=1,
            metering=metering,
        )
        gateway.update({"free": 1_000_000_000}, ["opt"])
        await stack.enter_async_context(gateway)
        trust = ssl.create_default_context(cafile=str(gateway.ca_certificate))
        _, port = gateway.address
        before = _child_seconds()
        result = await load(port, [_REQUEST], connections=_CONNECTIONS, count=_COUNT, trust=trust)
        seconds = _child_seconds() - before
    if result.statuses != {200: _COUNT}:
        raise RuntimeError(f"not every answer was a good one: {result.statuses}")
    return Round(result, seconds / _COUNT * 1e6)


@asynccontextmanager
async def _answering(answer: Callable[[], bytes]) -> AsyncIterator[tuple[str, int]]:
    """Run a server that reads each request and sends what `answer` gives."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if length := re.search(rb"content-length: (\d+)", head):
                    await reader.readexactly(int(length[1]))
                writer.write(answer())
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()


def _response(*headers: str, body: bytes = b"") -> bytes:
    head = ["HTTP/1.1 200 OK", *headers, f"content-length: {len(body)}", "", ""]
    return "\r\n".join(head).encode() + body


def _child_seconds() -> float:
    """Return the processor time that the only child, Envoy, has had; Linux knows."""
    (child,) = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    user, system = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


_BODY = json.dumps({"model": "opt", "messages": [{"role": "user", "content": "word " * 20}]})
_REQUEST = (
    "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer token\r\n"
    f"Content-Type: application/json\r\nContent-Length: {len(_BODY)}\r\n\r\n{_BODY}"
).encode()


if __name__ == "__main__":
    asyncio.run(main())
