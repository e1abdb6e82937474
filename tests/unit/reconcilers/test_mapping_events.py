"""What is told of a mapping, and what is not."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

from app.reconcilers.mapping_events import MappingEvents
from app.tiers.source import TierSource
from tests.workspace import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from app.kube.events import EventRecorder


class Told:
    """A recorder that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []

    async def warning(self, reason: str, message: str) -> None:
        self.events.append((reason, message))

    async def normal(self, reason: str, message: str) -> None:
        self.events.append((reason, message))

    @property
    def reasons(self) -> list[str]:
        return [reason for reason, _ in self.events]


def config_map(text: str) -> dict[str, Any]:
    return {"metadata": {"uid": "u-1"}, "data": {"mapping.yaml": text}}


GOOD = config_map('tiers: {free: {groups: ["a"], rateLimit: {requestsPerMinute: 1}}}')
OTHER = config_map('tiers: {premium: {groups: ["a"], rateLimit: {requestsPerMinute: 2}}}')
BAD = config_map("tiers: [")


class Mapping:
    """A mapping, and its reconciler, which can be run again."""

    def __init__(self) -> None:
        self.tiers = TierSource()
        self.told = Told()
        self.read = asyncio.Event()

        async def wait_read() -> None:
            await self.read.wait()

        self.reconciler = MappingEvents(self.tiers, cast("EventRecorder", self.told), wait_read=wait_read)

    def put(self, obj: dict[str, Any]) -> None:
        self.tiers.replace([obj], 1)
        self.read.set()

    @asynccontextmanager
    async def led(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.reconciler.run())
        await asyncio.sleep(0)
        try:
            yield
        finally:
            # Whatever there is to tell is told.
            for _ in range(3):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])


async def test_a_mapping_that_is_rejected_and_one_that_replaces_it_are_told() -> None:
    mapping = Mapping()
    mapping.put(GOOD)
    async with mapping.led():
        mapping.put(BAD)
        await eventually(lambda: mapping.told.reasons == ["MappingRejected"])
        assert "the last good one stays in force" in mapping.told.events[0][1]
        assert str(mapping.tiers.error) in mapping.told.events[0][1]
        mapping.put(GOOD)
        await eventually(lambda: mapping.told.reasons == ["MappingRejected", "MappingInForce"])
        mapping.put(OTHER)
        await eventually(lambda: len(mapping.told.events) == 3)
        assert mapping.told.events[2] == ("MappingInForce", "The tier mapping is in force: premium.")


async def test_before_the_config_map_was_looked_for_there_is_nothing_to_tell() -> None:
    mapping = Mapping()
    async with mapping.led():
        pass
    assert not mapping.told.events


async def test_one_that_is_missing_from_the_start_is_told() -> None:
    mapping = Mapping()
    mapping.tiers.replace([], 1)
    mapping.read.set()
    async with mapping.led():
        await eventually(lambda: mapping.told.events)
    assert "nobody has a tier until it is mended: the ConfigMap does not exist" in mapping.told.events[0][1]


async def test_a_new_leader_tells_what_is_wrong_and_not_what_is_right() -> None:
    mapping = Mapping()
    mapping.put(GOOD)
    async with mapping.led():
        pass
    async with mapping.led():
        pass
    assert not mapping.told.events
    mapping.put(BAD)
    async with mapping.led():
        await eventually(lambda: mapping.told.reasons == ["MappingRejected"])
    async with mapping.led():
        await eventually(lambda: mapping.told.reasons == ["MappingRejected"] * 2)


async def test_the_same_again_is_not_told_again() -> None:
    mapping = Mapping()
    mapping.put(GOOD)
    async with mapping.led():
        mapping.put(BAD)
        await eventually(lambda: mapping.told.events)
        mapping.put(BAD)
    assert mapping.told.reasons == ["MappingRejected"]
