from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from app.embedded.simulator import Clock, SimulatorSettings, create_simulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class SteppedTime:
    """Time that stands still, except that sleeping moves it."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0
        self.slept: list[float] = []

    def read(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def time() -> SteppedTime:
    return SteppedTime()


@pytest.fixture
def settings() -> SimulatorSettings:
    return SimulatorSettings(
        models=("granite-7b", "opt"), first_token_seconds=0.5, token_seconds=0.02, max_body_bytes=10_000
    )


@pytest.fixture
async def client(settings: SimulatorSettings, time: SteppedTime) -> AsyncIterator[httpx.AsyncClient]:
    clock = Clock(wall=time.read, monotonic=time.read, sleep=time.sleep)
    app = httpx.ASGITransport(create_simulator(settings, clock))
    async with httpx.AsyncClient(transport=app, base_url="http://simulator") as client:
        yield client
