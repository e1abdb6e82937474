"""A proxy in front of an API server that misbehaves when it is told to."""

from __future__ import annotations

import asyncio
import ssl
from collections import defaultdict
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import yaml
from aiohttp import web

from tests.cluster.faults.faults import (
    Answer,
    Call,
    CutError,
    CutEvents,
    Delay,
    DuplicateEvents,
    Fault,
    Gone,
    Hang,
    LoseAnswers,
    Reorder,
    Slow,
    TruncateLists,
    everything,
)
from tests.loopback import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

    from app.embedded.gateway.certificates import Certificates

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "accept-encoding"}


class FaultProxy:
    """Passes requests on to the API server, and its answers back, but for the one fault that is in force.

    Every method that names a fault puts it in the place of the one before; `heal` ends it.

    Attributes:
        port: where it listens.
        calls: every request that came, in order.
    """

    def __init__(self, upstream: str, *, ca_file: str, certificates: Certificates | None = None) -> None:
        """Make a proxy.

        Args:
            upstream: URL of the API server.
            ca_file: the CA that signed the API server's certificate.
            certificates: for HTTPS; plain HTTP without.
        """
        self._upstream = upstream
        self._trust = ssl.create_default_context(cafile=ca_file)
        self._context: ssl.SSLContext | None = None
        if certificates:
            self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self._context.load_cert_chain(certificates.chain, certificates.key)
        self._history: defaultdict[str, list[bytes]] = defaultdict(list)
        self._fault = Fault()
        self._expired: set[str] = set()
        self._watches: dict[asyncio.Transport, Call] = {}
        self._handlers: set[asyncio.Task[Any]] = set()
        self._listener: asyncio.Server | None = None
        self._session: aiohttp.ClientSession
        self._web: web.Server
        self.calls: list[Call] = []
        # Not the kernel's choice: while connections are refused, an outgoing one could take such a port.
        self.port = free_port()

    @property
    def struck(self) -> int:
        """How often the fault that is in force has done something."""
        return self._fault.struck

    async def start(self) -> None:
        """Listen."""
        connector = aiohttp.TCPConnector(limit=0, ssl=self._trust)
        self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False)
        self._web = web.Server(self._answer, access_log=None, handler_cancellation=False)
        await self._listen()

    async def stop(self) -> None:
        """End every connection."""
        await self.refuse()
        self._fault.over.set()
        for handler in (handlers := list(self._handlers)):
            handler.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)
        await self._web.shutdown(1)
        await self._session.close()

    async def refuse(self) -> None:
        """Break every connection off and refuse new ones."""
        self._put(Fault())
        if self._listener:
            self._listener.close()
            self._listener = None
        for connection in list(self._web.connections):
            if connection.transport:
                connection.transport.abort()

    def hang(self, matching: Callable[[Call], bool] = everything) -> None:
        """Accept everything and answer nothing; watches fall silent."""
        self._put(Hang(matching))

    def lose_answers(self, matching: Callable[[Call], bool]) -> None:
        """Let happen what is asked for, and never say so."""
        self._put(LoseAnswers(matching))

    def delay(self, matching: Callable[[Call], bool]) -> None:
        """Keep requests back until `heal`, and pass them on then, whether anybody still waits or not."""
        self._put(Delay(matching))

    def answer(
        self,
        status: int,
        headers: Mapping[str, str] | None = None,
        *,
        matching: Callable[[Call], bool] = everything,
    ) -> None:
        """Answer with a status; watches that run are broken off."""
        self._put(Answer(status, headers or {}, matching))
        self.end_watches(matching)

    def slow(self, bytes_per_second: float, *, matching: Callable[[Call], bool] = everything) -> None:
        """Send answers so slowly."""
        self._put(Slow(bytes_per_second, matching))

    def cut_watch_mid_event(self) -> None:
        """Break every watch off in the middle of its next event."""
        self._put(CutEvents())

    def truncate_lists(self) -> None:
        """Break every page of a list off in its middle, and make every watch list."""
        self._put(TruncateLists())
        self.end_watches()

    def duplicate_events(self) -> None:
        """Send every event twice."""
        self._put(DuplicateEvents())

    def reorder_events_after_relist(self) -> None:
        """Make every watch list again, and then tell it what has happened long ago, newest first."""
        self._put(Reorder(self._history))
        self.end_watches()

    def forget_history(self, *, in_stream: bool) -> None:
        """Answer every watch that its history is gone: by the status 410, or by an event in its stream."""
        self._put(Gone(in_stream=in_stream))
        self.end_watches()

    def expire(self, token: str) -> None:
        """Answer 401 to this bearer token from now on; `heal` does not change that."""
        self._expired.add(f"Bearer {token}")
        self.end_watches(lambda call: call.authorization in self._expired)

    def end_watches(self, matching: Callable[[Call], bool] = everything) -> None:
        """Break off the watches that run."""
        for transport, call in list(self._watches.items()):
            if matching(call):
                transport.abort()

    async def heal(self) -> None:
        """Let everything pass again."""
        self._put(Fault())
        await self._listen()

    def kubeconfig(self, original: Path) -> Path:
        """A kubeconfig like the original that leads through this proxy, which listens without TLS."""
        document = yaml.safe_load(original.read_text())
        document["clusters"][0]["cluster"] = {"server": f"http://127.0.0.1:{self.port}"}
        path = original.with_name(f"{original.name}-{self.port}")
        path.write_text(yaml.safe_dump(document))
        return path

    def _put(self, fault: Fault) -> None:
        former, self._fault = self._fault, fault
        former.over.set()

    async def _listen(self) -> None:
        if self._listener is None:
            loop = asyncio.get_running_loop()
            self._listener = await loop.create_server(
                self._web, "127.0.0.1", self.port, ssl=self._context, reuse_address=True, backlog=1024
            )

    def _fault_of(self, call: Call) -> Fault:
        if call.authorization in self._expired:
            return Answer(401, {}, everything)
        return self._fault if self._fault.matching(call) else Fault()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        call = Call(
            request.method, request.path, dict(request.query), request.headers.get("Authorization", "")
        )
        self.calls.append(call)
        body = await request.read()
        task = asyncio.current_task()
        assert task
        self._handlers.add(task)
        task.add_done_callback(self._handlers.discard)
        try:
            if (instead := await self._fault_of(call).instead(call)) is not None:
                return instead
            return await self._pass_on(request, call, body)
        except (CutError, aiohttp.ClientError, OSError):
            if request.transport:
                request.transport.abort()
            return web.Response(status=502)

    async def _pass_on(self, request: web.BaseRequest, call: Call, body: bytes) -> web.StreamResponse:
        async with self._session.request(
            request.method,
            f"{self._upstream}{request.raw_path}",
            data=body or None,
            headers={**_end_to_end(request.headers), "Accept-Encoding": "identity"},
            timeout=aiohttp.ClientTimeout(total=None),
        ) as upstream:
            response = web.StreamResponse(status=upstream.status, headers=_end_to_end(upstream.headers))
            if call.watch and upstream.status == web.HTTPOk.status_code:
                await self._watch(request, call, upstream, response)
                return response
            content = await upstream.read()
            response.content_length = len(content)
            await response.prepare(request)
            async for piece in self._fault_of(call).body(call, content):
                await response.write(piece)
        return response

    async def _watch(
        self,
        request: web.BaseRequest,
        call: Call,
        upstream: aiohttp.ClientResponse,
        response: web.StreamResponse,
    ) -> None:
        response.enable_chunked_encoding()
        await response.prepare(request)
        transport = request.transport
        if not isinstance(transport, asyncio.Transport):
            raise CutError
        self._watches[transport] = call
        try:
            async for piece in self._fault_of(call).opening(call):
                await response.write(piece)
            # A line may be longer than what a StreamReader wants to hold.
            rest = b""
            async for chunk in upstream.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._history[call.path].append(line + b"\n")
                    async for piece in self._fault_of(call).event(call, line + b"\n"):
                        await response.write(piece)
            await self._fault_of(call).ending(call)
        finally:
            self._watches.pop(transport, None)


def _end_to_end(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _HOP_BY_HOP}


@asynccontextmanager
async def fault_proxy(
    kubeconfig: Path, *, certificates: Certificates | None = None
) -> AsyncIterator[FaultProxy]:
    """A proxy in front of the cluster of a kubeconfig, for as long as the context lasts."""
    document = yaml.safe_load(await asyncio.to_thread(kubeconfig.read_text))
    cluster = document["clusters"][0]["cluster"]
    proxy = FaultProxy(cluster["server"], ca_file=cluster["certificate-authority"], certificates=certificates)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()
