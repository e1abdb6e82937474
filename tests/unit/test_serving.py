"""Sockets and servers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import ssl
from typing import TYPE_CHECKING

import httpx
import pytest
import trustme

from app.serving import PortTakenError, bind, serving, until_stopped
from tests.certificate_files import issued_files
from tests.workspace import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.types import Receive, Scope, Send


async def slow(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await asyncio.sleep(0)
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


def test_a_taken_port_is_named() -> None:
    taken = bind("first", "127.0.0.1", 0)
    with pytest.raises(PortTakenError, match=f"port {taken.port} on 127.0.0.1, for the second") as caught:
        bind("second", "127.0.0.1", taken.port)
    assert caught.value.port == taken.port
    taken.socket.close()


def test_an_address_that_is_not_ours_is_an_error() -> None:
    with pytest.raises(OSError, match="assign"):
        bind("x", "192.0.2.1", 0)


async def test_ipv6_works_too() -> None:
    listener = bind("x", "::1", 0)
    async with serving((slow, listener), shutdown_seconds=1), httpx.AsyncClient() as client:
        assert (await client.get(f"http://[::1]:{listener.port}/")).status_code == 204


async def refused(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionError:
        return True
    await closed(writer)
    return False


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def test_whoever_shakes_hands_while_the_server_stops_is_not_served_afterwards(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = issued_files(authority, "localhost", tmp_path)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    listener = bind("x", "127.0.0.1", 0)
    async with asyncio.timeout(20):
        server = serving((slow, listener), shutdown_seconds=0.5, certificate=certificate)
        await server.__aenter__()
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        async with httpx.AsyncClient(verify=context) as client:
            # Connections are accepted in their order, so the one before is too.
            assert (await client.get(f"https://localhost:{listener.port}/")).status_code == 204
        stopping = asyncio.create_task(server.__aexit__(None, None, None))
        await eventually(lambda: refused(listener.port))
        await writer.start_tls(context, server_hostname="localhost")
        await stopping
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        try:
            answer = await reader.read()
        except ConnectionError:
            answer = b""
        assert answer == b""
        await closed(writer)


async def test_a_request_in_flight_finishes_when_the_server_stops() -> None:
    arrived, let = asyncio.Event(), asyncio.Event()

    async def waits(_scope: Scope, _receive: Receive, send: Send) -> None:
        arrived.set()
        await let.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})

    listener = bind("x", "127.0.0.1", 0)
    async with httpx.AsyncClient() as client:
        async with serving((waits, listener), shutdown_seconds=10):
            asking = asyncio.create_task(client.get(f"http://127.0.0.1:{listener.port}/"))
            await arrived.wait()
            asyncio.get_running_loop().call_later(0.05, let.set)
        assert (await asking).text == "done"


async def test_two_apps_are_served_side_by_side() -> None:
    first, second = bind("a", "127.0.0.1", 0), bind("b", "127.0.0.1", 0)
    async with (
        serving((slow, first), (slow, second), shutdown_seconds=1),
        httpx.AsyncClient() as client,
    ):
        for listener in (first, second):
            assert (await client.get(f"http://127.0.0.1:{listener.port}/")).status_code == 204


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_stops_what_runs_in_good_order(number: signal.Signals) -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def main() -> None:
        try:
            started.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.set()

    waiting = asyncio.create_task(until_stopped(main()))
    await started.wait()
    os.kill(os.getpid(), number)
    async with asyncio.timeout(5):
        assert await waiting == number.name
    assert ended.is_set()


class Drained:
    """Something that runs, and is drained before it ends."""

    def __init__(self) -> None:
        self.started, self.draining, self.drained, self.ended = (asyncio.Event() for _ in range(4))
        self.let = asyncio.Event()

    async def main(self) -> None:
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.set()

    async def drain(self) -> None:
        self.draining.set()
        await self.let.wait()
        self.drained.set()

    def run(self) -> asyncio.Task[str | None]:
        return asyncio.create_task(until_stopped(self.main(), drain=self.drain))


async def test_sigterm_drains_first() -> None:
    drained = Drained()
    waiting = drained.run()
    await drained.started.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(5):
        await drained.draining.wait()
        assert not drained.ended.is_set()
        drained.let.set()
        assert await waiting == "SIGTERM"
    assert drained.drained.is_set()
    assert drained.ended.is_set()


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
async def test_a_second_signal_cuts_the_drain_short(second: signal.Signals) -> None:
    drained = Drained()
    waiting = drained.run()
    await drained.started.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(5):
        await drained.draining.wait()
        os.kill(os.getpid(), second)
        assert await waiting == second.name
    assert not drained.drained.is_set()
    assert drained.ended.is_set()


async def test_ctrl_c_does_not_wait_for_a_drain() -> None:
    drained = Drained()
    waiting = drained.run()
    await drained.started.wait()
    os.kill(os.getpid(), signal.SIGINT)
    async with asyncio.timeout(5):
        assert await waiting == "SIGINT"
    assert not drained.draining.is_set()


async def test_what_ends_while_it_drains_ends_the_drain() -> None:
    drained = Drained()
    let = asyncio.Event()

    async def main() -> None:
        drained.started.set()
        await let.wait()

    waiting = asyncio.create_task(until_stopped(main(), drain=drained.drain))
    await drained.started.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(5):
        await drained.draining.wait()
        let.set()
        await waiting
    assert not drained.drained.is_set()


async def test_whoever_is_answered_while_it_stops_is_asked_to_connect_anew() -> None:
    stopping = asyncio.Event()
    listener = bind("x", "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.port}/"
    async with (
        serving((slow, listener), shutdown_seconds=1, stopping=stopping),
        httpx.AsyncClient() as client,
    ):
        assert "connection" not in (await client.get(url)).headers
        stopping.set()
        for _ in range(2):
            assert (await client.get(url)).headers["connection"] == "close"


async def test_what_ends_or_fails_by_itself_needs_no_signal() -> None:
    async def main(error: Exception | None) -> None:
        if error:
            raise error

    assert await until_stopped(main(None)) is None
    with pytest.raises(ValueError, match="wrong"):
        await until_stopped(main(ValueError("wrong")))


async def test_a_cancellation_is_passed_on() -> None:
    started = asyncio.Event()

    async def main() -> None:
        started.set()
        await asyncio.Event().wait()

    waiting = asyncio.create_task(until_stopped(main()))
    await started.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
