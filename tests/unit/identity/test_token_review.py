"""TokenReviews: what counts as a user, and how many are asked for at once."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from app.identity.errors import IdentityError
from app.identity.token_review import TokenReviewer
from app.identity.user import User
from tests.unit.kube.scripted_api_server import json, scripted

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request
    from starlette.responses import Response


class Reviews:
    """Answers every review with one status, the first ones when `together` have come."""

    def __init__(self, status: Any, *, together: int = 1) -> None:
        self.status = status
        self.together = together
        self.enough = asyncio.Event()
        self.now = self.most = 0
        self.http_status = 201

    async def answer(self, request: Request) -> Response:
        self.now += 1
        self.most = max(self.most, self.now)
        await request.body()
        if self.now >= self.together:
            self.enough.set()
        await self.enough.wait()
        self.now -= 1
        return json({"status": self.status}, self.http_status)


def reviewer(client: Any) -> TokenReviewer:
    return TokenReviewer(
        client,
        maas_namespace="maas",
        cache_seconds=10,
        cache_entries=10,
        clock=time.monotonic,
        time=time.time,
    )


async def test_the_user_is_the_one_that_the_review_names(tmp_path: Path) -> None:
    server = Reviews({"authenticated": True, "user": {"username": "alice", "groups": ["a"]}})
    async with scripted(server, tmp_path) as client:
        assert await reviewer(client).review("sha256~x") == User("alice", ("a",))


@pytest.mark.parametrize(
    "status",
    [
        None,
        {},
        {"authenticated": False, "user": {"username": "alice"}},
        {"authenticated": "true", "user": {"username": "alice"}},
        {"authenticated": True},
        {"authenticated": True, "user": {"username": ""}},
        {"authenticated": True, "user": {"username": "x" * 1025}},
        {"authenticated": True, "user": {"username": "alice", "groups": ["g" * 1000] * 132}},
        {"authenticated": True, "user": {"username": "system:serviceaccount:maas:alice-sa-1"}},
    ],
)
async def test_whatever_is_not_plainly_a_user_is_none(tmp_path: Path, status: Any) -> None:
    async with scripted(Reviews(status), tmp_path) as client:
        with pytest.raises(IdentityError):
            await reviewer(client).review("sha256~x")


async def test_made_up_tokens_do_not_take_every_connection(tmp_path: Path) -> None:
    server = Reviews({"authenticated": False}, together=32)
    async with scripted(server, tmp_path, connections=100) as client:
        reviews = reviewer(client)
        answers = await asyncio.gather(
            *(reviews.review(f"sha256~{number}") for number in range(100)), return_exceptions=True
        )
    assert all(isinstance(answer, IdentityError) for answer in answers)
    assert server.most == 32


async def test_only_a_review_tells_of_a_user_and_not_what_is_remembered(tmp_path: Path) -> None:
    server = Reviews({"authenticated": True, "user": {"username": "alice", "groups": ["a"]}})
    told: list[User] = []
    now = 0.0
    async with scripted(server, tmp_path) as client:
        reviews = TokenReviewer(
            client,
            maas_namespace="maas",
            cache_seconds=10,
            cache_entries=10,
            clock=lambda: now,
            time=time.time,
        )
        reviews.subscribe(told.append)
        await reviews.review("sha256~x")
        await reviews.review("sha256~x")
        now, server.http_status = 11.0, 503
        assert await reviews.review("sha256~x", remember_seconds=600) == User("alice", ("a",))
    assert told == [User("alice", ("a",))]
