"""HTTP/1.1 to one server over connections that stay open, for small calls that people wait for.

aiohttp alone adds 2 ms to the 7 ms that the three calls of a token take (decision 14). This is the little of
HTTP (RFC 9112) that they need, on uvicorn's own parser: no redirects, cookies, proxies or compression.
"""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from app.kube.gate import Gate
from app.kube.http_connection import HttpConnection

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from app.kube.http_connection import Answer

_HTTPS = "https"
_PORTS = {"http": 80, _HTTPS: 443}
# Less than any server has patience for (uvicorn and so the double 5 s, a kube-apiserver 90 s): whoever is
# closed on cannot know whether it was heard, and what creates something is not sent twice.
_IDLE_SECONDS = 4.0


class Connections:
    """Connections to one server, each of one caller at a time.

    A connection on which anything but whole answers came, or on which nobody waits for an answer any more, is
    closed and never used again.
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
        self._gate = Gate(most)
        self._idle: list[HttpConnection] = []

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
        request = self.request(method, path, headers, body)
        until = asyncio.get_running_loop().time() + seconds
        connection = await self.take(until)
        try:
            return await connection.send(request, until)
        finally:
            self.give_back(connection)

    def request(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
        """A request as it is sent.

        Raises:
            ValueError: a header or the path cannot be sent.
        """
        if " " in path or "\n" in path or "\r" in path:
            raise ValueError("the path holds the end of a line or a blank")
        lines = _lines(self._host, tuple(headers.items()))
        length = "" if body is None else f"Content-Length: {len(body)}\r\n"
        return f"{method} {self._prefix}{path} HTTP/1.1\r\n{lines}{length}\r\n".encode() + (body or b"")

    async def take(self, until: float) -> HttpConnection:
        """A connection, for this caller alone until it is given back.

        Raises:
            TimeoutError: there was none by then, by the loop's clock.
            OSError: it could not be made.
        """
        if self._idle and self._gate.enter_now():
            # Nothing is waited for, and a time limit would cost more than all the rest.
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

    def give_back(self, connection: HttpConnection) -> None:
        """Let others have it; one that cannot be used again is closed."""
        self._gate.release()
        if connection.reusable:
            self._idle.append(connection)
        else:
            connection.abort()

    def close(self) -> None:
        """Close those that nobody uses; the others are closed by whoever gives up on them."""
        while self._idle:
            self._idle.pop().abort()

    def _unused(self) -> HttpConnection | None:
        """The one that was used last; those before it may be too old by now."""
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable and now - connection.used_at < _IDLE_SECONDS:
                return connection
            connection.abort()
        return None

    async def _open(self) -> HttpConnection:
        context, name = self._tls
        _, connection = await asyncio.get_running_loop().create_connection(
            HttpConnection, *self._address, ssl=context, server_hostname=name
        )
        return connection


# Without a trace all requests have the same few.
@lru_cache(16)
def _lines(host: str, headers: tuple[tuple[str, str], ...]) -> str:
    lines = [f"Host: {host}", *(f"{name}: {value}" for name, value in headers)]
    if any("\n" in line or "\r" in line for line in lines):
        raise ValueError("a header holds the end of a line")
    return "".join(f"{line}\r\n" for line in lines)
