"""What the gateway app answers: Envoy about a request, Authorino about an identity."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import time
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from app.kube.resources import LLM_INFERENCE_SERVICES, SERVICE_ACCOUNTS
from app.observability.logging import JsonFormatter
from tests.workspace import FREE, NAMESPACES, PREMIUM, eventually

if TYPE_CHECKING:
    import httpx

    from tests.workspace import Replica


def code_of(response: httpx.Response) -> str:
    """The code of an error in OpenAI's shape."""
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    code: str = error["code"]
    return code


async def minted(maas: Replica, name: str, namespace: str, **spec: Any) -> str:
    """A JWT that a cluster admin makes for a ServiceAccount."""
    answer = await maas.workspace.cluster.admin.create(
        SERVICE_ACCOUNTS,
        {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec},
        namespace=namespace,
        name=name,
        subresource="token",
    )
    token: str = answer["status"]["token"]
    return token


async def test_a_live_token_passes_with_owner_tier_and_model(maas: Replica) -> None:
    alice = await maas.caller("alice@example.com")
    issued = await alice.issued()
    await maas.known(model := await maas.workspace.model("qwen3", FREE))
    response = await maas.authorize(issued["token"], model)
    assert response.status_code == 200
    assert response.headers["x-maas-user"] == "alice@example.com"
    assert response.headers["x-maas-tier"] == "free"
    assert response.headers["x-maas-model"] == model


async def test_an_llm_inference_service_is_a_model_too(maas: Replica) -> None:
    alice = await maas.caller("alice")
    issued = await alice.issued()
    model = await maas.workspace.model("llm", FREE, resource=LLM_INFERENCE_SERVICES)
    await maas.known(model)
    assert (await maas.authorize(issued["token"], model)).status_code == 200


async def test_a_model_that_the_tier_may_not_use_is_forbidden(maas: Replica) -> None:
    alice, bob = await maas.caller("alice"), await maas.caller("bob", "premium-users")
    await maas.known(model := await maas.workspace.model("granite", PREMIUM))
    free, premium = await alice.issued(), await bob.issued()
    refused = await maas.authorize(free["token"], model)
    assert refused.status_code == 403
    assert code_of(refused) == "model_forbidden"
    assert (await maas.authorize(premium["token"], model)).status_code == 200


async def test_a_grant_to_the_owners_own_group_opens_a_model(maas: Replica) -> None:
    alice = await maas.caller("alice", "data-science")
    await maas.known(model := await maas.workspace.model("special", "data-science"))
    assert (await maas.authorize((await alice.issued())["token"], model)).status_code == 200


async def test_an_unknown_model_is_not_found(maas: Replica) -> None:
    alice = await maas.caller("alice")
    response = await maas.authorize((await alice.issued())["token"], "no-such-model")
    assert response.status_code == 404
    assert code_of(response) == "model_not_found"


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"", {}, 400),
        (b"not json", {}, 400),
        (b"[]", {}, 400),
        (b"{}", {}, 400),
        (b'{"model": 7}', {}, 400),
        (b'{"model": ""}', {}, 400),
        (b'{"model": null}', {}, 400),
        (b'{"model": "qwen3"', {}, 400),
        ('{"model": "qwen3"}'.encode("utf-16"), {}, 400),
        (b"\xff\xfe", {}, 400),
        (b'{"model": "qwen3"}', {"Content-Encoding": "gzip"}, 400),
        (b'{"model": "' + b"x" * 5000 + b'"}', {}, 404),
        (b'{"model": "x\\r\\nx-maas-user: admin"}', {}, 404),
        ('{"model": "日本"}'.encode(), {}, 404),
        (b"[" * 100_000, {}, 400),
    ],
)
async def test_bodies_that_name_no_model_get_a_clear_answer(
    maas: Replica, content: bytes, headers: dict[str, str], status: int
) -> None:
    alice = await maas.caller("alice")
    token = (await alice.issued())["token"]
    response = await maas.authorize(token, content=content, headers=headers)
    assert response.status_code == status, response.text
    assert code_of(response) in ("invalid_request", "model_not_found")


