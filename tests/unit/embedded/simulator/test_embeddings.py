from __future__ import annotations

import base64
import math
import struct
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import httpx


async def embed(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    response = await client.post("/v1/embeddings", json={"model": "opt", **fields})
    assert response.status_code == 200
    answer: dict[str, Any] = response.json()
    return answer


async def vectors(client: httpx.AsyncClient, *texts: str) -> list[list[float]]:
    return [entry["embedding"] for entry in (await embed(client, input=texts))["data"]]


async def test_the_same_text_has_the_same_vector(client: httpx.AsyncClient) -> None:
    first, second, other = await vectors(client, "red apple", "red apple", "blue sky")

    assert first == second != other


async def test_texts_that_share_words_are_near_each_other(client: httpx.AsyncClient) -> None:
    apple, pie, sky = await vectors(client, "an apple", "an apple pie", "blue sky tomorrow")

    assert math.dist(apple, pie) < math.dist(apple, sky)


@pytest.mark.parametrize("text", ["hello", ""])
async def test_vectors_have_length_one(client: httpx.AsyncClient, text: str) -> None:
    (entry,) = (await embed(client, input=text, dimensions=5))["data"]

    assert len(entry["embedding"]) == 5
    assert math.hypot(*entry["embedding"]) == pytest.approx(1)


async def test_base64_holds_the_same_numbers(client: httpx.AsyncClient) -> None:
    (plain,) = await vectors(client, "hello")
    (entry,) = (await embed(client, input="hello", encoding_format="base64"))["data"]

    assert struct.unpack("<8f", base64.b64decode(entry["embedding"])) == pytest.approx(plain)


async def test_the_usage_counts_every_text(client: httpx.AsyncClient) -> None:
    answer = await embed(client, input=["two words", "three, words"])

    assert answer["usage"] == {"prompt_tokens": 5, "total_tokens": 5}
    assert answer["model"] == "opt"
