"""What needs no waiting is answered in the callback that completes a request, and all else as ever."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from app.answers_at_once import CanAnswerAtOnce
from app.serving import bind, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Receive, Scope, Send

    from app.answers_at_once import Headers

HEAD = b"POST /%s HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n"
NOW = HEAD % b"now" + b"\r\nabc"
LATER = HEAD % b"later" + b"\r\nabc"


class App:
    """Answers requests to ``/now`` at once, others when it is let; both say how, and what the body was."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.value = b"%s"

    def at_once(self, scope: Scope, body: bytes) -> Headers | None:
        if scope["path"] != "/now":
            return None
        return [(b"x-way", b"at once"), (b"x-body", body.hex().encode()), (b"x-value", self.value)]

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        await self.go_on.wait()
        headers = [(b"x-way", b"as ever"), (b"x-body", body.hex().encode()), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body"})


class Client:
    """One connection to it."""

    def __init__(self, app: App, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.app = app
        self.reader = reader
        self.writer = writer

    async def answer(self) -> dict[str, str]:
        """The headers of the next answer, which is a 200 without content."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        status, *lines = head.split("\r\n")[:-2]
        assert status == "HTTP/1.1 200 OK"
        headers = dict(line.split(": ", 1) for line in lines)
        assert headers["content-length"] == "0"
        return headers

    async def way(self) -> str:
        """How the next request was answered, with its body in full."""
        headers = await self.answer()
        assert bytes.fromhex(headers["x-body"]) == b"abc"
        return headers["x-way"]


@asynccontextmanager
async def connected(stopping: asyncio.Event | None = None) -> AsyncIterator[Client]:
    app, listener = App(), bind("x", "127.0.0.1", 0)
    async with serving((app, listener), shutdown_seconds=1, stopping=stopping), asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        yield Client(app, reader, writer)
        writer.close()


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with connected() as client:
        yield client


def test_an_application_can_or_cannot() -> None:
    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        pass

    assert not isinstance(app, CanAnswerAtOnce)


async def test_requests_are_answered_at_once_on_one_connection(client: Client) -> None:
    for _ in range(3):
        client.writer.write(NOW)
        assert await client.way() == "at once"


async def test_an_answer_has_the_date_that_all_have(client: Client) -> None:
    client.writer.write(NOW)
    assert "date" in await client.answer()


async def test_what_has_to_wait_is_answered_as_ever(client: Client) -> None:
    client.app.go_on.set()
    client.writer.write(LATER)
    assert await client.way() == "as ever"
    client.writer.write(NOW)
    assert await client.way() == "at once"


async def test_answers_come_in_the_order_of_the_requests(client: Client) -> None:
    client.writer.write(NOW + LATER + NOW + NOW)
    assert await client.way() == "at once"
    client.app.go_on.set()
    # Those behind one that waits are not looked at before it is answered.
    assert [await client.way() for _ in range(3)] == ["as ever"] * 3
    client.writer.write(NOW)
    assert await client.way() == "at once"


async def test_a_request_that_comes_in_pieces_is_whole(client: Client) -> None:
    client.app.go_on.set()
    for cut in range(1, len(NOW)):
        client.writer.write(NOW[:cut])
        await client.writer.drain()
        client.writer.write(NOW[cut:])
        assert await client.way() in ("at once", "as ever")


async def test_a_body_in_chunks_is_whole(client: Client) -> None:
    client.writer.write(
        b"POST /now HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"
    )
    assert await client.way() == "at once"


async def test_who_waits_to_be_told_to_go_on_is_told(client: Client) -> None:
    client.app.go_on.set()
    client.writer.write(HEAD % b"now" + b"Expect: 100-continue\r\n\r\n")
    assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.writer.write(b"abc")
    assert await client.way() == "as ever"


@pytest.mark.parametrize(
    "last", [HEAD % b"now" + b"Connection: close\r\n\r\nabc", NOW.replace(b"HTTP/1.1", b"HTTP/1.0")]
)
async def test_a_last_request_ends_the_connection(client: Client, last: bytes) -> None:
    client.app.go_on.set()
    client.writer.write(last)
    assert (await client.answer())["connection"] == "close"
    assert await client.reader.read() == b""


async def test_a_value_that_could_be_a_header_is_not_sent(client: Client) -> None:
    client.app.go_on.set()
    client.app.value = b"a\r\nx-maas-user: root"
    client.writer.write(NOW)
    assert await client.way() == "as ever"


async def test_what_is_no_http_ends_the_connection_after_what_was_answered(client: Client) -> None:
    client.writer.write(NOW + b"no\r\n\r\n")
    assert await client.way() == "at once"
    assert (await client.reader.read()).startswith(b"HTTP/1.1 400 ")


async def test_when_it_is_about_to_stop_clients_are_asked_to_come_back_by_another_connection() -> None:
    stopping = asyncio.Event()
    async with connected(stopping) as client:
        client.app.go_on.set()
        client.writer.write(NOW)
        assert await client.way() == "at once"
        stopping.set()
        client.writer.write(NOW)
        assert (await client.answer())["connection"] == "close"
        assert await client.reader.read() == b""


async def test_a_connection_that_is_idle_is_closed(client: Client) -> None:
    client.writer.write(NOW)
    assert await client.way() == "at once"
    assert await client.reader.read() == b""
