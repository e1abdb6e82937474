"""What the real Limitador counts of requests, under the names that docs/metrics.md has Prometheus give it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.envoy_gateway.machine import PATIENT
from tests.e2e.inference import chat, statuses
from tests.meters import REQUESTS, Meter, documented_rules
from tests.workspace import eventually

if TYPE_CHECKING:
    from tests.e2e.kuadrant.platform import Platform

pytestmark = [pytest.mark.cluster, PATIENT]


def meter(gateway: Platform) -> Meter:
    async def scrape() -> str:
        return (await gateway.limitador.engine.client.get("/metrics")).text

    return Meter(scrape, documented_rules("limited_calls"))


async def users(gateway: Platform) -> set[str]:
    return {labels["user"] for labels in await meter(gateway).labels(REQUESTS)}


async def test_requests_are_counted_by_limitador(gateway: Platform) -> None:
    strangers = await users(gateway)
    holder = await gateway.holder()
    assert await statuses(holder, 13, "simulator") == [200] * 10 + [429] * 3
    assert (await holder.get("/v1/models")).status_code == 200

    async def newcomers() -> set[str]:
        return await users(gateway) - strangers

    (user,) = await eventually(newcomers)
    assert user.startswith("person-")
    assert user.endswith("@example.com")
    of_person = [labels for labels in await meter(gateway).labels(REQUESTS) if labels["user"] == user]
    person = {"user": user, "tier": "free", "model": "simulator"}
    namespace = {"limitador_namespace": "maas/maas-inference"}
    assert sorted(of_person, key=len) == [{**person, **namespace}, {**person, **namespace, "code": "429"}]
    assert await meter(gateway).read(REQUESTS, **person) == 13
    assert await meter(gateway).read(REQUESTS, **person, code="429") == 3


async def test_a_person_who_may_not_call_a_model_is_not_counted(gateway: Platform) -> None:
    before = await meter(gateway).read(REQUESTS)
    holder = await gateway.holder()
    assert (await chat(holder, "granite-7b")).status_code == 403
    assert (await chat(holder, "qwen3")).status_code == 200

    assert await meter(gateway).read(REQUESTS) == before + 1


async def test_a_model_that_does_not_exist_makes_no_label(gateway: Platform) -> None:
    assert (await chat(await gateway.holder(), "no-such-model")).status_code == 404

    models = {labels.get("model") for labels in await meter(gateway).labels(REQUESTS)}
    assert "no-such-model" not in models


async def test_hits_are_those_of_requests_too_so_that_tokens_cannot_be_told_from_them(
    gateway: Platform,
) -> None:
    """What docs/metrics.md says; should it change, tokens could be counted per user."""
    assert (await chat(await gateway.holder(), "qwen3")).status_code == 200
    namespace = {"limitador_namespace": "maas/maas-inference"}

    hits = await meter(gateway).read("authorized_hits", **namespace)
    requests = await meter(gateway).read(REQUESTS, **namespace)
    assert hits == requests - await meter(gateway).read(REQUESTS, **namespace, code="429") > 0
