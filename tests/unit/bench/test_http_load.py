from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from bench.http_load import Load, LoadError, get, post, run_load
from bench.stand_ins import CHUNKS, Model, pass_all
from bench.streams import Streams, run_streams
from tests.loopback import serve

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send


async def test_as_many_answers_are_measured_as_were_asked_for_each_with_a_request_of_its_own() -> None:
    seen: list[str] = []

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        seen.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    async with serve(app) as (_, port):
        requests = [post(f"/{number}", b"{}") for number in range(9)]
        load = Load(port, requests, connections=3, count=6, warm_up=3)
        run = await asyncio.to_thread(run_load, load)

    assert sorted(seen) == [f"/{number}" for number in range(9)]
    assert len(run.latencies) == 6
    assert 0 < max(run.latencies) <= run.seconds
    assert run.rate == pytest.approx(6 / run.seconds)


async def test_another_status_ends_the_load() -> None:
    async with serve(pass_all("qwen3")) as (_, port):
        with pytest.raises(ExceptionGroup) as caught:
            await asyncio.to_thread(run_load, Load(port, [get("/")], connections=1, count=2, status=201))

    assert caught.group_contains(LoadError, match="not 201")


async def test_no_more_is_sent_after_the_time_that_it_may_take() -> None:
    async with serve(pass_all("qwen3")) as (_, port):
        load = Load(port, [get("/")], connections=2, count=10**9, seconds=0.1)
        run = await asyncio.to_thread(run_load, load)

    assert 0 < len(run.latencies) < 10**9


async def test_answers_may_come_in_pieces_and_in_chunks() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for pieces in (
            [b"HTTP/1.1 20", b"0 OK\r\nContent-Length: 4\r\n\r", b"\nab", b"cd"],
            [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"2\r\nab\r\n", b"0\r\n\r\n"],
        ):
            await reader.readuntil(b"\r\n\r\n")
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        run = await asyncio.to_thread(run_load, Load(port, [get("/")], connections=1, count=2))

    assert len(run.latencies) == 2


async def test_a_stream_tells_when_each_chunk_came() -> None:
    loop = asyncio.get_running_loop()
    async with await loop.create_server(Model, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        request = post("/v1/chat/completions", b'{"stream":true}')
        seen = await asyncio.to_thread(run_streams, Streams(port, request, count=2, warm_up=1))

    assert len(seen.first) == 2
    assert len(seen.chunks) == 2 * (CHUNKS - 1)
    assert min(seen.chunks) > 0


async def test_what_is_no_stream_is_an_error() -> None:
    loop = asyncio.get_running_loop()
    async with await loop.create_server(Model, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        request = post("/v1/chat/completions", b"{}")
        with pytest.raises(LoadError, match="no stream"):
            await asyncio.to_thread(run_streams, Streams(port, request, count=1, warm_up=0))
