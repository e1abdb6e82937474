"""uvicorn's connection, with requests answered in the very callback that completes them, where that can be.

A task, and messages that pass through it, take uvicorn longer than a decision from memory takes us. So the
application is first asked for an answer that needs no waiting; where there is none, and wherever a request is
not complete in what was read, everything goes uvicorn's way, as if nobody had asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from uvicorn.protocols.http.httptools_impl import HEADER_VALUE_RE, STATUS_LINE

from app.whole_answers import WholeAnswersProtocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeAlias

    from starlette.types import Scope

    Headers: TypeAlias = Iterable[tuple[bytes, bytes]]


@runtime_checkable
class CanAnswerAtOnce(Protocol):
    """An application that has answers which need no waiting."""

    def at_once(self, scope: Scope, body: bytes) -> Headers | None:
        """The headers of an answer 200 without a body; None if the application has to be asked as ever."""


class AnswersAtOnceProtocol(WholeAnswersProtocol):
    """One connection of a client.

    Args:
        at_once: the application's.
        uvicorn: what uvicorn makes a connection of.
    """

    def __init__(self, at_once: Callable[[Scope, bytes], Headers | None], **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self._at_once = at_once
        self._arriving = False
        self._held: tuple[Any, Any] | None = None

    def data_received(self, data: bytes) -> None:
        """Read it; a request of which there is more to come is answered as it comes."""
        super().data_received(data)
        self._let_go()

    def on_headers_complete(self) -> None:
        """The head of a request is read."""
        self._arriving = True
        try:
            super().on_headers_complete()
        finally:
            self._arriving = False

    def on_message_complete(self) -> None:
        """A request is read."""
        super().on_message_complete()
        if self._held is not None and self._answered(self._held[0]):
            self._held = None
        self._let_go()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        # Those that waited for their turn on this connection have no head that just arrives.
        if self._arriving:
            self._held = (cycle, app)
        else:
            super()._start_asgi_task(cycle, app)

    def _let_go(self) -> None:
        if self._held is not None:
            held, self._held = self._held, None
            super()._start_asgi_task(*held)

    def _answered(self, cycle: Any) -> bool:
        """Whether it could be answered at once, and is."""
        if not cycle.keep_alive or self.flow.write_paused:
            return False
        headers = self._at_once(cycle.scope, bytes(cycle.body))
        if headers is None:
            return False
        head = [STATUS_LINE[200]]
        for name, value in (*self.server_state.default_headers, *headers):
            if HEADER_VALUE_RE.search(value):
                return False
            head += (name, b": ", value, b"\r\n")
        head.append(b"content-length: 0\r\n\r\n")
        cycle.response_started = cycle.response_complete = True
        self.transport.write(b"".join(head))
        self.on_response_complete()
        return True
