"""Requests and LLM tokens per user, tier and model, as the shipped overlay has the real Envoy count them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.e2e.envoy_gateway.machine import PATIENT
from tests.e2e.inference import CHAT, chat, statuses
from tests.e2e.stubs import USAGE
from tests.meters import REQUESTS, TOKENS, UNMETERED
from tests.workspace import eventually

if TYPE_CHECKING:
    from tests.e2e.envoy_gateway.platform import Platform

pytestmark = PATIENT


async def users(gateway: Platform) -> set[str]:
    return {labels["user"] for labels in await gateway.meter.labels(REQUESTS) if "user" in labels}


async def test_requests_and_tokens_are_counted(gateway: Platform) -> None:
    meter, strangers = gateway.meter, await users(gateway)
    holder = await gateway.holder()
    usage = (await chat(holder, "simulator")).json()["usage"]
    options = {"stream": True, "stream_options": {"include_usage": True}}
    assert (await chat(holder, "simulator", **options)).text.endswith("data: [DONE]\n\n")
    assert await statuses(holder, 9, "simulator") == [200] * 8 + [429]

    async def newcomers() -> set[str]:
        return await users(gateway) - strangers

    (user,) = await eventually(newcomers)
    person = {"user": user, "tier": "free", "model": "simulator"}
    await meter.reads(10, REQUESTS, **person, code="200")
    await meter.reads(1, REQUESTS, **person, code="429")
    await meter.reads(10 * usage["completion_tokens"], TOKENS, **person, type="completion")
    await meter.reads(10 * usage["prompt_tokens"], TOKENS, **person, type="prompt")
    assert await meter.read(UNMETERED, **person) == 0
    answered = await meter.read(REQUESTS, tier="free", model="simulator", code="200")
    await meter.reads(answered, "maas_gateway_first_byte_milliseconds_count", tier="free", model="simulator")


async def test_a_model_whose_path_is_another_one_is_counted(gateway: Platform) -> None:
    model = {"tier": "premium", "model": "facebook-opt-125m"}
    before = await gateway.meter.read(TOKENS, **model)
    assert (await chat(await gateway.holder("premium-users"), "facebook-opt-125m")).status_code == 200

    await gateway.meter.reads(before + USAGE["total_tokens"], TOKENS, **model)


async def test_a_stream_that_says_no_usage_is_noted(gateway: Platform) -> None:
    model = {"tier": "premium", "model": "simulator"}
    before = await gateway.meter.read(UNMETERED, **model)
    assert (await chat(await gateway.holder("premium-users"), "simulator", stream=True)).status_code == 200

    await gateway.meter.reads(before + 1, UNMETERED, **model)


async def test_who_is_refused_is_counted_and_not_named(gateway: Platform) -> None:
    meter, strangers = gateway.meter, await users(gateway)
    before = {code: await meter.read(REQUESTS, code=code) for code in ("401", "403", "404")}
    forged = {"x-maas-user": "root", "x-maas-tier": "enterprise", "x-maas-model": "qwen3"}
    holder = await gateway.holder()
    assert (await gateway.client.post(CHAT, json={"model": "qwen3"}, headers=forged)).status_code == 401
    assert (await chat(holder, "granite-7b", headers=forged)).status_code == 403
    assert (await chat(holder, "no-such-model", headers=forged)).status_code == 404

    for code, count in before.items():
        await meter.reads(count + 1, REQUESTS, code=code)
    refused = [labels for labels in await meter.labels(REQUESTS) if labels["code"] in before]
    assert all(labels.keys() == {"code"} for labels in refused)
    assert await users(gateway) == strangers


async def test_forged_headers_make_no_labels(gateway: Platform) -> None:
    forged = {"x-maas-user": "root", "X-MaaS-Tier": "enterprise", "x_maas_model": "granite-7b"}
    holder = await gateway.holder("premium-users")
    before = await gateway.meter.read(TOKENS, tier="premium", model="qwen3")
    assert (await chat(holder, "qwen3", headers=forged)).status_code == 200

    await gateway.meter.reads(before + USAGE["total_tokens"], TOKENS, tier="premium", model="qwen3")
    assert "root" not in await users(gateway)


async def test_only_inference_is_counted(gateway: Platform) -> None:
    holder = await gateway.holder()
    before = await gateway.meter.read(REQUESTS)
    assert (await holder.get("/v1/models")).status_code == 200
    assert (await gateway.client.get("/maas-api/openapi.json")).status_code == 200
    assert (await chat(holder, "simulator")).status_code == 200

    await gateway.meter.reads(before + 1, REQUESTS)


async def test_a_long_answer_passes_whole_and_is_counted(gateway: Platform) -> None:
    model = {"tier": "enterprise", "model": "simulator"}
    before = await gateway.meter.read(TOKENS, **model, type="completion")
    holder = await gateway.holder("enterprise-users")
    answer = await chat(holder, "simulator", n=16, messages=[{"role": "user", "content": "x" * 100_000}])

    assert len(answer.content) > 1_500_000
    tokens = answer.json()["usage"]["completion_tokens"]
    await gateway.meter.reads(before + tokens, TOKENS, **model, type="completion")
