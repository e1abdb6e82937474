"""Requests and LLM tokens per user, tier and model, as the gateway counts them."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import openai
import pytest
from starlette.responses import JSONResponse, Response, StreamingResponse

from app.embedded.gateway.metering import MeteringSettings
from app.embedded.simulator import SimulatorSettings, create_simulator
from tests.embedded.gateway.wire import http1, http2
from tests.loopback import serve
from tests.meters import REQUESTS, TOKENS, UNMETERED, Meter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    import httpx

    from tests.embedded.gateway.conftest import Stage
    from tests.embedded.gateway.stubs import Received

    Running = Callable[..., AbstractAsyncContextManager[Stage]]

HELLO: Any = [{"role": "user", "content": "Hello there, model!"}]
ALICE = {"user": "alice", "tier": "free", "model": "opt"}
BOB = {"user": "bob", "tier": "premium", "model": "opt"}
USAGE = {"prompt_tokens": 7, "completion_tokens": 11, "total_tokens": 18}


@pytest.fixture
async def simulator() -> AsyncIterator[tuple[str, int]]:
    async with serve(create_simulator(SimulatorSettings(force_include_usage=True))) as address:
        yield address


def answers(document: Any) -> Callable[[Received], Response]:
    return lambda _: JSONResponse(document)


def streams(*events: str, media_type: str = "text/event-stream") -> Callable[[Received], Response]:
    async def body() -> AsyncIterator[str]:
        for event in events:
            yield f"data: {event}\n\n"

    return lambda _: StreamingResponse(body(), media_type=media_type)


async def ask(stage: Stage, token: str, path: str = "chat/completions", **body: Any) -> httpx.Response:
    response = await stage.client.post(
        f"/v1/{path}", json={"model": "opt", **body}, headers={"authorization": f"Bearer {token}"}
    )
    assert response.status_code == 200
    return response


async def test_requests_and_tokens_of_whole_answers_are_counted(
    running: Running, simulator: tuple[str, int]
) -> None:
    async with running(model=simulator) as stage:
        meter = Meter.of(stage.gateway)
        said = [
            (await ask(stage, "free:alice:laptop", messages=HELLO)).json()["usage"],
            (await ask(stage, "free:alice:phone", "completions", prompt="One two")).json()["usage"],
            (await ask(stage, "free:alice:phone", "embeddings", input=["One", "two three"])).json()["usage"],
        ]
        await ask(stage, "premium:bob", messages=HELLO, max_tokens=3)

        await meter.reads(3, REQUESTS, **ALICE, code="200")
        await meter.reads(1, REQUESTS, **BOB, code="200")
        prompt, completion = (
            sum(usage.get(f"{kind}_tokens", 0) for usage in said) for kind in ("prompt", "completion")
        )
        assert prompt > 0
        assert completion > 0
        assert await meter.read(TOKENS, **ALICE, type="prompt") == prompt
        assert await meter.read(TOKENS, **ALICE, type="completion") == completion
        assert await meter.read(TOKENS, **BOB, type="completion") == 3
        assert await meter.read(UNMETERED) == 0


async def test_a_stream_counts_whether_its_client_asks_for_the_usage_or_not(
    running: Running, simulator: tuple[str, int]
) -> None:
    async with running({"free": 100}, model=simulator) as stage:
        meter = Meter.of(stage.gateway)
        for path, body in [("chat/completions", {"messages": HELLO}), ("completions", {"prompt": "a b c"})]:
            before = await meter.read(TOKENS, **ALICE)
            total = (await ask(stage, "free:alice", path, **body)).json()["usage"]["total_tokens"]
            await ask(stage, "free:alice", path, **body, stream=True)
            options = {"include_usage": False}
            await ask(stage, "free:alice", path, **body, stream=True, stream_options=options)

            await meter.reads(before + 3 * total, TOKENS, **ALICE)
        assert await meter.read(UNMETERED) == 0


async def test_the_openai_sdk_streams_as_ever_and_is_counted(
    running: Running, simulator: tuple[str, int]
) -> None:
    async with running(model=simulator) as stage:
        host, port = stage.gateway.address
        async with openai.AsyncOpenAI(
            api_key="free:alice:1",
            base_url=f"https://{host}:{port}/v1",
            http_client=openai.DefaultAsyncHttpxClient(verify=stage.trust(), trust_env=False),
            max_retries=0,
        ) as sdk:
            stream = await sdk.chat.completions.create(model="opt", messages=HELLO, stream=True)
            chunks = [chunk async for chunk in stream]

        pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
        assert "".join(pieces).startswith("Hello! This is opt")
        await Meter.of(stage.gateway).reads(
            sum(bool(piece) for piece in pieces), TOKENS, **ALICE, type="completion"
        )


async def test_a_stream_comes_as_it_is_written_and_counts_as_far_as_it_came(running: Running) -> None:
    settings = SimulatorSettings(force_include_usage=True, token_seconds=60)
    async with serve(create_simulator(settings)) as slow, running(model=slow) as stage:
        meter = Meter.of(stage.gateway)
        request = stage.client.stream(
            "POST",
            "/v1/chat/completions",
            json={"model": "opt", "messages": HELLO, "stream": True},
            headers={"authorization": "Bearer free:alice"},
        )
        async with request as response:
            # The second token takes a minute, and the client waits ten seconds for anything.
            lines = (line async for line in response.aiter_lines() if line)
            _, first_token = await anext(lines), await anext(lines)
        said = json.loads(first_token.removeprefix("data: "))["usage"]

        assert said["completion_tokens"] == 1
        await meter.reads(1, REQUESTS, **ALICE, code="200")
        assert await meter.read(TOKENS, **ALICE, type="completion") == 1
        assert await meter.read(TOKENS, **ALICE, type="prompt") == said["prompt_tokens"]


@pytest.mark.parametrize(
    "stream",
    [
        ['{"choices":[{}],"usage":null}', json.dumps({"choices": [], "usage": USAGE}), "[DONE]"],
        [
            json.dumps({"type": "response.created", "response": {"usage": None}}),
            json.dumps(
                {
                    "type": "response.completed",
                    "response": {"usage": {"input_tokens": 7, "output_tokens": 11}},
                }
            ),
        ],
        [json.dumps({"choices": [{"text": "x" * 900_000}]}), json.dumps({"usage": USAGE})],
    ],
    ids=["usage at the end", "Responses API", "a very long event"],
)
async def test_usage_is_found_in_streams_of_every_kind(stage: Stage, stream: list[str]) -> None:
    stage.model.answer = streams(*stream)
    response = await ask(stage, "free:alice")

    assert response.text == "".join(f"data: {event}\n\n" for event in stream)
    meter = Meter.of(stage.gateway)
    await meter.reads(7, TOKENS, **ALICE, type="prompt")
    assert await meter.read(TOKENS, **ALICE, type="completion") == 11
    assert await meter.read(UNMETERED) == 0


@pytest.mark.parametrize(
    ("document", "content_type"),
    [
        ({"usage": USAGE, "choices": ["x" * 5_000_000]}, "application/json"),
        (
            {"choices": [], "usage": {"input_tokens": 7, "output_tokens": 11}},
            "application/json; charset=utf-8",
        ),
    ],
    ids=["several MB", "Responses API"],
)
async def test_usage_is_found_in_answers_of_every_kind(
    stage: Stage, document: dict[str, Any], content_type: str
) -> None:
    body = json.dumps(document)
    stage.model.answer = lambda _: Response(body, media_type=content_type)

    assert (await ask(stage, "free:alice")).text == body
    meter = Meter.of(stage.gateway)
    await meter.reads(7, TOKENS, **ALICE, type="prompt")
    assert await meter.read(TOKENS, **ALICE, type="completion") == 11


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"usage": {"prompt_tokens": 7', "application/json"),
        (b"[1, 2]", "application/json"),
        (b"", "application/json"),
        (b'{"usage": null}', "application/json"),
        (b'{"usage": {"prompt_tokens": -7, "completion_tokens": -1}}', "application/json"),
        (b'{"usage": {"prompt_tokens": 1e15}}', "application/json"),
        (b'{"usage": {"prompt_tokens": {"cached": 7}}}', "application/json"),
        (b"\x89PNG" + bytes(range(256)) * 4096, "image/png"),
        (b'{"pad": "' + b"x" * 30_000_000 + b'", "usage": {"prompt_tokens": 7}}', "application/json"),
        (b'data: {"usage": {"prompt_tokens"\n\ndata: [DONE]\n\n', "text/event-stream"),
        (b"data: " + b"x" * 3_000_000, "text/event-stream"),
        (b"", "text/event-stream"),
    ],
    ids=[
        "JSON that ends early",
        "a list",
        "nothing",
        "null",
        "negative",
        "absurd",
        "an object",
        "a picture",
        "30 MB",
        "a malformed event",
        "an event without end",
        "no event",
    ],
)
async def test_an_answer_that_cannot_be_metered_passes_unharmed_and_is_noted(
    stage: Stage, body: bytes, content_type: str
) -> None:
    stage.model.answer = lambda _: Response(body, headers={"content-type": content_type})
    response = await ask(stage, "free:alice")

    assert response.content == body
    meter = Meter.of(stage.gateway)
    await meter.reads(1, UNMETERED, **ALICE)
    assert await meter.read(REQUESTS, **ALICE, code="200") == 1
    assert await meter.labels(TOKENS) == []


@pytest.mark.parametrize("most", [1000, 10 * 1024 * 1024])
async def test_an_answer_passes_unharmed_whatever_may_be_held_of_it(running: Running, most: int) -> None:
    body = json.dumps({"pad": "x" * 12_000_000, "usage": USAGE}).encode()

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 100_000):
            yield body[start : start + 100_000]

    async with running({"free": 100}, max_request_bytes=most) as stage:
        stage.model.answer = lambda _: Response(body, media_type="application/json")
        assert (await ask(stage, "free:alice")).content == body
        stage.model.answer = lambda _: StreamingResponse(pieces(), media_type="application/json")
        assert (await ask(stage, "free:alice")).content == body
        stage.model.answer = answers({"pad": "x" * 500, "usage": USAGE})
        await ask(stage, "free:alice")

        meter = Meter.of(stage.gateway)
        await meter.reads(2, UNMETERED, **ALICE)
        assert await meter.read(TOKENS, **ALICE, type="prompt") == 7


async def test_models_are_not_asked_to_compress_what_has_to_be_read(stage: Stage) -> None:
    await stage.chat("free:alice", headers={"accept-encoding": "gzip"})

    (got,) = stage.model.received
    assert "accept-encoding" not in got.headers


async def test_requests_over_the_limit_are_counted_as_such(stage: Stage) -> None:
    stage.model.answer = answers({"usage": USAGE})
    for _ in range(5):
        await stage.chat("free:alice")

    meter = Meter.of(stage.gateway)
    await meter.reads(2, REQUESTS, **ALICE, code="429")
    assert await meter.read(REQUESTS, **ALICE, code="200") == 3
    assert await meter.read(TOKENS, **ALICE, type="completion") == 33
    assert await meter.read(UNMETERED) == 0


async def test_what_the_authorizer_refuses_names_nobody_and_no_model(stage: Stage) -> None:
    def refuse(status: int) -> Callable[[Received], Response]:
        headers = {"x-maas-user": "root", "x-maas-tier": "enterprise", "x-maas-model": "opt"}
        return lambda _: JSONResponse({"usage": USAGE}, status_code=status, headers=headers)

    for status in (401, 403, 404):
        stage.authorizer.answer = refuse(status)
        response = await stage.chat("free:alice", headers={"x-maas-user": "root", "x-maas-model": "opt"})
        assert response.status_code == status

    meter = Meter.of(stage.gateway)
    for status in (401, 403, 404):
        await meter.reads(1, REQUESTS, code=str(status))
    assert all(labels.keys() == {"code"} for labels in await meter.labels(REQUESTS))
    assert await meter.labels(TOKENS) == []
    assert await meter.labels(UNMETERED) == []


async def test_forged_headers_make_no_labels(stage: Stage) -> None:
    forged = {
        "x-maas-user": "root",
        "X-MaaS-Tier": "enterprise",
        "x-maas-model": "granite",
        "x_maas_user": "root",
    }
    stage.model.answer = answers({"usage": USAGE})
    assert (await stage.chat("free:alice", headers=forged)).status_code == 200

    meter = Meter.of(stage.gateway)
    await meter.reads(1, REQUESTS, code="200")
    assert await meter.labels(REQUESTS) == [{**ALICE, "code": "200"}]
    assert {labels["user"] for labels in await meter.labels(TOKENS)} == {"alice"}


async def test_a_model_cannot_choose_the_labels_of_its_answers(stage: Stage) -> None:
    named = {"x-maas-user": "root", "x-maas-tier": "enterprise"}
    stage.model.answer = lambda _: JSONResponse({"usage": USAGE, "model": "granite"}, headers=named)
    await stage.chat("free:alice")

    meter = Meter.of(stage.gateway)
    await meter.reads(7, TOKENS, **ALICE, type="prompt")
    assert await meter.read(TOKENS) == 18


async def test_only_inference_is_counted(stage: Stage) -> None:
    stage.public.answer = answers({"usage": USAGE})
    for path in ("/maas-api/tokens", "/v1/models", "/v1/models/opt", "/v1/models?limit=1", "/", "/v2"):
        await stage.client.get(path, headers={"authorization": "Bearer free:alice"})
    await stage.chat("free:alice", "opt")

    await Meter.of(stage.gateway).reads(1, REQUESTS)
    assert await Meter.of(stage.gateway).labels(TOKENS) == []


async def test_a_model_that_is_away_is_counted_too(running: Running, closed_port: tuple[str, int]) -> None:
    async with running(model=closed_port) as stage:
        await stage.chat("free:alice")

        await Meter.of(stage.gateway).reads(1, REQUESTS, **ALICE, code="503")
        assert await Meter.of(stage.gateway).read(UNMETERED) == 0


async def test_http_2_counts_as_http_1_does(stage: Stage) -> None:
    stage.authorizer.answer = lambda _: Response(headers={f"x-maas-{name}": ALICE[name] for name in ALICE})
    stage.model.answer = answers({"usage": USAGE})
    for send in (http1, http2):
        await send(stage.gateway.address, stage.trust(), "/v1/responses/1")

    await Meter.of(stage.gateway).reads(2, REQUESTS, **ALICE, code="200")
    assert await Meter.of(stage.gateway).read(TOKENS, **ALICE, type="prompt") == 14


async def test_names_of_people_are_as_the_authorizer_writes_them(stage: Stage) -> None:
    name = "system:serviceaccount:ns:a.b-c@example.com/%22x%22~%C3%A9"
    stage.authorizer.answer = lambda _: Response(
        headers={"x-maas-user": name, "x-maas-tier": "free", "x-maas-model": "opt"}
    )
    await stage.chat("free:alice")

    await Meter.of(stage.gateway).reads(1, REQUESTS, user=name)


async def test_without_the_user_label_nobody_is_named(running: Running) -> None:
    async with running(metering=MeteringSettings(user_label=False)) as stage:
        stage.model.answer = answers({"usage": USAGE})
        await stage.chat("free:alice")
        await stage.chat("free:bob")
        stage.model.answer = answers({})
        await stage.chat("free:bob")

        meter = Meter.of(stage.gateway)
        await meter.reads(3, REQUESTS, tier="free", model="opt", code="200")
        for name in (REQUESTS, TOKENS, UNMETERED):
            assert not any("user" in labels for labels in await meter.labels(name))
        assert await meter.read(TOKENS, tier="free", model="opt", type="prompt") == 14


async def test_with_too_many_series_new_ones_are_left_out_and_nothing_else(running: Running) -> None:
    async with running({"free": 100}, metering=MeteringSettings(max_series=9)) as stage:
        stage.model.answer = answers({"usage": USAGE})
        for user in ("alice", *(f"user-{number}" for number in range(20)), "alice"):
            assert (await ask(stage, f"free:{user}")).json() == {"usage": USAGE}

        meter = Meter.of(stage.gateway)
        await meter.reads(2, REQUESTS, **ALICE)
        assert await meter.read(TOKENS, **ALICE, type="prompt") == 14
        assert len([*await meter.labels(REQUESTS), *await meter.labels(TOKENS)]) == 9


async def test_times_are_measured_of_answers_alone(stage: Stage) -> None:
    stage.model.answer = streams(json.dumps({"usage": USAGE}))
    for _ in range(4):
        await stage.chat("free:alice")

    meter = Meter.of(stage.gateway)
    for name in ("maas_gateway_request_milliseconds", "maas_gateway_first_byte_milliseconds"):
        await meter.reads(3, f"{name}_count", tier="free", model="opt")
        assert await meter.read(f"{name}_bucket", tier="free", model="opt", le="+Inf") == 3
        assert not any("user" in labels for labels in await meter.labels(f"{name}_count"))


async def test_concurrent_requests_are_all_counted(running: Running) -> None:
    async with running({"free": 1000}) as stage:
        stage.model.answer = answers({"usage": USAGE})
        await asyncio.gather(*(ask(stage, "free:alice") for _ in range(200)))

        meter = Meter.of(stage.gateway)
        await meter.reads(200, REQUESTS, **ALICE, code="200")
        await meter.reads(200 * 7, TOKENS, **ALICE, type="prompt")


async def test_new_models_and_limits_leave_the_counters_as_they_are(stage: Stage) -> None:
    stage.model.answer = answers({"usage": USAGE})
    await stage.chat("free:alice")
    meter = Meter.of(stage.gateway)
    await meter.reads(1, REQUESTS, **ALICE)
    stage.gateway.update({"free": 5}, ["opt", "mistral"])
    async with asyncio.timeout(5):
        while (await stage.chat("free:bob")).headers["x-ratelimit-limit"] != "5":
            pass
    await stage.chat("free:alice")

    await meter.reads(2, REQUESTS, **ALICE)
