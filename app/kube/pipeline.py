"""An object, and what is asked of it as soon as it is there, in one go.

A server answers what comes over one connection of HTTP/1.1 in its order (RFC 9112, section 9.3.2), so what is
sent together saves the way there and back between the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, Self

from app.kube.errors import (
    KubeNotFoundError,
    KubeUnauthorizedError,
    KubeUnavailableError,
    worth_another_try,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from app.kube.resources import Resource
    from app.kube.transport import JsonObject, Line, Sent, Transport


class Call(Protocol):
    """Makes one call of a client; with `sent`, one that is on its way already."""

    def __call__(
        self,
        verb: str,
        method: str,
        resource: Resource,
        path: str,
        *,
        body: JsonObject,
        subresource: str | None,
        sent: Sent | None = None,
    ) -> Coroutine[Any, Any, JsonObject]:
        """The object that answers it."""


class Pipeline:
    """A context: what is created within is sent before anything of it is answered.

    Where there is a proxy, each is sent when it is awaited. If the context ends before all is answered, it is
    not known what became of the rest.
    """

    def __init__(self, transport: Transport, call: Call) -> None:
        self._transport = transport
        self._call = call
        self._line: Line | None = None
        self._calls: list[Coroutine[Any, Any, JsonObject]] = []

    async def __aenter__(self) -> Self:
        """Take a connection.

        Raises:
            KubeUnavailableError: the service's own credentials cannot be read.
        """
        self._line = await self._transport.line()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Give it back."""
        for call in self._calls:
            call.close()
        if self._line is not None:
            self._line.close()

    def create(
        self,
        resource: Resource,
        body: JsonObject,
        *,
        namespace: str,
        name: str | None = None,
        subresource: str | None = None,
        repeatable: bool = False,
    ) -> Coroutine[Any, Any, JsonObject]:
        """Send what creates an object, or posts to a subresource of the object `name`; await the object.

        Args:
            resource: its type.
            body: the object.
            namespace: of the object.
            name: of the object whose subresource it is.
            subresource: to which it is posted.
            repeatable: whether it does no harm when it is done twice. It is sent again then, by itself, where
                its answer was lost, or where it came before what it belongs to.
        """
        path = resource.path(namespace=namespace, name=name, subresource=subresource)
        sent = None if self._line is None else self._line.send("POST", path, body)
        call = self._answer(sent, resource, path, body, subresource, repeatable=repeatable)
        self._calls.append(call)
        return call

    async def _answer(
        self,
        sent: Sent | None,
        resource: Resource,
        path: str,
        body: JsonObject,
        subresource: str | None,
        *,
        repeatable: bool,
    ) -> JsonObject:
        if sent is not None:
            try:
                return await self._call(
                    "create", "POST", resource, path, body=body, subresource=subresource, sent=sent
                )
            except KubeUnauthorizedError:
                pass  # Nothing was done; the ordinary way renews the credentials.
            except KubeNotFoundError:
                if not repeatable:
                    raise
            except KubeUnavailableError as error:
                if not repeatable or error.status or not worth_another_try(error):
                    raise
        return await self._call("create", "POST", resource, path, body=body, subresource=subresource)
