"""The reflector against exactly what an API server may say."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from starlette.responses import Response

from app.kube.backoff import Backoff
from app.kube.reflector import Reflector
from app.kube.resources import CONFIG_MAPS, INFERENCE_SERVICES, Resource
from tests.unit.kube.scripted_api_server import (
    ScriptedApiServer,
    a_list,
    event,
    gone,
    json,
    scripted,
    stream,
)
from tests.workspace import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path


class Names:
    """A sink of names."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.ever: set[str] = set()
        self.versions: list[int] = []

    def decode(self, obj: dict[str, Any]) -> str | None:
        if obj["metadata"]["name"] == "explosive":
            raise RuntimeError("a sink with a bug")
        return obj["metadata"]["name"] if obj["metadata"]["name"] != "unreadable" else None

    def replace(self, items: Sequence[str], resource_version: int) -> None:
        self.names = set(items)
        self.ever |= self.names
        self.versions.append(resource_version)

    def put(self, item: str) -> None:
        self.names.add(item)
        self.ever.add(item)

    def remove(self, obj: dict[str, Any]) -> None:
        self.names.discard(obj["metadata"]["name"])


@asynccontextmanager
async def reflecting(
    server: ScriptedApiServer,
    directory: Path,
    *,
    resource: Resource = CONFIG_MAPS,
    sink: Names | None = None,
    **options: Any,
) -> AsyncIterator[tuple[Reflector[str], Names]]:
    async with scripted(server, directory) as client:
        sink = sink or Names()
        reflector = Reflector(
            client,
            resource,
            sink,
            backoff=Backoff(random.Random(1), first=0.01, most=0.05),  # noqa: S311  # spreads retries
            clock=time.monotonic,
            observe=lambda *_: None,
            namespace="maas",
            **options,
        )
        task = asyncio.create_task(reflector.run())
        try:
            yield reflector, sink
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_the_watch_starts_where_the_list_ended(tmp_path: Path) -> None:
    server = ScriptedApiServer([a_list("41", "one")], [stream()])
    async with reflecting(server, tmp_path) as (_, sink):
        await eventually(server.watched_from)
        assert server.watched_from() == ["41"]
        assert sink.names == {"one"}


async def test_bookmarks_and_events_move_the_start_of_the_next_watch(tmp_path: Path) -> None:
    server = ScriptedApiServer(
        [a_list("41", "one")],
        [
            stream(event("ADDED", "two", "42"), hold=False),
            stream(event("BOOKMARK", "", "50"), hold=False),
            stream(),
        ],
    )
    async with reflecting(server, tmp_path) as (_, sink):
        await eventually(lambda: len(server.watched_from()) == 3)
        assert server.watched_from() == ["41", "42", "50"]
        assert sink.names == {"one", "two"}
        assert server.listed == 1


@pytest.mark.parametrize("status", [200, 410])
async def test_gone_in_either_form_lists_again(tmp_path: Path, status: int) -> None:
    server = ScriptedApiServer([a_list("41", "one"), a_list("60", "two")], [gone(status), stream()])
    async with reflecting(server, tmp_path) as (_, sink):
        await eventually(lambda: sink.names == {"two"})
        await eventually(lambda: server.watched_from() == ["41", "60"])


async def test_a_continue_token_that_expired_starts_the_list_over(tmp_path: Path) -> None:
    server = ScriptedApiServer(
        [
            a_list("41", "one", **{"continue": "next"}),
            gone(410),
            a_list("60", "one", **{"continue": "next"}),
            a_list("60", "two"),
        ],
        [stream()],
    )
    async with reflecting(server, tmp_path) as (reflector, sink):
        await reflector.wait_synced()
        assert sink.names == {"one", "two"}
        assert sink.versions == [60]


