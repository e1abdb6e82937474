"""SubjectAccessReviews: what is asked, what counts as yes, and what stands while nobody answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest

from app.identity.access_review import Access, AccessReviewer
from app.kube.errors import KubeUnavailableError
from tests.unit.kube.scripted_api_server import json, scripted

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request
    from starlette.responses import Response

ACCESS = Access("alice", ("a", "maas:tier:free"), "get", "serving.kserve.io", "inferenceservices", "ns", "m")


class Reviews:
    """Answers each review with a status, or not at all."""

    def __init__(self, status: dict[str, Any] | None) -> None:
        self.status = status
        self.away = False
        self.asked: list[dict[str, Any]] = []

    async def answer(self, request: Request) -> Response:
        self.asked.append(orjson.loads(await request.body()))
        return json({}, 500) if self.away else json({"status": self.status}, 201)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def reviewer(client: Any, clock: Clock) -> AccessReviewer:
    return AccessReviewer(client, cache_seconds=10, cache_entries=10, staleness_seconds=600, clock=clock)


async def test_the_question_is_asked_as_it_is(tmp_path: Path) -> None:
    server = Reviews({"allowed": True})
    async with scripted(server, tmp_path) as client:
        assert await reviewer(client, Clock()).allowed(ACCESS)
    assert server.asked[0]["spec"] == {
        "user": "alice",
        "groups": ["a", "maas:tier:free"],
        "resourceAttributes": {
            "verb": "get",
            "group": "serving.kserve.io",
            "resource": "inferenceservices",
            "namespace": "ns",
            "name": "m",
        },
    }


@pytest.mark.parametrize(
    "status",
    [
        {"allowed": False},
        {},
        None,
        {"allowed": "true"},
        {"allowed": 1},
        {"allowed": True, "denied": True},
        {"evaluationError": "x"},
    ],
)
async def test_whatever_is_not_a_plain_yes_is_a_no(tmp_path: Path, status: dict[str, Any] | None) -> None:
    async with scripted(Reviews(status), tmp_path) as client:
        assert await reviewer(client, Clock()).allowed(ACCESS) is False


async def test_the_last_answer_stands_while_the_api_server_is_away_but_not_for_ever(tmp_path: Path) -> None:
    server, clock = Reviews({"allowed": True}), Clock()
    async with scripted(server, tmp_path) as client:
        access = reviewer(client, clock)
        await access.allowed(ACCESS)
        assert access.remembered(ACCESS) is True
        server.away = True
        clock.now = 600
        assert access.remembered(ACCESS) is None
        assert await access.allowed(ACCESS) is True
        clock.now = 601
        with pytest.raises(KubeUnavailableError):
            await access.allowed(ACCESS)
        await access.close()


async def test_a_grant_that_was_taken_back_is_noticed_within_the_cache_time(tmp_path: Path) -> None:
    server, clock = Reviews({"allowed": True}), Clock()
    async with scripted(server, tmp_path) as client:
        access = reviewer(client, clock)
        assert await access.allowed(ACCESS)
        server.status = {"allowed": False}
        clock.now = 10
        assert not await access.allowed(ACCESS)


async def test_a_new_grant_is_noticed_sooner_than_one_that_was_taken_back(tmp_path: Path) -> None:
    server, clock = Reviews({"allowed": False}), Clock()
    async with scripted(server, tmp_path) as client:
        access = reviewer(client, clock)
        assert not await access.allowed(ACCESS)
        server.status = {"allowed": True}
        clock.now = 3
        assert await access.allowed(ACCESS)


async def test_what_changes_something_is_not_allowed_by_an_answer_that_is_only_remembered(
    tmp_path: Path,
) -> None:
    clock, server = Clock(), Reviews({"allowed": True})
    async with scripted(server, tmp_path) as client:
        asked = reviewer(client, clock)
        assert await asked.allowed_now(ACCESS)
        clock.now, server.away = 11.0, True
        assert await asked.allowed(ACCESS)
        with pytest.raises(KubeUnavailableError):
            await asked.allowed_now(ACCESS)
