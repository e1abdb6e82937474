"""What people say of their groups by calling, in the order in which they say it."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from app.identity.user import User
from app.kube.pace import Pace
from app.tiers.membership import Group, Membership
from app.tiers.source import TierSource
from app.tokens.claims import Claims
from app.tokens.corrector import Corrector
from app.tokens.inventory import Inventory
from app.tokens.standing import Standings
from tests.unit.kube.scripted_api_server import scripted
from tests.unit.tokens.accounts import Accounts
from tests.workspace import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

MAPPING = """tiers:
  free: {groups: ["everybody"], rateLimit: {requestsPerMinute: 1}}
  premium: {groups: ["premium-users"], rateLimit: {requestsPerMinute: 2}}
"""
FREE, PREMIUM = ("everybody",), ("everybody", "premium-users")


class World:
    """Everything that claims stand on, over an API server of the test's."""

    def __init__(self) -> None:
        self.accounts = Accounts()
        self.inventory = Inventory(clock=time.monotonic)
        self.tiers = TierSource()
        self.tiers.put({"data": {"mapping.yaml": MAPPING}})
        self.membership = Membership(clock=time.monotonic)
        self.standings = Standings(self.tiers, self.membership)
        self.read = asyncio.Event()
        self.read.set()

    def has(self, name: str, owner: str = "alice", *, groups: tuple[str, ...] = FREE) -> None:
        self.inventory.put(self.accounts.add(name, owner, groups=groups))

    def groups(self, name: str) -> set[str]:
        return set(self.accounts.token(name).groups)

    @asynccontextmanager
    async def running(self, directory: Path) -> AsyncIterator[Claims]:
        async def wait_read() -> None:
            await self.read.wait()

        async with scripted(self.accounts, directory) as client:
            corrector = Corrector(client, self.inventory, self.standings, namespace="maas")
            pace = Pace(1000, clock=time.monotonic)
            claims = Claims(self.inventory, self.standings, corrector, wait_read=wait_read, pace=pace)
            task = asyncio.create_task(claims.run())
            try:
                yield claims
            finally:
                self.accounts.open.set()
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


async def test_what_was_noted_later_counts_though_what_was_noted_before_still_waits(tmp_path: Path) -> None:
    world = World()
    world.has("bob-sa-1", "bob")
    world.has("alice-sa-1")
    async with world.running(tmp_path) as claims:
        world.accounts.open.clear()
        claims.note(User("bob", PREMIUM))
        await world.accounts.arrived.wait()
        claims.note(User("alice", PREMIUM))
        claims.note(User("alice", FREE))  # As her token says already: nothing to write, but the last word.
        claims.note(User("bob", FREE))
        world.has("carol-sa-1", "carol")
        claims.note(User("carol", PREMIUM))
        world.accounts.open.set()
        await eventually(lambda: world.groups("carol-sa-1") == set(PREMIUM))
        await eventually(lambda: world.groups("bob-sa-1") == set(FREE))
    assert world.groups("alice-sa-1") == set(FREE)
    assert "alice-sa-1" not in world.accounts.writes


async def test_what_is_noted_while_a_first_token_is_written_holds_for_all_of_them(tmp_path: Path) -> None:
    world = World()
    names = [f"alice-sa-{number}" for number in range(3)]
    for name in names:
        world.has(name)
    async with world.running(tmp_path) as claims:
        world.accounts.open.clear()
        claims.note(User("alice", PREMIUM))
        await world.accounts.arrived.wait()
        claims.note(User("alice", FREE))
        world.accounts.open.set()
        await eventually(lambda: len(world.accounts.writes) == 2)
        await eventually(lambda: all(world.groups(name) == set(FREE) for name in names))
    assert world.accounts.writes == [names[0], names[0]]


@pytest.mark.parametrize("status", [403, 500])
async def test_a_token_that_cannot_be_written_keeps_nobody_else_waiting(tmp_path: Path, status: int) -> None:
    world = World()
    world.has("alice-sa-1")
    world.has("bob-sa-1", "bob")
    world.accounts.statuses["alice-sa-1"] = status
    async with world.running(tmp_path) as claims:
        claims.note(User("alice", PREMIUM))
        claims.note(User("bob", PREMIUM))
        await eventually(lambda: world.groups("bob-sa-1") == set(PREMIUM))


async def test_nothing_is_written_by_half_of_what_there_is(tmp_path: Path) -> None:
    world = World()
    world.read.clear()
    world.has("alice-sa-1")
    async with world.running(tmp_path) as claims:
        claims.note(User("alice", PREMIUM))
        await asyncio.sleep(0)
        # She is in no such Group any more: the review that named it is some seconds old.
        world.membership.replace([Group("premium-users", frozenset())], 7)
        world.read.set()
        world.has("bob-sa-1", "bob")
        claims.note(User("bob", ("everybody", "others")))
        await eventually(lambda: "others" in world.groups("bob-sa-1"))
    assert world.accounts.writes == ["bob-sa-1"]


async def test_a_tiers_own_group_is_no_claim(tmp_path: Path) -> None:
    world = World()
    world.has("alice-sa-1")
    world.has("bob-sa-1", "bob")
    async with world.running(tmp_path) as claims:
        claims.note(User("alice", (*FREE, "maas:tier:premium")))
        claims.note(User("bob", PREMIUM))
        await eventually(lambda: world.groups("bob-sa-1") == set(PREMIUM))
    assert world.accounts.writes == ["bob-sa-1"]
