from __future__ import annotations

from typing import Any

import httpx
import pytest

from app.embedded.simulator import create_simulator

CHAT = "/v1/chat/completions"


def error(response: httpx.Response) -> dict[str, Any]:
    body: dict[str, Any] = response.json()["error"]
    assert set(body) == {"message", "type", "param", "code"}
    assert body["code"] == response.status_code
    return body


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, {"messages": [{"role": "user", "content": "x"}]}),
        ("/v1/completions", {"prompt": "x"}),
        ("/v1/embeddings", {"input": "x"}),
    ],
)
async def test_an_unknown_model_is_not_found(
    client: httpx.AsyncClient, path: str, body: dict[str, Any]
) -> None:
    response = await client.post(path, json={"model": "gpt-9", **body})

    assert response.status_code == 404
    assert error(response) == {
        "message": "The model `gpt-9` does not exist.",
        "type": "NotFoundError",
        "param": "model",
        "code": 404,
    }


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (CHAT, {"model": "opt"}, "messages"),
        (CHAT, {"model": "opt", "messages": []}, "messages"),
        (CHAT, {"model": "opt", "messages": [{"content": "x"}]}, "messages"),
        (CHAT, {"model": "opt", "messages": [{"role": "user"}], "max_tokens": 0}, "max_tokens"),
        (CHAT, {"model": "opt", "messages": [{"role": "user"}], "n": 17}, "n"),
        (CHAT, {"model": "", "messages": [{"role": "user"}]}, "model"),
        ("/v1/completions", {"model": "opt", "prompt": {"a": 1}}, "prompt"),
        ("/v1/embeddings", {"model": "opt", "input": []}, "input"),
        ("/v1/embeddings", {"model": "opt", "input": "x", "dimensions": 0}, "dimensions"),
    ],
)
async def test_a_request_that_makes_no_sense_is_told_what_is_wrong(
    client: httpx.AsyncClient, path: str, body: dict[str, Any], field: str
) -> None:
    response = await client.post(path, json=body)

    assert response.status_code == 400
    assert error(response)["param"] == field
    assert error(response)["message"].startswith(f"{field}: ")
    assert error(response)["type"] == "BadRequestError"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff"])
async def test_a_body_that_is_no_json_object_is_refused(client: httpx.AsyncClient, body: bytes) -> None:
    response = await client.post(CHAT, content=body)

    assert response.status_code == 400
    assert error(response)["param"] is None


async def test_a_large_body_is_refused(client: httpx.AsyncClient) -> None:
    response = await client.post(CHAT, content=b" " * 10_001)

    assert response.status_code == 413
    assert "10000 bytes" in error(response)["message"]


async def test_without_names_every_model_is_served() -> None:
    app = httpx.ASGITransport(create_simulator())
    async with httpx.AsyncClient(transport=app, base_url="http://simulator") as client:
        response = await client.post("/v1/completions", json={"model": "any/thing", "prompt": "x"})

    assert response.json()["model"] == "any/thing"
