"""Leader election: one at a time, whatever happens to leader, API server, clocks and Lease."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from app.kube.connect import connect
from app.kube.errors import KubeNotFoundError
from app.kube.leader import LeaderElection
from app.kube.resources import LEASES
from tests.link import Link, link
from tests.workspace import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from app.kube.client import KubeClient
    from tests.clusters import TestCluster
    from tests.workspace import Workspace

# As short as whole seconds, which is what Kubernetes knows, allow.
LEASE, RENEW, RETRY = 3.0, 1.5, 0.4


@dataclass
class Acting:
    """When each candidate has acted: pairs of identity and one moment of its work."""

    moments: list[tuple[str, float]] = field(default_factory=list)
    now: set[str] = field(default_factory=set)
    together: list[set[str]] = field(default_factory=list)

    async def work(self, identity: str) -> None:
        self.now.add(identity)
        try:
            while True:
                if len(self.now) > 1:
                    self.together.append(set(self.now))
                self.moments.append((identity, time.monotonic()))
                await asyncio.sleep(0.005)
        finally:
            # It takes a moment to end, as real work does.
            await asyncio.sleep(0.05)
            self.now.discard(identity)

    def last(self, identity: str) -> float:
        return max(moment for who, moment in self.moments if who == identity)

    def first(self, identity: str) -> float:
        return min(moment for who, moment in self.moments if who == identity)


class Candidate:
    """A replica that stands for election in a workspace."""

    def __init__(
        self,
        client: KubeClient,
        network: Link,
        workspace: Workspace,
        acting: Acting,
        identity: str,
        *,
        skew: float = 0,
    ) -> None:
        self.identity = identity
        self.network = network
        self.observed: list[bool] = []
        self._acting = acting
        self._task: asyncio.Task[None] | None = None
        self.election = LeaderElection(
            client,
            name="maas-api",
            namespace=workspace.namespace,
            identity=identity,
            lease_seconds=LEASE,
            renew_seconds=RENEW,
            retry_seconds=RETRY,
            # Monotonic clocks of two machines have nothing to do with each other either.
            clock=lambda: time.monotonic() + 7 * skew,
            time=lambda: time.time() + skew,
            random=random.Random(identity),  # noqa: S311  # spreads tries
            observe=lambda *, leading: self.observed.append(leading),
        )

    @property
    def leads(self) -> bool:
        return self.election.leading and self.identity in self._acting.now

    def start(self) -> None:
        self._task = asyncio.create_task(
            self.election.run(lambda: self._acting.work(self.identity)), name=f"election {self.identity}"
        )

    async def shut_down(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])


@dataclass
class Electing:
    """Candidates of one workspace, with clients of their own."""

    workspace: Workspace
    stack: AsyncExitStack
    acting: Acting = field(default_factory=Acting)

    async def candidate(self, identity: str, *, started: bool = True, **options: Any) -> Candidate:
        network = await self.stack.enter_async_context(link(await self.workspace.service_kubeconfig()))
        client = await connect(
            str(network.kubeconfig),
            # Longer than any lease here: what bounds a call is the time that is left.
            timeout_seconds=30,
            connections=10,
            observe=lambda *_: None,
            random=random.Random(1),  # noqa: S311  # spreads retries
        )
        self.stack.push_async_callback(client.close)
        made = Candidate(client, network, self.workspace, self.acting, identity, **options)
        self.stack.push_async_callback(made.shut_down)
        if started:
            made.start()
        return made

    async def two(self, **options: Any) -> tuple[Candidate, Candidate]:
        """A leader, and one who would be."""
        first = await self.leader("first", **options)
        second = await self.candidate("second")
        await eventually(lambda: second.election.leader == "first")
        return first, second

    async def leader(self, identity: str, **options: Any) -> Candidate:
        made = await self.candidate(identity, **options)
        await eventually(lambda: made.leads, seconds=10)
        return made

    async def lease(self) -> dict[str, Any]:
        admin = self.workspace.cluster.admin
        return await admin.get(LEASES, "maas-api", namespace=self.workspace.namespace)

    async def uid(self) -> str | None:
        try:
            uid: str = (await self.lease())["metadata"]["uid"]
        except KubeNotFoundError:
            return None
        return uid

    async def create(self, spec: dict[str, Any] | None) -> None:
        lease = {"apiVersion": LEASES.api_version, "kind": "Lease", "metadata": {"name": "maas-api"}}
        if spec is not None:
            lease["spec"] = spec
        await self.workspace.cluster.admin.create(LEASES, lease, namespace=self.workspace.namespace)

    async def delete(self) -> None:
        await self.workspace.cluster.admin.delete(LEASES, "maas-api", namespace=self.workspace.namespace)

    async def annotate(self, note: str) -> None:
        patch = {"metadata": {"annotations": {"note": note}}}
        admin = self.workspace.cluster.admin
        await admin.merge_patch(LEASES, "maas-api", patch, namespace=self.workspace.namespace)

    async def edit(self, **spec: Any) -> None:
        admin = self.workspace.cluster.admin
        await admin.merge_patch(LEASES, "maas-api", {"spec": spec}, namespace=self.workspace.namespace)


@pytest.fixture
async def electing(workspace: Workspace) -> AsyncIterator[Electing]:
    async with AsyncExitStack() as stack:
        made = Electing(workspace, stack)
        yield made
    assert not made.acting.together


async def test_one_of_two_leads_and_the_lease_tells_who(electing: Electing) -> None:
    first, second = await electing.two()

    spec = (await electing.lease())["spec"]
    assert (spec["holderIdentity"], spec["leaseDurationSeconds"]) == ("first", 3)
    assert spec["leaseTransitions"] == 0

    async def renewed() -> bool:
        now = (await electing.lease())["spec"]
        return bool(now["renewTime"] != spec["renewTime"] and now["acquireTime"] == spec["acquireTime"])

    await eventually(renewed)
    assert first.leads
    assert not second.observed


async def test_candidates_that_start_together_do_not_both_lead(electing: Electing) -> None:
    candidates = [await electing.candidate(f"number-{number}", started=False) for number in range(5)]
    for candidate in candidates:
        candidate.start()

    await eventually(lambda: any(candidate.leads for candidate in candidates))
    (leader,) = {candidate.identity for candidate in candidates if candidate.leads}
    await eventually(lambda: all(candidate.election.leader == leader for candidate in candidates))


async def test_a_leader_that_is_shut_down_is_followed_at_once(electing: Electing) -> None:
    first, second = await electing.two()

    await first.shut_down()
    ended = time.monotonic()
    assert "first" not in electing.acting.now
    assert first.observed == [True, False]
    await eventually(lambda: second.leads)

    # One pause of the second, and its calls; had it waited for the lease, that would have been longer.
    assert electing.acting.first("second") - ended < LEASE - RETRY - 0.2
    assert (await electing.lease())["spec"]["leaseTransitions"] == 1


async def test_a_released_lease_names_nobody(electing: Electing) -> None:
    first = await electing.leader("first")
    await first.shut_down()

    spec = (await electing.lease())["spec"]
    assert not spec.get("holderIdentity")
    assert first.election.leader == ""


async def test_a_candidate_that_is_shut_down_leaves_the_leader_alone(electing: Electing) -> None:
    first, second = await electing.two()
    await second.shut_down()

    assert (await electing.lease())["spec"]["holderIdentity"] == "first"
    assert first.leads


async def test_a_leader_that_is_cut_off_stops_before_another_acts(electing: Electing) -> None:
    first, second = await electing.two()

    first.network.fall_silent()
    silent = time.monotonic()
    await eventually(lambda: second.leads, seconds=15)
    assert not first.election.leading
    # It renewed before the silence, so it has stopped well before anybody's lease can have run out.
    assert electing.acting.last("first") - silent < LEASE
    assert electing.acting.last("first") < electing.acting.first("second")

    # What it sent before, its last renewal perhaps, arrives now; and it learns who leads.
    first.network.speak()
    await eventually(lambda: first.election.leader == "second", seconds=15)
    assert second.leads
    assert first.observed == [True, False]


async def test_a_cut_off_leader_that_nobody_followed_leads_again(electing: Electing) -> None:
    first = await electing.leader("first")
    first.network.fall_silent()
    await eventually(lambda: not first.leads, seconds=15)
    first.network.speak()
    await eventually(lambda: first.leads, seconds=15)

    spec = (await electing.lease())["spec"]
    assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("first", 0)


async def test_a_clock_that_is_an_hour_off_changes_nothing(electing: Electing) -> None:
    """The leader's clock is behind, so that its lease looks as if it had run out long ago."""
    first, second = await electing.two(skew=-3600)
    third = await electing.candidate("third", skew=3600)
    await eventually(lambda: third.election.leader == "first")

    first.network.fall_silent()
    silent = time.monotonic()
    await eventually(lambda: second.leads or third.leads, seconds=15)
    follower = second if second.leads else third
    # Not sooner than its lease ran out, which it renewed at most a pause and a call before.
    assert electing.acting.first(follower.identity) - silent > LEASE - RETRY - 1
    await eventually(lambda: first.election.leading is False)


