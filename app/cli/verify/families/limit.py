"""Is anybody ever limited? Only the 429 itself proves it, and it costs the caller a minute."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx

from app.cli.verify import answers
from app.cli.verify.check import Check, Outcome, failed, passed, skipped, warned

if TYPE_CHECKING:
    from app.cli.verify.session import Session

_AT_ONCE = 8
_SECONDS = 300.0


def most_requests(limit: int) -> int:
    """How many requests may be needed: the counter may begin anew, or refill, while they are sent."""
    return 2 * limit + _AT_ONCE


async def _seen(session: Session) -> Outcome:
    if not session.options.spend_limit:
        return skipped("--spend-limit was not given: it uses up the caller's requests of a minute")
    limit = session.journey.tier["limits"]["requestsPerMinute"]
    if limit is None:
        return skipped(f"the tier {session.journey.tier['tier']} has no requestsPerMinute")
    sent, most = 0, most_requests(limit)
    async with asyncio.timeout(_SECONDS):
        while sent < most:
            responses = await _several(session, min(_AT_ONCE, most - sent))
            sent += len(responses)
            for response in responses:
                if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
                    return _limited(response, sent)
                if response.status_code != httpx.codes.OK:
                    return failed(f"after {sent} requests: {answers.line(response)}")
    return failed(f"{sent} requests in a row were answered, where the tier has {limit} a minute")


async def _several(session: Session, count: int) -> list[httpx.Response]:
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(session.journey.ask(session.journey.model), name=f"request {number}")
            for number in range(count)
        ]
    return [task.result() for task in tasks]


def _limited(response: httpx.Response, sent: int) -> Outcome:
    wait = response.headers.get("retry-after", "")
    if not wait.isdecimal():
        return warned(
            f"a 429 among {sent} requests, but without Retry-After in seconds",
            "clients must guess when to come back; see docs/guide.md#limits",
        )
    return passed(f"a 429 among {sent} requests, with Retry-After: {wait}")


async def _list_open(session: Session) -> Outcome:
    response = await session.journey.as_holder("GET", "/v1/models")
    if response.status_code != httpx.codes.OK:
        return failed(answers.line(response))
    return passed("200")


CHECKS = (
    Check(
        "limit.seen",
        "Is a 429 seen when the tier's limit is spent? (only with --spend-limit)",
        "up to twice the tier's requestsPerMinute of chat requests with `max_tokens` 1, until the first 429",
        "is the policy enforced (policies.enforced)? Is Limitador there: "
        "{kubectl} get limitador -n kuadrant-system? Without it Kuadrant lets everything pass",
        _seen,
        ("journey.answered",),
    ),
    Check(
        "limit.list",
        "Does the list of models stay open then?",
        "GET /v1/models",
        "the route maas-models needs a limit of its own: manifests/policies/*/limits.yaml",
        _list_open,
        ("limit.seen",),
    ),
)
