"""Each tier's limit, through the real entry point, for the people that come with the embedded cluster."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING

import pytest

from tests.maasctl import Up, chat, up

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.embedded.conftest import Newcomer


@pytest.fixture
async def unused(tmp_path: Path) -> AsyncIterator[Up]:
    """A platform that nobody has used: every limit is whole."""
    async with up(tmp_path) as running:
        yield running


async def test_fifteen_quick_requests_on_the_free_tier_give_ten_answers(unused: Up) -> None:
    alice = await unused.holder("sha256~alice")

    answers = [await chat(alice) for _ in range(15)]

    assert [answer.status_code for answer in answers] == [200] * 10 + [429] * 5
    for refused in answers[10:]:
        # Ten a minute are one every six seconds.
        assert 1 <= int(refused.headers["retry-after"]) <= 6
        assert refused.headers["content-type"] == "application/json"
        error = refused.json()["error"]
        assert "Retry-After" in error.pop("message")
        assert error == {"type": "rate_limit_error", "param": None, "code": "rate_limit_exceeded"}


async def test_the_premium_tier_gives_a_hundred(unused: Up) -> None:
    bob = await unused.holder("sha256~bob")

    started = time.monotonic()
    answers = await asyncio.gather(*(chat(bob) for _ in range(120)))
    refilled = math.ceil((time.monotonic() - started) * 100 / 60)

    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {200, 429}
    assert 100 <= statuses.count(200) <= 100 + refilled


async def test_a_limit_is_its_owners_and_not_the_tokens(platform: Up, newcomer: Newcomer) -> None:
    holders = [await platform.holder(newcomer.token) for _ in range(2)]

    answers = [await chat(holder) for _ in range(6) for holder in holders]

    assert [answer.status_code for answer in answers] == [200] * 10 + [429] * 2
    third = await platform.holder(newcomer.token)
    assert (await chat(third)).status_code == 429


async def test_a_limit_covers_all_models_and_streams(platform: Up, newcomer: Newcomer) -> None:
    holder = await platform.holder(newcomer.token)
    for _ in range(5):
        assert (await chat(holder, "qwen3", stream=True)).status_code == 200
        assert (await chat(holder, "facebook-opt-125m")).status_code == 200

    assert (await chat(holder, "facebook-opt-125m", stream=True)).status_code == 429


async def test_forged_headers_do_not_widen_a_spent_limit(platform: Up, newcomer: Newcomer) -> None:
    holder = await platform.holder(newcomer.token)
    while (await chat(holder)).status_code != 429:
        pass

    for forged in (
        {"x-maas-user": "carol", "x-maas-tier": "enterprise"},
        {"X-MaaS-User": "someone-else"},
        {"x-maas-tier": "premium"},
        {"X-Forwarded-For": "192.0.2.7"},
    ):
        body = {"model": "qwen3", "messages": []}
        response = await holder.request("POST", "/v1/chat/completions", json=body, headers=forged)
        assert response.status_code == 429, forged


async def test_a_spent_limit_hides_neither_the_models_nor_the_tokens(
    platform: Up, newcomer: Newcomer
) -> None:
    holder = await platform.holder(newcomer.token)
    while (await chat(holder)).status_code != 429:
        pass

    assert (await holder.get("/v1/models")).status_code == 200
    assert (await platform.person(newcomer.token).get("/maas-api/tokens")).status_code == 200