async def test_memory_is_kept_until_the_new_list_is_complete(tmp_path: Path) -> None:
    server = ScriptedApiServer(
        [a_list("41", "one"), json({"message": "busy"}, 500), json({"message": "slow"}, 429), a_list("9")],
        [gone(), stream()],
    )
    async with reflecting(server, tmp_path) as (reflector, sink):
        await reflector.wait_synced()
        assert sink.names == {"one"}
        await eventually(lambda: sink.versions == [41, 9])
        assert sink.names == set()


async def test_a_silent_connection_is_given_up(tmp_path: Path) -> None:
    server = ScriptedApiServer([a_list("41", "one")], [stream(), stream(event("ADDED", "two", "42"))])
    async with reflecting(server, tmp_path, watch_seconds=0.1, silence_margin_seconds=0.2) as (_, sink):
        await eventually(lambda: sink.names == {"one", "two"})
        assert server.listed == 1


@pytest.mark.parametrize(
    "answer",
    [
        Response(b"this is not JSON\n"),
        Response(b'{"type": "ADDED", "object": {"metadata": {"na'),
        Response(b'{"type": "ADDED"}\n'),
        Response(b'{"type": "ERROR", "object": {"code": 500, "message": "etcd"}}\n'),
        json({"message": "no"}, 403),
        json({"message": "no"}, 401),
        json({"message": "no"}, 503),
        Response(b""),
    ],
)
async def test_whatever_a_watch_says_the_reflector_goes_on(tmp_path: Path, answer: Response) -> None:
    server = ScriptedApiServer([a_list("41", "one")], [answer, answer, stream(event("ADDED", "two", "42"))])
    async with reflecting(server, tmp_path) as (_, sink):
        await eventually(lambda: sink.names == {"one", "two"})


@pytest.mark.parametrize(
    "answer", [Response(b"[]"), Response(b"<html>"), json({"items": []}), json({"message": "no"}, 403)]
)
async def test_whatever_a_list_says_the_reflector_goes_on(tmp_path: Path, answer: Response) -> None:
    server = ScriptedApiServer([answer, answer, a_list("41", "one")], [stream()])
    async with reflecting(server, tmp_path) as (reflector, sink):
        async with asyncio.timeout(5):
            await reflector.wait_synced()
        assert sink.names == {"one"}


