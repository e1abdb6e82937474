from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.control_plane.binaries import BUILT
from tests.e2e.compose import data_plane_between
from tests.e2e.stubs import stubs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

from tests.e2e.compose import DataPlane


@pytest.fixture(scope="session")
def limitador() -> Path:
    """The Limitador of LIMITADOR_SERVER: it comes as an image only, so not every machine has one."""
    path = os.environ.get("LIMITADOR_SERVER")
    if path:
        return Path(path)
    reason = "LIMITADOR_SERVER does not name a limitador-server"
    if os.environ.get("MAAS_TESTS_SKIP_NOTHING") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


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


@pytest.fixture(scope="session")
async def compose_plane(
    limitador: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[DataPlane]:
    apps = stubs("authorizer", "public", "model")
    async with data_plane_between(tmp_path_factory.mktemp("compose"), limitador, apps) as running:
        yield running
