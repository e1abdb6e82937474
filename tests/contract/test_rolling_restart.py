"""Replicas as processes of their own, behind a real Envoy: restarts that nobody notices, and how one ends."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from app.embedded.simulator import SimulatorSettings, create_simulator
from app.kube.errors import KubeNotFoundError
from app.kube.resources import LEASES
from app.serving import bind, serving
from tests.balancer import balancer
from tests.loopback import free_port
from tests.maasctl import Maasctl, environment, maasctl, question
from tests.workspace import FREE, Caller, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.clusters import TestCluster
    from tests.workspace import Workspace

DRAIN_SECONDS, SHUTDOWN_SECONDS = 2.0, 20.0
# For the interpreter to end, on a machine that has much else to do.
MARGIN_SECONDS = 15.0


class Replica:
    """A `maasctl serve` in a workspace, which keeps its ports when it is started again."""

    def __init__(self, workspace: Workspace, kubeconfig: Path) -> None:
        self.public, self.gateway = free_port(), free_port()
        self.variables = {
            "KUBECONFIG": str(kubeconfig),
            "MAAS_NAMESPACE": workspace.namespace,
            "MAAS_HTTP_HOST": "127.0.0.1",
            "MAAS_HTTP_PUBLIC_PORT": str(self.public),
            "MAAS_HTTP_GATEWAY_PORT": str(self.gateway),
            "MAAS_HTTP_DRAIN_SECONDS": str(DRAIN_SECONDS),
            "MAAS_HTTP_SHUTDOWN_SECONDS": str(SHUTDOWN_SECONDS),
            "MAAS_LEADER_RETRY_SECONDS": "0.5",
        }
        self.process: Maasctl

    @asynccontextmanager
    async def running(self, **variables: str) -> AsyncIterator[Maasctl]:
        async with maasctl("serve", env=environment(**(self.variables | variables))) as process:
            self.process = process
            await self.becomes("ok")
            yield process

    async def becomes(self, status: str) -> None:
        """Wait until both apps' readiness says so."""
        urls = (
            f"http://127.0.0.1:{self.public}/maas-api/readyz",
            f"http://127.0.0.1:{self.gateway}/readyz",
        )
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:

            async def said() -> bool:
                assert self.process.process.returncode is None, self.process.errors
                try:
                    return {(await client.get(url)).json()["status"] for url in urls} == {status}
                except httpx.TransportError:
                    return False

            await eventually(said, seconds=60)


async def holder(workspace: Workspace) -> str:
    """Who holds the lease; empty if nobody does, or if nobody has made it yet."""
    try:
        lease = await workspace.cluster.admin.get(LEASES, "maas-api", namespace=workspace.namespace)
    except KubeNotFoundError:
        return ""
    return str(lease["spec"].get("holderIdentity") or "")


@dataclass
class Load:
    """People who use the platform without a pause, and what they were answered."""

    client: httpx.AsyncClient
    model: str
    answers: int = 0
    failures: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def running(self, *callers: Caller) -> AsyncIterator[None]:
        over = asyncio.Event()
        tasks = [asyncio.create_task(self._use(caller, over), name="load") for caller in callers]
        try:
            yield
        finally:
            over.set()
            await asyncio.gather(*tasks)

    async def goes_on(self) -> None:
        """Wait until a good number of requests more have been answered."""
        seen = self.answers
        await eventually(lambda: self.answers > seen + 40, seconds=60)

    async def _use(self, caller: Caller, over: asyncio.Event) -> None:
        while not over.is_set():
            issued = await self._expect(201, caller, "POST", "/maas-api/token", json={})
            await self._expect(200, caller, "GET", "/maas-api/tokens")
            if issued is None:
                continue
            holder = Caller(self.client, issued.json()["token"])
            body = question(self.model)
            await self._expect(200, holder, "GET", "/v1/models")
            await self._expect(200, holder, "POST", "/v1/chat/completions", json=body)
            await self._expect(204, caller, "DELETE", f"/maas-api/tokens/{issued.json()['id']}")

    async def _expect(
        self, status: int, who: Caller, method: str, path: str, **options: Any
    ) -> httpx.Response | None:
        try:
            response = await who.request(method, path, **options)
        except httpx.TransportError as error:
            self.failures.append(f"{method} {path}: {error!r}")
            return None
        self.answers += 1
        if response.status_code != status:
            self.failures.append(f"{method} {path}: {response.status_code} {response.text}")
            return None
        return response


