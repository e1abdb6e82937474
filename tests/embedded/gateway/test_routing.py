from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from starlette.responses import Response

if TYPE_CHECKING:
    from tests.embedded.gateway.conftest import Stage

FORGED = {
    "X-MaaS-User": "root",
    "x-maas-tier": "enterprise",
    "x-maas-model": "granite",
    "x-maas-anything": "else",
    "x_maas_user": "root",
    "x-forwarded-user": "root",
    "x-forwarded-for": "6.6.6.6",
    "x-remote-user": "root",
    "x-envoy-upstream-rq-timeout-ms": "1",
    "x-request-id": "forged",
}


async def test_the_model_in_the_body_chooses_the_route(stage: Stage) -> None:
    response = await stage.chat("premium:alice", "granite")

    assert response.json() == {"app": "model", "path": "/v1/chat/completions"}
    assert stage.model.received[0].headers["x-maas-model"] == "granite"
    assert stage.model.received[0].body == b'{"model":"granite"}'


async def test_a_model_without_a_route_falls_through_to_the_service(stage: Stage) -> None:
    assert (await stage.chat("premium:alice", "gpt-9")).json()["app"] == "public"


async def test_forged_headers_are_overwritten(stage: Stage) -> None:
    response = await stage.chat("premium:alice", "opt", headers=FORGED)

    headers = stage.model.received[0].headers
    assert headers["x-maas-user"] == "alice"
    assert headers["x-maas-tier"] == "premium"
    assert headers["x-maas-model"] == "opt"
    assert headers["x-request-id"] == response.headers["x-request-id"] != "forged"
    for name in ("x-maas-anything", "x_maas_user", "x-forwarded-user", "x-remote-user", "x-not-allowed"):
        assert name not in headers
    assert "6.6.6.6" not in headers["x-forwarded-for"]
    assert "root" not in headers.values()


async def test_a_forged_model_header_chooses_nothing(stage: Stage) -> None:
    stage.authorizer.answer = lambda _: Response()

    response = await stage.client.post(
        "/v1/chat/completions", headers={"authorization": "Bearer x", "x-maas-model": "opt"}
    )

    assert response.json()["app"] == "public"
    assert "x-maas-model" not in stage.public.received[0].headers


async def test_forged_headers_are_removed_before_the_token_api_too(stage: Stage) -> None:
    await stage.client.get("/maas-api/tokens", headers=FORGED)

    assert "root" not in stage.public.received[0].headers.values()


async def test_credentials_stop_at_the_gateway(stage: Stage) -> None:
    secrets = {"x-forwarded-access-token": "sha256~secret", "cookie": "session=secret"}
    await stage.chat("premium:alice", headers=secrets)

    headers = stage.model.received[0].headers
    assert not {"authorization", *secrets} & set(headers)
    assert not any("secret" in value for value in headers.values())


async def test_the_authorizer_sees_the_request(stage: Stage) -> None:
    await stage.client.post(
        "/v1/chat/completions?a=b",
        json={"model": "opt"},
        headers={"authorization": "Bearer premium:alice", "x-secret": "mine"},
    )

    got = stage.authorizer.received[0]
    assert (got.path, got.query) == ("/internal/authorize/v1/chat/completions", "a=b")
    assert got.body == b'{"model":"opt"}'
    assert got.headers["authorization"] == "Bearer premium:alice"
    assert got.headers["content-type"] == "application/json"
    assert got.headers["x-request-id"] == stage.model.received[0].headers["x-request-id"]
    assert "x-secret" not in got.headers


async def test_a_compressed_body_says_so_to_the_authorizer(stage: Stage) -> None:
    await stage.chat("premium:alice", headers={"content-encoding": "gzip"})

    assert stage.authorizer.received[0].headers["content-encoding"] == "gzip"


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/org/model"])
async def test_models_are_listed_by_the_service_for_the_holder_of_a_token(stage: Stage, path: str) -> None:
    response = await stage.client.get(path, headers={"authorization": "Bearer free:alice"})

    assert response.json() == {"app": "public", "path": path}
    assert stage.public.received[0].headers["authorization"] == "Bearer free:alice"
    assert stage.authorizer.received[0].path == f"/internal/authorize{path}"


async def test_an_escaped_slash_in_a_models_name_is_redirected_to_the_plain_one(stage: Stage) -> None:
    response = await stage.client.get(
        "/v1/models/org%2Fmodel", headers={"authorization": "Bearer free:alice"}, follow_redirects=True
    )

    assert [step.status_code for step in response.history] == [307]
    assert response.json()["path"] == "/v1/models/org/model"


@pytest.mark.parametrize("path", ["/maas-api", "/maas-api/token"])
async def test_the_token_api_is_not_authorized_by_the_gateway(stage: Stage, path: str) -> None:
    caller = {"authorization": "Bearer caller", "x-forwarded-access-token": "sha256~caller"}
    response = await stage.client.post(path, headers=caller, json={})

    assert response.json() == {"app": "public", "path": path}
    assert caller.items() <= dict(stage.public.received[0].headers).items()
    assert not stage.authorizer.received
    assert "x-ratelimit-limit" not in response.headers


@pytest.mark.parametrize("path", ["/", "/v1x", "/maas-apis", "/v2/models", "/metrics", "/healthz"])
async def test_there_is_nothing_else(stage: Stage, path: str) -> None:
    response = await stage.client.get(path)

    assert response.status_code == 404
    assert response.headers["content-type"] == "application/json"
    assert response.json()["error"]["code"] == "not_found"
    assert not stage.public.received
    assert not stage.authorizer.received


async def test_models_come_and_go_while_the_gateway_runs(stage: Stage) -> None:
    stage.gateway.update({"free": 3, "premium": 100}, ["mistral"])

    async def app(model: str) -> str:
        answer: dict[str, str] = (await stage.chat("premium:alice", model)).json()
        return answer["app"]

    while await app("mistral") != "model":
        pass
    assert await app("opt") == "public"
