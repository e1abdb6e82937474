from __future__ import annotations

from typing import TYPE_CHECKING

import openai
import pytest

from app.embedded.simulator import SimulatorSettings, create_simulator
from tests.loopback import serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def sdk() -> AsyncIterator[openai.AsyncOpenAI]:
    app = create_simulator(SimulatorSettings(models=("opt",)))
    async with serve(app) as (host, port):
        url = f"http://{host}:{port}/v1"
        async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as sdk:
            yield sdk


async def test_the_sdk_reads_an_answer(sdk: openai.AsyncOpenAI) -> None:
    answer = await sdk.chat.completions.create(
        model="opt", messages=[{"role": "user", "content": "Hello"}], max_completion_tokens=5
    )

    assert answer.choices[0].message.content == "Hello! This is opt"
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage
    assert answer.usage.total_tokens == 6


async def test_the_sdk_reads_a_stream(sdk: openai.AsyncOpenAI) -> None:
    stream = await sdk.chat.completions.create(
        model="opt",
        messages=[{"role": "user", "content": "Hello"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]

    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert said == "Hello! This is opt, simulated. You said: Hello"
    assert chunks[-1].usage
    assert chunks[-1].usage.completion_tokens == 12


async def test_the_sdk_reads_completions_embeddings_and_models(sdk: openai.AsyncOpenAI) -> None:
    completion = await sdk.completions.create(model="opt", prompt="Hello")
    embeddings = await sdk.embeddings.create(model="opt", input=["a", "b"])
    models = await sdk.models.list()

    assert completion.choices[0].text.endswith("Hello")
    assert [len(entry.embedding) for entry in embeddings.data] == [8, 8]
    assert [model.id for model in models.data] == ["opt"]


async def test_the_sdk_knows_the_errors(sdk: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        await sdk.completions.create(model="other", prompt="Hello")
    with pytest.raises(openai.BadRequestError, match="max_tokens"):
        await sdk.completions.create(model="opt", prompt="Hello", max_tokens=0)
