"""The OpenAI SDK, as anyone would use it, through the gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

import openai
import pytest

from tests.maasctl import question

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from openai.types.chat import ChatCompletionMessageParam

    from tests.embedded.conftest import Newcomer
    from tests.maasctl import Up

    Client = Callable[[str], openai.AsyncOpenAI]

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello!"}]


@pytest.fixture
async def client(platform: Up) -> AsyncIterator[Client]:
    async with openai.DefaultAsyncHttpxClient(verify=platform.trust(), trust_env=False) as http:

        def client(api_key: str) -> openai.AsyncOpenAI:
            return openai.AsyncOpenAI(
                api_key=api_key, base_url=f"{platform.url}/v1", http_client=http, max_retries=0
            )

        yield client


@pytest.fixture
async def sdk(client: Client, platform: Up, newcomer: Newcomer) -> openai.AsyncOpenAI:
    """The SDK with a new token of someone of tier free."""
    return client((await platform.person(newcomer.token).issued())["token"])


async def test_the_sdk_lists_models(sdk: openai.AsyncOpenAI) -> None:
    assert [model.id async for model in sdk.models.list()] == ["facebook-opt-125m", "qwen3"]
    assert (await sdk.models.retrieve("qwen3")).id == "qwen3"


async def test_the_sdk_chats(sdk: openai.AsyncOpenAI) -> None:
    answer = await sdk.chat.completions.create(model="qwen3", messages=HELLO)

    assert "Hello!" in (answer.choices[0].message.content or "")
    assert answer.usage
    assert answer.usage.total_tokens > 0


async def test_the_sdk_streams_and_counts(sdk: openai.AsyncOpenAI) -> None:
    stream = await sdk.chat.completions.create(
        model="qwen3", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]

    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert "Hello!" in said
    assert chunks[-1].usage
    assert chunks[-1].usage.completion_tokens > 0


async def test_the_sdk_says_when_a_limit_is_spent(sdk: openai.AsyncOpenAI) -> None:
    for _ in range(10):
        await sdk.chat.completions.create(model="qwen3", messages=HELLO)

    with pytest.raises(openai.RateLimitError) as refused:
        await sdk.chat.completions.create(model="qwen3", messages=HELLO)

    assert refused.value.code == "rate_limit_exceeded"
    assert int(refused.value.response.headers["retry-after"]) >= 1


async def test_the_sdk_says_what_is_forbidden(sdk: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.PermissionDeniedError) as refused:
        await sdk.chat.completions.create(model="granite-7b", messages=HELLO)
    assert refused.value.code == "model_forbidden"


async def test_the_sdk_says_what_is_not_there(sdk: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        await sdk.chat.completions.create(model="gpt-17", messages=HELLO)
    assert refused.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        await sdk.models.retrieve("granite-7b")


@pytest.mark.parametrize("api_key", ["sk-nothing", "eyJhbGciOiJub25lIn0.e30.", "sha256~alice"])
async def test_the_sdk_says_that_a_token_is_no_good(client: Client, api_key: str) -> None:
    with pytest.raises(openai.AuthenticationError):
        await client(api_key).chat.completions.create(model="qwen3", messages=HELLO)
    with pytest.raises(openai.AuthenticationError):
        await client(api_key).models.list()


async def test_the_sdk_says_that_a_token_was_revoked(
    client: Client, platform: Up, newcomer: Newcomer
) -> None:
    person = platform.person(newcomer.token)
    issued = await person.issued()
    sdk = client(issued["token"])
    await sdk.chat.completions.create(model="qwen3", messages=HELLO)

    await person.delete(f"/maas-api/tokens/{issued['id']}")

    with pytest.raises(openai.AuthenticationError):
        await sdk.chat.completions.create(model="qwen3", messages=HELLO)


async def test_the_sdk_says_what_is_wrong_with_a_request(sdk: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError):
        await sdk.post("/chat/completions", cast_to=object, body={**question(), "model": 7})
