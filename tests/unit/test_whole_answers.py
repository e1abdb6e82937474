"""An answer's head goes out with the first of its body, and never without need is anything held back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from app.serving import bind, serving
from app.whole_answers import WholeAnswersProtocol

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Wire(asyncio.Transport):
    """What a connection is given to send, write by write."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> None:
        self.writes.append(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_extra_info(self, _name: str, default: Any = None) -> Any:
        return default

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def asked(app: ASGIApp, request: bytes = GET) -> list[bytes]:
    """What is written when `app` has answered."""
    wire = Wire()
    state = ServerState()
    config = Config(app, interface="asgi3", lifespan="off", log_config=None)
    protocol = WholeAnswersProtocol(config, state, {}, asyncio.get_running_loop())
    protocol.connection_made(wire)
    protocol.data_received(request)
    await asyncio.gather(*state.tasks, return_exceptions=True)
    return wire.writes


def saying(*chunks: bytes, length: bool = False) -> ASGIApp:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"%d" % sum(map(len, chunks)))] if length else []
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for chunk in chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body"})

    return app


async def whole(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"HTTP/"})


async def test_an_answer_is_one_write() -> None:
    (answer,) = await asked(whole)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\nHTTP/")


async def test_two_that_were_asked_for_at_once_are_two() -> None:
    first, second = await asked(whole, GET + GET)
    assert first == second


async def test_a_stream_begins_with_its_first_chunk_and_goes_on_chunk_by_chunk() -> None:
    first, second, end = await asked(saying(b"a", b"HTTP/1.1 200 OK"))
    assert first.endswith(b"\r\n\r\n1\r\na\r\n")
    assert (second, end) == (b"f\r\nHTTP/1.1 200 OK\r\n", b"0\r\n\r\n")


async def test_a_head_alone_is_sent_once_the_answer_is_complete() -> None:
    (answer,) = await asked(saying(b"abc", length=True), b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert answer.endswith(b"content-length: 3\r\n\r\n")


async def test_an_answer_that_breaks_off_is_not_kept_back() -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("no body")

    (answer,) = await asked(app)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


async def test_what_is_no_http_is_answered() -> None:
    (answer,) = await asked(whole, b"no\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_connection_serves_one_request_after_the_other(method: str) -> None:
    listener = bind("x", "127.0.0.1", 0)
    async with (
        serving((saying(b"a", b"b", length=True), listener), shutdown_seconds=1),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{listener.port}", timeout=5) as client,
    ):
        for _ in range(3):
            answer = await client.request(method, "/")
            assert (answer.status_code, answer.text) == (200, "ab" if method == "GET" else "")


async def test_who_waits_to_be_told_to_go_on_is_told() -> None:
    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"3")]})
        await send({"type": "http.response.body", "body": message["body"]})

    listener = bind("x", "127.0.0.1", 0)
    async with serving((app, listener), shutdown_seconds=1), asyncio.timeout(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"abc")
        assert (await reader.readuntil(b"abc")).startswith(b"HTTP/1.1 200 OK\r\n")
        writer.close()
