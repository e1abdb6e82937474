"""Inference requests, and the tokens and the model that they need."""

from __future__ import annotations

import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from bench.envoy import Envoy, whole_gateway
from bench.http_load import post
from bench.platform import cluster, opened, service
from bench.programs import Program, program
from bench.token_load import tokens
from tests.loopback import free_port
from tests.workspace import FREE, PREMIUM

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bench.platform import Cluster
    from bench.run import Bench
    from bench.service_process import ServiceProcess
    from tests.workspace import Workspace

_PATH = "/v1/chat/completions"
AUTHORIZED = "/internal/authorize" + _PATH
_PROMPT = "Hello! " * 20


@dataclass(frozen=True)
class WholePath:
    """The gateway's whole path, from a request to a model that answers at once.

    Attributes:
        envoy: the gateway.
        service: which it asks.
        port: of the model.
        model: its id.
        jwts: tokens that open it, each of another owner.
    """

    envoy: Envoy
    service: ServiceProcess
    port: int
    model: str
    jwts: list[str]


def chat(token: str, model: str, *, path: str = _PATH, **options: object) -> bytes:
    """One chat of about 200 bytes, with further members of its body."""
    body = {"model": model, "messages": [{"role": "user", "content": _PROMPT}], **options}
    return post(path, orjson.dumps(body), authorization=f"Bearer {token}")


@asynccontextmanager
async def stand_in(bench: Bench, what: str) -> AsyncIterator[tuple[Program, int]]:
    """A server of `bench.stand_ins`, and its port."""
    port = free_port()
    # Whatever it is asked, it answers, so any path will do to see that it is there.
    async with program(
        [sys.executable, "-m", "bench.stand_ins", what, str(port)],
        log=bench.directory / f"{what}.log",
        ready=f"http://127.0.0.1:{port}/",
    ) as running:
        yield running, port


async def live_tokens(
    bench: Bench, cluster: Cluster, workspace: Workspace, *, count: int, owners: int
) -> tuple[str, list[str], list[str]]:
    """A model, and so many live tokens that open it: the model's id, the tokens' ids, their JWTs."""
    model = await workspace.model("qwen3", FREE, PREMIUM)
    wanted = list(tokens(count, owners=owners, measured=0, each=0))
    await cluster.hold(bench, workspace.namespace, wanted)
    ids = [token.id for token in wanted]
    return model, ids, await cluster.maas_tokens(workspace.namespace, ids)


@asynccontextmanager
async def whole_path(bench: Bench, *, count: int) -> AsyncIterator[WholePath]:
    """Everything from cluster to model, with so many live tokens."""
    async with cluster(bench) as where, stand_in(bench, "model") as (_, port):
        workspace = await opened(where)
        model, _, jwts = await live_tokens(bench, where, workspace, count=count, owners=count)
        async with (
            service(bench, workspace) as process,
            whole_gateway(
                bench.directory / "gateway",
                public=process.public,
                gateway=process.gateway,
                model=port,
                model_id=model,
            ) as envoy,
        ):
            yield WholePath(envoy, process, port, model, jwts)