@pytest.mark.timeout(300)
async def test_a_rolling_restart_under_load_fails_no_request(workspace: Workspace, tmp_path: Path) -> None:
    kubeconfig = await workspace.service_kubeconfig()
    replicas = [Replica(workspace, kubeconfig) for _ in range(2)]
    listener = bind("model", "127.0.0.1", 0)
    model = await workspace.model("qwen3", FREE)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(
            serving((create_simulator(SimulatorSettings()), listener), shutdown_seconds=1)
        )
        for replica in replicas:
            await stack.enter_async_context(replica.running())
        gateway = await stack.enter_async_context(
            balancer(
                tmp_path,
                public=[replica.public for replica in replicas],
                gateway=[replica.gateway for replica in replicas],
                model=listener.port,
            )
        )
        await gateway.sends_to(2)
        callers = [Caller(gateway.client, await workspace.person(f"person-{number}")) for number in range(2)]
        load = Load(gateway.client, model)
        async with load.running(*callers):
            for replica in replicas:
                await load.goes_on()
                began = time.monotonic()
                replica.process.process.send_signal(signal.SIGTERM)
                # Nothing that is in flight takes long: it need not wait for its whole time.
                assert await replica.process.ended(seconds=DRAIN_SECONDS + MARGIN_SECONDS) == 0
                assert time.monotonic() - began >= DRAIN_SECONDS
                assert "Traceback" not in replica.process.errors
                await gateway.sends_to(1)
                await stack.enter_async_context(replica.running())
                await gateway.sends_to(2)
            await load.goes_on()
        assert not load.failures
        assert load.answers > 120


async def test_the_lease_is_another_replicas_before_the_leader_has_drained(workspace: Workspace) -> None:
    kubeconfig = await workspace.service_kubeconfig()
    first, second = (Replica(workspace, kubeconfig) for _ in range(2))
    async with first.running(MAAS_HTTP_DRAIN_SECONDS="15") as leader:
        await eventually(lambda: holder(workspace), seconds=30)
        before = await holder(workspace)
        async with second.running():
            leader.process.send_signal(signal.SIGTERM)
            await first.becomes("unavailable")

            async def moved() -> bool:
                return await holder(workspace) not in ("", before)

            await eventually(moved, seconds=10)
            # It still answers, and asks for other connections.
            async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
                response = await client.get(f"http://127.0.0.1:{first.public}/maas-api/readyz")
            assert response.status_code == 503
            assert response.json()["problems"] == ["shutting down"]
            assert response.headers["connection"] == "close"
            # A second signal does not wait for the drain to end.
            assert await leader.stop() == 0
    assert leader.errors.count('"stopping after SIGTERM"') == 2


async def test_a_leader_that_is_killed_is_followed_when_its_lease_has_run_out(workspace: Workspace) -> None:
    kubeconfig = await workspace.service_kubeconfig()
    first, second = (Replica(workspace, kubeconfig) for _ in range(2))
    lease = {"MAAS_LEADER_LEASE_SECONDS": "3", "MAAS_LEADER_RENEW_SECONDS": "2"}
    async with second.running(**lease), first.running(**lease):
        await eventually(lambda: holder(workspace), seconds=30)
        leading = await eventually(lambda: _leader(first, second), seconds=30)
        before = await holder(workspace)
        killed = time.monotonic()
        leading.process.process.kill()
        await leading.process.ended()

        async def moved() -> bool:
            return await holder(workspace) not in ("", before)

        await eventually(moved, seconds=30)
        # The last renewal was at most a pause and a call before.
        assert time.monotonic() - killed > 3 - 0.5 - 1


async def test_ctrl_c_does_not_drain(workspace: Workspace) -> None:
    only = Replica(workspace, await workspace.service_kubeconfig())
    async with only.running(MAAS_HTTP_DRAIN_SECONDS="3600") as process:
        await eventually(lambda: holder(workspace), seconds=30)
        assert await process.stop(signal.SIGINT) == 0
        assert await holder(workspace) == ""


@pytest.fixture
async def silent(cluster: TestCluster) -> AsyncIterator[TestCluster]:
    """A cluster that a test silences; it speaks again afterwards whatever the test did."""
    yield cluster
    await cluster.speak()


async def test_a_request_in_flight_and_a_silent_api_server_hold_the_end_up_no_longer_than_allowed(
    workspace: Workspace, silent: TestCluster
) -> None:
    only = Replica(workspace, await workspace.service_kubeconfig())
    limits = {"MAAS_HTTP_DRAIN_SECONDS": "0.1", "MAAS_KUBE_REQUEST_SECONDS": "60"}
    limits["MAAS_HTTP_SHUTDOWN_SECONDS"] = "1"
    async with only.running(**limits) as process, httpx.AsyncClient(trust_env=False, timeout=60) as client:
        await eventually(lambda: holder(workspace), seconds=30)
        token = await workspace.person("alice")
        await silent.fall_silent()
        asking = asyncio.create_task(
            Caller(client, token).request("POST", f"http://127.0.0.1:{only.public}/maas-api/token")
        )
        # There is nothing to wait for: it has been sent when the next request is answered.
        await client.get(f"http://127.0.0.1:{only.public}/maas-api/healthz")
        process.process.send_signal(signal.SIGTERM)
        # The lease is given up while the request is still waited for.
        assert await process.ended(seconds=5 + MARGIN_SECONDS) == 0
        await asyncio.gather(asking, return_exceptions=True)
        assert "cannot be released" in process.errors


async def _leader(*replicas: Replica) -> Replica | None:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        for replica in replicas:
            metrics = (await client.get(f"http://127.0.0.1:{replica.gateway}/metrics")).text
            if re.search(r"^maas_leader 1\.0$", metrics, flags=re.MULTILINE):
                return replica
    return None
