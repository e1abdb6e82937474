"""`maasctl usage` as a developer runs it, against the platform of `maasctl up`."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from app.embedded.platform import PlatformOptions
from app.embedded.platform import platform as running_platform
from app.settings import Settings, UsageSettings
from tests.history import REQUESTS, TOKENS, History
from tests.maasctl import Up, environment, maasctl
from tests.prometheus import Prometheus

if TYPE_CHECKING:
    from pathlib import Path

    from tests.embedded.conftest import Newcomer


@pytest.mark.usefixtures("prometheus_programs")
async def test_it_prints_what_was_used_and_what_that_costs_by_the_sample_prices(tmp_path: Path) -> None:
    history, at = History(), time.time() - 100
    alice = {"user": "alice", "tier": "free", "model": "qwen3"}
    history.add(REQUESTS, {**alice, "code": "200"}, [(at, 3)])
    history.add(TOKENS, {**alice, "type": "prompt"}, [(at, 1000)])
    history.add(TOKENS, {**alice, "type": "completion"}, [(at, 2000)])
    await history.write(tmp_path)
    options = PlatformOptions(tmp_path / "state", port=0, cluster_port=0)
    options.state_dir.mkdir()
    async with Prometheus(tmp_path) as prometheus:
        settings = Settings(usage=UsageSettings(prometheus_url=prometheus.url))
        async with running_platform(options, settings) as running:
            gateway = f"https://localhost:{running.gateway.address[1]}"
            env = environment(HOME=str(tmp_path), GATEWAY_URL=gateway, MAAS_CALLER_TOKEN="sha256~alice")
            async with maasctl("usage", "--insecure", "--step=1h", env=env) as command:
                assert await command.ended(seconds=60) == 0, command.errors
    usage = json.loads(command.output)
    assert [(model["model"], model["requests"]) for model in usage["models"]] == [("qwen3", 3)]
    # 1000 * 0.50 / 10⁶ + 2000 * 1.50 / 10⁶
    assert (usage["total"]["cost"], usage["currency"]) == ("0.0035", "USD")
    assert len(usage["steps"]) == 24


async def test_it_says_what_the_service_says(platform: Up, newcomer: Newcomer, tmp_path: Path) -> None:
    env = environment(HOME=str(tmp_path), GATEWAY_URL=platform.url, MAAS_CALLER_TOKEN=newcomer.token)
    async with maasctl("usage", "--insecure", "--window=7d", "--model=qwen3", env=env) as command:
        assert await command.ended(seconds=60) == 1
    assert command.output == ""
    assert command.errors.startswith("maasctl usage: Usage is not set up here")
    assert "(usage_not_configured)" in command.errors
