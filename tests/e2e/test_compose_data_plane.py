from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from starlette.datastructures import Headers

from tests.dashboards import GRAFANA, metric_names, queries
from tests.e2e.compose import data_plane_between
from tests.e2e.stubs import USAGE, stubs
from tests.meters import REQUESTS, TOKENS, UNMETERED, Meter

if TYPE_CHECKING:
    from pathlib import Path

    import httpx
    from starlette.types import Receive, Scope, Send

    from tests.e2e.compose import DataPlane

CHAT = "/v1/chat/completions"
LIMITED = 429


def bearer(token: str, **headers: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", **headers}


async def chat(plane: DataPlane, token: str, model: str = "qwen3") -> httpx.Response:
    return await plane.client.post(CHAT, json={"model": model}, headers=bearer(token))


async def statuses(plane: DataPlane, token: str, count: int) -> list[int]:
    return [(await chat(plane, token)).status_code for _ in range(count)]


def headers_seen(answer: httpx.Response) -> list[tuple[str, str]]:
    return [(name, value) for name, value in answer.json()["headers"]]


def error_of(answer: httpx.Response) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/json"
    error: dict[str, Any] = answer.json()["error"]
    assert {"message", "type", "code"} <= error.keys()
    return error


async def test_a_request_reaches_the_model_with_the_identity_that_was_verified(
    compose_plane: DataPlane,
) -> None:
    answer = await chat(compose_plane, "ada.free.1")
    assert answer.status_code == 200
    assert answer.json()["by"] == "model"
    seen = dict(headers_seen(answer))
    assert (seen["x-maas-user"], seen["x-maas-tier"], seen["x-maas-model"]) == ("ada", "free", "qwen3")


async def test_headers_that_a_client_forges_are_replaced_or_dropped(compose_plane: DataPlane) -> None:
    forged = {
        "X-MaaS-User": "root",
        "X-MaaS-Tier": "enterprise",
        "X-MaaS-Model": "granite-7b",
        "X-MaaS-Groups": "system:masters",
        "x_maas_user": "root",
        "X-Forwarded-User": "root",
        "X-Remote-User": "root",
        "X-Forwarded-For": "6.6.6.6",
        "X-Request-Id": "forged",
    }
    answer = await compose_plane.client.post(
        CHAT, json={"model": "qwen3"}, headers=bearer("spoofer.free.1", **forged)
    )
    seen = headers_seen(answer)
    assert [value for name, value in seen if name == "x-maas-user"] == ["spoofer"]
    assert [value for name, value in seen if name == "x-maas-tier"] == ["free"]
    assert [value for name, value in seen if name == "x-maas-model"] == ["qwen3"]
    for _, value in seen:
        assert not {"root", "system:masters", "6.6.6.6", "forged"} & set(value.split(","))


async def test_a_forged_model_header_opens_no_route_to_the_model(compose_plane: DataPlane) -> None:
    answer = await compose_plane.client.get(
        "/v1/chat/completions", headers=bearer("prober.free.1", **{"X-MaaS-Model": "qwen3"})
    )
    assert answer.json()["by"] == "public"


async def test_forged_headers_do_not_reach_the_public_app_either(compose_plane: DataPlane) -> None:
    answer = await compose_plane.client.post(
        "/maas-api/token", headers={"X-MaaS-User": "root", "X-Forwarded-Access-Token": "sha256~alice"}
    )
    seen = dict(headers_seen(answer))
    assert "x-maas-user" not in seen
    assert seen["x-forwarded-access-token"] == "sha256~alice"


async def test_nothing_that_proves_the_person_is_sent_on_to_the_model(compose_plane: DataPlane) -> None:
    answer = await compose_plane.client.post(
        CHAT,
        json={"model": "qwen3"},
        headers=bearer("eve.free.1", **{"X-Forwarded-Access-Token": "eve.free.2", "Cookie": "session=1"}),
    )
    assert answer.json()["by"] == "model"
    assert not {"authorization", "x-forwarded-access-token", "cookie"} & dict(headers_seen(answer)).keys()


async def test_free_answers_ten_requests_and_tells_the_eleventh_when_to_come_again(
    compose_plane: DataPlane,
) -> None:
    assert await statuses(compose_plane, "alice.free.1", 10) == [200] * 10
    refused = await chat(compose_plane, "alice.free.1")
    assert refused.status_code == LIMITED
    assert error_of(refused)["code"] == "rate_limit_exceeded"
    assert 1 <= int(refused.headers["retry-after"]) <= 60


async def test_tokens_of_one_owner_share_one_counter(compose_plane: DataPlane) -> None:
    assert await statuses(compose_plane, "olivia.free.1", 5) == [200] * 5
    assert await statuses(compose_plane, "olivia.free.2", 5) == [200] * 5
    assert await statuses(compose_plane, "olivia.free.3", 1) == [LIMITED]


async def test_an_owner_has_a_counter_of_their_own(compose_plane: DataPlane) -> None:
    assert (await statuses(compose_plane, "busy.free.1", 11))[-1] == LIMITED
    assert await statuses(compose_plane, "bob.free.1", 1) == [200]


async def test_premium_answers_a_hundred(compose_plane: DataPlane) -> None:
    answers = await asyncio.gather(*(chat(compose_plane, "bob.premium.1") for _ in range(103)))
    assert Counter(answer.status_code for answer in answers) == {200: 100, LIMITED: 3}


async def test_a_tier_without_limits_of_its_own_gets_the_smallest(compose_plane: DataPlane) -> None:
    assert (await statuses(compose_plane, "nora.brand-new.1", 11))[-2:] == [200, LIMITED]


async def test_a_spent_limit_does_not_hide_the_list_of_models(compose_plane: DataPlane) -> None:
    assert (await statuses(compose_plane, "mia.free.1", 11))[-1] == LIMITED
    listed = await compose_plane.client.get("/v1/models", headers=bearer("mia.free.1"))
    assert (listed.status_code, listed.json()["by"]) == (200, "public")


async def test_the_list_of_models_is_limited_by_its_own_counter(compose_plane: DataPlane) -> None:
    answers = [
        await compose_plane.client.get(path, headers=bearer("liz.free.1"))
        for path in ["/v1/models", "/v1/models/qwen3"] * 6
    ]
    assert [answer.status_code for answer in answers] == [200] * 10 + [LIMITED] * 2
    assert error_of(answers[-1])["code"] == "rate_limit_exceeded"
    assert (await chat(compose_plane, "liz.free.1")).status_code == 200


async def test_a_stream_arrives_while_the_model_still_writes(compose_plane: DataPlane) -> None:
    request = {"model": "qwen3", "stream": True}
    async with compose_plane.client.stream(
        "POST", CHAT, json=request, headers=bearer("sam.free.1")
    ) as answer:
        parts = answer.aiter_text()
        assert "1" in await anext(parts)
        await compose_plane.client.post("/v1/go-on", json={"model": "qwen3"}, headers=bearer("sam.free.1"))
        assert "[DONE]" in "".join([part async for part in parts])


async def test_requests_and_tokens_are_counted(compose_plane: DataPlane) -> None:
    meter, una = (
        Meter.at(str(compose_plane.admin.base_url)),
        {"user": "una", "tier": "free", "model": "qwen3"},
    )
    assert await statuses(compose_plane, "una.free.1", 9) == [200] * 9
    stream = {"model": "qwen3", "stream": True}
    await compose_plane.client.post("/v1/go-on", json={"model": "qwen3"}, headers=bearer("go.premium.1"))
    await compose_plane.client.post(CHAT, json=stream, headers=bearer("una.free.2"))
    assert await statuses(compose_plane, "una.free.1", 2) == [LIMITED] * 2

    await meter.reads(10, REQUESTS, **una, code="200")
    await meter.reads(2, REQUESTS, **una, code="429")
    await meter.reads(10 * USAGE["prompt_tokens"], TOKENS, **una, type="prompt")
    await meter.reads(10 * USAGE["completion_tokens"], TOKENS, **una, type="completion")
    assert await meter.read(UNMETERED, **una) == 0


async def test_who_is_refused_is_counted_and_not_named(compose_plane: DataPlane) -> None:
    meter = Meter.at(str(compose_plane.admin.base_url))
    before = await meter.read(REQUESTS, code="403")
    forged = {"X-MaaS-User": "forger", "X-MaaS-Tier": "enterprise", "X-MaaS-Model": "qwen3"}
    refused = await compose_plane.client.post(
        CHAT, json={"model": "forbidden"}, headers=bearer("fay.free.1", **forged)
    )
    assert refused.status_code == 403

    await meter.reads(before + 1, REQUESTS, code="403")
    assert [labels for labels in await meter.labels(REQUESTS) if labels["code"] == "403"] == [{"code": "403"}]
    assert not [labels for labels in await meter.labels(REQUESTS) if labels.get("user") in {"fay", "forger"}]


async def test_models_are_not_asked_to_compress_what_has_to_be_read(compose_plane: DataPlane) -> None:
    answer = await compose_plane.client.post(
        CHAT, json={"model": "qwen3"}, headers=bearer("zip.free.1", **{"Accept-Encoding": "gzip"})
    )
    assert "accept-encoding" not in dict(headers_seen(answer))


async def test_what_the_authorizer_refuses_is_answered_in_its_words(compose_plane: DataPlane) -> None:
    anonymous = await compose_plane.client.post(CHAT, json={"model": "qwen3"})
    assert anonymous.status_code == 401
    assert anonymous.headers["www-authenticate"] == "Bearer"
    assert error_of(anonymous)["code"] == "invalid_token"
    forbidden = await chat(compose_plane, "fay.free.1", model="forbidden")
    assert (forbidden.status_code, error_of(forbidden)["code"]) == (403, "model_forbidden")


async def test_getting_a_token_needs_none(compose_plane: DataPlane) -> None:
    answer = await compose_plane.client.post("/maas-api/token", headers={"Authorization": "Bearer sha256~a"})
    assert (answer.status_code, answer.json()["by"]) == (200, "public")
    assert dict(headers_seen(answer))["authorization"] == "Bearer sha256~a"


@pytest.mark.parametrize(
    "path",
    ["/internal/authorize/v1/models", "/internal/identity", "/metrics", "/readyz", "/maas-apix", "/v1x", "/"],
)
async def test_no_other_path_leads_anywhere(compose_plane: DataPlane, path: str) -> None:
    answer = await compose_plane.client.get(path, headers=bearer("pat.free.1"))
    assert answer.status_code == 404
    assert error_of(answer)["code"] == "not_found"


@pytest.mark.parametrize(
    "path", ["//internal/identity", "/v1/../internal/identity", "/maas-api/../internal/identity"]
)
async def test_no_spelling_of_a_path_leads_around_the_routes(compose_plane: DataPlane, path: str) -> None:
    request = compose_plane.client.build_request("POST", "/", headers=bearer("pat.free.1"))
    request.url = request.url.copy_with(raw_path=path.encode())
    assert (await compose_plane.client.send(request)).status_code == 404


async def test_a_request_that_is_too_large_is_refused_as_such(compose_plane: DataPlane) -> None:
    request = {"model": "qwen3", "prompt": "x" * (10 * 1024 * 1024)}
    answer = await compose_plane.client.post(CHAT, json=request, headers=bearer("big.free.1"))
    assert answer.status_code == 413
    assert error_of(answer)["code"] == "request_too_large"


async def test_a_long_prompt_passes_whole(compose_plane: DataPlane) -> None:
    request = json.dumps({"model": "qwen3", "prompt": "x" * (5 * 1024 * 1024)})
    answer = await compose_plane.client.post(CHAT, content=request, headers=bearer("long.free.1"))
    assert answer.json()["size"] == len(request)


async def test_the_admin_interface_shows_and_changes_nothing(compose_plane: DataPlane) -> None:
    assert (await compose_plane.admin.get("/config_dump")).status_code == 403
    assert (await compose_plane.admin.post("/quitquitquit")).status_code == 403


async def test_envoy_and_limitador_show_what_they_did(compose_plane: DataPlane) -> None:
    assert (await statuses(compose_plane, "meg.free.1", 11))[-1] == LIMITED
    envoy = (await compose_plane.admin.get("/stats/prometheus")).text
    served = {line.split("{")[0].split(" ")[0] for line in envoy.splitlines()}
    asked = {name for path in GRAFANA for query in queries(path) for name in metric_names(query.expression)}
    own = {name for name in asked if name.startswith("envoy_")}
    assert own
    assert own <= served
    # By this an alert knows that there is a limiter.
    assert "envoy_cluster_ratelimit_ok" in served
    assert 'limit_name="free-inference"' in (await compose_plane.limitador.get("/metrics")).text


async def test_without_the_authorizer_nothing_passes(limitador: Path, tmp_path: Path) -> None:
    async with data_plane_between(tmp_path, limitador, stubs("public", "model")) as plane:
        answer = await chat(plane, "alice.free.1")
        assert answer.status_code == 503
        assert error_of(answer)["code"] == "service_unavailable"
        assert answer.headers["retry-after"] == "1"


async def test_without_limitador_no_inference_passes_and_tokens_are_still_issued(tmp_path: Path) -> None:
    async with data_plane_between(tmp_path, None, stubs("authorizer", "public", "model")) as plane:
        answer = await chat(plane, "alice.free.1")
        assert answer.status_code == 503
        assert error_of(answer)["code"] == "service_unavailable"
        assert answer.headers["retry-after"] == "1"
        assert (await plane.client.post("/maas-api/token")).status_code == 200


async def test_a_model_or_a_service_that_is_away_is_answered_for(limitador: Path, tmp_path: Path) -> None:
    async with data_plane_between(tmp_path, limitador, stubs("authorizer")) as plane:
        answer = await chat(plane, "alice.free.1")
        assert answer.status_code == 503
        assert error_of(answer)["code"] == "service_unavailable"
        problem = await plane.client.post("/maas-api/token")
        assert problem.status_code == 503
        assert problem.headers["content-type"] == "application/problem+json"
        assert (problem.json()["status"], problem.json()["code"]) == (503, "upstream_unavailable")


async def test_the_trace_of_a_request_reaches_the_authorizer_and_its_id_the_errors(tmp_path: Path) -> None:
    asked: list[str | None] = []

    async def authorizer(scope: Scope, receive: Receive, send: Send) -> None:
        asked.append(Headers(scope=scope).get("traceparent"))
        await stubs("authorizer")["authorizer"](scope, receive, send)

    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    async with data_plane_between(tmp_path, None, {"authorizer": authorizer}) as plane:
        headers = bearer("alice.free.1", traceparent=parent)
        answers = [
            await plane.client.post(CHAT, json={"model": "qwen3"}, headers=headers),
            await plane.client.post("/maas-api/token"),
            await plane.client.get("/elsewhere"),
        ]
    assert asked == [parent]
    for answer in answers:
        assert answer.json()["requestId"] == answer.headers["x-request-id"]
