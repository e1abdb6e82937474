from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.envoy_gateway.platform import Platform, platform

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


# Not for the whole session: others may have to wait until this one has ended.
@pytest.fixture(scope="module")
async def gateway(
    envoy_gateway_program: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Platform]:
    async with platform(envoy_gateway_program, tmp_path_factory.mktemp("envoy-gateway")) as running:
        yield running