async def test_a_large_prompt_is_read_and_a_larger_one_is_refused(maas: Replica) -> None:
    alice = await maas.caller("alice")
    token = (await alice.issued())["token"]
    await maas.known(model := await maas.workspace.model("qwen3", FREE))
    for size, status in ((5 * 1024 * 1024, 200), (11 * 1024 * 1024, 413)):
        body = b'{"model": "%s", "prompt": "%s"}' % (model.encode(), b"x" * size)
        assert (await maas.authorize(token, content=body)).status_code == status


async def test_the_last_of_two_models_in_a_body_counts_as_it_does_for_the_model_server(
    maas: Replica,
) -> None:
    alice = await maas.caller("alice")
    token = (await alice.issued())["token"]
    mine = await maas.workspace.model("mine", FREE)
    other = await maas.workspace.model("other", PREMIUM)
    await maas.known(mine, other)
    body = f'{{"model": "{mine}", "model": "{other}"}}'.encode()
    assert (await maas.authorize(token, content=body)).status_code == 403


async def test_listing_models_needs_no_body(maas: Replica) -> None:
    alice = await maas.caller("alice")
    token = (await alice.issued())["token"]
    response = await maas.authorize(token, path="/v1/models", method="GET")
    assert response.status_code == 200
    assert "x-maas-model" not in response.headers


@pytest.mark.parametrize("given", ["abc-123", "A" * 20_000, "a b"])
async def test_a_refusal_is_logged_with_the_request_id_if_that_is_harmless(maas: Replica, given: str) -> None:
    lines = io.StringIO()
    handler = logging.StreamHandler(lines)
    handler.setFormatter(JsonFormatter())
    audit = logging.getLogger("audit")
    audit.addHandler(handler)
    level = audit.level
    audit.setLevel(logging.INFO)
    try:
        headers = {"X-Request-Id": given}
        assert (
            await maas.authorize("x", path="/v1/models", method="GET", headers=headers)
        ).status_code == 401
    finally:
        audit.removeHandler(handler)
        audit.setLevel(level)
    logged = json.loads(lines.getvalue())["requestId"]
    assert (logged == given) == (given == "abc-123")
    assert 0 < len(logged) <= 64


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Basic abc", "Bearer x", "Bearer a.b.c"])
async def test_a_request_without_a_usable_token_is_unauthorized(
    maas: Replica, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    response = await maas.gateway.post("/internal/authorize/v1/chat/completions", headers=headers)
    assert response.status_code == 401
    assert code_of(response) == "invalid_api_key"
    assert response.headers["www-authenticate"].startswith("Bearer")


async def test_a_caller_token_calls_no_models(maas: Replica) -> None:
    token = await maas.workspace.person("alice")
    assert (await maas.authorize(token, "any")).status_code == 401


async def test_a_token_for_another_audience_is_refused(maas: Replica) -> None:
    alice = await maas.caller("alice")
    issued = await alice.issued()
    namespace = maas.workspace.namespace
    for spec in ({"audiences": ["elsewhere"]}, {}):
        token = await minted(maas, issued["id"], namespace, **spec)
        assert (await maas.authorize(token, path="/v1/models", method="GET")).status_code == 401


async def test_a_token_with_our_audience_from_another_namespace_is_refused(maas: Replica) -> None:
    admin, namespace = maas.workspace.cluster.admin, f"foreign-{maas.workspace.suffix}"
    await admin.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "alice-sa-1", "labels": {"app.kubernetes.io/managed-by": "maas-api"}},
    }
    await admin.create(SERVICE_ACCOUNTS, account, namespace=namespace)
    token = await minted(maas, "alice-sa-1", namespace, audiences=["maas-default-gateway-sa"])
    assert (await maas.authorize(token, path="/v1/models", method="GET")).status_code == 401
    await admin.delete(NAMESPACES, namespace)


async def test_a_token_of_a_service_account_that_is_no_maas_token_is_refused(maas: Replica) -> None:
    token = await minted(maas, "maas-api", maas.workspace.namespace, audiences=["maas-default-gateway-sa"])
    assert (await maas.authorize(token, path="/v1/models", method="GET")).status_code == 401


