from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.control_plane.binaries import BUILT
from tests.e2e.kuadrant.platform import Platform, Tools, platform
from tests.e2e.pod import why_no_pods
from tests.requirement import require

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.control_plane import Binaries

_BUILT = ("authorino", "kuadrant-operator", "telemetry-policy")


@pytest.fixture(scope="session")
def tools(binaries: Binaries, envoy_gateway_program: Path, limitador: Path) -> Tools:
    """What Kuadrant consists of; without it the test is skipped, or fails where nothing may be skipped."""
    missing = [name for name in _BUILT if not os.access(BUILT / name, os.X_OK)]
    require(f"there is no {missing[0]} in {BUILT}: run `make tools`" if missing else why_no_pods())
    authorino, operator, telemetry_policy = (BUILT / name for name in _BUILT)
    return Tools(binaries, envoy_gateway_program, authorino, operator, telemetry_policy, limitador)


# Not for the whole session: whoever else runs an `envoy-gateway` has to wait until this one has ended.
@pytest.fixture(scope="package")
async def gateway(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Platform]:
    async with platform(tools, tmp_path_factory.mktemp("kuadrant")) as running:
        yield running
