"""What every suite may ask for."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.clusters import DoubleCluster, RealCluster
from tests.control_plane import (
    GROUP_CRD,
    LIMIT_CRDS,
    MODEL_CRDS,
    Binaries,
    ControlPlane,
    find_binaries,
    missing_tools,
)
from tests.prometheus import missing_prometheus
from tests.requirement import require
from tests.workers import OneWorkerForEnvoyGateway
from tests.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from xdist.remote import Producer

    from tests.clusters import TestCluster


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> OneWorkerForEnvoyGateway:
    """Which worker runs what."""
    return OneWorkerForEnvoyGateway(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say once for each reason how many tests it kept from running."""
    reasons = Counter(
        report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        for report in terminalreporter.stats.get("skipped", [])
    )
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"{count} skipped: {reason.removeprefix('Skipped: ')}")


@pytest.fixture(scope="session")
def binaries() -> Binaries:
    """etcd and kube-apiserver; without them the test is skipped, or fails where nothing may be skipped."""
    require(missing_tools())
    return find_binaries()


@pytest.fixture(scope="session")
def prometheus_programs() -> None:
    """prometheus and promtool; without them the test is skipped, or fails where nothing may be skipped."""
    require(missing_prometheus())


@pytest.fixture(scope="session")
async def control_plane(binaries: Binaries) -> AsyncIterator[ControlPlane]:
    """A real control plane with the CRDs of models, OpenShift Groups and the gateways' limits."""
    async with ControlPlane(binaries) as started:
        await started.install_crds([*MODEL_CRDS, GROUP_CRD, *LIMIT_CRDS])
        yield started


@pytest.fixture(scope="session")
async def real_cluster(control_plane: ControlPlane) -> AsyncIterator[RealCluster]:
    """The same control plane as a cluster that a test may change and disturb."""
    made = RealCluster(control_plane)
    await made.start()
    yield made
    await made.stop()


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
