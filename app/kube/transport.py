"""HTTP to the Kubernetes API server, with the service's own credentials.

One way in for every call: what the network does becomes a `KubeError`, and a token that is refused is read
again at once.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import aiohttp
import orjson
from yarl import URL

from app.kube.connections import Connections
from app.kube.errors import KubeError, KubeUnauthorizedError, KubeUnavailableError, error_for
from app.kube.forms import WHOLE
from app.kube.http_connection import Answer
from app.kube.session import environment_proxy, session_over, tls_of
from app.observability import tracing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Mapping

    from app.kube.credentials import Credentials
    from app.kube.forms import Decode
    from app.kube.http_connection import HttpConnection
    from app.kube.library import ApiClient

JsonObject = dict[str, Any]
Sent = asyncio.Future[Answer]

_JSON = "application/json"
# ValueError: what came is not JSON, or a line of a watch is longer than any object can be.
_OK, _NOT_OK = 200, 300
_TRANSPORT_ERRORS = (aiohttp.ClientError, TimeoutError, OSError, ValueError)


class Line:
    """One connection to the API server for a while: what is sent is answered in its order."""

    def __init__(
        self,
        connections: Connections,
        connection: HttpConnection | Exception,
        headers: Mapping[str, str],
        until: float,
    ) -> None:
        self._connections = connections
        self._connection = connection
        self._headers = headers
        self._until = until

    def send(self, method: str, path: str, body: JsonObject) -> Sent:
        """Send JSON and wait for nothing; `Transport.answered` reads what comes."""
        try:
            if isinstance(self._connection, Exception):
                raise self._connection
            request = self._connections.request(method, path, self._headers, orjson.dumps(body))
        except _TRANSPORT_ERRORS as error:
            sent: Sent = asyncio.get_running_loop().create_future()
            sent.set_exception(error)
            sent.exception()  # Perhaps nobody looks at it.
            return sent
        return self._connection.send(request, self._until)

    def close(self) -> None:
        """Give the connection back; what is not answered by now never will be."""
        if not isinstance(self._connection, Exception):
            self._connections.give_back(self._connection)


class Transport:
    """Sends requests and reads answers; it knows nothing of resources."""

    def __init__(
        self, api: ApiClient, *, credentials: Credentials | None, timeout_seconds: float, connections: int
    ) -> None:
        self._configuration = api.configuration
        self._credentials = credentials
        rest = api.rest_client
        # `proxy-url` and `tls-server-name` of a kubeconfig, which aiohttp takes with each request.
        self._proxy: str | None = rest.proxy or environment_proxy(api.configuration.host or "")
        self._server_name: str | None = rest.server_hostname
        self._session = session_over(rest.pool_manager)
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._timeout_seconds = timeout_seconds
        self._direct = (
            Connections(
                self._configuration.host or "",
                context=tls_of(self._session),
                server_name=self._server_name,
                most=connections,
            )
            if self._proxy is None
            else None
        )

    async def close(self) -> None:
        """Close every connection."""
        if self._direct is not None:
            self._direct.close()
        await self._session.close()

    async def exchange(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None,
        body: JsonObject | None,
        content_type: str,
        accept: str,
        read: Decode,
    ) -> tuple[int, JsonObject]:
        """Send one request; return the status and the object that answers it.

        Raises:
            KubeError: of the fitting type, also where there was no answer.
        """
        headers = await self._headers(accept)
        if body is not None:
            headers["Content-Type"] = content_type
        target = f"{path}?{urlencode(query)}" if query else path
        content = None if body is None else orjson.dumps(body)
        try:
            return await self.answered(self._exchange(method, target, headers, content), read)
        except KubeUnauthorizedError:
            # Nothing was done, so even what must not be repeated may be sent again.
            renewed = headers | await self._headers(accept, renew=True)
            if renewed.get("Authorization") == headers.get("Authorization"):
                raise
        return await self.answered(self._exchange(method, target, renewed, content), read)

    async def line(self) -> Line | None:
        """A connection for requests that are sent at once; None where there is a proxy.

        Whether it could be made is told by what is sent over it.

        Raises:
            KubeUnavailableError: the service's own credentials cannot be read.
        """
        if self._direct is None:
            return None
        headers = await self._headers(WHOLE.accept)
        headers["Content-Type"] = _JSON
        until = asyncio.get_running_loop().time() + self._timeout_seconds
        try:
            return Line(self._direct, await self._direct.take(until), headers, until)
        except _TRANSPORT_ERRORS as error:
            return Line(self._direct, error, headers, until)

    async def answered(self, sent: Awaitable[Answer], read: Decode) -> tuple[int, JsonObject]:
        """The status and the object that answer a request.

        Raises:
            KubeError: of the fitting type, also where there was no answer.
        """
        try:
            answer = await sent
            if not _OK <= answer.status < _NOT_OK:
                raise _error(answer)
            document = read(answer.body)
        except _TRANSPORT_ERRORS as error:
            raise KubeUnavailableError(f"the Kubernetes API gave no answer: {_name(error)}") from error
        if not isinstance(document, dict):
            raise KubeUnavailableError("the Kubernetes API did not answer with an object")
        return answer.status, document

    @asynccontextmanager
    async def stream(
        self, path: str, query: Mapping[str, str], *, accept: str, silence_seconds: float
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Open an answer that goes on; a connection that says nothing for `silence_seconds` is given up.

        Raises:
            KubeError: of the fitting type, while it is opened.
        """
        timeout = aiohttp.ClientTimeout(total=None, connect=self._timeout_seconds, sock_read=silence_seconds)
        try:
            # A server that is just starting accepts connections and says nothing for a long time.
            async with asyncio.timeout(self._timeout_seconds):
                response = await self._session.get(
                    self._url(path),
                    params=query,
                    headers=await self._headers(accept),
                    timeout=timeout,
                    proxy=self._proxy,
                    server_hostname=self._server_name,
                )
        except _TRANSPORT_ERRORS as error:
            raise KubeUnavailableError(f"no watch: {_name(error)}") from error
        async with response:
            if not response.ok:
                raise _error(await _answer(response))
            yield response

    def _exchange(
        self, method: str, target: str, headers: dict[str, str], body: bytes | None
    ) -> Awaitable[Answer]:
        if self._direct is None or method == "GET":
            return self._by_library(method, target, headers, body)
        return self._direct.exchange(method, target, headers, body, seconds=self._timeout_seconds)

    async def _by_library(
        self, method: str, target: str, headers: dict[str, str], body: bytes | None
    ) -> Answer:
        """Through a proxy, or for what may be large: lists come compressed."""
        async with self._session.request(
            method,
            URL(self._url(target), encoded=True),
            data=body,
            headers=headers,
            timeout=self._timeout,
            proxy=self._proxy,
            server_hostname=self._server_name,
        ) as response:
            return await _answer(response)

    def _url(self, path: str) -> str:
        return f"{self._configuration.host}{path}"

    async def _headers(self, accept: str, *, renew: bool = False) -> dict[str, str]:
        headers = {"Accept": accept}
        if (span := tracing.current.get()) is not None:
            headers["traceparent"] = span.traceparent
        credentials = self._credentials
        if credentials is not None and (renew or not credentials.is_fresh()):
            try:
                async with asyncio.timeout(self._timeout_seconds):
                    await (credentials.renew if renew else credentials.refresh)(self._configuration)
            except Exception as error:
                # The file is just being replaced, a kubeconfig's plugin failed: it may work the next time.
                raise KubeUnavailableError(
                    f"the service's own credentials cannot be read: {_name(error)}"
                ) from error
        if authorization := self._configuration.api_key.get("BearerToken"):
            headers["Authorization"] = authorization
        elif self._configuration.username:
            headers["Authorization"] = self._configuration.get_basic_auth_token()
        return headers


async def objects(response: aiohttp.ClientResponse, read: Decode) -> AsyncIterator[JsonObject]:
    """The objects of a stream, one a line, as they come.

    Raises:
        KubeUnavailableError: it broke.
    """
    try:
        async for line in response.content:
            if line.strip():
                yield read(line)
    except _TRANSPORT_ERRORS as error:
        raise KubeUnavailableError(f"the watch broke: {_name(error)}") from error


async def _answer(response: aiohttp.ClientResponse) -> Answer:
    return Answer(response.status, response.headers.get("Retry-After"), await response.read())


def _error(answer: Answer) -> KubeError:
    try:
        document = orjson.loads(answer.body)
    except ValueError:
        document = None  # The status alone says enough.
    return error_for(answer.status, document, retry_after=answer.retry_after)


def _name(error: BaseException) -> str:
    """The kind of a transport error; its text may hold addresses, so it goes no further."""
    return type(error).__name__
