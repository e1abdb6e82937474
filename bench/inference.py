"""Inference requests, and the tokens and the model that they need."""

from __future__ import annotations

import sys
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import orjson

from bench.http_load import post
from bench.programs import Program, program
from bench.token_load import put, tokens
from tests.loopback import free_port
from tests.workspace import FREE, PREMIUM

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bench.platform import Cluster
    from bench.run import Bench
    from tests.workspace import Workspace

_PATH = "/v1/chat/completions"
AUTHORIZED = "/internal/authorize" + _PATH
_PROMPT = "Hello! " * 20
_DAY = 86_400


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
    task = bench.progress.add_task(f"{count:,} live tokens", total=count)
    await put(
        cluster.control_plane.etcd_url,
        cluster.real.admin,
        workspace.namespace,
        wanted,
        expires_at=int(time.time()) + _DAY,
        advance=lambda some: bench.progress.advance(task, some),
    )
    ids = [token.id for token in wanted]
    return model, ids, await cluster.maas_tokens(workspace.namespace, ids)
