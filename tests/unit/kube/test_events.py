"""Events: folded, bounded, redacted, patient."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from app.kube.backoff import Backoff
from app.kube.events import EventRecorder
from tests.unit.kube.scripted_api_server import json, scripted
from tests.workspace import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from starlette.requests import Request
    from starlette.responses import Response

NOW = 1_795_456_035.9
CONFIG_MAP = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "namespace": "maas",
    "name": "tier-to-group-mapping",
    "uid": "u-1",
}


@dataclass
class Events:
    """An API server that holds Events by name, unless it refuses."""

    events: dict[str, dict[str, Any]] = field(default_factory=dict)
    refuse: list[int] = field(default_factory=list)
    asked: int = 0
    writes: list[str] = field(default_factory=list)

    async def answer(self, request: Request) -> Response:
        self.asked += 1
        if self.refuse:
            status = self.refuse.pop(0) if len(self.refuse) > 1 else self.refuse[0]
            if status != 200:
                return json({"message": "refused"}, status)
        name = request.url.path.rpartition("/")[2]
        if request.method == "GET":
            return json(self.events[name])
        body = orjson.loads(await request.body())
        self.writes.append(request.method)
        if request.method == "PATCH":
            self.events[name].update(body)
            return json(self.events[name])
        assert request.url.path == "/api/v1/namespaces/maas/events"
        if (name := body["metadata"]["name"]) in self.events:
            return json({"reason": "AlreadyExists"}, 409)
        self.events[name] = body
        return json(body, 201)

    def messages(self) -> list[str]:
        return [event["message"] for event in self.events.values()]

    def counts(self) -> list[int]:
        return [event["count"] for event in self.events.values()]


@asynccontextmanager
async def recording(server: Events, directory: Path, **options: Any) -> AsyncIterator[EventRecorder]:
    async with scripted(server, directory) as client:
        recorder = EventRecorder(
            client,
            involved=lambda: options.get("involved", CONFIG_MAP),
            instance="me",
            backoff=Backoff(random.Random(1), first=0.01, most=0.02),  # noqa: S311  # spreads retries
            time=lambda: NOW,
            pause_seconds=options.get("pause_seconds", 0),
            most_pending=options.get("most_pending", 50),
        )
        task = asyncio.create_task(recorder.run())
        try:
            yield recorder
        finally:
            task.cancel()
            await asyncio.wait([task])


async def test_an_event_says_what_happened_to_which_object_and_who_says_so(tmp_path: Path) -> None:
    server = Events()
    async with recording(server, tmp_path) as recorder:
        await recorder.warning("MappingRejected", "line 2: unknown field")
        await eventually(server.messages)

    (event,) = server.events.values()
    assert event["metadata"]["name"].startswith("tier-to-group-mapping.")
    assert event["involvedObject"] == CONFIG_MAP
    assert (event["type"], event["reason"]) == ("Warning", "MappingRejected")
    assert event["message"] == "line 2: unknown field"
    assert event["firstTimestamp"] == event["lastTimestamp"] == "2026-11-23T17:47:15Z"
    assert (event["source"], event["reportingInstance"]) == ({"component": "maas-api"}, "me")
    assert event["count"] == 1


async def test_the_same_again_is_counted_also_by_another_replica(tmp_path: Path) -> None:
    server = Events()
    async with recording(server, tmp_path) as recorder:
        await recorder.warning("MappingRejected", "a")
        await eventually(lambda: server.counts() == [1])
        await recorder.warning("MappingRejected", "a")
        await eventually(lambda: server.counts() == [2])
    async with recording(server, tmp_path) as another:
        await another.warning("MappingRejected", "a")
        await eventually(lambda: server.counts() == [3])
        await another.normal("MappingRejected", "a")
        await another.warning("MappingRejected", "b")
        await eventually(lambda: server.counts() == [3, 1, 1])


async def test_what_happens_often_meanwhile_is_one_write(tmp_path: Path) -> None:
    server = Events()
    async with recording(server, tmp_path, pause_seconds=0.05) as recorder:
        for _ in range(1000):
            await recorder.warning("MassSuspension", "a")
        await eventually(lambda: server.counts() == [1000])
        assert server.writes == ["POST"]


async def test_what_is_too_much_is_dropped_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = Events()
    async with recording(server, tmp_path, most_pending=3) as recorder:
        for number in range(100):
            await recorder.warning("LimitsConflict", f"number {number}")
        await eventually(lambda: len(server.events) == 3)
    assert "too many events; dropped: LimitsConflict: number 99" in caplog.text


async def test_no_token_gets_into_an_event(tmp_path: Path) -> None:
    server = Events()
    async with recording(server, tmp_path) as recorder:
        await recorder.warning("MappingRejected", "tiers.sha256~abcdefgh: eyJhbGciOi.eyJzdWIi.c2ln")
        await eventually(server.messages)
    assert server.messages() == ["tiers.[redacted]: [redacted]"]


@pytest.mark.parametrize("message", ["", "x", "x" * 1024, "x" * 5000, "ä" * 1024, "€" * 1024, "\ud800"])
async def test_a_message_fits_in_bytes_whatever_it_is(tmp_path: Path, message: str) -> None:
    server = Events()
    async with recording(server, tmp_path) as recorder:
        await recorder.warning("MappingRejected", message)
        await eventually(lambda: server.events)
    (written,) = server.messages()
    assert len(written.encode()) <= 1024
    if len(message.encode(errors="replace")) <= 1024:
        assert written in (message, "?")
    else:
        assert len(written.encode()) > 1016
        assert written.endswith(" …")


async def test_while_the_api_server_is_away_events_wait(tmp_path: Path) -> None:
    server = Events(refuse=[503, 429, 500, 200])
    async with recording(server, tmp_path) as recorder:
        await recorder.warning("MappingRejected", "a")
        await recorder.warning("MappingRejected", "b")
        await eventually(lambda: server.messages() == ["a", "b"])
    assert server.counts() == [1, 1]


@pytest.mark.parametrize("status", [401, 403, 404, 409, 422])
async def test_what_is_not_accepted_is_logged_and_holds_nothing_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    server = Events(refuse=[status, 200])
    async with recording(server, tmp_path) as recorder:
        await recorder.warning("MappingRejected", "a")
        await recorder.warning("MappingRejected", "b")
        await eventually(lambda: server.messages() == ["b"])
    assert "the event MappingRejected is not accepted: refused" in caplog.text


async def test_a_long_name_is_cut_where_a_name_may_end(tmp_path: Path) -> None:
    server = Events()
    involved = {**CONFIG_MAP, "name": "x" * 198 + "-.-" + "y" * 50}
    async with recording(server, tmp_path, involved=involved) as recorder:
        await recorder.normal("MappingInForce", "a")
        await eventually(server.messages)
    (name,) = server.events
    assert name.startswith("x" * 198 + ".")
    assert len(name) < 253
