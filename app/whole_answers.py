"""uvicorn's connection, with the head of an answer sent along with the first of its body.

uvicorn writes them apart, and uvloop sends at once what is written: two system calls, and a client that is
woken up for a head with nothing to read. ASGI leaves it to the server whether it sends a head before the body
begins (its specification of HTTP, "Response Start").
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_HEAD = b"HTTP/1.1 "
_INTERIM = b"HTTP/1.1 1"  # "100 Continue": the client waits for it, and no body follows.


class WholeAnswersProtocol(HttpToolsProtocol):
    """One connection of a client."""

    _answers: _HeadWithBody

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """It is open."""
        self._answers = _HeadWithBody(transport)
        super().connection_made(self._answers)

    def on_response_complete(self) -> None:
        """An answer is complete; to a HEAD request it has nothing but a head."""
        self._answers.send_head()
        super().on_response_complete()


class _HeadWithBody(asyncio.Transport):
    """A transport that keeps a head until something follows it, or nothing more can."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""

    def write(self, data: bytes) -> None:  # type: ignore[override]  # uvicorn writes nothing but bytes
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head + data)
        elif data.startswith(_HEAD) and not data.startswith(_INTERIM):
            self._head = data
        else:
            self._transport.write(data)

    def send_head(self) -> None:
        """Keep it no longer."""
        if self._head:
            self.write(b"")

    def close(self) -> None:
        self.send_head()
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    # What else uvicorn asks of a transport.

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()
