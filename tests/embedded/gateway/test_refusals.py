from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from starlette.responses import JSONResponse, Response

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    import httpx

    from tests.embedded.gateway.conftest import Stage

    Running = Callable[..., AbstractAsyncContextManager[Stage]]


def error_code(response: httpx.Response) -> str:
    assert response.headers["content-type"] == "application/json"
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    code: str = error["code"]
    return code


async def test_what_the_authorizer_says_reaches_the_client(stage: Stage) -> None:
    response = await stage.client.post("/v1/chat/completions", json={"model": "opt"})

    assert response.status_code == 401
    assert response.json()["error"]["code"] == "invalid_token"
    assert response.headers["content-type"] == "application/json"
    assert response.headers["www-authenticate"] == "Bearer"
    assert "x-internal-detail" not in response.headers
    assert not stage.model.received
    assert not stage.public.received


@pytest.mark.parametrize("status", [400, 403, 404, 413, 429])
async def test_no_answer_of_the_authorizer_is_rewritten(stage: Stage, status: int) -> None:
    body = {"error": {"message": "as the authorizer says"}}
    stage.authorizer.answer = lambda _: JSONResponse(body, status, headers={"retry-after": "5"})

    response = await stage.chat("free:alice")

    assert (response.status_code, response.json()) == (status, body)
    assert response.headers.get_list("retry-after") == ["5"]


async def test_refused_requests_cost_nothing(stage: Stage) -> None:
    authorize, stage.authorizer.answer = stage.authorizer.answer, lambda _: Response(status_code=403)
    for _ in range(5):
        await stage.chat("free:alice")
    stage.authorizer.answer = authorize

    assert (await stage.chat("free:alice")).headers["x-ratelimit-remaining"] == "2"


async def test_without_the_authorizer_nothing_passes(running: Running, closed_port: tuple[str, int]) -> None:
    async with running(gateway_app=closed_port) as stage:
        response = await stage.chat("premium:alice")

        assert response.status_code == 503
        assert error_code(response) == "service_unavailable"
        assert not stage.model.received
        assert (await stage.client.get("/maas-api/tier")).status_code == 200


async def test_a_failing_authorizer_lets_nothing_pass(stage: Stage) -> None:
    stage.authorizer.answer = lambda _: Response("Traceback: secret", status_code=500)

    response = await stage.chat("premium:alice")

    assert response.status_code == 503
    assert error_code(response) == "service_unavailable"
    assert not stage.model.received


async def test_a_model_that_cannot_be_reached_is_an_openai_error(
    running: Running, closed_port: tuple[str, int]
) -> None:
    async with running(model=closed_port) as stage:
        response = await stage.chat("premium:alice")

        assert response.status_code == 503
        assert error_code(response) == "service_unavailable"


async def test_a_service_that_cannot_be_reached_is_a_problem(
    running: Running, closed_port: tuple[str, int]
) -> None:
    async with running(public_app=closed_port) as stage:
        response = await stage.client.get("/maas-api/tier")

        assert response.status_code == 503
        assert response.headers["content-type"] == "application/problem+json"
        assert response.headers["retry-after"] == "1"
        problem = response.json()
        assert (problem["status"], problem["code"]) == (503, "upstream_unavailable")


async def test_errors_of_a_model_are_its_own(stage: Stage) -> None:
    stage.model.answer = lambda _: JSONResponse({"error": {"message": "out of memory"}}, 503)

    assert (await stage.chat("premium:alice")).json() == {"error": {"message": "out of memory"}}


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_request_that_is_too_large_is_refused(running: Running, *, chunked: bool) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield b"x" * 100

    async with running(max_request_bytes=1000) as stage:
        response = await stage.client.post(
            "/v1/chat/completions",
            content=chunks() if chunked else b"x" * 3000,
            headers={"authorization": "Bearer premium:alice"},
        )

        assert response.status_code == 413
        assert error_code(response) == "request_too_large"
        assert "1000 bytes" in response.json()["error"]["message"]
        assert not stage.authorizer.received


async def test_a_large_request_passes_whole(stage: Stage) -> None:
    picture = "x" * 3 * 1024 * 1024
    response = await stage.client.post(
        "/v1/chat/completions",
        json={"model": "opt", "picture": picture},
        headers={"authorization": "Bearer premium:alice"},
    )

    assert response.json()["app"] == "model"
    assert len(stage.model.received[0].body) > len(picture)
    assert stage.authorizer.received[0].body == stage.model.received[0].body
