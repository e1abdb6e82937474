"""Reads a watch straight from the ASGI application, event by event, and can hang up."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from app.embedded.kubernetes import Cluster, create_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, MutableMapping

_SECONDS = 5


class Stream:
    def __init__(self) -> None:
        self.status = 0
        self.ended = asyncio.Event()
        self.finished_properly = False
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self._hang_up = asyncio.Event()

    async def receive(self) -> MutableMapping[str, Any]:
        await self._hang_up.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        for line in message["body"].decode().splitlines():
            self._lines.put_nowait(line)
        if not message.get("more_body"):
            self.finished_properly = True

    def close(self) -> None:
        self.ended.set()
        self._lines.put_nowait(None)

    def hang_up(self) -> None:
        self._hang_up.set()

    async def event(self) -> Any:
        """The next event, or None at the end."""
        line = await asyncio.wait_for(self._lines.get(), _SECONDS)
        return None if line is None else json.loads(line)

    async def seen(self) -> tuple[str, str]:
        """Type of the next event and name of its object."""
        event = await self.event()
        return event["type"], event["object"]["metadata"].get("name", "")

    async def rest(self) -> list[Any]:
        """All events until the end."""
        events = []
        while (event := await self.event()) is not None:
            events.append(event)
        return events

    @property
    def quiet(self) -> bool:
        return self._lines.empty()


@asynccontextmanager
async def watching(
    cluster: Cluster, path: str, *, accept: str = "application/json", **params: str
) -> AsyncIterator[Stream]:
    stream = Stream()
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": urlencode({"watch": "true", **params}).encode(),
        "headers": [(b"authorization", b"Bearer admin"), (b"accept", accept.encode())],
    }

    async def run() -> None:
        try:
            await create_app(cluster)(scope, stream.receive, stream.send)
        finally:
            stream.close()

    task = asyncio.create_task(run(), name="watch under test")
    try:
        yield stream
    finally:
        stream.hang_up()
        async with asyncio.timeout(_SECONDS):
            await task
