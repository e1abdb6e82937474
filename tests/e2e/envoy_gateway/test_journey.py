"""The shipped overlay `kubernetes`, run by the real Envoy Gateway and Envoy."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from tests.e2e.envoy_gateway.machine import PATIENT
from tests.e2e.inference import CHAT, chat, error_of, headers_seen_by_the_model, statuses
from tests.workspace import Caller, eventually

if TYPE_CHECKING:
    import httpx

    from tests.e2e.envoy_gateway.platform import Platform

pytestmark = PATIENT


async def test_from_a_caller_token_to_an_answer_and_back(gateway: Platform) -> None:
    person = gateway.person()
    issued = await person.issued()
    holder = Caller(gateway.client, issued["token"])
    listed = (await holder.get("/v1/models")).json()["data"]
    assert {model["id"] for model in listed} == {"simulator", "qwen3", "facebook-opt-125m"}

    answer = await chat(holder, "simulator")
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"]

    assert (await person.delete(f"/maas-api/tokens/{issued['id']}")).status_code == 204
    refused = await eventually(lambda: unauthorized(holder))
    assert error_of(refused)["code"] == "invalid_api_key"
    assert refused.headers["www-authenticate"].startswith("Bearer")


async def test_one_token_all_the_way(gateway: Platform) -> None:
    """A token, an answer, 403 for another model, 429 for too many, 401 once it is revoked."""
    person = gateway.person()
    issued = await person.issued(name="laptop", expiration="1h")
    holder = Caller(gateway.client, issued["token"])
    assert (await chat(holder, "simulator")).status_code == 200
    forbidden = await chat(holder, "granite-7b")
    assert (forbidden.status_code, error_of(forbidden)["code"]) == (403, "model_forbidden")
    assert await statuses(holder, 9, "qwen3", "simulator") == [200] * 9
    assert (await chat(holder, "qwen3")).status_code == 429
    assert (await person.delete(f"/maas-api/tokens/{issued['id']}")).status_code == 204
    await eventually(lambda: unauthorized(holder))
    other = Caller(gateway.client, (await person.issued())["token"])
    assert (await chat(other, "qwen3")).status_code == 429  # The limit is the owner's, not the token's.


async def unauthorized(holder: Caller) -> httpx.Response | None:
    response = await chat(holder, "simulator")
    return response if response.status_code == 401 else None


async def test_the_model_of_the_body_answers_without_the_token(gateway: Platform) -> None:
    holder = await gateway.holder()
    for model in ("qwen3", "facebook-opt-125m"):
        seen = headers_seen_by_the_model(await chat(holder, model, headers={"Cookie": "session=1"}))
        assert (seen["x-maas-model"], seen["x-maas-tier"]) == (model, "free")
        assert not {"authorization", "x-forwarded-access-token", "cookie"} & seen.keys()


async def test_the_path_is_the_one_that_the_runtime_of_the_model_has(gateway: Platform) -> None:
    holder = await gateway.holder()
    assert (await chat(holder, "qwen3")).json()["path"] == CHAT
    assert (await chat(holder, "facebook-opt-125m")).json()["path"] == "/openai/v1/chat/completions"


@pytest.mark.parametrize(
    ("groups", "status"), [((), 403), (("premium-users",), 200), (("enterprise-users",), 200)]
)
async def test_a_model_of_production_is_for_premium_and_enterprise(
    gateway: Platform, groups: tuple[str, ...], status: int
) -> None:
    assert (await chat(await gateway.holder(*groups), "granite-7b")).status_code == status


async def test_a_model_that_does_not_exist_or_has_no_route_is_not_found(gateway: Platform) -> None:
    gateway.cluster.apply(
        {
            "apiVersion": "serving.kserve.io/v1beta1",
            "kind": "InferenceService",
            "metadata": {"name": "without-a-route", "namespace": "production-models"},
            "spec": {"predictor": {"model": {"modelFormat": {"name": "vLLM"}}}},
        }
    )
    await eventually(lambda: gateway.service.catalogue.get("without-a-route"))
    holder = await gateway.holder("premium-users")
    for model in ("no-such-model", "without-a-route"):
        answer = await chat(holder, model)
        assert answer.status_code == 404
        assert error_of(answer)["code"] == "model_not_found"


async def test_the_eleventh_request_in_a_minute_is_refused_whatever_the_model_and_the_token(
    gateway: Platform,
) -> None:
    person = gateway.person()
    holders = [Caller(gateway.client, (await person.issued())["token"]) for _ in range(2)]
    passed = [status for holder in holders for status in await statuses(holder, 5, "qwen3", "simulator")]
    assert passed == [200] * 10
    for model in ("qwen3", "simulator", "facebook-opt-125m"):
        refused = await chat(holders[0], model)
        assert refused.status_code == 429
        assert error_of(refused)["code"] == "rate_limit_exceeded"
        assert refused.headers["retry-after"] == "6"


async def test_a_spent_limit_does_not_hide_the_list_of_models_which_has_its_own(gateway: Platform) -> None:
    holder = await gateway.holder()
    assert (await statuses(holder, 11, "qwen3"))[-1] == 429
    listed = [(await holder.get("/v1/models")).status_code for _ in range(11)]
    assert listed == [200] * 10 + [429]


@pytest.mark.parametrize(("group", "limit"), [("premium-users", "100"), ("enterprise-users", "1000")])
async def test_a_higher_tier_has_its_own_limit(gateway: Platform, group: str, limit: str) -> None:
    holder = await gateway.holder(group)
    answers = [await chat(holder) for _ in range(12)]
    assert {answer.status_code for answer in answers} == {200}
    assert answers[-1].headers["x-ratelimit-limit"] == limit


async def test_limits_hold_for_many_owners_at_once(gateway: Platform) -> None:
    owners = {number: await gateway.holder() for number in range(25)}
    for _ in range(30):
        answers = await asyncio.gather(*(chat(holder) for holder in owners.values()))
        refused = [owner for owner, answer in zip(owners, answers, strict=True) if answer.status_code == 429]
        for owner in refused:
            del owners[owner]
    assert not owners


async def test_what_a_client_says_about_itself_is_not_believed(gateway: Platform) -> None:
    holder = await gateway.holder()
    forged = {
        "X-MaaS-User": "root",
        "x-maas-tier": "enterprise",
        "x-maas-model": "granite-7b",
        "x-maas-anything": "else",
        "x_maas_user": "root",
        "X-Forwarded-User": "root",
        "X-Remote-User": "root",
    }
    answer = await chat(holder, "qwen3", headers=forged)
    seen = headers_seen_by_the_model(answer)
    assert seen["x-maas-user"].startswith("person-")
    assert (seen["x-maas-tier"], seen["x-maas-model"]) == ("free", "qwen3")
    assert not {"x-maas-anything", "x_maas_user", "x-forwarded-user", "x-remote-user"} & seen.keys()
    assert answer.headers["x-ratelimit-limit"] == "10"


async def test_no_header_opens_a_model_without_a_token(gateway: Platform) -> None:
    forged = {"x-maas-user": "root", "x-maas-tier": "enterprise", "x-maas-model": "qwen3"}
    answer = await gateway.client.post(CHAT, json={"model": "qwen3"}, headers=forged)
    assert answer.status_code == 401


async def test_a_caller_token_opens_no_model(gateway: Platform) -> None:
    assert (await chat(gateway.person(), "qwen3")).status_code == 401


async def test_a_stream_arrives_while_it_grows(gateway: Platform) -> None:
    token = (await gateway.person("premium-users").issued())["token"]
    headers = {"Authorization": f"Bearer {token}"}
    body = {"model": "granite-7b", "stream": True}
    async with gateway.client.stream("POST", CHAT, json=body, headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        parts = answer.aiter_text()
        assert await anext(parts) == 'data: {"part": 1}\n\n'
        await gateway.client.post("/v1/go-on", json={"model": "granite-7b"}, headers=headers)
        assert "".join([part async for part in parts]).endswith("data: [DONE]\n\n")


async def test_the_simulator_streams_too(gateway: Platform) -> None:
    answer = await chat(await gateway.holder(), "simulator", stream=True)
    assert answer.text.rstrip().endswith("data: [DONE]")


async def test_a_long_prompt_passes_whole(gateway: Platform) -> None:
    content = json.dumps({"model": "qwen3", "prompt": "x" * (5 * 1024 * 1024)})
    holder = await gateway.holder()
    answer = await holder.request("POST", CHAT, content=content)
    assert answer.json()["size"] == len(content)


async def test_a_request_that_is_too_large_is_refused_as_such(gateway: Platform) -> None:
    holder = await gateway.holder()
    answer = await holder.request("POST", CHAT, json={"model": "qwen3", "prompt": "x" * (10 * 1024 * 1024)})
    assert answer.status_code == 413
    assert error_of(answer)["code"] == "request_too_large"


async def test_a_request_to_the_service_that_is_too_large_is_refused_at_the_gateway(
    gateway: Platform,
) -> None:
    answer = await gateway.person().issue(name="x" * 70_000)
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "request_too_large"
    assert "x-request-id" not in answer.headers  # The service, which gives each request one, never saw it.


@pytest.mark.parametrize(
    "path",
    [
        "/internal/identity",
        "/internal/authorize/v1/models",
        "//internal/identity",
        "/v1/../internal/identity",
        "/maas-api/../internal/identity",
        "/maas-api/%2e%2e/internal/identity",
        "/metrics",
        "/",
    ],
)
async def test_nothing_but_the_routes_is_reached(gateway: Platform, path: str) -> None:
    request = gateway.client.build_request("POST", "/", content=b"{}")
    request.url = request.url.copy_with(raw_path=path.encode())
    answer = await gateway.client.send(request)
    assert (answer.status_code, answer.text) == (404, "")


async def test_a_route_without_a_policy_is_shut(gateway: Platform) -> None:
    answer = await (await gateway.holder("enterprise-users")).get("/stray")
    assert answer.status_code == 403


async def test_errors_of_issuing_are_the_service_s_own(gateway: Platform) -> None:
    answer = await gateway.client.post("/maas-api/token")
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