class EarlyNames(Names):
    """A sink that gets objects early, and notes what it held after each."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[set[str]] = []

    def put(self, item: str) -> None:
        super().put(item)
        self.seen.append(set(self.names))

    def retain(self, uids: set[str], resource_version: int) -> None:
        self.names &= {uid.removeprefix("uid-") for uid in uids}
        self.versions.append(resource_version)


async def test_early_objects_are_there_before_their_list_is_complete_and_none_is_gone_until_then(
    tmp_path: Path,
) -> None:
    failing = json({"message": "no"}, 503)
    server = ScriptedApiServer(
        [
            a_list("41", "one", "two"),
            *(a_list("50", "three", **{"continue": "more"}), failing, failing),
            a_list("51", "three", "unreadable"),
        ],
        [gone(), stream()],
    )
    sink = EarlyNames()
    async with reflecting(server, tmp_path, sink=sink):
        await eventually(lambda: len(sink.versions) == 2)
        assert {"one", "two", "three"} in sink.seen
        assert sink.names == {"three"}
        assert sink.versions == [41, 51]


async def test_a_watch_that_goes_back_in_time_is_not_believed(tmp_path: Path) -> None:
    server = ScriptedApiServer(
        [a_list("41", "one"), a_list("60", "two")],
        [stream(event("ADDED", "two", "50"), event("ADDED", "removed-long-ago", "45")), stream()],
    )
    async with reflecting(server, tmp_path) as (_, sink):
        await eventually(lambda: sink.versions == [41, 60])
        await eventually(lambda: server.watched_from() == ["41", "60"])
        assert sink.names == {"two"}
        assert sink.ever == {"one", "two"}


async def test_an_event_that_comes_twice_changes_nothing(tmp_path: Path) -> None:
    twice = event("ADDED", "two", "42")
    server = ScriptedApiServer([a_list("41", "one")], [stream(twice, twice, event("BOOKMARK", "", "43"))])
    async with reflecting(server, tmp_path) as (_, sink):
        await eventually(lambda: sink.names == {"one", "two"})
        assert sink.versions == [41]


async def test_who_is_told_when_to_come_back_does_not_come_back_sooner(tmp_path: Path) -> None:
    busy = json({"message": "busy"}, 429, **{"Retry-After": "1"})
    server = ScriptedApiServer([a_list("41", "one")], [busy, stream(event("ADDED", "two", "42"))])
    async with reflecting(server, tmp_path) as (_, sink):
        await eventually(server.watched_from)
        told = time.monotonic()
        await eventually(lambda: sink.names == {"one", "two"})
        # Waiting for the condition takes time of its own.
        assert time.monotonic() - told > 0.9


async def test_an_object_that_cannot_be_read_any_more_is_taken_out(tmp_path: Path) -> None:
    server = ScriptedApiServer(
        [a_list("41", "one", "unreadable")],
        [stream(event("ADDED", "unreadable", "42"), event("DELETED", "one", "43"))],
    )
    async with reflecting(server, tmp_path) as (_, sink):
        await eventually(lambda: server.watched_from() and not sink.names)


async def test_a_bug_in_a_sink_does_not_end_the_reflector(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = ScriptedApiServer(
        [a_list("41", "one"), a_list("50", "two")], [stream(event("ADDED", "explosive", "42")), stream()]
    )
    async with reflecting(server, tmp_path) as (_, sink):
        await eventually(lambda: sink.names == {"two"})
    assert "reflector of configmaps failed" in caplog.text


async def test_a_resource_may_come_and_go(tmp_path: Path) -> None:
    absent = json({"message": "the server could not find the requested resource"}, 404)
    server = ScriptedApiServer(
        [absent, a_list("41", "one"), absent], [stream(event("ADDED", "two", "42"), hold=False), absent]
    )
    async with reflecting(server, tmp_path, resource=INFERENCE_SERVICES, absent_seconds=0.01) as (
        reflector,
        sink,
    ):
        await eventually(lambda: sink.ever == {"one", "two"} and reflector.absent)
        assert sink.names == set()


async def test_a_core_resource_that_is_not_found_is_an_answer_of_somebody_else(tmp_path: Path) -> None:
    stranger = Response("404 page not found", 404)
    server = ScriptedApiServer([a_list("41", "one"), stranger], [stranger])
    async with reflecting(server, tmp_path, absent_seconds=0.01) as (reflector, sink):
        await reflector.wait_synced()
        await eventually(lambda: server.listed >= 4)
        age = reflector.age()
        await eventually(lambda: server.listed >= 8)
        assert reflector.age() > age
        assert not reflector.absent
        assert not reflector.connected
        assert sink.names == {"one"}


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_a_refusal_is_told_without_a_traceback_and_ends_in_a_new_list(
    tmp_path: Path, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    server = ScriptedApiServer(
        [a_list("41", "one"), a_list("50", "two")], [json({"message": "not you"}, status), stream()]
    )
    async with reflecting(server, tmp_path) as (_, sink):
        await eventually(lambda: sink.names == {"two"})
    assert "configmaps: not you" in caplog.text
    assert "Traceback" not in caplog.text


async def test_a_server_that_ends_every_watch_at_once_is_not_asked_in_a_hot_loop(tmp_path: Path) -> None:
    server = ScriptedApiServer([a_list("41", "one")], [stream(hold=False)])
    async with reflecting(server, tmp_path) as (_, _sink):
        await eventually(lambda: len(server.watched_from()) >= 3)
        started, before = time.monotonic(), len(server.watched_from())
        await eventually(lambda: len(server.watched_from()) >= before + 10)
        assert time.monotonic() - started > 10 * 0.05 / 2 * 0.9
