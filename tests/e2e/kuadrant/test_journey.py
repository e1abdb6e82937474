"""Requests through the overlay for OpenShift: the real Authorino decides, the real Limitador counts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.e2e.envoy_gateway.machine import PATIENT
from tests.e2e.inference import CHAT, chat, error_of, headers_seen_by_the_model, statuses
from tests.workspace import Caller, eventually

if TYPE_CHECKING:
    import httpx

    from tests.e2e.kuadrant.platform import Platform

pytestmark = [pytest.mark.cluster, PATIENT]

# What the issue promises for a revocation to be in force.
PROMISED_SECONDS = 1


async def test_from_a_caller_token_to_an_answer_and_back(gateway: Platform) -> None:
    person = gateway.person()
    issued = await person.issued()
    assert issued["tier"] == "free"
    holder = Caller(gateway.client, issued["token"])
    listed = (await holder.get("/v1/models")).json()["data"]
    assert {model["id"] for model in listed} == {"simulator", "qwen3", "facebook-opt-125m"}

    answer = await chat(holder, "simulator")
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"]

    assert (await person.delete(f"/maas-api/tokens/{issued['id']}")).status_code == 204
    refused = await eventually(lambda: refusal(holder), seconds=PROMISED_SECONDS)
    assert refused.status_code == 401
    assert error_of(refused)["code"] == "invalid_api_key"
    assert "revoked" in error_of(refused)["message"]
    assert refused.headers["www-authenticate"].startswith("Bearer")
    assert not {"x-maas-status", "x-ext-auth-reason"} & refused.headers.keys()
    assert (await holder.get("/v1/models")).status_code == 401


async def refusal(holder: Caller) -> httpx.Response | None:
    response = await chat(holder, "simulator")
    return None if response.status_code == 200 else response


async def test_revoking_one_token_leaves_the_others(gateway: Platform) -> None:
    person = gateway.person("premium-users")
    first, second = await person.issued(), await person.issued()
    assert (await person.delete(f"/maas-api/tokens/{first['id']}")).status_code == 204
    await eventually(lambda: refusal(Caller(gateway.client, first["token"])), seconds=PROMISED_SECONDS)
    assert (await chat(Caller(gateway.client, second["token"]))).status_code == 200


async def test_the_model_of_the_body_answers_without_the_token(gateway: Platform) -> None:
    holder = await gateway.holder()
    for model in ("qwen3", "facebook-opt-125m"):
        seen = headers_seen_by_the_model(await chat(holder, model, headers={"Cookie": "session=1"}))
        assert (seen["x-maas-model"], seen["x-maas-tier"]) == (model, "free")
        assert seen["x-maas-user"].startswith("person-")
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
    answer = await chat(await gateway.holder(*groups), "granite-7b")
    assert answer.status_code == status
    if status == 403:
        assert error_of(answer)["code"] == "model_forbidden"


async def test_a_model_that_does_not_exist_is_not_found(gateway: Platform) -> None:
    answer = await chat(await gateway.holder(), "no-such-model")
    assert answer.status_code == 404
    assert error_of(answer)["code"] == "model_not_found"


async def test_two_tokens_of_one_owner_share_a_limit_over_all_models(gateway: Platform) -> None:
    person = gateway.person()
    holders = [Caller(gateway.client, (await person.issued())["token"]) for _ in range(2)]
    passed = [status for holder in holders for status in await statuses(holder, 5, "qwen3", "simulator")]
    assert passed == [200] * 10
    for holder in holders:
        for model in ("qwen3", "facebook-opt-125m"):
            assert (await chat(holder, model)).status_code == 429


async def test_whoever_has_spent_a_limit_is_told_when_to_come_back(gateway: Platform) -> None:
    holder, person = await gateway.holder(), gateway.person()
    answers = [await chat(holder) for _ in range(11)]
    assert [answer.headers["x-ratelimit-remaining"] for answer in answers[:3]] == ["9", "8", "7"]
    assert error_of(answers[-1])["code"] == "rate_limit_exceeded"
    issued = [await person.issue() for _ in range(11)]
    assert issued[-1].headers["content-type"] == "application/problem+json"
    assert issued[-1].json()["code"] == "rate_limit_exceeded"
    for refused in (answers[-1], issued[-1]):
        assert refused.status_code == 429
        assert 1 <= int(refused.headers["retry-after"]) <= 60


async def test_two_owners_have_a_limit_each(gateway: Platform) -> None:
    spent, other = await gateway.holder(), await gateway.holder()
    assert (await statuses(spent, 11, "qwen3"))[-1] == 429
    assert (await chat(other)).status_code == 200


async def test_a_spent_limit_does_not_hide_the_list_of_models_which_has_its_own(gateway: Platform) -> None:
    holder = await gateway.holder()
    assert (await statuses(holder, 11, "qwen3"))[-1] == 429
    listed = [(await holder.get("/v1/models")).status_code for _ in range(11)]
    assert listed == [200] * 10 + [429]


@pytest.mark.parametrize("group", ["premium-users", "enterprise-users"])
async def test_a_higher_tier_has_a_higher_limit(gateway: Platform, group: str) -> None:
    holder = await gateway.holder(group)
    assert await statuses(holder, 12, "qwen3") == [200] * 12


async def test_issuing_has_a_limit_of_its_own_for_each_person(gateway: Platform) -> None:
    person = gateway.person("enterprise-users")
    assert [(await person.issue()).status_code for _ in range(11)] == [201] * 10 + [429]
    assert (await person.get("/maas-api/tokens")).status_code == 200
    assert (await gateway.person("enterprise-users").issue()).status_code == 201


async def test_what_a_client_says_about_itself_is_not_believed(gateway: Platform) -> None:
    holder = await gateway.holder()
    forged = {
        "X-MaaS-User": "root",
        "x-maas-tier": "enterprise",
        "x-maas-model": "granite-7b",
        "x-maas-requested-model": "granite-7b",
        "x-maas-anything": "else",
        "X-Forwarded-User": "root",
        "X-Remote-User": "root",
    }
    seen = headers_seen_by_the_model(await chat(holder, "qwen3", headers=forged))
    assert seen["x-maas-user"].startswith("person-")
    assert (seen["x-maas-tier"], seen["x-maas-model"]) == ("free", "qwen3")
    assert not {"x-maas-anything", "x-forwarded-user", "x-remote-user"} & seen.keys()
    assert (await statuses(holder, 10, "qwen3"))[-1] == 429


async def test_no_header_opens_a_model_without_a_token(gateway: Platform) -> None:
    forged = {"x-maas-user": "root", "x-maas-tier": "enterprise", "x-maas-model": "qwen3"}
    answer = await gateway.client.post(CHAT, json={"model": "qwen3"}, headers=forged)
    assert answer.status_code == 401
    assert error_of(answer)["code"] == "invalid_api_key"
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_caller_token_opens_no_model(gateway: Platform) -> None:
    assert (await chat(gateway.person(), "qwen3")).status_code == 401


async def test_a_token_for_another_audience_opens_no_model(gateway: Platform) -> None:
    issued = await gateway.person().issued()
    for audiences in ([], ["some-other-gateway"]):
        token = await gateway.control_plane.service_account_token("maas", issued["id"], audiences=audiences)
        assert (await chat(Caller(gateway.client, token))).status_code == 401


async def test_a_service_account_that_is_no_maas_token_opens_no_model(gateway: Platform) -> None:
    for namespace, name in (("maas", "maas-api"), ("kuadrant-system", "authorino")):
        token = await gateway.control_plane.service_account_token(
            namespace, name, audiences=["maas-default-gateway-sa"]
        )
        assert (await chat(Caller(gateway.client, token))).status_code == 401


async def test_a_maas_token_issues_no_tokens(gateway: Platform) -> None:
    answer = await (await gateway.holder()).issue()
    assert answer.status_code == 401
    assert answer.json()["code"] == "invalid_token"


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
    headers = {"Content-Type": "application/json"}
    answer = await (await gateway.holder()).request("POST", CHAT, content=content, headers=headers)
    assert answer.json()["size"] == len(content)


@pytest.mark.parametrize(
    "path",
    [
        "/internal/identity",
        "//internal/identity",
        "/v1/../internal/identity",
        "/maas-api/%2e%2e/metrics",
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


async def test_errors_of_issuing_have_the_shape_of_the_services_own(gateway: Platform) -> None:
    without = await gateway.client.post("/maas-api/token")
    refused = await Caller(gateway.client, "nonsense").issue()
    for answer, code in ((without, "missing_token"), (refused, "invalid_token")):
        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.json()["type"] == f"urn:privatemaas:problem:{code}"


async def test_a_tokens_review_is_remembered_and_its_identity_is_not(gateway: Platform) -> None:
    holder = await gateway.holder("premium-users")
    await chat(holder)
    before = await reviews(gateway)
    assert await statuses(holder, 10, "qwen3") == [200] * 10
    assert await reviews(gateway) == before


async def reviews(gateway: Platform) -> int:
    """How many TokenReviews the API server has answered."""
    answer = await gateway.control_plane.client.get("/metrics")
    lines = answer.raise_for_status().text.splitlines()
    counters = (line for line in lines if line.startswith("apiserver_request_total{"))
    return sum(int(float(line.rpartition(" ")[2])) for line in counters if 'resource="tokenreviews"' in line)
