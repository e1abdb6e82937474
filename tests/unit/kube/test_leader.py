"""A candidate against what no real API server can be made to answer."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from app.kube.leader import LeaderElection
from tests.unit.kube.scripted_api_server import json, scripted
from tests.workspace import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from starlette.requests import Request
    from starlette.responses import Response

RETRY = 0.05
# Lease and renewal: short where a test waits for them to be over, endless where it must not.
SHORT, ENDLESS = (2.0, 0.5), (600.0, 300.0)


@dataclass
class Leases:
    """An API server with one Lease, which answers as it is told.

    Attributes:
        lease: the Lease, or None.
        refuse: a status for each method, in place of its answer.
        hold: methods whose answer is held back until `let`; what they ask for is done all the same.
        requests: the methods of all requests.
    """

    lease: dict[str, Any] | None = None
    refuse: dict[str, int] = field(default_factory=dict)
    hold: set[str] = field(default_factory=set)
    let: asyncio.Event = field(default_factory=asyncio.Event)
    requests: list[str] = field(default_factory=list)
    version: int = 0

    async def answer(self, request: Request) -> Response:
        self.requests.append(request.method)
        if status := self.refuse.get(request.method):
            return json({"message": f"refused with {status}"}, status)
        if request.method in ("PUT", "POST"):
            self.version += 1
            self.lease = orjson.loads(await request.body())
            self.lease["metadata"]["resourceVersion"] = str(self.version)
        if request.method in self.hold:
            await self.let.wait()
        return json(self.lease) if self.lease else json({"message": "not found"}, 404)

    @property
    def holder(self) -> Any:
        return self.lease and self.lease["spec"]["holderIdentity"]


class Work:
    """Notes whether it runs; may be reluctant to stop."""

    def __init__(self) -> None:
        self.starts = 0
        self.running = False
        self.failures = 0
        self.reluctance: asyncio.Event | None = None

    async def run(self) -> None:
        self.starts += 1
        if self.failures:
            self.failures -= 1
            raise RuntimeError("a bug")
        self.running = True
        try:
            await asyncio.Event().wait()
        finally:
            if self.reluctance:
                await self.reluctance.wait()
            self.running = False


@asynccontextmanager
async def electing(
    server: Leases, directory: Path, work: Work, *, lease: tuple[float, float] = ENDLESS
) -> AsyncIterator[tuple[LeaderElection, asyncio.Task[None]]]:
    async with scripted(server, directory) as client:
        election = LeaderElection(
            client,
            name="maas-api",
            namespace="maas",
            identity="me",
            lease_seconds=lease[0],
            renew_seconds=lease[1],
            retry_seconds=RETRY,
            clock=time.monotonic,
            time=time.time,
            random=random.Random(1),  # noqa: S311  # spreads tries
            observe=lambda *, leading: None,  # noqa: ARG005  # a LeaderObserver's signature
        )
        task = asyncio.create_task(election.run(work.run))
        try:
            yield election, task
        finally:
            server.let.set()
            task.cancel()
            await asyncio.wait([task])


@pytest.mark.parametrize(
    "spec",
    ["odd", [], {"holderIdentity": 7}, {"holderIdentity": ""}, {"leaseTransitions": "many"}],
    ids=str,
)
async def test_a_lease_that_makes_no_sense_is_taken(tmp_path: Path, spec: Any) -> None:
    server, work = Leases({"metadata": {"name": "maas-api", "resourceVersion": "7"}, "spec": spec}), Work()
    async with electing(server, tmp_path, work):
        await eventually(lambda: work.running)
        assert server.holder == "me"


async def test_a_renewal_whose_answer_comes_too_late_ends_the_work_in_time(tmp_path: Path) -> None:
    server, work = Leases(), Work()
    async with electing(server, tmp_path, work, lease=SHORT) as (election, _):
        await eventually(lambda: work.running)
        server.hold = {"PUT"}
        puts = server.requests.count("PUT")
        await eventually(lambda: server.requests.count("PUT") > puts)
        asked = time.monotonic()
        await eventually(lambda: not work.running)
        # The last renewal that was answered had been sent before.
        assert time.monotonic() - asked < SHORT[0]
        assert not election.leading

        server.hold = set()
        server.let.set()
        await eventually(lambda: work.running)
        assert work.starts == 2


@pytest.mark.parametrize("status", [403, 409, 404, 429, 500])
async def test_what_is_refused_for_ever_is_tried_at_a_bounded_rate_and_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    server, work = Leases(refuse={"POST": status}), Work()
    async with electing(server, tmp_path, work):
        await eventually(lambda: server.requests.count("POST") >= 10)
        assert not work.starts
        # Each try reads and writes, twice at most, and they are at least half a pause apart.
        assert len(server.requests) / 10 <= 4
        assert caplog.text.count(f"refused with {status}") == 1

        server.refuse.clear()
        await eventually(lambda: work.running)


async def test_a_leader_whose_renewals_are_refused_stops(tmp_path: Path) -> None:
    server, work = Leases(), Work()
    async with electing(server, tmp_path, work, lease=SHORT) as (election, _):
        await eventually(lambda: work.running)
        server.refuse = {"PUT": 503}
        await eventually(lambda: not work.running and not election.leading)
        server.refuse.clear()
        await eventually(lambda: work.running)


async def test_work_that_fails_is_started_again_and_costs_no_lease(tmp_path: Path) -> None:
    server, work = Leases(), Work()
    work.failures = 1
    async with electing(server, tmp_path, work) as (election, _):
        await eventually(lambda: work.running)
        assert work.starts == 2
        assert election.leading
        assert server.holder == "me"


async def test_the_lease_is_released_when_the_work_has_ended_and_not_before(tmp_path: Path) -> None:
    server, work = Leases(), Work()
    work.reluctance = asyncio.Event()
    async with electing(server, tmp_path, work) as (election, task):
        await eventually(lambda: work.running)
        task.cancel()
        await eventually(lambda: not election.leading)
        assert work.running
        assert server.holder == "me"

        work.reluctance.set()
        await asyncio.wait([task])
        assert server.holder == ""


async def test_a_second_cancellation_does_not_wait_and_leaves_the_lease_to_run_out(tmp_path: Path) -> None:
    server, work = Leases(), Work()
    work.reluctance = asyncio.Event()
    async with electing(server, tmp_path, work) as (election, task):
        await eventually(lambda: work.running)
        task.cancel()
        await eventually(lambda: not election.leading)
        task.cancel()
        await asyncio.wait([task])
        assert work.running
        assert server.holder == "me"

        work.reluctance.set()
        await eventually(lambda: not work.running)


async def test_work_that_does_not_stop_is_complained_of_and_never_runs_twice(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server, work = Leases(), Work()
    work.reluctance = asyncio.Event()
    async with electing(server, tmp_path, work, lease=SHORT) as (_, task):
        await eventually(lambda: work.running)
        server.refuse = {"PUT": 503}
        await eventually(lambda: "has not stopped within 1.5 s" in caplog.text)
        server.refuse.clear()
        requests = len(server.requests)
        ended, _ = await asyncio.wait([task], timeout=5 * RETRY)
        assert not ended
        assert len(server.requests) == requests
        assert work.starts == 1

        work.reluctance.set()
        await eventually(lambda: work.starts == 2)


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_a_release_that_fails_holds_nothing_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    server, work = Leases(), Work()
    async with electing(server, tmp_path, work) as (_, task):
        await eventually(lambda: work.running)
        server.hold = {method}
        task.cancel()
        async with asyncio.timeout(10):
            await asyncio.wait([task])
        assert "cannot be released" in caplog.text


async def test_a_claim_that_was_never_answered_is_released_too(tmp_path: Path) -> None:
    server, work = Leases(hold={"POST"}), Work()
    async with electing(server, tmp_path, work) as (_, task):
        await eventually(lambda: server.holder == "me")
        task.cancel()
        await asyncio.wait([task])
        assert server.holder == ""
        assert not work.starts