async def test_a_token_that_someone_else_signed_is_refused(maas: Replica) -> None:
    alice = await maas.caller("alice")
    issued = await alice.issued()
    claims = jwt.decode(issued["token"], options={"verify_signature": False})
    header = jwt.get_unverified_header(issued["token"])
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    forged = jwt.encode(claims, key, algorithm="RS256", headers={"kid": header["kid"]})
    unsigned = jwt.encode(claims, "", algorithm="none", headers={"kid": header["kid"]})
    tampered = issued["token"][:-8] + "AAAAAAAA"
    for token in (forged, unsigned, tampered):
        assert (await maas.authorize(token, path="/v1/models", method="GET")).status_code == 401


async def test_unknown_key_ids_do_not_make_the_service_ask_for_keys_each_time(maas: Replica) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def fetched() -> float:
        return sum(
            sample.value
            for metric in maas.service.metrics.registry.collect()
            for sample in metric.samples
            if sample.name.endswith("request_seconds_count") and "jwks" in sample.labels["resource"]
        )

    await eventually(fetched)
    before = fetched()
    for number in range(20):
        token = jwt.encode({"exp": time.time() + 60}, key, algorithm="RS256", headers={"kid": str(number)})
        assert (await maas.authorize(token, path="/v1/models", method="GET")).status_code == 401
    assert fetched() - before <= 1


async def test_a_changed_mapping_changes_the_tier_of_a_live_token_within_a_second(maas: Replica) -> None:
    alice = await maas.caller("alice", "premium-users")
    token = (await alice.issued())["token"]

    async def tier() -> str:
        response = await maas.authorize(token, path="/v1/models", method="GET")
        return str(response.headers.get("x-maas-tier", response.status_code))

    assert await tier() == "premium"
    await maas.workspace.map_tiers(
        'tiers:\n  free: {groups: ["system:authenticated"], rateLimit: {requestsPerMinute: 10}}\n'
    )

    async def is_free() -> bool:
        return await tier() == "free"

    await eventually(is_free, seconds=1)


async def test_an_owner_left_without_a_tier_is_refused_and_healed_by_the_mapping(maas: Replica) -> None:
    alice = await maas.caller("alice")
    token = (await alice.issued())["token"]

    async def status() -> int:
        return (await maas.authorize(token, path="/v1/models", method="GET")).status_code

    async def becomes(expected: int) -> None:
        async def is_so() -> bool:
            return await status() == expected

        await eventually(is_so, seconds=1)

    await maas.workspace.map_tiers("tiers:\n  vip: {groups: [vip], rateLimit: {requestsPerMinute: 10}}\n")
    await becomes(403)
    refused = await maas.authorize(token, path="/v1/models", method="GET")
    assert code_of(refused) == "no_tier"
    await maas.workspace.map_tiers(
        'tiers:\n  free: {groups: ["system:authenticated"], rateLimit: {requestsPerMinute: 10}}\n'
    )
    await becomes(200)


async def test_identity_tells_authorino_the_live_owner_and_tier(maas: Replica) -> None:
    alice = await maas.caller("alice", "data-science")
    issued = await alice.issued()
    [account] = await maas.workspace.service_accounts()
    question = {
        "username": f"system:serviceaccount:{maas.workspace.namespace}:{issued['id']}",
        "uid": account["metadata"]["uid"],
    }
    answer = (await maas.gateway.post("/internal/identity", json=question)).json()
    assert answer == {
        "active": True,
        "id": issued["id"],
        "owner": "alice",
        "tier": "free",
        "groups": ["data-science", "system:authenticated", "maas:tier:free"],
    }
    await alice.delete("/maas-api/tokens")
    answer = (await maas.gateway.post("/internal/identity", json=question)).json()
    assert answer == {"active": False, "reason": "invalid_token"}


async def test_identity_tells_authorino_which_resource_a_model_is(maas: Replica) -> None:
    await maas.known(model := await maas.workspace.model("mixtral", FREE, resource=LLM_INFERENCE_SERVICES))
    issued = await (await maas.caller("alice")).issued()
    [account] = await maas.workspace.service_accounts()
    question = {
        "username": f"system:serviceaccount:{maas.workspace.namespace}:{issued['id']}",
        "uid": account["metadata"]["uid"],
    }
    for asked, resource in (
        (model, {"resource": "llminferenceservices", "namespace": maas.workspace.namespace, "name": model}),
        ("no-such-model", None),
        ("", None),
    ):
        answer = (await maas.gateway.post("/internal/identity", json={**question, "model": asked})).json()
        assert answer["model"] == resource


