"""Connections to the API server: used again where that is safe, and never where it is not."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
import uvicorn

from app.kube import connections as module
from app.kube.connections import Connections
from app.kube.http_connection import Answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Behaviour = Callable[["Server", "Request", asyncio.StreamWriter], Awaitable[None]]

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@dataclass
class Request:
    head: list[str]
    body: bytes


@dataclass
class Server:
    """A server that does what a test says; it knows how many connections there were, and what was asked."""

    behaviour: Behaviour
    port: int = 0
    opened: int = 0
    open: int = 0
    most_open: int = 0
    requests: list[Request] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        self.writers.append(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                length = next((line[16:] for line in head if line.startswith("Content-Length: ")), "0")
                request = Request(head, await reader.readexactly(int(length)))
                self.requests.append(request)
                await self.behaviour(self, request, writer)
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self.open -= 1
            writer.close()

    def urls(self, path: str = "") -> str:
        return f"http://127.0.0.1:{self.port}{path}"


@asynccontextmanager
async def serving(behaviour: Behaviour) -> AsyncIterator[Server]:
    server = Server(behaviour)
    listening = await asyncio.start_server(server.connected, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        for writer in server.writers:
            writer.close()


def says(*pieces: bytes) -> Behaviour:
    async def behave(_server: Server, _request: Request, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)

    return behave


def to(server: Server, *, most: int = 4, path: str = "") -> Connections:
    return Connections(server.urls(path), context=None, server_name=None, most=most)


async def ask(connections: Connections, body: bytes = b"{}", *, seconds: float = 5) -> Answer:
    return await connections.exchange("POST", "/x?a=b", {"Accept": "*/*"}, body, seconds=seconds)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  # another side of a socket
            await asyncio.sleep(0.001)


async def test_one_connection_is_used_again_and_again() -> None:
    async with serving(says(OK)) as server:
        connections = to(server)
        for _ in range(3):
            assert await ask(connections) == Answer(200, None, b"{}")
        connections.close()
        await until(lambda: server.open == 0)
    assert server.opened == 1
    assert server.requests[0].body == b"{}"
    assert server.requests[0].head[:3] == [
        "POST /x?a=b HTTP/1.1",
        f"Host: 127.0.0.1:{server.port}",
        "Accept: */*",
    ]


async def test_the_path_of_the_url_comes_before_that_of_every_request() -> None:
    async with serving(says(OK)) as server:
        await to(server, path="/k8s/clusters/c-1/").exchange("DELETE", "/api/v1", {}, None, seconds=5)
    assert server.requests[0].head[0] == "DELETE /k8s/clusters/c-1/api/v1 HTTP/1.1"
    assert not any(line.startswith("Content-Length") for line in server.requests[0].head)


async def test_no_more_than_so_many_are_open_at_once() -> None:
    async with serving(says(OK)) as server:
        connections = to(server, most=3)
        await asyncio.gather(*(ask(connections) for _ in range(40)))
        assert server.most_open <= 3
        assert len(server.requests) == 40


@pytest.mark.parametrize(
    "pieces",
    [
        [bytes([byte]) for byte in CHUNKED],
        [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab", b"cde"],
    ],
)
async def test_an_answer_may_come_in_pieces(pieces: list[bytes]) -> None:
    async with serving(says(*pieces)) as server:
        connections = to(server)
        for _ in range(2):
            assert await ask(connections) == Answer(200, None, b"abcde")
    assert server.opened == 1


async def test_when_to_come_back_is_told() -> None:
    busy = b"HTTP/1.1 429 Too Many Requests\r\nRETRY-AFTER: 7\r\nContent-Length: 0\r\n\r\n"
    async with serving(says(busy)) as server:
        assert await ask(to(server)) == Answer(429, "7", b"")


async def test_a_connection_that_the_server_is_to_close_is_not_used_again() -> None:
    closing = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
    async with serving(says(closing)) as server:
        connections = to(server)
        for _ in range(2):
            assert (await ask(connections)).body == b"{}"
    assert server.opened == 2


async def test_a_connection_that_the_server_closed_while_idle_is_not_used_again() -> None:
    async with serving(says(OK)) as server:
        connections = to(server)
        await ask(connections)
        server.writers[0].close()
        await until(lambda: server.open == 0)
        # This side learns of it by the network, as of an answer on another connection.
        async with serving(says(OK)) as other:
            await ask(to(other))
        assert (await ask(connections)).status == 200
    assert server.opened == 2


async def test_a_connection_that_was_idle_for_long_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_IDLE_SECONDS", 0.0)
    async with serving(says(OK)) as server:
        connections = to(server)
        await ask(connections)
        await ask(connections)
        await until(lambda: server.open == 1)
    assert server.opened == 2


def test_no_connection_is_used_when_the_double_may_be_closing_it() -> None:
    assert uvicorn.Config(app="none").timeout_keep_alive > module._IDLE_SECONDS  # noqa: SLF001


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", b"HTTP/1.1 200 OK\r\nContent"],
)
async def test_an_answer_that_never_ends_is_an_error_and_nothing_is_sent_twice(answer: bytes) -> None:
    async def cut(_server: Server, _request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    async with serving(cut) as server:
        with pytest.raises(OSError, match="ended"):
            await ask(to(server))
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nabc",
    ],
)
async def test_what_is_not_http_is_an_error(answer: bytes) -> None:
    async with serving(says(answer)) as server:
        connections = to(server)
        with pytest.raises(ValueError, match="not HTTP"):
            await ask(connections)
        await until(lambda: server.open == 0)


FORGED = b"HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\nforged"


@pytest.mark.parametrize(
    "pieces", [[OK, FORGED], [OK + FORGED], [OK + FORGED[:9]], [OK + FORGED + b" " * 54]]
)
async def test_words_that_nobody_asked_for_are_never_taken_for_an_answer(pieces: list[bytes]) -> None:
    async with serving(says(*pieces)) as server:
        connections = to(server)
        for _ in range(20):
            with suppress(OSError, ValueError):
                assert (await ask(connections)).body == b"{}"


async def never(_server: Server, _request: Request, _writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def test_silence_is_an_error_in_time_and_the_connection_is_closed() -> None:
    async with serving(never) as server:
        connections = to(server)
        for _ in range(2):
            with pytest.raises(TimeoutError):
                await ask(connections, seconds=0.05)
    assert server.opened == 2


async def test_waiting_for_a_connection_counts_as_time_too() -> None:
    async with serving(never) as server:
        connections = to(server, most=1)
        first = asyncio.create_task(ask(connections))
        await until(lambda: len(server.requests) == 1)
        with pytest.raises(TimeoutError):
            await ask(connections, seconds=0.05)
        first.cancel()
        await asyncio.wait([first])
    assert len(server.requests) == 1


async def test_whoever_gives_up_takes_nobody_elses_answer_with_them() -> None:
    async def echo(_server: Server, request: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.001 * (request.body[-1] % 4))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(request.body), request.body))

    chance = random.Random(7)  # noqa: S311  # who gives up
    async with serving(echo) as server:
        connections = to(server, most=5)

        async def one(number: int) -> bool:
            body = b"caller %d" % number
            task = asyncio.create_task(ask(connections, body))
            if chance.random() < 0.4:
                await asyncio.sleep(0.002 * chance.random())
                task.cancel()
            try:
                return (await task).body == body
            except asyncio.CancelledError:
                return True

        assert all(await asyncio.gather(*(one(number) for number in range(400))))
        assert (await ask(connections)).status == 200


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/x", {"Authorization": "Bearer a\r\nX-Remote-User: admin"}),
        ("/x", {"Authorization": "Bearer a\n"}),
        ("/x", {"A\rB": "c"}),
        ("/x HTTP/1.1\r\nX: y", {}),
        ("/x y", {}),
    ],
)
async def test_nothing_can_be_smuggled_into_the_head_of_a_request(path: str, headers: dict[str, str]) -> None:
    async with serving(says(OK)) as server:
        with pytest.raises(ValueError, match="end of a line"):
            await to(server).exchange("POST", path, headers, b"", seconds=5)
    assert server.opened == 0


@pytest.mark.parametrize("url", ["", "127.0.0.1:6443", "ftp://x", "https://", "http://x:port"])
def test_what_is_not_the_url_of_a_server_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|[Pp]ort"):
        Connections(url, context=None, server_name=None, most=1)
