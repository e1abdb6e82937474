"""A kubelet that runs nothing: it gives the API server the logs that a test has written."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trustme
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tests.loopback import listening

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping
    from pathlib import Path

    from starlette.requests import Request

NODE = "node-of-the-tests"


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def kubelet(directory: Path, logs: Mapping[tuple[str, str, bool], str]) -> AsyncIterator[int]:
    """Serve the logs of containers by pod, container and whether it is the one before the last restart.

    Yields the port: what a Node says in `status.daemonEndpoints.kubeletEndpoint`.
    """

    async def container_logs(request: Request) -> Response:
        pod, container = request.path_params["pod"], request.path_params["container"]
        text = logs.get((pod, container, request.query_params.get("previous") == "true"))
        if text is None:
            return PlainTextResponse("container not found", status_code=400)
        most = int(request.query_params.get("limitBytes", len(text)))
        return PlainTextResponse(text[:most])

    certificate = trustme.CA().issue_cert("127.0.0.1")
    chain = directory / "kubelet.pem"
    certificate.private_key_and_cert_chain_pem.write_to_path(chain)
    app = Starlette(routes=[Route("/containerLogs/{namespace}/{pod}/{container}", container_logs)])
    with listening() as listener:
        config = uvicorn.Config(
            app, lifespan="off", log_config=None, ssl_certfile=chain, timeout_graceful_shutdown=1
        )
        server = _Server(config)
        task = asyncio.create_task(server.serve(sockets=[listener]), name="kubelet")
        while not server.started:  # noqa: ASYNC110  # uvicorn has no event for it
            await asyncio.sleep(0.005)
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            await task


def node(port: int) -> dict[str, object]:
    """The Node whose kubelet listens there."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": NODE},
        "status": {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        },
    }