async def test_while_the_api_server_is_away_nobody_leads_and_when_it_is_back_one_does(
    electing: Electing, cluster: TestCluster
) -> None:
    first, second = await electing.two()
    await cluster.pause()
    gone = time.monotonic()
    try:
        await eventually(lambda: not electing.acting.now, seconds=15)
        assert electing.acting.last("first") - gone < LEASE
        assert not second.observed
    finally:
        await cluster.resume()
    await eventually(lambda: first.leads or second.leads, seconds=30)


async def test_while_the_api_server_is_silent_nobody_leads_and_when_it_speaks_one_does(
    electing: Electing, cluster: TestCluster
) -> None:
    first, second = await electing.two()
    await cluster.fall_silent()
    silent = time.monotonic()
    try:
        await eventually(lambda: not electing.acting.now, seconds=15)
        assert electing.acting.last("first") - silent < LEASE
    finally:
        await cluster.speak()
    await eventually(lambda: first.leads or second.leads, seconds=30)


async def test_a_lease_that_is_deleted_is_made_again_by_its_leader(electing: Electing) -> None:
    first, second = await electing.two()
    for _ in range(3):
        before = await electing.uid()
        await electing.delete()
        await eventually(electing.uid)
        assert await electing.uid() != before

    assert first.leads
    assert not second.observed


