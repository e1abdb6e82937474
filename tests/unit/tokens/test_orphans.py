"""What failed issues leave over, when the API server is difficult."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from app.kube.backoff import Backoff
from app.tokens.orphans import Orphans
from tests.unit.kube.scripted_api_server import scripted
from tests.unit.tokens.accounts import Accounts
from tests.workspace import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@asynccontextmanager
async def removing(accounts: Accounts, directory: Path) -> AsyncIterator[Orphans]:
    async with scripted(accounts, directory) as client:
        backoff = Backoff(random.Random(1), first=0.01, most=0.02)  # noqa: S311  # spreads retries
        orphans = Orphans(client, namespace="maas", backoff=backoff, clock=time.monotonic)
        task = asyncio.create_task(orphans.run())
        try:
            yield orphans
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("status", [403, 422])
async def test_one_that_may_not_be_removed_keeps_no_other_waiting(tmp_path: Path, status: int) -> None:
    accounts = Accounts()
    for number in (1, 2):
        accounts.add(f"alice-sa-{number}")
    accounts.statuses["alice-sa-1"] = status
    async with removing(accounts, tmp_path) as orphans:
        orphans.add("alice-sa-1", "issue-alice-sa-1")
        orphans.add("alice-sa-2", "issue-alice-sa-2")
        await eventually(lambda: list(accounts.metadata) == ["alice-sa-1"])
        # It is gone a moment before the answer that says so is here.
        await eventually(lambda: len(orphans) == 1)
        accounts.statuses.clear()
        await eventually(lambda: not accounts.metadata)


async def test_what_another_issue_made_by_that_name_stays(tmp_path: Path) -> None:
    accounts = Accounts()
    accounts.add("alice-sa-1")
    async with removing(accounts, tmp_path) as orphans:
        orphans.add("alice-sa-1", "another issue")
        await eventually(lambda: len(orphans) == 0)
    assert list(accounts.metadata) == ["alice-sa-1"]