@pytest.mark.parametrize(
    "question",
    [
        {"username": "system:serviceaccount:maas:nobody-sa-1", "uid": "0"},
        {"username": "alice", "uid": "0"},
        {"username": "", "uid": ""},
        {"username": 7, "uid": ["x"]},
    ],
)
async def test_identity_of_someone_unknown_is_not_active(maas: Replica, question: dict[str, Any]) -> None:
    response = await maas.gateway.post("/internal/identity", json=question)
    assert response.status_code == 200
    assert response.json() == {"active": False, "reason": "invalid_token"}


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{}", b"nonsense", b"x" * 100_000])
async def test_identity_of_nothing_is_a_bad_request(maas: Replica, body: bytes) -> None:
    assert (await maas.gateway.post("/internal/identity", content=body)).status_code == 400


async def test_an_endless_question_about_an_identity_is_not_read_to_its_end(maas: Replica) -> None:
    url = maas.gateway.base_url
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(b"POST /internal/identity HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
    writer.write(b"x" * 200_000)
    async with asyncio.timeout(5):
        assert b" 400 " in await reader.readline()
    writer.close()


async def test_the_gateway_app_has_health_readiness_and_metrics(maas: Replica) -> None:
    alice = await maas.caller("alice")
    await alice.issued()
    assert (await maas.gateway.get("/healthz")).json() == {"status": "ok"}
    assert (await maas.gateway.get("/readyz")).json()["status"] == "ok"
    metrics = (await maas.gateway.get("/metrics")).text
    assert 'maas_tokens_issued_total{tier="free"} 1.0' in metrics
    assert 'maas_tokens_live{tier="free"} 1.0' in metrics
    assert "maas_mapping_valid 1.0" in metrics


async def test_the_public_app_serves_neither_metrics_nor_internal_paths(maas: Replica) -> None:
    for path in ("/metrics", "/internal/identity", "/internal/authorize/v1/models"):
        assert (await maas.public.get(path)).status_code == 404


async def test_a_real_group_named_like_a_tier_group_opens_nothing(maas: Replica) -> None:
    alice = await maas.caller("alice", "maas:tier:premium")
    await maas.known(model := await maas.workspace.model("granite", PREMIUM))
    assert (await maas.authorize((await alice.issued())["token"], model)).status_code == 403


async def test_two_authorization_headers_that_differ_decide_nothing(maas: Replica) -> None:
    alice, bob = await maas.caller("alice"), await maas.caller("bob")
    tokens = [(await caller.issued())["token"] for caller in (alice, bob)]
    headers = [("Authorization", f"Bearer {token}") for token in tokens]
    response = await maas.gateway.get("/internal/authorize/v1/models", headers=headers)
    assert response.status_code == 400
    assert code_of(response) == "conflicting_tokens"


async def test_a_path_that_leaves_the_list_of_models_is_not_taken_for_it(maas: Replica) -> None:
    alice = await maas.caller("alice")
    token = (await alice.issued())["token"]
    path = "/internal/authorize/v1/models/%2e%2e/chat/completions"
    headers = {"Authorization": f"Bearer {token}"}
    assert (await maas.gateway.get(path, headers=headers)).status_code == 400


async def test_a_body_full_of_small_things_is_not_built_in_memory(maas: Replica) -> None:
    alice = await maas.caller("alice")
    token = (await alice.issued())["token"]
    await maas.known(model := await maas.workspace.model("qwen3", FREE))
    body = b'{"model": "%s", "a": [%s{}]}' % (model.encode(), b"{}," * 3_000_000)
    started = time.perf_counter()
    assert (await maas.authorize(token, content=body)).status_code == 200
    assert time.perf_counter() - started < 2


async def test_a_token_whose_signing_key_was_withdrawn_is_refused(maas: Replica) -> None:
    alice = await maas.caller("alice")
    token = (await alice.issued())["token"]
    assert (await maas.authorize(token, path="/v1/models", method="GET")).status_code == 200
    keys = maas.service.signing_keys
    keys._keys = {}  # noqa: SLF001  # neither cluster rotates its keys on demand
    maas.service.verifier.forget()
    keys._asked_at = time.monotonic()  # noqa: SLF001  # the same
    assert (await maas.authorize(token, path="/v1/models", method="GET")).status_code == 401
