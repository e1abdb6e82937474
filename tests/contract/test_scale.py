"""Many live tokens: what changes reaches all of them at once, and what follows keeps its pace."""

from __future__ import annotations

import asyncio
import statistics
import time
from contextlib import AsyncExitStack
from itertools import combinations
from typing import TYPE_CHECKING, Any

import pytest

from app.kube.resources import SERVICE_ACCOUNTS
from app.main import create_gateway_app
from app.tokens.record import MaasToken, service_account
from tests.workspace import Replica, eventually, replica

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from starlette.types import ASGIApp, Message

    from tests.workspace import Workspace

LIVE, OWNERS, EXPIRED = 1_000, 100, 50
WRITES_PER_SECOND = 100
MAPPING = """
tiers:
  free:    {{groups: ["system:authenticated"], rateLimit: {{requestsPerMinute: 10}}}}
  premium: {{groups: ["{premium}"], rateLimit: {{requestsPerMinute: 100}}}}
"""


async def some_at_a_time(each: Callable[[int], Awaitable[None]], numbers: Iterable[int]) -> None:
    queue = iter(numbers)

    async def work() -> None:
        for number in queue:
            await each(number)

    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(work())


async def put_tokens(workspace: Workspace, count: int, *, expires_at: int, prefix: str) -> dict[str, str]:
    """The JWTs, by id, of so many tokens that are made as an issue makes them; none for expired ones."""
    jwts: dict[str, str] = {}

    async def put(number: int) -> None:
        token_id = f"{prefix}-sa-{number}"
        body = service_account(
            token_id=token_id,
            namespace=workspace.namespace,
            owner=f"{prefix}-{number % OWNERS}@example.com",
            groups=("research", "system:authenticated"),
            cluster_groups=(),
            tier="free",
            name="",
            expires_at=expires_at,
            issue=f"{number:016x}",
        )
        admin, namespace = workspace.cluster.admin, workspace.namespace
        await admin.create(SERVICE_ACCOUNTS, body, namespace=namespace)
        if expires_at < time.time():
            return
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": ["maas-default-gateway-sa"], "expirationSeconds": 3600},
        }
        answer = await admin.create(
            SERVICE_ACCOUNTS, request, namespace=namespace, name=token_id, subresource="token"
        )
        jwts[token_id] = answer["status"]["token"]

    await some_at_a_time(put, range(count))
    return jwts


@pytest.fixture
async def replicas(workspace: Workspace) -> AsyncIterator[list[Replica]]:
    """Two of them, in whose labels there is nothing to put right; one leads."""
    reconcilers = {"writes_per_second": WRITES_PER_SECOND, "reaper_seconds": 0.2}
    await workspace.map_tiers(MAPPING.format(premium="premium-users"))
    async with AsyncExitStack() as stack:
        running = [
            await stack.enter_async_context(replica(workspace, reconcilers=reconcilers)) for _ in range(2)
        ]
        await eventually(lambda: any(each.service.election.leading for each in running))
        yield running


async def tier_by(gateway: ASGIApp, jwt: str) -> str:
    """The tier by which a gateway app decides; asked without a network, which would take longer."""
    tier = b""

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        nonlocal tier
        tier = dict(message.get("headers", ())).get(b"x-maas-tier", tier)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/internal/authorize/v1/models",
        "headers": [(b"authorization", b"Bearer " + jwt.encode())],
    }
    await gateway(scope, receive, send)
    return tier.decode()


async def all_decided(
    gateways: list[ASGIApp], jwts: Iterable[str], tier: str, *, since: float, seconds: float
) -> None:
    """Ask of every token until it is decided by this tier; so many seconds later none is by another.

    How fast a machine can ask is nothing to the purpose, so asking may take longer.
    """
    for gateway in gateways:
        for jwt in jwts:
            asked = time.monotonic()
            while await tier_by(gateway, jwt) != tier:
                assert asked - since < seconds, "a token is still decided by another tier"
                await asyncio.sleep(0.002)
                asked = time.monotonic()
            await asyncio.sleep(0)  # What follows a change goes on meanwhile.


