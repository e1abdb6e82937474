"""Small HTTP servers on the loopback interface, for tests that need real connections."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import uvicorn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from starlette.types import ASGIApp

Address = tuple[str, int]


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # Signals belong to pytest.


@contextlib.contextmanager
def listening() -> Iterator[socket.socket]:
    """Yields a socket that listens on a free port."""
    # asyncio turns off Nagle's delays only where the protocol is given.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener


@asynccontextmanager
async def serve(app: ASGIApp) -> AsyncIterator[Address]:
    """Yields the address where `app` is served."""
    with listening() as listener:
        server = _Server(uvicorn.Config(app, lifespan="off", log_config=None, timeout_graceful_shutdown=1))
        task = asyncio.create_task(server.serve(sockets=[listener]), name="server")
        while not server.started:  # noqa: ASYNC110  # uvicorn has no event for it
            await asyncio.sleep(0.005)
        try:
            yield listener.getsockname()
        finally:
            server.should_exit = True
            await task


def free_port() -> int:
    """A port that nobody listens on, for a program that has to be told its port.

    The kernel's own choice (port 0) comes from the range that it also gives to outgoing connections, one of
    which could take the port before the program listens on it. Below that range only listeners are.
    """
    while True:
        number = random.randrange(20_000, 32_768)  # noqa: S311  # so that two test runs differ
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", number))
            return number
