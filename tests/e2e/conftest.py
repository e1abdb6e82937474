from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.control_plane.binaries import BUILT
from tests.e2e.compose import data_plane_between
from tests.e2e.stubs import stubs
from tests.requirement import require

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

from tests.e2e.compose import DataPlane


@pytest.fixture(scope="session")
def limitador() -> Path:
    """The Limitador of LIMITADOR_SERVER: it comes as an image only, so not every machine has one."""
    path = os.environ.get("LIMITADOR_SERVER")
    require(None if path else "LIMITADOR_SERVER does not name a limitador-server")
    return Path(path or "")


@pytest.fixture(scope="session")
def envoy_gateway_program() -> Path:
    """The built tool; without it the test is skipped, or fails where nothing may be skipped."""
    program = BUILT / "envoy-gateway"
    there = os.access(program, os.X_OK)
    require(None if there else f"there is no envoy-gateway in {BUILT}: run `make tools`")
    return program


@pytest.fixture(scope="session")
async def compose_plane(
    limitador: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[DataPlane]:
    apps = stubs("authorizer", "public", "model")
    async with data_plane_between(tmp_path_factory.mktemp("compose"), limitador, apps) as running:
        yield running
