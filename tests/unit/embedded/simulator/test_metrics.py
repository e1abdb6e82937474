from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.embedded.simulator import Clock, SimulatorSettings, create_simulator
from tests.loopback import serve

BODY = {"model": "opt", "messages": [{"role": "user", "content": "Hello you"}], "max_tokens": 4}


async def sample(client: httpx.AsyncClient, name: str, **labels: str) -> float | None:
    response = await client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    for family in text_string_to_metric_families(response.text):
        for candidate in family.samples:
            if candidate.name == f"vllm:{name}" and labels.items() <= candidate.labels.items():
                return candidate.value
    return None


@pytest.mark.parametrize("stream", [False, True])
async def test_requests_are_measured_under_vllm_names(client: httpx.AsyncClient, *, stream: bool) -> None:
    await client.post("/v1/chat/completions", json={**BODY, "stream": stream})

    async def value(name: str, **labels: str) -> float | None:
        return await sample(client, name, model_name="opt", **labels)

    assert await value("prompt_tokens_total") == 2
    assert await value("generation_tokens_total") == 4
    assert await value("request_success_total", finished_reason="length") == 1
    assert await value("num_requests_running") == 0
    assert await value("num_requests_waiting") == 0
    assert await value("time_to_first_token_seconds_sum") == pytest.approx(0.5)
    assert await value("time_per_output_token_seconds_count") == 3
    assert await value("inter_token_latency_seconds_sum") == pytest.approx(0.06)
    assert await value("e2e_request_latency_seconds_sum") == pytest.approx(0.56)
    assert await value("request_prefill_time_seconds_sum") == pytest.approx(0.5)
    assert await value("request_decode_time_seconds_sum") == pytest.approx(0.06)
    assert await value("request_prompt_tokens_sum") == 2
    assert await value("request_generation_tokens_sum") == 4


async def test_nobody_waits_and_no_cache_fills(client: httpx.AsyncClient) -> None:
    await client.post("/v1/chat/completions", json=BODY)

    for name in ("request_queue_time_seconds_sum", "kv_cache_usage_perc", "num_preemptions_total"):
        assert await sample(client, name, model_name="opt") == 0
    assert await sample(client, "request_queue_time_seconds_count", model_name="opt") == 1


async def test_an_embedding_reads_tokens_and_writes_none(client: httpx.AsyncClient) -> None:
    await client.post("/v1/embeddings", json={"model": "opt", "input": ["Hello you", "and me"]})

    assert await sample(client, "prompt_tokens_total", model_name="opt") == 4
    assert await sample(client, "request_success_total", model_name="opt", finished_reason="stop") == 1
    assert await sample(client, "e2e_request_latency_seconds_count", model_name="opt") == 1
    assert await sample(client, "generation_tokens_total", model_name="opt") is None
    assert await sample(client, "request_generation_tokens_count", model_name="opt") is None


async def test_a_request_counts_as_running_until_its_stream_ends(settings: SimulatorSettings) -> None:
    seen: list[float | None] = []

    async def look(_: float) -> None:
        seen.append(await sample(client, "num_requests_running"))

    app = httpx.ASGITransport(create_simulator(settings, Clock(sleep=look)))
    async with httpx.AsyncClient(transport=app, base_url="http://simulator") as client:
        await client.post("/v1/chat/completions", json={**BODY, "stream": True})

        assert seen == [1, 1, 1, 1]
        assert await sample(client, "num_requests_running") == 0


async def test_a_client_that_goes_away_is_not_running_any_more() -> None:
    app = create_simulator(SimulatorSettings(token_seconds=60))
    async with (
        serve(app) as (host, port),
        httpx.AsyncClient(base_url=f"http://{host}:{port}", trust_env=False) as client,
    ):
        async with client.stream("POST", "/v1/chat/completions", json={**BODY, "stream": True}) as response:
            await anext(response.aiter_lines())
            assert await sample(client, "num_requests_running") == 1

        async with asyncio.timeout(5):
            while await sample(client, "num_requests_running"):
                pass
        assert await sample(client, "request_success_total") is None


async def test_names_of_models_cannot_fill_the_memory() -> None:
    app = httpx.ASGITransport(create_simulator())
    async with httpx.AsyncClient(transport=app, base_url="http://simulator") as client:
        body: dict[str, Any] = {"prompt": "x", "max_tokens": 1}
        for number in range(102):
            await client.post("/v1/completions", json={"model": f"model-{number}", **body})

        assert await sample(client, "generation_tokens_total", model_name="model-99") == 1
        assert await sample(client, "generation_tokens_total", model_name="model-100") is None
        assert await sample(client, "generation_tokens_total", model_name="other") == 2


async def test_models_and_health_are_told(client: httpx.AsyncClient) -> None:
    models = (await client.get("/v1/models")).json()

    assert models["object"] == "list"
    assert models["data"][0] == {
        "id": "granite-7b",
        "object": "model",
        "created": 1_700_000_000,
        "owned_by": "simulator",
    }
    assert (await client.get("/health")).status_code == 200
