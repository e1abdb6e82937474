"""What the gateway answers when what is behind it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.envoy_gateway.machine import PATIENT
from tests.e2e.envoy_gateway.platform import platform
from tests.e2e.inference import chat

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = PATIENT


@pytest.mark.parametrize("away", ["gateway", "qwen3"])
async def test_without_the_authorizer_or_the_model_nothing_passes(
    envoy_gateway_program: Path, tmp_path: Path, away: str
) -> None:
    async with platform(envoy_gateway_program, tmp_path, away=away) as running:
        holder = await running.holder()
        answer = await chat(holder, "qwen3")
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/json"
        assert answer.json()["error"]["code"] == "service_unavailable"
        assert answer.headers["retry-after"] == "1"
        assert (await chat(holder, "simulator")).status_code == (503 if away == "gateway" else 200)
