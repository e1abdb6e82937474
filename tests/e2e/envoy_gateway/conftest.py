from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.control_plane.binaries import BUILT
from tests.e2e.envoy_gateway.platform import Platform, platform

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture(scope="session")
def envoy_gateway_program() -> Path:
    """The built tool; without it the test is skipped, or fails where nothing may be skipped."""
    program = BUILT / "envoy-gateway"
    if os.access(program, os.X_OK):
        return program
    reason = f"there is no envoy-gateway in {BUILT}: run `make tools`"
    if os.environ.get("MAAS_TESTS_SKIP_NOTHING"):
        pytest.fail(reason)
    pytest.skip(reason)


# Not for the whole session: others may have to wait until this one has ended.
@pytest.fixture(scope="module")
async def gateway(
    envoy_gateway_program: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Platform]:
    async with platform(envoy_gateway_program, tmp_path_factory.mktemp("envoy-gateway")) as running:
        yield running
