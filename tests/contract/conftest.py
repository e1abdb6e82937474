"""The contract holds on the double and on a real control plane: every test here runs on both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.workspace import Replica, Workspace, replica

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def maas(workspace: Workspace) -> AsyncIterator[Replica]:
    """One running replica."""
    async with replica(workspace) as running:
        yield running
