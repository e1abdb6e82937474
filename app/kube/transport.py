"""HTTP to the Kubernetes API server, with the service's own credentials.

One way in for every call: what the network does becomes a `KubeError`, and a token that is refused is read
again at once.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson

from app.kube.errors import KubeError, KubeUnauthorizedError, KubeUnavailableError, error_for
from app.kube.session import environment_proxy, session_over
from app.observability import tracing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from app.kube.credentials import Credentials
    from app.kube.forms import Decode
    from app.kube.library import ApiClient

JsonObject = dict[str, Any]

# ValueError: what came is not JSON, or a line of a watch is longer than any object can be.
_TRANSPORT_ERRORS = (aiohttp.ClientError, TimeoutError, OSError, ValueError)


class Transport:
    """Sends requests and reads answers; it knows nothing of resources."""

    def __init__(self, api: ApiClient, *, credentials: Credentials | None, timeout_seconds: float) -> None:
        self._configuration = api.configuration
        self._credentials = credentials
        rest = api.rest_client
        # `proxy-url` and `tls-server-name` of a kubeconfig, which aiohttp takes with each request.
        self._proxy: str | None = rest.proxy or environment_proxy(api.configuration.host or "")
        self._server_name: str | None = rest.server_hostname
        self._session = session_over(rest.pool_manager)
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)

    async def close(self) -> None:
        """Close every connection."""
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
        try:
            return await self._exchange(method, path, query, headers, body, read=read)
        except KubeUnauthorizedError:
            # Nothing was done, so even what must not be repeated may be sent again.
            renewed = headers | await self._headers(accept, renew=True)
            if renewed.get("Authorization") == headers.get("Authorization"):
                raise
        return await self._exchange(method, path, query, renewed, body, read=read)

    @asynccontextmanager
    async def stream(
        self, path: str, query: Mapping[str, str], *, accept: str, silence_seconds: float
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Open an answer that goes on; a connection that says nothing for `silence_seconds` is given up.

        Raises:
            KubeError: of the fitting type, while it is opened.
        """
        timeout = aiohttp.ClientTimeout(total=None, connect=self._timeout.total, sock_read=silence_seconds)
        try:
            # A server that is just starting accepts connections and says nothing for a long time.
            async with asyncio.timeout(self._timeout.total):
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
                raise await _error_of(response)
            yield response

    async def _exchange(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        headers: dict[str, str],
        body: JsonObject | None,
        *,
        read: Decode,
    ) -> tuple[int, JsonObject]:
        try:
            async with self._session.request(
                method,
                self._url(path),
                params=query,
                data=None if body is None else orjson.dumps(body),
                headers=headers,
                timeout=self._timeout,
                proxy=self._proxy,
                server_hostname=self._server_name,
            ) as response:
                if not response.ok:
                    raise await _error_of(response)
                document = read(await response.read())
        except _TRANSPORT_ERRORS as error:
            raise KubeUnavailableError(f"the Kubernetes API gave no answer: {_name(error)}") from error
        if not isinstance(document, dict):
            raise KubeUnavailableError("the Kubernetes API did not answer with an object")
        return response.status, document

    def _url(self, path: str) -> str:
        return f"{self._configuration.host}{path}"

    async def _headers(self, accept: str, *, renew: bool = False) -> dict[str, str]:
        headers = {"Accept": accept}
        if (span := tracing.current.get()) is not None:
            headers["traceparent"] = span.traceparent
        try:
            async with asyncio.timeout(self._timeout.total):
                if renew and self._credentials:
                    await self._credentials.renew(self._configuration)
                # Runs the refresh hook too.
                authorization = await self._configuration.get_api_key_with_prefix("BearerToken")
        except Exception as error:
            # The file is just being replaced, a kubeconfig's plugin failed: it may work the next time.
            raise KubeUnavailableError(
                f"the service's own credentials cannot be read: {_name(error)}"
            ) from error
        if authorization:
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


async def _error_of(response: aiohttp.ClientResponse) -> KubeError:
    try:
        document = orjson.loads(await response.read())
    except _TRANSPORT_ERRORS:
        document = None  # The status alone says enough.
    return error_for(response.status, document, retry_after=response.headers.get("Retry-After"))


def _name(error: BaseException) -> str:
    """The kind of a transport error; its text may hold addresses, so it goes no further."""
    return type(error).__name__
