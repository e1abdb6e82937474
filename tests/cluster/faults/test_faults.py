"""What people see while the Kubernetes API misbehaves, what stays true, and that it heals alone."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from app.kube.resources import GROUPS
from tests.cluster.faults.pair import (
    MARGIN_SECONDS,
    REQUEST_SECONDS,
    Pair,
    becomes,
    decides,
    decision,
    issues,
    readiness,
    refused,
)
from tests.workspace import FREE, Caller, eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import httpx

    from tests.cluster.faults.faults import Call
    from tests.cluster.faults.proxy import FaultProxy

MAPPING = """
tiers:
  free:    {{groups: ["system:authenticated"], rateLimit: {{requestsPerMinute: 10}}}}
  premium: {{groups: ["{premium}"], rateLimit: {{requestsPerMinute: 100}}}}
"""


async def timed(request: Awaitable[httpx.Response]) -> tuple[httpx.Response, float]:
    started = time.monotonic()
    return await request, time.monotonic() - started


async def refuse(proxy: FaultProxy) -> None:
    await proxy.refuse()


async def hang(proxy: FaultProxy) -> None:
    proxy.hang()


async def answer_429(proxy: FaultProxy) -> None:
    proxy.answer(429, {"Retry-After": "6"})


async def answer_500(proxy: FaultProxy) -> None:
    proxy.answer(500)


async def answer_503(proxy: FaultProxy) -> None:
    proxy.answer(503)


async def answer_401(proxy: FaultProxy) -> None:
    proxy.answer(401)


async def be_slow(proxy: FaultProxy) -> None:
    # Not one answer is complete in time.
    proxy.slow(20)


# A watch on which little comes looks like one on which little happens.
@pytest.mark.parametrize(
    ("strike", "retry_after", "status"),
    [
        (refuse, 5, "degraded"),
        (hang, 5, "degraded"),
        (be_slow, 5, "ok"),
        (answer_429, 6, "degraded"),
        (answer_500, 5, "degraded"),
        (answer_503, 5, "degraded"),
        (answer_401, 5, "degraded"),
    ],
)
async def test_while_nobody_answers_memory_decides_and_nothing_is_lost_or_left_over(
    pair: Pair, strike: Callable[[FaultProxy], Awaitable[None]], retry_after: int, status: str
) -> None:
    behind, elsewhere = pair.behind, pair.elsewhere
    alice = await behind.caller("alice")
    kept, doomed = await alice.issued(), await alice.issued()
    holder = Caller(behind.public, kept["token"])
    model = await pair.workspace.model("qwen3", FREE)
    await asyncio.gather(behind.known(model), pair.direct.known(model))
    for token in (kept, doomed):
        assert (await behind.authorize(token["token"], model)).status_code == 200
    assert (await holder.get("/v1/models")).status_code == 200
    assert len(await alice.listed()) == 2

    await strike(pair.proxy)
    assert (await elsewhere(alice).delete(f"/maas-api/tokens/{doomed['id']}")).status_code == 204
    unseen = await elsewhere(alice).issued()

    answers = await asyncio.gather(
        timed(alice.issue()),
        timed(alice.delete(f"/maas-api/tokens/{kept['id']}")),
        timed(alice.delete("/maas-api/tokens")),
        timed(behind.authorize(unseen["token"], model)),
        timed(alice.get("/maas-api/tokens")),
        timed(alice.get("/maas-api/tier")),
        timed(holder.get("/v1/models")),
        timed(behind.authorize(kept["token"], model)),
        timed(behind.authorize(doomed["token"], model)),
        timed(behind.authorize("made-up", model)),
    )
    for response, _ in answers[:4]:
        refused(response, retry_after=retry_after)
    assert [response.status_code for response, _ in answers[4:]] == [200, 200, 200, 200, 200, 401]
    # Each waits for one call to the API server at most.
    assert max(seconds for _, seconds in answers) < REQUEST_SECONDS + MARGIN_SECONDS
    assert {token["id"] for token in answers[4][0].json()["tokens"]} == {kept["id"], doomed["id"]}
    await becomes(behind, status)

    await pair.proxy.heal()
    await decides(behind, doomed["token"], "invalid_api_key")
    await decides(behind, unseen["token"], "free")
    assert await decision(behind, kept["token"]) == "free"
    fresh = await issues(alice)
    await becomes(behind, "ok")
    await pair.holds(kept, unseen, fresh)
    assert {token["id"] for token in await alice.listed()} == {kept["id"], unseen["id"], fresh["id"]}


async def cut_events(proxy: FaultProxy) -> None:
    proxy.cut_watch_mid_event()


async def truncate_lists(proxy: FaultProxy) -> None:
    proxy.truncate_lists()


async def duplicate_events(proxy: FaultProxy) -> None:
    proxy.duplicate_events()


async def gone_by_status(proxy: FaultProxy) -> None:
    proxy.forget_history(in_stream=False)


async def gone_in_stream(proxy: FaultProxy) -> None:
    proxy.forget_history(in_stream=True)


async def reorder_events(proxy: FaultProxy) -> None:
    proxy.reorder_events_after_relist()


@pytest.mark.parametrize(
    ("strike", "hears"),
    [
        (cut_events, False),
        (truncate_lists, False),
        (duplicate_events, True),
        (gone_by_status, True),
        (gone_in_stream, True),
        (reorder_events, True),
    ],
)
async def test_while_a_watch_is_disturbed_everything_works_and_news_come_later_at_worst(
    pair: Pair,
    strike: Callable[[FaultProxy], Awaitable[None]],
    hears: bool,  # noqa: FBT001  # a parameter of the test
) -> None:
    behind, elsewhere = pair.behind, pair.elsewhere
    alice = await behind.caller("alice")
    kept, doomed, mine = await alice.issued(), await alice.issued(), await alice.issued()
    for token in (kept, doomed, mine):
        await decides(behind, token["token"], "free")
        await decides(pair.direct, token["token"], "free")

    await strike(pair.proxy)
    assert (await elsewhere(alice).delete(f"/maas-api/tokens/{doomed['id']}")).status_code == 204
    unseen = await elsewhere(alice).issued()
    await eventually(lambda: pair.proxy.struck, seconds=30)

    fresh = await alice.issued()
    assert (await alice.delete(f"/maas-api/tokens/{mine['id']}")).status_code == 204
    decisions = [await decision(behind, token["token"]) for token in (kept, unseen, fresh, mine)]
    assert decisions == ["free", "free", "free", "invalid_api_key"]
    assert {status for status, _ in await readiness(behind)} == {200}
    if hears:
        await decides(behind, doomed["token"], "invalid_api_key")
    else:
        assert await decision(behind, doomed["token"]) == "free"

    await pair.proxy.heal()
    await decides(behind, doomed["token"], "invalid_api_key")
    await becomes(behind, "ok")
    assert [await decision(behind, token["token"]) for token in (kept, unseen, fresh)] == ["free"] * 3
    assert await decision(behind, mine["token"]) == "invalid_api_key"
    assert {token["id"] for token in await alice.listed()} == {kept["id"], unseen["id"], fresh["id"]}
    await pair.holds(kept, unseen, fresh)


async def test_events_of_long_ago_after_a_new_list_bring_nothing_back(pair: Pair) -> None:
    behind, workspace = pair.behind, pair.workspace
    admin = workspace.cluster.admin
    group = f"premium-{workspace.suffix}"
    await workspace.map_tiers(MAPPING.format(premium=group))
    body = {
        "apiVersion": GROUPS.api_version,
        "kind": "Group",
        "metadata": {"name": group},
        "users": ["alice"],
    }
    await admin.create(GROUPS, body)
    try:
        alice = await behind.caller("alice")
        token, revoked = await alice.issued(), await alice.issued()
        await decides(behind, token["token"], "premium")
        await admin.merge_patch(GROUPS, group, {"users": ["bob"]})
        await decides(behind, token["token"], "free")
        # A mapping by which everybody was premium, until it was replaced.
        await workspace.map_tiers(MAPPING.format(premium="system:authenticated"))
        await decides(behind, token["token"], "premium")
        await workspace.map_tiers(MAPPING.format(premium=group))
        await decides(behind, token["token"], "free")
        await pair.elsewhere(alice).delete(f"/maas-api/tokens/{revoked['id']}")
        await decides(behind, revoked["token"], "invalid_api_key")

        pair.proxy.reorder_events_after_relist()
        seen: set[tuple[str, str]] = set()

        async def replayed() -> bool:
            seen.add((await decision(behind, token["token"]), await decision(behind, revoked["token"])))
            watches = [call.path for call in pair.proxy.calls if call.watch]
            after = watches[before:]
            return pair.proxy.struck >= 3 and all(after.count(path) >= 3 for path in disturbed)

        before = len([call for call in pair.proxy.calls if call.watch])
        disturbed = {call.path for call in pair.proxy.calls if call.watch and _decisive(call)}
        await eventually(replayed, seconds=30)
        await becomes(behind, "ok")
        seen.add((await decision(behind, token["token"]), await decision(behind, revoked["token"])))
        assert seen == {("free", "invalid_api_key")}
    finally:
        await admin.delete(GROUPS, group)


def _decisive(call: Call) -> bool:
    return call.resource in ("serviceaccounts", "configmaps", "groups")
