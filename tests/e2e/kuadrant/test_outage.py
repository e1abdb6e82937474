"""What the gateway answers when an engine behind it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.envoy_gateway.machine import PATIENT
from tests.e2e.inference import chat, error_of, statuses
from tests.workspace import eventually

if TYPE_CHECKING:
    from tests.e2e.kuadrant.platform import Platform

pytestmark = [pytest.mark.cluster, PATIENT]


async def test_without_the_service_nobody_is_let_in_and_is_told_to_try_again(gateway: Platform) -> None:
    holder = await gateway.holder()
    assert (await chat(holder)).status_code == 200
    gateway.identity.away = True
    try:
        answers = [await chat(holder), await holder.get("/v1/models")]
    finally:
        gateway.identity.away = False
    for answer in answers:
        assert answer.status_code == 503
        assert error_of(answer)["code"] == "upstream_unavailable"
        assert answer.headers["retry-after"] == "1"
    assert (await chat(holder)).status_code == 200


async def test_without_authorino_nobody_is_let_in(gateway: Platform) -> None:
    holder = await gateway.holder()
    await gateway.authorino.kill()
    try:
        assert (await chat(holder)).status_code == 500
    finally:
        await gateway.authorino.start()

    async def back() -> bool:
        return (await chat(holder)).status_code == 200

    await eventually(back, seconds=60)


async def test_without_limitador_requests_pass_uncounted(gateway: Platform) -> None:
    holder = await gateway.holder()
    assert (await statuses(holder, 11, "qwen3"))[-1] == 429
    await gateway.limitador.engine.kill()
    try:
        assert await statuses(holder, 3, "qwen3") == [200] * 3
    finally:
        await gateway.limitador.engine.start()
    # What it had counted is forgotten.
    assert (await statuses(holder, 11, "qwen3")) == [200] * 10 + [429]
