"""HTTP/1.1 to one server over connections that stay open, for small calls that people wait for.

aiohttp alone adds 2 ms to the 7 ms that the three calls of a token take (decision 14). This is the little of
HTTP (RFC 9112) that they need, on uvicorn's own parser: no redirects, cookies, proxies or compression.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple, cast
from urllib.parse import urlsplit

import httptools

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

_HTTPS = "https"
_PORTS = {"http": 80, _HTTPS: 443}
# Less than any server has patience for (uvicorn and so the double 5 s, a kube-apiserver 90 s): whoever is
# closed on cannot know whether it was heard, and what creates something is not sent twice.
_IDLE_SECONDS = 4.0


class Answer(NamedTuple):
    """What a server has answered.

    Attributes:
        status: of HTTP.
        retry_after: the header of that name; None without one.
        body: the content, whole.
    """

    status: int
    retry_after: str | None
    body: bytes


class Connections:
    """Connections to one server, with one request at a time on each.

    A connection on which anything but a whole answer came, or on which nobody waits for the answer any
    more, is closed and never used again.
    """

    def __init__(
        self, url: str, *, context: ssl.SSLContext | None, server_name: str | None, most: int
    ) -> None:
        """Make them; none is opened yet.

        Args:
            url: of the server; its path comes before that of every request.
            context: the TLS for an https URL.
            server_name: whose certificate the server must have, if that is not the URL's host.
            most: how many there may be at once; who comes later waits.

        Raises:
            ValueError: the URL has no host, or its port is none.
        """
        parts = urlsplit(url)
        if not parts.hostname or parts.scheme not in _PORTS:
            raise ValueError("not the URL of an HTTP server")
        self._address = (parts.hostname, parts.port or _PORTS[parts.scheme])
        self._tls = (context, server_name or parts.hostname) if parts.scheme == _HTTPS else (None, None)
        self._prefix = parts.path.rstrip("/")
        self._host = parts.netloc.rpartition("@")[2]
        self._gate = asyncio.Semaphore(most)
        self._idle: list[_Connection] = []

    async def exchange(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, *, seconds: float
    ) -> Answer:
        """Send one request, once, and return what answers it.

        Args:
            method: of HTTP.
            path: with the query, if any; quoted.
            headers: all but `Host` and `Content-Length`.
            body: the content, if any.
            seconds: how long all of it may take.

        Raises:
            TimeoutError: it took longer.
            OSError: the connection could not be made, or it ended before the answer did.
            ValueError: the answer is not HTTP, or a header cannot be sent.
        """
        request = _request(method, f"{self._prefix}{path}", self._host, headers, body)
        until = asyncio.get_running_loop().time() + seconds
        connection = await self._take(until)
        try:
            answer = await connection.exchange(request, until)
        except BaseException:
            connection.abort()
            raise
        finally:
            self._gate.release()
        if connection.reusable:
            self._idle.append(connection)
        else:
            connection.abort()
        return answer

    def close(self) -> None:
        """Close those that nobody uses; the others are closed by whoever gives up on them."""
        while self._idle:
            self._idle.pop().abort()

    def _unused(self) -> _Connection | None:
        """The one that was used last; those before it may be too old by now."""
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable and now - connection.used_at < _IDLE_SECONDS:
                return connection
            connection.abort()
        return None

    async def _take(self, until: float) -> _Connection:
        """A connection, with a place for it."""
        if self._idle and not self._gate.locked():
            # This does not wait, and a time limit would cost more than all the rest.
            await self._gate.acquire()
            if (connection := self._unused()) is not None:
                return connection
            self._gate.release()
        async with asyncio.timeout_at(until):
            await self._gate.acquire()
            try:
                return self._unused() or await self._open()
            except BaseException:
                self._gate.release()
                raise

    async def _open(self) -> _Connection:
        context, name = self._tls
        _, connection = await asyncio.get_running_loop().create_connection(
            _Connection, *self._address, ssl=context, server_hostname=name
        )
        return connection


class _Connection(asyncio.Protocol):
    """One connection.

    Attributes:
        reusable: whether a further request may be sent.
        used_at: when the last answer came, by the loop's clock.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport
        self._answer: asyncio.Future[Answer] | None = None
        self._until = 0.0
        self._limit: asyncio.TimerHandle | None = None
        self._body: list[bytes] = []
        self._retry_after: str | None = None
        self.reusable = True
        self.used_at = 0.0

    async def exchange(self, request: bytes, until: float) -> Answer:
        """Send a request; return the answer if it comes by then, by the loop's clock."""
        self._answer = self._loop.create_future()
        self._body, self._retry_after = [], None
        self._until = until
        # One timer serves many requests: to set and cancel one takes longer than to look when it is due.
        if self._limit is None:
            self._limit = self._loop.call_at(until, self._look)
        self._transport.write(request)
        return await self._answer

    def abort(self) -> None:
        """Close it at once."""
        self.reusable = False
        if self._limit is not None:
            self._limit.cancel()
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            self.abort()  # Nobody has asked for anything.
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail(ValueError("the answer is not HTTP"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(ConnectionResetError("the connection ended before the answer did") if exc is None else exc)

    def _look(self) -> None:
        """Give the request up whose time is over; wait on for one that has come since."""
        self._limit = None
        if self._answer is None or self._answer.done():
            return
        if self._until <= self._loop.time():
            self._fail(TimeoutError())
        else:
            self._limit = self._loop.call_at(self._until, self._look)

    def _fail(self, error: Exception) -> None:
        self.abort()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self._answer is None or self._answer.done():
            self.reusable = False  # What comes after an answer is none, or half of one.

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"retry-after":
            self._retry_after = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200 or self._answer is None or self._answer.done():  # noqa: PLR2004  # an interim answer
            return
        self.reusable = self._parser.should_keep_alive()
        self.used_at = self._loop.time()
        self._answer.set_result(Answer(status, self._retry_after, b"".join(self._body)))


def _request(method: str, path: str, host: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    head = "\r\n".join(lines)
    if head.count("\n") != len(lines) - 1 or head.count("\r") != len(lines) - 1 or " " in path:
        raise ValueError("a header or the path holds the end of a line or a blank")
    return head.encode() + b"\r\n\r\n" + (body or b"")
