"""One HTTP/1.1 connection to a server, on uvicorn's own parser."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import NamedTuple, cast

import httptools


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


_ERROR = 400


class HttpConnection(asyncio.Protocol):
    """One connection; requests that are sent before others are answered are answered in their order.

    Attributes:
        used_at: when the last answer came, by the loop's clock.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        # The parser calls these for each header and each part of the content: no functions of ours, for every
        # answer has a handful, and nearly no header is ever looked at.
        self.on_header = self._headers.__setitem__
        self.on_body = self._body.append
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport
        self._waiting: deque[asyncio.Future[Answer]] = deque()
        self._until = 0.0
        self._limit: asyncio.TimerHandle | None = None
        self._open = True
        self.used_at = 0.0

    @property
    def reusable(self) -> bool:
        """Whether everything that was sent is answered, and a further request may be sent."""
        return self._open and not self._waiting

    def send(self, request: bytes, until: float) -> asyncio.Future[Answer]:
        """Send a request, and return what its answer will be.

        Args:
            request: head and content.
            until: when the answer must be there, by the loop's clock; otherwise a TimeoutError is.
        """
        answer = self._loop.create_future()
        self._waiting.append(answer)
        self._until = until
        # One timer serves many requests: to set and cancel one takes longer than to look when it is due.
        if self._limit is None or until < self._limit.when():
            self._look_at(until)
        self._transport.write(request)
        return answer

    def abort(self) -> None:
        """Close it at once."""
        self._open = False
        if self._limit is not None:
            self._limit.cancel()
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Something came."""
        if not self._waiting or self._waiting[0].done():
            self.abort()  # Nobody has asked for anything, or waits for it any more.
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail(ValueError("the answer is not HTTP"))

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended; so has the hope of whoever waits."""
        self._fail(ConnectionResetError("the connection ended before the answer did") if exc is None else exc)

    def _look_at(self, when: float) -> None:
        if self._limit is not None:
            self._limit.cancel()
        self._limit = self._loop.call_at(when, self._look)

    def _look(self) -> None:
        """Give up what should be answered by now; wait on for what was sent since."""
        self._limit = None
        if not self._waiting:
            return
        if self._until <= self._loop.time():
            self._fail(TimeoutError())
        else:
            self._look_at(self._until)

    def _fail(self, error: Exception) -> None:
        self.abort()
        for answer in self._waiting:
            if not answer.done():
                answer.set_exception(error)
                answer.exception()  # Perhaps nobody waits for it any more.

    # What the parser calls.

    def on_message_begin(self) -> None:
        """An answer begins."""
        self._body.clear()
        self._headers.clear()
        if not self._waiting:
            self._open = False  # What comes after the last answer is none, or half of one.

    def on_message_complete(self) -> None:
        """It is whole."""
        status = self._parser.get_status_code()
        if status < 200 or not self._waiting or self._waiting[0].done():  # noqa: PLR2004  # an interim answer
            return
        retry_after = None if status < _ERROR else self._header(b"retry-after")
        self._waiting.popleft().set_result(Answer(status, retry_after, b"".join(self._body)))
        self.used_at = self._loop.time()
        if not self._parser.should_keep_alive():
            # What was sent after this is not answered any more.
            self._fail(ConnectionResetError("the server closes the connection after the answer before"))

    def _header(self, wanted: bytes) -> str | None:
        for name, value in self._headers.items():
            if name.lower() == wanted:
                return value.decode("latin-1")
        return None
