"""An API server that answers exactly what a test tells it to, over real HTTP."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import orjson
import yaml
from starlette.applications import Starlette
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from app.kube.connect import connect
from app.serving import bind, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from starlette.requests import Request

    from app.kube.client import CallObserver, KubeClient


class Answering(Protocol):
    """Whatever answers requests."""

    async def answer(self, request: Request) -> Response: ...


@dataclass
class ScriptedApiServer:
    """Takes one answer per list and per watch from its scripts; the last one is used again and again."""

    lists: list[Any] = field(default_factory=list)
    watches: list[Any] = field(default_factory=list)
    requests: list[dict[str, str]] = field(default_factory=list)

    async def answer(self, request: Request) -> Response:
        query = dict(request.query_params)
        self.requests.append({**query, "method": request.method, "path": request.url.path})
        script = self.watches if query.get("watch") == "true" else self.lists
        step = script.pop(0) if len(script) > 1 else script[0]
        response: Response = step if isinstance(step, Response) else step(request)
        return response

    def watched_from(self) -> list[str]:
        return [entry["resourceVersion"] for entry in self.requests if entry.get("watch") == "true"]

    @property
    def listed(self) -> int:
        return sum("watch" not in entry for entry in self.requests)


def a_list(version: str, *names: str, **metadata: Any) -> Response:
    items = [{"metadata": {"name": name, "uid": f"uid-{name}", "resourceVersion": version}} for name in names]
    return json({"kind": "List", "metadata": {"resourceVersion": version, **metadata}, "items": items})


def json(document: Any, status: int = 200, **headers: str) -> Response:
    return Response(orjson.dumps(document), status, headers, media_type="application/json")


def event(kind: str, name: str, version: str) -> bytes:
    obj = {"metadata": {"name": name, "resourceVersion": version}}
    return orjson.dumps({"type": kind, "object": obj}) + b"\n"


def gone(status: int = 200) -> Response:
    document = {
        "kind": "Status",
        "status": "Failure",
        "message": "too old resource version",
        "reason": "Expired",
        "code": 410,
    }
    if status == 410:
        return json(document, 410)
    return Response(orjson.dumps({"type": "ERROR", "object": document}) + b"\n")


def stream(*lines: bytes, hold: bool = True) -> Any:
    """A watch that says these lines and then, if it holds, nothing more."""

    async def body() -> AsyncIterator[bytes]:
        for line in lines:
            yield line
        if hold:
            await asyncio.Event().wait()

    return lambda _request: StreamingResponse(body(), media_type="application/json")


@asynccontextmanager
async def scripted(server: Answering, directory: Path, *, connections: int = 10) -> AsyncIterator[KubeClient]:
    """A client for the server, which runs for as long as the context lasts."""
    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    app = Starlette(routes=[Route("/{path:path}", server.answer, methods=methods)])
    listener = bind("scripted", "127.0.0.1", 0)
    async with (
        serving((app, listener), shutdown_seconds=0.1),
        client_of(listener.port, directory, connections=connections) as client,
    ):
        yield client


@asynccontextmanager
async def client_of(
    port: int,
    directory: Path,
    *,
    user: dict[str, str] | None = None,
    connections: int = 10,
    seconds: float = 2,
    observe: CallObserver = lambda *_: None,
) -> AsyncIterator[KubeClient]:
    """A client for a server on this machine; `user` is how a kubeconfig says who it is."""
    kubeconfig = directory / "kubeconfig"
    kubeconfig.write_text(
        yaml.safe_dump(
            {
                "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
                "users": [{"name": "u", "user": user or {"token": "sha256~service"}}],
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "x",
            }
        )
    )
    client = await connect(
        str(kubeconfig),
        timeout_seconds=seconds,
        connections=connections,
        observe=observe,
        random=random.Random(1),  # noqa: S311  # spreads retries
    )
    try:
        yield client
    finally:
        await client.close()
