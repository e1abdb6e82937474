"""Requests whose answers do not come: nobody knows what has happened, and it comes right all the same."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.cluster.faults.pair import (
    MARGIN_SECONDS,
    REQUEST_SECONDS,
    Pair,
    decides,
    decision,
    issues,
    refused,
)
from tests.workspace import eventually

if TYPE_CHECKING:
    import httpx

    from tests.cluster.faults.faults import Call
    from tests.workspace import Caller


def creations(call: Call) -> bool:
    return call.method == "POST" and call.resource == "serviceaccounts"


def token_requests(call: Call) -> bool:
    return call.resource == "serviceaccounts/token"


def deletions(call: Call) -> bool:
    return call.method == "DELETE"


async def in_time(request: httpx.Response, since: float, *, calls: int = 1) -> None:
    refused(request)
    assert time.monotonic() - since < calls * REQUEST_SECONDS + MARGIN_SECONDS


async def test_a_service_account_that_was_made_unheard_is_removed(pair: Pair) -> None:
    alice = await pair.behind.caller("alice")
    kept = await alice.issued()
    pair.proxy.lose_answers(creations)
    began = time.monotonic()
    await in_time(await alice.issue(), began)
    # Only the answers to creations are lost: there is nothing to wait for until it is gone.
    await pair.holds(kept)
    await pair.proxy.heal()
    await pair.holds(kept, await issues(alice))


async def test_a_service_account_that_is_made_when_its_request_was_given_up_is_removed(pair: Pair) -> None:
    alice = await pair.behind.caller("alice")
    pair.proxy.delay(creations)
    began = time.monotonic()
    await in_time(await alice.issue(), began)
    assert await pair.ids() == set()
    created = pair.behind.service.metrics.registry.get_sample_value
    assert created("maas_orphans") == 1
    await pair.proxy.heal()
    await eventually(lambda: created("maas_orphans") == 0, seconds=30)
    await pair.holds()
    await pair.holds(await issues(alice))


async def test_a_token_that_cannot_be_made_takes_its_service_account_with_it(pair: Pair) -> None:
    alice = await pair.behind.caller("alice")
    for status in (429, 500, 503):
        pair.proxy.answer(status, matching=token_requests)
        refused(await alice.issue())
        assert await pair.ids() == set()
    await pair.proxy.heal()
    await pair.holds(await issues(alice))


async def test_a_token_that_was_made_unheard_takes_its_service_account_with_it(pair: Pair) -> None:
    alice = await pair.behind.caller("alice")
    pair.proxy.lose_answers(token_requests)
    began = time.monotonic()
    await in_time(await alice.issue(), began)
    await pair.holds()


async def test_what_is_left_over_while_everything_hangs_goes_when_it_is_over(pair: Pair) -> None:
    alice = await pair.behind.caller("alice")

    def everything_after_the_creation(call: Call) -> bool:
        return token_requests(call) or deletions(call) or (call.method == "GET" and not call.watch)

    pair.proxy.hang(everything_after_the_creation)
    began = time.monotonic()
    # It waits for the token, and then for the removal.
    await in_time(await alice.issue(), began, calls=2)
    assert len(await pair.ids()) == 1
    await pair.proxy.heal()
    await pair.holds()


async def test_a_revocation_that_was_done_unheard_is_in_force_and_can_be_repeated(pair: Pair) -> None:
    alice = await pair.behind.caller("alice")
    kept, revoked = await alice.issued(), await alice.issued()
    pair.proxy.lose_answers(deletions)
    began = time.monotonic()
    await in_time(await revoke(alice, revoked["id"]), began)
    # The watch tells of it.
    await decides(pair.behind, revoked["token"], "invalid_api_key")
    await decides(pair.direct, revoked["token"], "invalid_api_key")
    again = await revoke(alice, revoked["id"])
    assert (again.status_code, again.json()["code"]) == (404, "token_not_found")
    assert await decision(pair.behind, kept["token"]) == "free"
    await pair.holds(kept)


async def test_a_revocation_that_arrives_late_is_not_in_force_before(pair: Pair) -> None:
    alice = await pair.behind.caller("alice")
    token = await alice.issued()
    await decides(pair.direct, token["token"], "free")
    pair.proxy.delay(deletions)
    began = time.monotonic()
    await in_time(await revoke(alice, token["id"]), began)
    assert await decision(pair.behind, token["token"]) == "free"
    assert await decision(pair.direct, token["token"]) == "free"
    await pair.proxy.heal()
    await decides(pair.behind, token["token"], "invalid_api_key")
    await decides(pair.direct, token["token"], "invalid_api_key")
    await pair.holds()


async def test_a_revocation_that_was_refused_changes_nothing_and_succeeds_later(pair: Pair) -> None:
    alice = await pair.behind.caller("alice")
    token, other = await alice.issued(), await alice.issued()
    pair.proxy.answer(503, matching=deletions)
    refused(await revoke(alice, token["id"]))
    some = await alice.delete("/maas-api/tokens")
    assert (some.status_code, some.json()["code"]) == (503, "revocation_incomplete")
    assert (some.json()["revoked"], some.json()["remaining"]) == (0, 2)
    for each in (token, other):
        assert await decision(pair.behind, each["token"]) == "free"
    await pair.proxy.heal()
    assert (await revoke(alice, token["id"])).status_code == 204
    assert (await alice.delete("/maas-api/tokens")).json() == {"revoked": 1}
    for each in (token, other):
        await decides(pair.behind, each["token"], "invalid_api_key")
        await decides(pair.direct, each["token"], "invalid_api_key")
    await pair.holds()


async def revoke(caller: Caller, token_id: str) -> httpx.Response:
    return await caller.delete(f"/maas-api/tokens/{token_id}")