async def test_a_lease_that_is_annotated_runs_out_all_the_same(electing: Electing) -> None:
    first, second = await electing.two()
    first.network.fall_silent()
    note = 0

    async def led_by_the_second() -> bool:
        nonlocal note
        note += 1
        await electing.annotate(str(note))
        return second.leads

    await eventually(led_by_the_second, seconds=15)
    assert (await electing.lease())["metadata"]["annotations"]["note"]


async def test_a_leader_whose_lease_is_given_away_by_hand_stops_and_somebody_leads_later(
    electing: Electing,
) -> None:
    first, second = await electing.two()
    await electing.edit(holderIdentity="ghost")
    await eventually(lambda: first.observed == [True, False])
    assert first.election.leader == "ghost"

    await eventually(lambda: first.leads or second.leads, seconds=15)
    assert (await electing.lease())["spec"]["holderIdentity"] in ("first", "second")


@pytest.mark.parametrize(
    "spec",
    [
        None,
        {},
        {"holderIdentity": "ghost"},
        {"leaseDurationSeconds": 60},
        {"holderIdentity": "ghost", "leaseDurationSeconds": 1, "renewTime": "1970-01-01T00:00:00.000000Z"},
        {"holderIdentity": "ghost", "leaseDurationSeconds": 1, "renewTime": "2999-01-01T00:00:00.000000Z"},
        {"leaseTransitions": 7},
    ],
    ids=str,
)
async def test_whatever_the_lease_says_somebody_leads(
    electing: Electing, spec: dict[str, Any] | None
) -> None:
    await electing.create(spec)
    await electing.leader("first")

    stored = (await electing.lease())["spec"]
    assert stored["leaseTransitions"] == (spec or {}).get("leaseTransitions", -1) + 1
    assert stored["renewTime"] > "2026"
