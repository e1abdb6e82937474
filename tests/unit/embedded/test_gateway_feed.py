from __future__ import annotations

import asyncio
import contextlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from app.embedded.gateway_feed import GatewayFeed
from app.models.catalogue import Catalogue
from app.tiers.source import TierSource
from tests.workspace import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pytest

    from app.embedded.gateway import LocalGateway
    from app.service import Service


class Gateway:
    """Takes note of what it is told, or fails."""

    def __init__(self) -> None:
        self.told: list[tuple[dict[str, int], list[str]]] = []
        self.broken = False

    def update(self, tier_limits: Mapping[str, int], models: Sequence[str]) -> None:
        if self.broken:
            raise OSError("the disk is full")
        self.told.append((dict(tier_limits), list(models)))


def put(tiers: TierSource, mapping: str, *, key: str = "mapping.yaml") -> None:
    tiers.put({"metadata": {"name": "tier-to-group-mapping"}, "data": {key: mapping}})


def service(tiers: TierSource) -> Service:
    return cast("Service", SimpleNamespace(tiers=tiers, catalogue=Catalogue()))


def test_without_a_mapping_there_is_no_tier() -> None:
    gateway = Gateway()
    GatewayFeed(service(TierSource()), cast("LocalGateway", gateway)).apply()
    assert gateway.told == [({}, [])]


def test_a_tier_without_a_limit_is_not_limited_here() -> None:
    gateway, tiers = Gateway(), TierSource()
    put(tiers, "[{name: free, level: 0, groups: [everyone]}]", key="tiers")
    GatewayFeed(service(tiers), cast("LocalGateway", gateway)).apply()
    assert gateway.told[0][0]["free"] >= 1_000_000


async def test_a_gateway_that_fails_is_told_of_the_next_change(caplog: pytest.LogCaptureFixture) -> None:
    gateway, tiers = Gateway(), TierSource()
    feed = GatewayFeed(service(tiers), cast("LocalGateway", gateway))
    running = asyncio.create_task(feed.run())
    gateway.broken = True
    put(tiers, "tiers: {free: {groups: [everyone], rateLimit: {requestsPerMinute: 1}}}")
    await eventually(lambda: "could not be told" in caplog.text)

    gateway.broken = False
    put(tiers, "tiers: {free: {groups: [everyone], rateLimit: {requestsPerMinute: 2}}}")

    await eventually(lambda: gateway.told == [({"free": 2}, [])])
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
