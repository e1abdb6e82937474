from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from tests.embedded.gateway.conftest import Stage

    Running = Callable[..., AbstractAsyncContextManager[Stage]]


async def spend(stage: Stage, token: str, requests: int = 3) -> None:
    for _ in range(requests):
        assert (await stage.chat(token)).status_code == 200


async def test_an_owners_limit_covers_all_their_models_and_tokens(stage: Stage) -> None:
    answers = [
        await stage.chat("free:alice:laptop", "opt"),
        await stage.chat("free:alice:phone", "granite"),
        await stage.chat("free:alice:phone", "no-such-model"),
        await stage.chat("free:alice:laptop", "granite"),
        await stage.chat("free:alice:tablet", "opt"),
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert len(stage.model.received) == 2


async def test_owners_do_not_share_a_limit(stage: Stage) -> None:
    await spend(stage, "free:alice")

    assert (await stage.chat("free:alice")).status_code == 429
    assert (await stage.chat("free:bob")).status_code == 200


async def test_every_tier_has_its_own_limit(stage: Stage) -> None:
    free, premium = await stage.chat("free:alice"), await stage.chat("premium:bob")

    assert (free.headers["x-ratelimit-limit"], free.headers["x-ratelimit-remaining"]) == ("3", "2")
    assert (premium.headers["x-ratelimit-limit"], premium.headers["x-ratelimit-remaining"]) == ("100", "99")


async def test_a_refused_request_is_told_when_to_come_back(stage: Stage) -> None:
    await spend(stage, "free:alice")
    response = await stage.chat("free:alice")

    assert response.status_code == 429
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-ratelimit-remaining"] == "0"
    # Three a minute are one every twenty seconds.
    assert 15 <= int(response.headers["retry-after"]) <= 20
    assert response.headers["x-ratelimit-reset"] == response.headers["retry-after"]
    error = response.json()["error"]
    assert "Retry-After" in error.pop("message")
    assert error == {"type": "rate_limit_error", "param": None, "code": "rate_limit_exceeded"}


async def test_whoever_waits_as_long_as_told_is_served_again(running: Running) -> None:
    async with running({"free": 60}) as stage:
        while (refused := await stage.chat("free:alice")).status_code != 429:
            pass
        assert refused.headers["retry-after"] == "1"
        await asyncio.sleep(1)  # The header's promise can only be kept in real time.

        assert (await stage.chat("free:alice")).status_code == 200


async def test_a_spent_limit_does_not_hide_the_models(stage: Stage) -> None:
    await spend(stage, "free:alice")
    assert (await stage.chat("free:alice")).status_code == 429

    answers = [(await stage.models("free:alice")).status_code for _ in range(4)]

    assert answers == [200, 200, 200, 429]
    assert (await stage.models("free:bob")).status_code == 200


async def test_listing_models_does_not_cost_inference(stage: Stage) -> None:
    for _ in range(3):
        await stage.models("free:alice")

    await spend(stage, "free:alice")


async def test_a_new_limit_is_in_force_at_once(stage: Stage) -> None:
    await spend(stage, "free:alice")
    stage.gateway.update({"free": 5, "premium": 100}, ["opt", "granite"])

    async with asyncio.timeout(1):
        while (response := await stage.chat("free:alice")).headers["x-ratelimit-limit"] != "5":
            pass
    assert response.status_code == 200


async def test_a_new_model_refills_nobodys_limit(stage: Stage) -> None:
    await spend(stage, "free:alice")
    stage.gateway.update({"free": 3, "premium": 100}, ["opt", "granite", "mistral"])

    while (await stage.chat("premium:bob", "mistral")).json()["app"] != "model":
        pass
    assert (await stage.chat("free:alice", "mistral")).status_code == 429


async def test_owners_of_tiers_that_the_gateway_does_not_know_share_the_smallest_limit(stage: Stage) -> None:
    answers = [await stage.chat(f"new-{number}:user-{number}") for number in range(4)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert (await stage.chat("free:alice")).status_code == 200


async def test_without_any_tier_almost_nothing_passes(running: Running) -> None:
    async with running() as stage:
        stage.gateway.update({}, ["opt"])
        async with asyncio.timeout(1):
            while (await stage.chat("free:alice")).headers["x-ratelimit-limit"] != "1":
                pass

        assert (await stage.chat("free:alice")).status_code == 429


async def test_a_models_own_limit_passes_through_untouched(stage: Stage) -> None:
    headers = {"retry-after": "7", "x-ratelimit-limit": "999"}
    busy = JSONResponse({"error": {"message": "busy"}}, status_code=429, headers=headers)
    stage.model.answer = lambda _: busy

    response = await stage.chat("premium:alice")

    assert response.json() == {"error": {"message": "busy"}}
    assert response.headers.get_list("retry-after") == ["7"]
    assert response.headers.get_list("x-ratelimit-limit") == ["100"]
