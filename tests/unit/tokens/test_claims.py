"""What a person's call tells of their groups is written down, whoever else writes at the same time."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from app.identity.user import User
from app.kube.pace import Pace
from app.tiers.membership import Membership
from app.tiers.source import TierSource
from app.tokens.claims import Claims
from app.tokens.corrector import Corrector
from app.tokens.inventory import Inventory
from app.tokens.record import read, service_account
from app.tokens.standing import Standings
from tests.unit.kube.scripted_api_server import json, scripted
from tests.workspace import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request
    from starlette.responses import Response

MAPPING = "tiers: {free: {groups: [everybody], rateLimit: {requestsPerMinute: 10}}}"


class Account:
    """One ServiceAccount, which others change too.

    Attributes:
        conflicts: so many patches still find that it has been changed meanwhile.
        patches: how many there were.
    """

    def __init__(self, *, conflicts: int) -> None:
        self.conflicts = conflicts
        self.patches = 0
        self.object = service_account(
            token_id="alice-sa-1",
            namespace="maas",
            owner="alice",
            groups=("everybody",),
            cluster_groups=(),
            tier="free",
            name="",
            expires_at=2_000_000_000,
            issue="1",
        )
        self.object["metadata"] |= {
            "uid": "u",
            "resourceVersion": "7",
            "creationTimestamp": "2026-11-18T06:06:40Z",
        }

    async def answer(self, request: Request) -> Response:
        patch: dict[str, Any] = orjson.loads(await request.body())
        self.patches += 1
        if self.conflicts:
            self.conflicts -= 1
            return json({"reason": "Conflict", "message": "changed"}, 409)
        changed = self.object["metadata"]["annotations"] | patch["metadata"]["annotations"]
        # A merge patch removes what is null.
        self.object["metadata"]["annotations"] = {k: v for k, v in changed.items() if v is not None}
        self.object["metadata"]["resourceVersion"] = "8"
        return json(self.object)


async def _at_once() -> None:
    pass


@pytest.mark.parametrize(("conflicts", "patches", "written"), [(0, 1, True), (2, 3, True), (100, 5, False)])
async def test_new_groups_are_written_down_though_others_write_too_but_not_tried_for_ever(
    tmp_path: Path,
    conflicts: int,
    patches: int,
    written: bool,  # noqa: FBT001  # a parameter of the test
) -> None:
    account = Account(conflicts=conflicts)
    tiers, inventory = TierSource(), Inventory(clock=time.monotonic)
    tiers.put({"data": {"mapping.yaml": MAPPING}})
    inventory.put(read(account.object))
    standings = Standings(tiers, Membership(clock=time.monotonic))
    async with scripted(account, tmp_path) as client:
        corrector = Corrector(client, inventory, standings, namespace="maas")
        pace = Pace(1000, clock=time.monotonic)
        claims = Claims(inventory, standings, corrector, wait_read=_at_once, pace=pace)
        task = asyncio.create_task(claims.run())
        claims.note(User("alice", ("everybody", "research")))

        def over() -> bool:
            known = inventory.by_uid("u")
            return account.patches == patches and (not written or bool(known and len(known.groups) == 2))

        await eventually(over)
        task.cancel()
        await asyncio.wait([task])
    assert account.patches == patches
    known = inventory.by_uid("u")
    assert known is not None
    assert (set(known.groups) == {"everybody", "research"}) == written
