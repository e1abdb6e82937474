"""A connection between one client and an API server that a test can silence: a network partition."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import yaml

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


class Link:
    """Passes bytes on, both ways, unless it is silent.

    Attributes:
        kubeconfig: leads through it.
    """

    def __init__(self, host: str, port: int, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        self._address = host, port
        self._speaks = asyncio.Event()
        self._speaks.set()
        self._tasks: set[asyncio.Task[None]] = set()

    def fall_silent(self) -> None:
        """Let nothing through: connections are accepted and stay open, what is sent is kept."""
        self._speaks.clear()

    def speak(self) -> None:
        """Go on, with what was sent meanwhile."""
        self._speaks.set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a connection."""
        task = asyncio.create_task(self._connect(reader, writer), name="link")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # Whatever it was at, and even if it had not begun.
        task.add_done_callback(lambda _: writer.close())

    async def close(self) -> None:
        """Cut every connection."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._address)
        except OSError:
            await _closed(writer)
            return
        ways = [
            asyncio.create_task(self._pass(reader, far_writer), name="link there"),
            asyncio.create_task(self._pass(far_reader, writer), name="link back"),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            await _closed(writer)
            await _closed(far_writer)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self._speaks.wait()
            writer.write(data)
            await writer.drain()


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    await asyncio.gather(writer.wait_closed(), return_exceptions=True)


@asynccontextmanager
async def link(kubeconfig: Path) -> AsyncIterator[Link]:
    """A link to the cluster of a kubeconfig, on a free port, for as long as the context lasts."""
    document = yaml.safe_load(await asyncio.to_thread(kubeconfig.read_text))
    cluster = document["clusters"][0]["cluster"]
    address = urlsplit(cluster["server"])
    host = str(address.hostname)
    made = Link(host, address.port or 443, kubeconfig.with_name(f"{kubeconfig.name}-linked"))
    server = await asyncio.start_server(made.accept, "127.0.0.1", 0)
    cluster["server"] = f"https://{host}:{server.sockets[0].getsockname()[1]}"
    await asyncio.to_thread(made.kubeconfig.write_text, yaml.safe_dump(document))
    try:
        yield made
    finally:
        server.close()
        await made.close()
