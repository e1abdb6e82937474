"""Every test here runs with the double of the Kubernetes API behind the proxy, and with a real one."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster.faults.pair import KUBE, Pair
from tests.cluster.faults.proxy import fault_proxy
from tests.workspace import Workspace, replica

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def pair(workspace: Workspace) -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(fault_proxy(await workspace.service_kubeconfig()))
        # What a TokenReview said is remembered, but not taken for fresh.
        settings: dict[str, Any] = {"identity": {"cache_seconds": 0}, "models": {"access_cache_seconds": 0}}
        behind = await stack.enter_async_context(
            replica(workspace, through=proxy.kubeconfig, kube=KUBE, **settings)
        )
        direct = await stack.enter_async_context(replica(workspace))
        yield Pair(workspace, proxy, behind, direct)
