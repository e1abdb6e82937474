"""Expired tokens, when the API server does not let all of them go."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from app.kube.pace import Pace
from app.reconcilers.reaper import Reaper
from app.tokens.inventory import Inventory
from tests.unit.kube.scripted_api_server import scripted
from tests.unit.tokens.accounts import Accounts
from tests.workspace import eventually

if TYPE_CHECKING:
    from pathlib import Path


class Counts:
    """Keeps what the reaper counts."""

    def __init__(self) -> None:
        self.overdue: list[int] = []
        self.reaped = 0
        self.runs: list[tuple[str, str]] = []

    def observe_overdue(self, tokens: int) -> None:
        self.overdue.append(tokens)

    def observe_reaped(self) -> None:
        self.reaped += 1

    def observe_run(self, reconciler: str, result: str, seconds: float) -> None:  # noqa: ARG002  # a protocol's
        self.runs.append((reconciler, result))


async def test_one_that_may_not_be_deleted_keeps_no_other_and_stays_counted(tmp_path: Path) -> None:
    accounts, counts = Accounts(), Counts()
    inventory = Inventory(clock=time.monotonic)
    for number in (1, 2, 3):
        inventory.put(accounts.add(f"alice-sa-{number}", expires_at=100))
    accounts.statuses["alice-sa-1"] = 403  # Some admission webhook's.
    async with scripted(accounts, tmp_path) as client:
        reaper = Reaper(
            client,
            inventory,
            namespace="maas",
            seconds=60,
            pace=Pace(1000, clock=time.monotonic),
            time=lambda: 200.0,
            observe=counts,
        )
        task = asyncio.create_task(reaper.run())
        await eventually(lambda: counts.reaped == 2)
        await eventually(lambda: counts.overdue == [3, 3, 2, 1])
        await eventually(lambda: counts.runs == [("reaper", "failed")])
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert list(accounts.metadata) == ["alice-sa-1"]
