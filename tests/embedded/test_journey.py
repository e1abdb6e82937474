"""What a person does with the platform, from the first command to the last."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml

from tests.maasctl import Up, chat, question, up
from tests.meters import TOKENS, relabelled
from tests.workspace import eventually

if TYPE_CHECKING:
    from tests.embedded.conftest import Newcomer
    from tests.workspace import Caller

ALICE, BOB, CAROL = "sha256~alice", "sha256~bob", "sha256~carol"


def error_of(response: httpx.Response) -> dict[str, Any]:
    """The error, which has the shape of the OpenAI API's."""
    assert response.headers["content-type"] == "application/json"
    error: dict[str, Any] = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    return error


async def model_ids(holder: Caller) -> set[str]:
    response = await holder.get("/v1/models")
    assert response.status_code == 200, response.text
    assert response.json()["object"] == "list"
    return {model["id"] for model in response.json()["data"]}


async def events(holder: Caller, **options: Any) -> list[str]:
    """The data of a stream's events."""
    response = await chat(holder, stream=True, **options)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    lines = [line for line in response.text.split("\n") if line]
    assert all(line.startswith("data: ") for line in lines)
    return [line.removeprefix("data: ") for line in lines]


async def test_the_check_of_the_guide(platform: Up) -> None:
    headers = {"Authorization": f"Bearer {ALICE}", "X-Forwarded-Access-Token": ALICE}
    response = await platform.client.post("/maas-api/token", headers=headers)

    assert response.status_code == 201
    assert list(response.json())[:3] == ["token", "tier", "expiresAt"]
    assert response.json()["token"].startswith("eyJ")
    assert response.json()["tier"] == "free"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", response.json()["expiresAt"])


@pytest.mark.parametrize("header", ["Authorization", "X-Forwarded-Access-Token"])
async def test_one_of_the_two_headers_is_enough(platform: Up, header: str) -> None:
    value = f"Bearer {BOB}" if header == "Authorization" else BOB
    response = await platform.client.post("/maas-api/token", headers={header: value})
    assert (response.status_code, response.json()["tier"]) == (201, "premium")


async def test_a_list_shows_the_token_without_its_secret(platform: Up, newcomer: Newcomer) -> None:
    person = platform.person(newcomer.token)
    issued = await person.issued(name="laptop", expiration="4h")

    response = await person.get("/maas-api/tokens")

    assert response.status_code == 200
    (listed,) = response.json()["tokens"]
    assert listed["id"] == issued["id"]
    assert (listed["name"], listed["tier"], listed["expiresAt"]) == ("laptop", "free", issued["expiresAt"])
    assert "eyJ" not in response.text


async def test_a_chat_is_answered_as_openai_does(platform: Up, newcomer: Newcomer) -> None:
    response = await chat(await platform.holder(newcomer.token))

    assert response.status_code == 200, response.text
    answer = response.json()
    assert (answer["object"], answer["model"]) == ("chat.completion", "qwen3")
    (choice,) = answer["choices"]
    assert choice["message"]["role"] == "assistant"
    assert "Hello!" in choice["message"]["content"]
    assert choice["finish_reason"] == "stop"
    usage = answer["usage"]
    assert usage["prompt_tokens"] + usage["completion_tokens"] == usage["total_tokens"] > 0


async def test_a_stream_ends_with_the_usage_and_done_whatever_was_asked_for(
    platform: Up, newcomer: Newcomer
) -> None:
    holder = await platform.holder(newcomer.token)

    *plain, end = await events(holder)
    *counted, counted_end = await events(holder, stream_options={"include_usage": True})

    assert end == counted_end == "[DONE]"
    for chunks in ([json.loads(chunk) for chunk in events] for events in (plain, counted)):
        assert all(chunk["object"] == "chat.completion.chunk" for chunk in chunks)
        said = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks[:-1])
        assert "Hello!" in said
        assert chunks[-1]["choices"] == []
        assert chunks[-1]["usage"]["total_tokens"] > 0