class Following:
    """What is seen of the work that follows a change."""

    def __init__(self, replicas: list[Replica]) -> None:
        self._replicas = replicas
        self.samples: list[tuple[float, float]] = []
        self.pending: list[float] = []
        self.both = False

    def note(self) -> bool:
        """Take a sample; whether nothing is left to be done."""
        pending, overdue = self._gauge("maas_retier_pending"), self._gauge("maas_tokens_overdue")
        self.samples.append((time.monotonic(), self.writes("patch") + self.writes("delete")))
        self.pending.append(pending)
        self.both = self.both or (pending > 0 and overdue > 0)
        return pending + overdue == 0

    def writes(self, verb: str) -> float:
        """How often the API server was asked to change a ServiceAccount."""
        return sum(
            sample.value
            for each in self._replicas
            for metric in each.service.metrics.registry.collect()
            for sample in metric.samples
            if sample.name == "maas_kubernetes_request_seconds_count"
            and (sample.labels["verb"], sample.labels["resource"]) == (verb, "serviceaccounts")
        )

    def _gauge(self, name: str) -> float:
        return sum(
            each.service.metrics.registry.get_sample_value(name) or 0.0
            for each in self._replicas
            if each.service.election.leading
        )


@pytest.mark.timeout(400)
async def test_a_mapping_reaches_1_000_tokens_in_a_second_and_their_labels_at_the_pace_that_is_set(
    workspace: Workspace, replicas: list[Replica]
) -> None:
    jwts = await put_tokens(workspace, LIVE, expires_at=int(time.time()) + 3600, prefix="live")
    gateways = [create_gateway_app(each.service) for each in replicas]
    await all_decided(gateways, jwts.values(), "free", since=time.monotonic(), seconds=60)
    await put_tokens(workspace, EXPIRED, expires_at=int(time.time()) - 60, prefix="expired")

    following = Following(replicas)
    following.note()
    await workspace.map_tiers(MAPPING.format(premium="research"))
    started = time.monotonic()

    async def followed() -> bool:
        done = following.note()
        await asyncio.sleep(0.05)
        return done and following.writes("patch") >= LIVE and following.writes("delete") >= EXPIRED

    async with asyncio.TaskGroup() as group:
        group.create_task(all_decided(gateways, jwts.values(), "premium", since=started, seconds=1))
        group.create_task(eventually(followed, seconds=200))
    accounts = await workspace.service_accounts()
    assert len(accounts) == LIVE
    assert {account["metadata"]["labels"]["tier"] for account in accounts} == {"premium"}
    assert following.both, "retier and reaper did not have work at the same time"
    assert max(following.pending) > LIVE / 2
    assert following.pending[-1] == 0
    for (earlier, before), (later, after) in combinations(following.samples, 2):
        # Of two that write, each may have one on its way.
        assert after - before <= WRITES_PER_SECOND * (later - earlier) + 3


def a_token(number: int) -> MaasToken:
    """One that nothing is to be written of."""
    return MaasToken(
        id=f"other-sa-{number}",
        uid=f"uid-{number}",
        owner=f"other-{number % OWNERS}@example.com",
        groups=("system:authenticated",),
        cluster_groups=(),
        tier="free",
        suspended=False,
        name="",
        created_at=number,
        expires_at=int(time.time()) + 3600,
        resource_version=1,
    )


async def test_listing_ones_own_ten_tokens_costs_the_same_among_1_000_and_among_50_000(
    workspace: Workspace,
) -> None:
    async with replica(workspace) as few, replica(workspace) as many:
        alices: list[Any] = [await few.caller("alice"), await many.caller("alice")]
        for _ in range(10):
            await alices[0].issued()
        inventories = (few.service.inventory, many.service.inventory)
        await eventually(lambda: [len(each) for each in inventories] == [10, 10])
        for inventory, count in zip(inventories, (1_000, 50_000), strict=True):
            for number in range(count):
                inventory.put(a_token(number))
        costs: list[list[float]] = [[], []]
        for _ in range(60):
            for alice, cost in zip(alices, costs, strict=True):
                started = time.thread_time()
                assert len(await alice.listed()) == 10
                cost.append(time.thread_time() - started)
        among_few, among_many = map(statistics.median, costs)
        assert among_many <= 1.5 * among_few
