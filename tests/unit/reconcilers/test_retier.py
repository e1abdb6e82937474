"""Relabelling, when things change while a token is being written."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

from app.kube.backoff import Backoff
from app.kube.pace import Pace
from app.observability.metrics import Metrics
from app.reconcilers.retier import Retier
from app.tiers.membership import Group, Membership
from app.tiers.source import TierSource
from app.tokens.corrector import Corrector
from app.tokens.inventory import Inventory
from app.tokens.standing import Standings
from tests.unit.kube.scripted_api_server import scripted
from tests.unit.reconcilers.test_mapping_events import Told
from tests.unit.tokens.accounts import Accounts
from tests.workspace import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from app.kube.events import EventRecorder

MAPPING = """tiers:
  free: {groups: ["everybody"], rateLimit: {requestsPerMinute: 1}}
  premium: {groups: ["premium-users"], rateLimit: {requestsPerMinute: 2}}
"""


def premium(*users: str) -> Group:
    return Group("premium-users", frozenset(users))


class World:
    """Everything that it stands on, over an API server of the test's."""

    def __init__(self) -> None:
        self.accounts = Accounts()
        self.inventory = Inventory(clock=time.monotonic)
        self.tiers = TierSource()
        self.tiers.put({"data": {"mapping.yaml": MAPPING}})
        self.membership = Membership(clock=time.monotonic)
        self.membership.replace([premium()], 7)
        self.standings = Standings(self.tiers, self.membership)
        self.metrics = Metrics()

    def has(self, name: str) -> None:
        self.inventory.put(self.accounts.add(name, groups=("everybody",)))

    def runs(self, result: str) -> float:
        labels = {"reconciler": "retier", "result": result}
        return self.metrics.registry.get_sample_value("maas_reconciler_runs_total", labels) or 0

    def label(self, name: str) -> str:
        return self.accounts.token(name).tier

    @asynccontextmanager
    async def running(self, directory: Path) -> AsyncIterator[None]:
        async def wait_read() -> None:
            return

        async with scripted(self.accounts, directory) as client:
            retier = Retier(
                self.inventory,
                self.tiers,
                self.membership,
                self.standings,
                Corrector(client, self.inventory, self.standings, namespace="maas"),
                wait_read=wait_read,
                pace=Pace(1000, clock=time.monotonic),
                backoff=Backoff(random.Random(1), first=0.01, most=0.02),  # noqa: S311  # spreads retries
                observe=self.metrics,
                events=cast("EventRecorder", Told()),
            )
            task = asyncio.create_task(retier.run())
            try:
                yield
            finally:
                self.accounts.open.set()
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


async def test_who_leaves_a_group_while_their_token_is_written_is_written_again(tmp_path: Path) -> None:
    world = World()
    world.has("alice-sa-1")
    async with world.running(tmp_path):
        world.accounts.open.clear()
        world.membership.put(premium("alice"))
        await world.accounts.arrived.wait()
        world.membership.put(premium())
        world.accounts.open.set()
        await eventually(lambda: len(world.accounts.writes) == 2)
        await eventually(lambda: world.label("alice-sa-1") == "free")


async def test_a_token_that_somebody_changes_while_it_is_written_is_written_again(tmp_path: Path) -> None:
    world = World()
    world.has("alice-sa-1")
    async with world.running(tmp_path):
        world.accounts.open.clear()
        world.membership.put(premium("alice"))
        await world.accounts.arrived.wait()
        # The watch tells of it before the answer comes, which is that the write was too late.
        world.inventory.put(world.accounts.change("alice-sa-1", team="research"))
        world.accounts.open.set()
        await eventually(lambda: world.label("alice-sa-1") == "premium")


async def test_a_token_that_cannot_be_written_keeps_no_other_waiting(tmp_path: Path) -> None:
    world = World()
    world.has("alice-sa-1")
    world.has("alice-sa-2")
    world.accounts.statuses["alice-sa-1"] = 403
    async with world.running(tmp_path):
        world.membership.put(premium("alice"))
        await eventually(lambda: world.label("alice-sa-2") == "premium")
        await eventually(lambda: world.runs("failed") > 3)
        pending = world.metrics.registry.get_sample_value("maas_retier_pending")
        assert pending == 1
        world.accounts.statuses.clear()
        done = world.runs("done")
        await eventually(lambda: world.label("alice-sa-1") == "premium")
        await eventually(lambda: world.runs("done") > done)
