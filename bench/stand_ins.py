"""Servers that do next to nothing, each as a process of its own: `python -m bench.stand_ins WHAT PORT`.

`model` is a model that answers at once: a chat, a stream of chunks that say when each was sent, or, asked for
200 tokens, as many chunks all together. `pass-all` is an authorizer that answers without looking, by the same
server as the service's.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING, cast

import orjson
import uvloop

from app.serving import bind, serving

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

CHUNKS = 50
CHUNK_SECONDS = 0.002
_USAGE = {"prompt_tokens": 12, "completion_tokens": 9, "total_tokens": 21}
_SHARED = {"id": "chatcmpl-1", "created": 1795000000, "model": "qwen3"}
_CHAT = orjson.dumps(
    {
        **_SHARED,
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello! What would you like to know today?"},
                "finish_reason": "stop",
            }
        ],
        "usage": _USAGE,
    }
)
_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (
    len(_CHAT),
    _CHAT,
)
_STREAM = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)


_ALL_TOGETHER = 200
_CHUNK = orjson.dumps(
    {
        **_SHARED,
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": {"content": "word "}}],
        "usage": _USAGE,
    }
)
_BURST = b"data: %s\n\n" % _CHUNK * _ALL_TOGETHER
_BURST_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n%s" % (
    len(_BURST),
    _BURST,
)


class Model(asyncio.Protocol):
    """One connection to the model."""

    def __init__(self) -> None:
        self._received = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        lower = head.lower()
        at = lower.find(b"\r\ncontent-length:")
        if not end or (at >= 0 and len(body) < int(lower[at + 17 :].partition(b"\r\n")[0])):
            return
        self._received = b""
        if b'"max_tokens":200' in body:
            self._transport.write(_BURST_ANSWER)
        elif b'"stream":true' in body or b'"stream": true' in body:
            self._transport.write(_STREAM)
            self._send(0)
        else:
            self._transport.write(_ANSWER)

    def _send(self, number: int) -> None:
        """Send a chunk, with the next ones to come."""
        if self._transport.is_closing():
            return
        if number < CHUNKS:
            delta = {"role": "assistant", "content": f"{time.monotonic_ns()} "}
            chunk = {
                **_SHARED,
                "object": "chat.completion.chunk",
                "choices": [{"index": 0, "delta": delta, "finish_reason": None}],
            }
            self._transport.write(_chunk(b"data: %s\n\n" % orjson.dumps(chunk)))
            asyncio.get_running_loop().call_later(CHUNK_SECONDS, self._send, number + 1)
        else:
            last = {
                **_SHARED,
                "object": "chat.completion.chunk",
                "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
                "usage": _USAGE,
            }
            events = b"data: %s\n\ndata: [DONE]\n\n" % orjson.dumps(last)
            self._transport.write(_chunk(events) + b"0\r\n\r\n")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def pass_all(model: str) -> ASGIApp:
    """An authorizer that lets everything pass, to `model`, as one and the same user."""
    headers = [
        (b"x-maas-user", b"user-1@example.com"),
        (b"x-maas-tier", b"free"),
        (b"x-maas-model", model.encode()),
        (b"content-length", b"0"),
    ]

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body"})

    return app


async def _serve(what: str, port: int) -> None:
    listener = bind(what, "127.0.0.1", port)
    if what == "model":
        server = await asyncio.get_running_loop().create_server(Model, sock=listener.socket)
        await server.serve_forever()
    async with serving((pass_all("qwen3"), listener), shutdown_seconds=1):
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1], int(sys.argv[2])))
