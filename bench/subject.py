"""A service with so many live tokens, ready, beside others with more or fewer on the same API server."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.http_load import get
from bench.inference import AUTHORIZED, chat
from bench.platform import opened
from bench.service_process import service_process
from bench.token_load import tokens
from tests.workspace import FREE, PREMIUM

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bench.platform import Cluster
    from bench.run import Bench
    from bench.service_process import ServiceProcess
    from bench.token_load import Token
    from tests.workspace import Workspace

_MEASURED, _EACH = 20, 10
_TOKENS_OF_ONE_OWNER = 20
_QUIET_SECONDS = 1
_MAPPING = """
tiers:
  free:    {groups: ["system:authenticated"], rateLimit: {requestsPerMinute: 10}}
  premium: {groups: ["%s"], rateLimit: {requestsPerMinute: 100}}
"""


@dataclass
class Subject:
    """A service with its tokens.

    Attributes:
        count: how many there are.
        workspace: where.
        process: the service.
        tokens: those of the people that are measured, ten for each of twenty.
        jwts: of these, in the same order.
        lists: requests of these people for a list of their own.
        decisions: inference requests with these tokens, as Envoy asks about them.
        ready_seconds: of each start, from the start of the process until it was ready.
        processor_seconds: of the processor, until then, of the last start.
        memory: resident, in MB (10^6 bytes), a moment after the last start.
    """

    count: int
    workspace: Workspace
    process: ServiceProcess
    tokens: list[Token]
    jwts: list[str]
    lists: list[bytes]
    decisions: list[bytes]
    ready_seconds: list[float]
    processor_seconds: float
    memory: float

    async def map_premium_to(self, group: str) -> None:
        """Change the mapping: `premium` is for this group."""
        await self.workspace.map_tiers(_MAPPING % group)


@asynccontextmanager
async def serving_tokens(
    bench: Bench, cluster: Cluster, count: int, *, starts: int
) -> AsyncIterator[Subject]:
    """A service in a namespace of its own, which is started so many times and then stays."""
    workspace = await opened(cluster)
    await workspace.map_tiers(_MAPPING % "premium-users")
    model = await workspace.model("qwen3", FREE, PREMIUM)
    owners = max(1, count // _TOKENS_OF_ONE_OWNER)
    wanted = list(tokens(count, owners=owners, measured=_MEASURED, each=_EACH))
    await cluster.hold(bench, workspace.namespace, wanted)
    measured = wanted[: _MEASURED * _EACH]
    callers = [await workspace.person(measured[at * _EACH].owner, "research") for at in range(_MEASURED)]
    jwts = await cluster.maas_tokens(workspace.namespace, [token.id for token in measured])
    kubeconfig = await workspace.service_kubeconfig()
    ready = []
    for last in (number == starts - 1 for number in range(starts)):
        async with service_process(
            bench.directory, kubeconfig=kubeconfig, namespace=workspace.namespace
        ) as process:
            ready.append(process.ready_seconds)
            if not last:
                continue
            processor = process.program.processor()
            await asyncio.sleep(_QUIET_SECONDS)
            yield Subject(
                count,
                workspace,
                process,
                measured,
                jwts,
                lists=[get("/maas-api/tokens", authorization=f"Bearer {caller}") for caller in callers],
                decisions=[chat(jwt, model, path=AUTHORIZED) for jwt in jwts],
                ready_seconds=ready,
                processor_seconds=processor,
                memory=process.program.memory(),
            )
