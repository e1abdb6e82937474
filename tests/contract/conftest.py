"""The contract holds on the double and on a real control plane: every test here runs on both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.clusters import DoubleCluster
from tests.workspace import Replica, Workspace, replica

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.clusters import TestCluster


@pytest.fixture(scope="session")
async def double_cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TestCluster]:
    made = DoubleCluster(tmp_path_factory.mktemp("double"))
    await made.start()
    yield made
    await made.stop()


@pytest.fixture(scope="session", params=["double", pytest.param("real", marks=pytest.mark.cluster)])
def cluster(request: pytest.FixtureRequest) -> TestCluster:
    chosen: TestCluster = request.getfixturevalue(f"{request.param}_cluster")
    return chosen


@pytest.fixture
async def workspace(cluster: TestCluster) -> AsyncIterator[Workspace]:
    made = Workspace(cluster)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def maas(workspace: Workspace) -> AsyncIterator[Replica]:
    """One running replica."""
    async with replica(workspace) as running:
        yield running