async def test_a_stream_is_passed_on_piece_by_piece(tmp_path: Path) -> None:
    # The model takes a minute for each token: who sees the first has not waited for the rest.
    async with up(tmp_path, "--per-token=60") as slow:
        token = (await slow.person(ALICE).issued())["token"]
        headers = {"Authorization": f"Bearer {token}"}
        body = question(stream=True)
        async with slow.client.stream("POST", "/v1/chat/completions", json=body, headers=headers) as answer:
            lines = answer.aiter_lines()
            assert json.loads((await anext(lines)).removeprefix("data: "))["choices"]


@pytest.mark.parametrize(
    ("token", "models"),
    [
        (ALICE, {"qwen3", "facebook-opt-125m"}),
        (BOB, {"qwen3", "facebook-opt-125m", "granite-7b"}),
        (CAROL, {"qwen3", "facebook-opt-125m", "granite-7b", "mixtral-8x7b"}),
    ],
)
async def test_everyone_sees_the_models_they_may_use(platform: Up, token: str, models: set[str]) -> None:
    assert await model_ids(await platform.holder(token)) == models


async def test_a_model_that_the_tier_may_not_use_is_forbidden(platform: Up, newcomer: Newcomer) -> None:
    response = await chat(await platform.holder(newcomer.token), "granite-7b")

    assert response.status_code == 403
    assert error_of(response)["code"] == "model_forbidden"
    assert (await chat(await platform.holder(BOB), "granite-7b")).status_code == 200


async def test_a_model_that_nobody_has_is_not_found(platform: Up, newcomer: Newcomer) -> None:
    response = await chat(await platform.holder(newcomer.token), "gpt-17")

    assert response.status_code == 404
    assert error_of(response)["code"] == "model_not_found"
    assert "gpt-17" in error_of(response)["message"]


async def test_a_revoked_token_is_refused_at_once_and_the_others_go_on(
    platform: Up, newcomer: Newcomer
) -> None:
    person = platform.person(newcomer.token)
    laptop, phone = await person.issued(name="laptop"), await person.issued(name="phone")
    holders = [platform.person(token["token"]) for token in (laptop, phone)]
    assert [(await chat(holder)).status_code for holder in holders] == [200, 200]

    assert (await person.delete(f"/maas-api/tokens/{laptop['id']}")).status_code == 204

    refused, served = [await chat(holder) for holder in holders]
    assert (refused.status_code, served.status_code) == (401, 200)
    assert error_of(refused)["code"] == "invalid_api_key"
    assert [token["id"] for token in await person.listed()] == [phone["id"]]


async def test_a_caller_token_does_not_open_models(platform: Up) -> None:
    response = await chat(platform.person(ALICE))
    assert response.status_code == 401
    assert error_of(response)["type"] == "authentication_error"


async def test_a_maas_token_does_not_make_tokens(platform: Up, newcomer: Newcomer) -> None:
    response = await (await platform.holder(newcomer.token)).issue()
    assert response.status_code in {401, 403}
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("model", ["granite-7b", "mixtral-8x7b"])
async def test_headers_of_the_gateway_cannot_be_forged(platform: Up, newcomer: Newcomer, model: str) -> None:
    holder = await platform.holder(newcomer.token)
    forged = {
        "x-maas-user": "carol",
        "X-MaaS-Tier": "enterprise",
        "x-maas-model": model,
        "x-maas-group": "enterprise-users",
        "x_maas_tier": "enterprise",
        "X-Forwarded-User": "carol",
        "X-Forwarded-Groups": "enterprise-users",
        "X-Remote-User": "carol",
    }

    answer = await holder.request("POST", "/v1/chat/completions", json=question(), headers=forged)
    assert answer.json()["model"] == "qwen3"
    other = await holder.request("POST", "/v1/chat/completions", json=question(model), headers=forged)
    assert other.status_code == 403
    unknown = await platform.client.post("/v1/chat/completions", json=question(), headers=forged)
    assert unknown.status_code == 401
    tier = await platform.person(newcomer.token).get("/maas-api/tier", headers=forged)
    assert tier.json()["tier"] == "free"
    nobody = await platform.client.post("/maas-api/token", headers=forged)
    assert nobody.status_code == 401


