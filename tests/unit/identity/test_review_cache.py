"""Questions are asked once at a time, and answers kept for a bounded while in a bounded space."""

from __future__ import annotations

import asyncio

import pytest

from app.identity.review_cache import ReviewCache
from app.kube.errors import (
    KubeError,
    KubeForbiddenError,
    KubeInvalidError,
    KubeUnauthorizedError,
    KubeUnavailableError,
)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Question:
    """Something to ask; the answer comes when it is let."""

    def __init__(self, answer: str = "yes", error: Exception | None = None) -> None:
        self.asked = 0
        self.answer = answer
        self.error = error
        self.started = asyncio.Event()
        self.let = asyncio.Event()

    async def __call__(self) -> str:
        self.asked += 1
        self.started.set()
        await self.let.wait()
        if self.error:
            raise self.error
        return self.answer


def cache_of(clock: Clock, entries: int = 10) -> ReviewCache[str, str]:
    return ReviewCache(name="test", seconds=10, entries=entries, clock=clock)


def ready(answer: str = "yes", error: Exception | None = None) -> Question:
    question = Question(answer, error)
    question.let.set()
    return question


def away() -> Question:
    return ready(error=KubeUnavailableError("away"))


async def test_an_answer_is_kept_until_its_time_is_over() -> None:
    clock, question = Clock(), ready()
    cache = cache_of(clock)
    assert [await cache.get("k", question), await cache.get("k", question)] == ["yes", "yes"]
    clock.now += 10
    await cache.get("k", question)
    assert question.asked == 2


async def test_an_answer_may_be_kept_for_less() -> None:
    clock, question = Clock(), ready()
    cache = cache_of(clock)
    await cache.get("k", question, seconds=lambda _: 3)
    clock.now += 3
    assert cache.fresh("k") is None


async def test_freshness_counts_from_the_question() -> None:
    clock, question = Clock(), Question()
    cache = cache_of(clock)
    asking = asyncio.create_task(cache.get("k", question))
    await question.started.wait()
    clock.now += 9
    question.let.set()
    await asking
    clock.now += 1
    assert cache.fresh("k") is None


async def test_a_question_on_its_way_is_shared() -> None:
    question = Question()
    cache = cache_of(Clock())
    asking = [asyncio.create_task(cache.get("k", question)) for _ in range(3)]
    await question.started.wait()
    asking[1].cancel()
    question.let.set()
    assert (await asking[0], await asking[2]) == ("yes", "yes")
    assert question.asked == 1


async def test_a_question_is_asked_again_once_when_whoever_asked_it_goes_away() -> None:
    question = Question()
    cache = cache_of(Clock())
    first, *others = (asyncio.create_task(cache.get("k", question)) for _ in range(4))
    await question.started.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    question.let.set()
    assert await asyncio.gather(*others) == ["yes"] * 3
    assert question.asked == 2


async def test_a_refusal_is_shared_too() -> None:
    question = Question(error=ValueError("no"))
    cache = cache_of(Clock())
    asking = [asyncio.create_task(cache.get("k", question)) for _ in range(3)]
    await question.started.wait()
    question.let.set()
    assert [str(each) for each in await asyncio.gather(*asking, return_exceptions=True)] == ["no"] * 3
    assert question.asked == 1


async def test_a_refusal_takes_the_place_of_the_former_answer() -> None:
    clock = Clock()
    cache = cache_of(clock)
    await cache.get("k", ready())
    clock.now += 20
    with pytest.raises(ValueError, match="no"):
        await cache.get("k", ready(error=ValueError("no")))
    with pytest.raises(KubeUnavailableError):
        await cache.get_or_remember("k", away(), remember_seconds=1000)


async def test_the_former_answer_stands_while_nobody_answers_but_not_for_ever() -> None:
    clock = Clock()
    cache = cache_of(clock)
    await cache.get("k", ready())
    clock.now += 20
    assert await cache.get_or_remember("k", away(), remember_seconds=20) == "yes"
    clock.now += 1
    with pytest.raises(KubeUnavailableError):
        await cache.get_or_remember("k", away(), remember_seconds=20)


@pytest.mark.parametrize("kind", [KubeUnauthorizedError, KubeForbiddenError, KubeInvalidError, KubeError])
async def test_what_is_wrong_with_the_service_itself_refuses_nobody(kind: type[KubeError]) -> None:
    clock = Clock()
    cache = cache_of(clock)
    await cache.get("k", ready())
    clock.now += 20
    refused = ready(error=kind("the service's own credentials"))
    with pytest.raises(kind):
        await cache.get("k", refused)
    assert await cache.get_or_remember("k", refused, remember_seconds=20) == "yes"


async def test_who_must_not_remember_is_not_given_what_another_remembered() -> None:
    clock = Clock()
    cache = cache_of(clock)
    await cache.get("k", ready())
    clock.now += 20
    await cache.get_or_remember("k", away(), remember_seconds=60)
    with pytest.raises(KubeUnavailableError):
        await cache.get("k", away())


async def test_an_api_server_that_says_nothing_is_waited_for_once_and_only_for_a_moment() -> None:
    clock, silent = Clock(), Question()
    cache = cache_of(clock)
    await cache.get("k", ready())
    clock.now += 20
    async with asyncio.timeout(5):
        for _ in range(100):
            assert await cache.get_or_remember("k", silent, remember_seconds=60) == "yes"
    assert silent.asked == 1
    silent.answer = "no"
    silent.let.set()
    clock.now += 5
    assert await cache.get_or_remember("k", silent, remember_seconds=60) == "no"
    await cache.close()


async def test_the_cache_holds_no_more_than_it_may() -> None:
    cache = cache_of(Clock(), entries=2)
    for key in ("a", "b", "c"):
        await cache.get(key, ready(key))
    assert [cache.fresh(key) for key in ("a", "b", "c")] == [None, "b", "c"]


async def test_closing_ends_what_nobody_waits_for_any_more() -> None:
    clock, silent = Clock(), Question()
    cache = cache_of(clock)
    await cache.get("k", ready())
    clock.now += 20
    assert await cache.get_or_remember("k", silent, remember_seconds=60) == "yes"
    await cache.close()
    silent.let.set()
    assert await cache.get("k", ready("again")) == "again"


async def test_a_failure_that_nobody_waits_for_any_more_is_not_left_over() -> None:
    question = Question(error=ValueError("no"))
    cache = cache_of(Clock())
    asking = asyncio.create_task(cache.get("k", question))
    await question.started.wait()
    asking.cancel()
    question.let.set()
    with pytest.raises(asyncio.CancelledError):
        await asking
    with pytest.raises(ValueError, match="later"):
        await cache.get("k", ready(error=ValueError("later")))
