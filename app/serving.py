"""Runs ASGI applications as HTTP servers inside the running loop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import signal
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import uvicorn

from app.answers_at_once import AnswersAtOnceProtocol, CanAnswerAtOnce
from app.whole_answers import WholeAnswersProtocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
    from pathlib import Path

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from app.answers_at_once import Headers

logger = logging.getLogger(__name__)


class PortTakenError(Exception):
    """A port that is to be listened on belongs to another process.

    Attributes:
        port: which.
    """

    def __init__(self, name: str, host: str, port: int) -> None:
        super().__init__(f"port {port} on {host}, for the {name}, is taken by another process")
        self.name = name
        self.port = port


@dataclass(frozen=True, slots=True)
class Listener:
    """A bound socket, so that its port is known, and sure, before anything is started.

    Attributes:
        name: what it is for.
        host: address.
        port: the real one, also where any free one was asked for.
    """

    name: str
    host: str
    port: int
    socket: socket.socket


def bind(name: str, host: str, port: int) -> Listener:
    """Listen on an address; port 0 takes any free one.

    Raises:
        PortTakenError: someone else listens there.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio sets TCP_NODELAY on what is accepted: without it small answers wait.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(2048)
    except OSError as error:
        sock.close()
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            raise PortTakenError(name, host, port) from error
        raise
    sock.setblocking(False)
    return Listener(name, host, sock.getsockname()[1], sock)


class _Server(uvicorn.Server):
    """uvicorn without signal handlers: the process has one owner of signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        # uvicorn knows nothing of those who were shaking hands when it closed all others, and serves them on.
        for connection in list(self.server_state.connections):
            connection.transport.abort()


@asynccontextmanager
async def serving(
    *apps: tuple[ASGIApp, Listener],
    shutdown_seconds: float,
    certificate: tuple[Path, Path] | None = None,
    stopping: asyncio.Event | None = None,
) -> AsyncIterator[None]:
    """Serve each app on its listener for as long as the context lasts; then requests in flight may finish.

    Args:
        apps: ASGI applications with listeners from `bind`, which are closed at the end. One that is also a
            `CanAnswerAtOnce` is first asked for an answer that needs no waiting.
        shutdown_seconds: how long requests in flight may take at the end.
        certificate: files of certificate chain and key, for HTTPS.
        stopping: once it is set, each answer asks its client to come back by another connection, so that
            none is left when the listeners close, and nobody sends a request into one that is just closing.
    """
    cert, key = certificate or (None, None)
    servers = []
    tasks = []
    for app, listener in apps:
        config = uvicorn.Config(
            _closing(app, stopping) if stopping else app,
            loop="none",
            interface="asgi3",  # Some are functions that return what is awaited, which uvicorn would not see.
            http=_protocol(app, stopping),  # type: ignore[arg-type]  # it need not be a class
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            reset_contextvars=True,  # Of requests that follow on a connection none has the ids of another.
            timeout_graceful_shutdown=shutdown_seconds,  # type: ignore[arg-type]  # a float does as well
            ssl_certfile=cert,
            ssl_keyfile=key,
        )
        server = _Server(config)
        servers.append(server)
        tasks.append(
            asyncio.create_task(server.serve(sockets=[listener.socket]), name=f"server {listener.name}")
        )
    try:
        while not all(server.started or task.done() for server, task in zip(servers, tasks, strict=True)):  # noqa: ASYNC110  # uvicorn has no event for it
            await asyncio.sleep(0.002)
        yield
    finally:
        for server in servers:
            server.should_exit = True
        await asyncio.gather(*tasks)
        for _, listener in apps:
            listener.socket.close()


def _protocol(app: ASGIApp, stopping: asyncio.Event | None) -> Callable[..., asyncio.Protocol]:
    if not isinstance(app, CanAnswerAtOnce):
        return WholeAnswersProtocol

    def at_once(scope: Scope, body: bytes) -> Headers | None:
        return None if stopping and stopping.is_set() else app.at_once(scope, body)

    return partial(AnswersAtOnceProtocol, at_once)


def _closing(app: ASGIApp, stopping: asyncio.Event) -> ASGIApp:
    def answer(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return app(scope, receive, _and_close(send) if stopping.is_set() else send)

    return answer


def _and_close(send: Send) -> Send:
    async def send_and_close(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
        await send(message)

    return send_and_close


async def until_stopped(
    main: Coroutine[Any, Any, None], *, drain: Callable[[], Coroutine[Any, Any, None]] | None = None
) -> str | None:
    """Run `main` until it ends, or until SIGINT or SIGTERM cancels it, which is no error.

    That goes for its start and its end as well: a signal while things are still being started stops them in
    good order, and a further one cuts short what is being ended.

    Args:
        main: what is run.
        drain: after SIGTERM this runs to its end before `main` is cancelled; another signal cuts it short.
            Not so after SIGINT, which is Ctrl-C: whoever presses it sits there and waits.

    Returns:
        The signal's name; None where `main` ended by itself.
    """
    task = asyncio.create_task(main, name="main")
    draining: asyncio.Task[None] | None = None
    stopped_by: str | None = None

    def stop(number: signal.Signals) -> None:
        nonlocal stopped_by, draining
        logger.info("stopping after %s", number.name)
        first, stopped_by = stopped_by is None, number.name
        if drain and first and number is signal.SIGTERM:
            draining = asyncio.create_task(drain(), name="drain")
            draining.add_done_callback(lambda _: task.cancel())
        elif draining and not draining.done():
            draining.cancel()
        else:
            task.cancel()

    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)
    for number in signals:
        loop.add_signal_handler(number, stop, number)
    try:
        await task
    except asyncio.CancelledError:
        if stopped_by is None:
            raise
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
        if draining:
            draining.cancel()
            await asyncio.gather(draining, return_exceptions=True)
    return stopped_by