@pytest.mark.parametrize(
    "path",
    [
        "/internal/identity",
        "/internal/authorize/v1/models",
        "/metrics",
        "/readyz",
        "/v1/../internal/identity",
        "/maas-api/../metrics",
        "/maas-api/%2e%2e/metrics",
        "//internal/identity",
        "/",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_nothing_of_the_gateway_app_is_reached_through_the_gateway(
    platform: Up, method: str, path: str
) -> None:
    headers = {"Authorization": "Bearer sha256~admin"}
    # httpx would tidy the path up; a request target is sent as it is.
    request = platform.client.build_request(method, "/", headers=headers)
    request.extensions["target"] = path.encode()
    response = await platform.client.send(request)
    assert response.status_code == 404
    assert error_of(response)["code"] == "not_found"


async def test_the_metrics_are_where_the_banner_says(platform: Up, newcomer: Newcomer) -> None:
    await chat(await platform.holder(newcomer.token))
    async with httpx.AsyncClient(trust_env=False) as operator:
        metrics = await operator.get(platform.metrics)
    assert metrics.status_code == 200
    assert "maas_" in metrics.text


def prometheus_configuration(path: str) -> dict[str, Any]:
    configuration: dict[str, Any] = yaml.safe_load(Path(path).read_text())
    return configuration


async def test_prometheus_is_told_where_everything_is(platform: Up, newcomer: Newcomer) -> None:
    told = await platform.maasctl.says(r"Prometheus: +prometheus --config\.file=(\S+)\n")
    jobs = {job["job_name"]: job for job in prometheus_configuration(told[1])["scrape_configs"]}
    usage = (await chat(await platform.holder(newcomer.token))).json()["usage"]
    person = newcomer.group.replace("system:serviceaccounts:", "system:serviceaccount:")

    async def scrape(name: str) -> str:
        ((target,),) = [config["targets"] for config in jobs[name]["static_configs"]]
        async with httpx.AsyncClient(trust_env=False) as prometheus:
            return (await prometheus.get(f"http://{target}{jobs[name].get('metrics_path', '/metrics')}")).text

    async def completion_tokens() -> list[float]:
        return [
            value
            for name, labels, value in relabelled(await scrape("envoy"))
            if (name, labels.get("type")) == (TOKENS, "completion") and labels["user"].startswith(person)
        ]

    assert await eventually(completion_tokens) == [usage["completion_tokens"]]
    assert "maas_authorizations_total" in await scrape("maas-api")
    assert 'vllm:prompt_tokens_total{model_name="qwen3"}' in await scrape("model")


async def test_the_api_documents_itself(platform: Up) -> None:
    assert (await platform.client.get("/maas-api/docs")).status_code == 200
    document = (await platform.client.get("/maas-api/openapi.json")).json()
    assert {"/maas-api/token", "/maas-api/tokens", "/v1/models"} <= set(document["paths"])


async def test_no_file_of_the_platform_has_a_token_in_it(platform: Up, newcomer: Newcomer) -> None:
    person = platform.person(newcomer.token)
    issued = await person.issued()
    refused = await chat(platform.person(issued["token"] + "x"))
    assert refused.status_code == 401
    assert (await chat(platform.person(issued["token"]))).status_code == 200
    both = {"X-Forwarded-Access-Token": ALICE}
    assert (await person.request("POST", "/maas-api/token", headers=both)).status_code == 400

    def logged() -> str:
        return "".join(path.read_text() for path in platform.state_dir.rglob("*.log"))

    await eventually(lambda: issued["id"] in logged() and refused.headers["x-request-id"] in logged())
    for secret in (newcomer.token, issued["token"], issued["token"].rpartition(".")[2], ALICE):
        assert secret not in logged()
    assert "Traceback" not in logged()
