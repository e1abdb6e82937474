"""A thin, fast client for the Kubernetes API.

Requests and answers are plain JSON: building kubernetes-asyncio's generated models costs more than the calls
themselves.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol

from app.kube.call_span import traced
from app.kube.errors import KubeError, worth_another_try
from app.kube.forms import WHOLE
from app.kube.pipeline import Pipeline
from app.kube.transport import objects
from app.observability import tracing

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Awaitable, Mapping

    from app.kube.forms import Decode, Form
    from app.kube.resources import Resource
    from app.kube.transport import Sent, Transport

JsonObject = dict[str, Any]

_RETRY_SECONDS = 0.05


class CallObserver(Protocol):
    """Is told about every finished call, for metrics."""

    def __call__(
        self, verb: str, resource: str, subresource: str | None, status: int, seconds: float, /
    ) -> None:
        """Take note of one call; `status` 0 means that there was no answer."""


class KubeClient:
    """Calls to one Kubernetes API server.

    All methods raise a `KubeError` of the fitting type (`app.kube.errors`) and nothing else of the network.
    None takes longer than the timeout of `connect` and a moment: only what fails sooner is tried again.
    """

    def __init__(self, transport: Transport, *, observe: CallObserver, random: random.Random) -> None:
        self._transport = transport
        self._observe = observe
        self._random = random

    async def close(self) -> None:
        """Close every connection."""
        await self._transport.close()

    async def get(
        self, resource: Resource, name: str, *, namespace: str | None = None, form: Form = WHOLE
    ) -> JsonObject:
        """One object."""
        path = resource.path(namespace=namespace, name=name)
        return await self._call("get", "GET", resource, path, accept=form.accept, read=form.read)

    async def list(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        query: Mapping[str, str] | None = None,
        form: Form = WHOLE,
    ) -> JsonObject:
        """One page of a list."""
        path = resource.path(namespace=namespace)
        accept, read = form.accept_list, form.read_page
        return await self._call("list", "GET", resource, path, query=query, accept=accept, read=read)

    async def create(
        self,
        resource: Resource,
        body: JsonObject,
        *,
        namespace: str | None = None,
        name: str | None = None,
        subresource: str | None = None,
    ) -> JsonObject:
        """Create an object, or post to a subresource of the object `name`; never repeated by itself."""
        path = resource.path(namespace=namespace, name=name, subresource=subresource)
        return await self._call("create", "POST", resource, path, body=body, subresource=subresource)

    def pipeline(self) -> Pipeline:
        """A context in which objects are created, and what is asked of them is sent along."""
        return Pipeline(self._transport, self._call)

    def review(self, resource: Resource, body: JsonObject) -> Awaitable[JsonObject]:
        """Post a review (TokenReview, SubjectAccessReview); it changes nothing, so it is tried twice."""
        return self._call("create", "POST", resource, resource.path(), body=body, tries=2)

    async def merge_patch(
        self, resource: Resource, name: str, body: JsonObject, *, namespace: str | None = None
    ) -> JsonObject:
        """Change an object by a JSON merge patch (RFC 7386)."""
        path = resource.path(namespace=namespace, name=name)
        return await self._call(
            "patch", "PATCH", resource, path, body=body, content_type="application/merge-patch+json"
        )

    async def apply(
        self,
        resource: Resource,
        name: str,
        body: JsonObject,
        *,
        field_manager: str,
        force: bool = False,
        namespace: str | None = None,
    ) -> JsonObject:
        """Make the fields in `body` what it says, by server-side apply; never repeated by itself.

        An object that does not exist is created, unless `body` has a `metadata.uid`.

        Args:
            resource: its type.
            name: of the object.
            body: the fields, with apiVersion and kind.
            field_manager: to whom the fields belong afterwards; what it has applied before and now leaves out
                is removed.
            force: take fields over that belong to others.
            namespace: of the object.

        Raises:
            KubeConflictError: fields belong to others, who keep them (`field_conflicts`), or `body` has a
                uid or resourceVersion that the object has not.
        """
        query = {"fieldManager": field_manager} | ({"force": "true"} if force else {})
        return await self._call(
            "apply",
            "PATCH",
            resource,
            resource.path(namespace=namespace, name=name),
            query=query,
            body=body,
            content_type="application/apply-patch+yaml",  # JSON is YAML.
        )

    async def update(
        self, resource: Resource, name: str, body: JsonObject, *, namespace: str | None = None
    ) -> JsonObject:
        """Replace an object by `body`; never repeated by itself.

        Raises:
            KubeConflictError: the object is no longer of the resourceVersion that is in `body`.
        """
        path = resource.path(namespace=namespace, name=name)
        return await self._call("update", "PUT", resource, path, body=body)

    async def delete(
        self,
        resource: Resource,
        name: str,
        *,
        namespace: str | None = None,
        uid: str | None = None,
        resource_version: int | None = None,
    ) -> None:
        """Delete an object; with `uid` only that very one, with `resource_version` only as it was then.

        Raises:
            KubeNotFoundError: there is none of that name.
            KubeConflictError: the one of that name has another uid, or was changed.
        """
        body: JsonObject = {"apiVersion": "v1", "kind": "DeleteOptions"}
        preconditions = {"uid": uid, "resourceVersion": resource_version and str(resource_version)}
        if given := {key: value for key, value in preconditions.items() if value is not None}:
            body["preconditions"] = given
        path = resource.path(namespace=namespace, name=name)
        await self._call("delete", "DELETE", resource, path, body=body, tries=2)

    async def get_path(self, path: str) -> JsonObject:
        """A document that belongs to no resource, such as ``/openid/v1/jwks``."""
        return await self._call("get", "GET", None, path)

    @asynccontextmanager
    async def watch(
        self,
        resource: Resource,
        query: Mapping[str, str],
        *,
        namespace: str | None,
        silence_seconds: float,
        form: Form = WHOLE,
    ) -> AsyncIterator[AsyncIterator[JsonObject]]:
        """Open a watch; the context gives an iterator of its events, as they come.

        Args:
            resource: what is watched.
            query: the parameters, `resourceVersion` and selectors among them.
            namespace: only this namespace, or None for all.
            silence_seconds: a connection that says nothing for this long is given up.
            form: in which form objects come.
        """
        started = time.monotonic()
        status = 0

        async with AsyncExitStack() as stack:
            try:
                response = await stack.enter_async_context(
                    self._transport.stream(
                        resource.path(namespace=namespace),
                        {**query, "watch": "true"},
                        accept=form.accept,
                        silence_seconds=silence_seconds,
                    )
                )
                status = response.status
            except KubeError as error:
                status = error.status
                raise
            finally:
                self._observe("watch", resource.plural, None, status, time.monotonic() - started)
            yield objects(response, form.read_event)

    async def _call(
        self,
        verb: str,
        method: str,
        resource: Resource | None,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: JsonObject | None = None,
        content_type: str = "application/json",
        accept: str = WHOLE.accept,
        read: Decode = WHOLE.read,
        tries: int | None = None,
        subresource: str | None = None,
        sent: Sent | None = None,
    ) -> JsonObject:
        label = resource.plural if resource else path
        tries = tries or (2 if method == "GET" else 1)
        for attempt in range(1, tries + 1):
            started = time.monotonic()
            status = 0
            try:
                if sent is not None:
                    call = self._transport.answered(sent, read)
                else:
                    call = self._transport.exchange(
                        method,
                        path,
                        query=query,
                        body=body,
                        content_type=content_type,
                        accept=accept,
                        read=read,
                    )
                if tracing.current.get() is not None:
                    what = f"{label}/{subresource}" if subresource else label
                    call = traced(call, verb, method, what, attempt)
                status, document = await call
            except KubeError as error:
                status = error.status
                if attempt == tries or not worth_another_try(error):
                    raise
            else:
                return document
            finally:
                self._observe(verb, label, subresource, status, time.monotonic() - started)
            await asyncio.sleep(_RETRY_SECONDS * (1 + self._random.random()))
        raise AssertionError("unreachable")
