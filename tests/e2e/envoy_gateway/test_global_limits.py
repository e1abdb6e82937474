"""The overlay `kubernetes` with global-limits, run by the real rate limit service and Redis too."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, TypeVar

import pytest

from tests.control_plane.binaries import BUILT
from tests.e2e.envoy_gateway.counting import Counting, redis_programs
from tests.e2e.envoy_gateway.machine import PATIENT
from tests.e2e.envoy_gateway.platform import OVERLAY, Platform, platform
from tests.e2e.inference import chat
from tests.kustomize import rendered, with_component
from tests.requirement import require
from tests.workspace import Caller, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    import httpx

pytestmark = PATIENT

T = TypeVar("T")


@pytest.fixture(scope="module")
def counting() -> Counting:
    program, redis = BUILT / "ratelimit", redis_programs()
    require(None if redis else "there is no Redis for this platform")
    require(None if os.access(program, os.X_OK) else f"there is no {program}: run `make tools`")
    assert redis is not None
    return Counting(program, redis)


@pytest.fixture(scope="module")
async def gateway(
    envoy_gateway_program: Path, counting: Counting, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Platform]:
    overlay = with_component("kubernetes", "global-limits", tmp_path_factory.mktemp("overlay"))
    directory = tmp_path_factory.mktemp("global-limits")
    async with platform(envoy_gateway_program, directory, overlay=overlay, counting=counting) as running:
        yield running


async def within_a_minute(attempt: Callable[[], Awaitable[T]]) -> T:
    """What `attempt` returns when it began and ended in one minute of the clock, for which limits are."""
    while True:
        minute = time.time() // 60
        result = await attempt()
        if time.time() // 60 == minute:
            return result


async def used_up(holder: Caller) -> httpx.Response:
    """Send requests until one is refused."""
    for _ in range(25):
        answer = await chat(holder)
        if answer.status_code != 200:
            return answer
    pytest.fail("25 requests passed within two minutes")


async def test_the_limit_of_a_tier_holds_for_an_owner_whatever_the_model_and_the_token(
    gateway: Platform,
) -> None:
    async def twelve_of_a_new_person() -> list[httpx.Response]:
        person = gateway.person()
        first, second = [Caller(gateway.client, (await person.issued())["token"]) for _ in range(2)]
        return [
            *[await chat(first, "qwen3") for _ in range(5)],
            *[await chat(second, "simulator") for _ in range(5)],
            await chat(first, "qwen3"),
            await chat(second, "facebook-opt-125m"),
        ]

    *passed, eleventh, twelfth = await within_a_minute(twelve_of_a_new_person)
    assert [answer.status_code for answer in passed] == [200] * 10
    for refused in (eleventh, twelfth):
        assert refused.status_code == 429
        assert refused.json()["error"]["code"] == "rate_limit_exceeded"
        assert refused.headers["retry-after"] == "60"


async def test_a_spent_limit_hides_neither_the_list_of_models_nor_anybody_else_s_answers(
    gateway: Platform,
) -> None:
    holder = await gateway.holder()
    assert (await used_up(holder)).status_code == 429
    assert (await holder.get("/v1/models")).status_code == 200
    assert (await chat(await gateway.holder())).status_code == 200


@pytest.mark.parametrize(("group", "limit"), [("premium-users", "100"), ("enterprise-users", "1000")])
async def test_a_higher_tier_has_its_own_limit(gateway: Platform, group: str, limit: str) -> None:
    answer = await chat(await gateway.holder(group))
    assert answer.headers["x-ratelimit-limit"] == f"{limit}, {limit};w=60"


async def test_a_tier_that_the_policies_do_not_name_gets_the_smallest_limit_for_each_owner(
    gateway: Platform,
) -> None:
    (config_map,) = (document for document in rendered(OVERLAY) if document["kind"] == "ConfigMap")
    mapping = config_map["data"]["mapping.yaml"]
    mapping += "  new: {groups: [newcomers], level: 1, rateLimit: {requestsPerMinute: 50}}\n"
    gateway.cluster.apply({**config_map, "data": {"mapping.yaml": mapping}})
    await eventually(lambda: gateway.service.tiers.tier_of(["newcomers"]))
    answers = [await (await gateway.holder("newcomers")).get("/v1/models") for _ in range(2)]
    assert [answer.headers["x-ratelimit-limit"] for answer in answers] == ["10, 10;w=60"] * 2
    assert {answer.headers["x-ratelimit-remaining"] for answer in answers} == {"9"}


async def test_what_was_counted_is_in_redis_and_not_in_the_gateway(
    gateway: Platform, counting: Counting
) -> None:
    holder = await gateway.holder()
    assert (await used_up(holder)).status_code == 429
    assert await counting.ask_redis("flushall") == "OK"
    assert (await chat(holder)).status_code == 200


async def test_when_nobody_can_count_nothing_passes(gateway: Platform, counting: Counting) -> None:
    holder = await gateway.holder()
    with counting.away():
        refused = await chat(holder)
    assert refused.status_code == 500
    assert refused.json()["error"]["code"] == "service_unavailable"
    assert (await chat(holder)).status_code == 200
