"""Whatever is sent, the answer is clear, nothing is lost and nothing is given away."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from app.observability.logging import JsonFormatter

if TYPE_CHECKING:
    from tests.workspace import Replica

PROBLEM_MEMBERS = {"type", "title", "status", "detail", "code", "requestId"}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "invalid_request"),
        (b"\xff\xfe\x00", 400, "invalid_request"),
        (b"[]", 422, "invalid_request"),
        (b"7", 422, "invalid_request"),
        (b'"4h"', 422, "invalid_request"),
        (b'{"expiration": true}', 422, "invalid_request"),
        (b'{"expiration": "soon"}', 422, "invalid_request"),
        (b'{"expiration": 1.5}', 422, "invalid_request"),
        (b'{"expiration": -600}', 422, "invalid_request"),
        (b'{"expiration": [600]}', 422, "invalid_request"),
        (b'{"expiration": 1e999}', 400, "invalid_request"),
        (b'{"expiration": 9999999999}', 422, "expiration_out_of_range"),
        (b'{"name": 7}', 422, "invalid_request"),
        (b'{"name": "a\\nb"}', 422, "invalid_request"),
        (b'{"name": "%s"}' % (b"x" * 65), 422, "invalid_request"),
        (b'{"names": "laptop"}', 422, "invalid_request"),
        (b'{"tier": "enterprise"}', 422, "invalid_request"),
        (b'{"name": "%s"}' % (b"x" * 70_000), 413, "body_too_large"),
        (b"[" * 60_000, 400, "invalid_request"),
    ],
)
async def test_a_bad_body_is_a_problem_document_and_issues_nothing(
    maas: Replica, body: bytes, status: int, code: str
) -> None:
    alice = await maas.caller("alice")
    response = await alice.request("POST", "/maas-api/token", content=body)
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert document.keys() >= PROBLEM_MEMBERS
    assert document["code"] == code
    assert document["status"] == status
    assert document["requestId"] == response.headers["x-request-id"]
    assert await maas.workspace.service_accounts() == []


@pytest.mark.parametrize("body", [b"{", b'{"name": 7}', b'{"name": "%s"}' % (b"x" * 70_000)])
async def test_whoever_is_unknown_is_told_nothing_of_the_body(maas: Replica, body: bytes) -> None:
    stranger = {"Authorization": "Bearer sha256~nobody-knows-this"}
    response = await maas.public.post("/maas-api/token", content=body, headers=stranger)
    assert response.status_code == 401
    assert response.json()["code"] == "invalid_token"


@pytest.mark.parametrize("body", [b"", b"  ", b"{}", b'{"name": null}', b'{"expiration": null}'])
async def test_what_is_left_out_has_a_default(maas: Replica, body: bytes) -> None:
    alice = await maas.caller("alice")
    response = await alice.request("POST", "/maas-api/token", content=body)
    assert response.status_code == (422 if b'"name": null' in body else 201)


async def test_json_that_curl_calls_a_form_is_read_as_json(maas: Replica) -> None:
    alice = await maas.caller("alice")
    response = await alice.request(
        "POST",
        "/maas-api/token",
        content=b'{"name": "laptop"}',
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert response.json()["name"] == "laptop"


async def test_a_body_that_does_not_say_its_size_is_bounded_too(maas: Replica) -> None:
    alice = await maas.caller("alice")

    async def chunks() -> Any:
        for _ in range(100):
            yield b" " * 1024

    response = await alice.request("POST", "/maas-api/token", content=chunks())
    assert response.status_code == 413


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/maas-api", 404),
        ("GET", "/maas-api/token", 405),
        ("PUT", "/maas-api/tokens", 405),
        ("GET", "/maas-api/tokens/", 404),
        ("GET", "/maas-api/nothing", 404),
        ("GET", "/maas-api/tokens/../../secrets", 404),
        ("GET", "/maas-api/tokens/%2e%2e%2fsecrets", 404),
        ("GET", "/maas-api/tokens/" + "x" * 254, 422),
        ("GET", "/maas-api/tokens/maas-api", 404),
        ("DELETE", "/maas-api/tokens/maas-api", 404),
        ("DELETE", "/maas-api/tokens/%00", 404),
        ("DELETE", "/maas-api/tokens/%F0%9F%98%80", 404),
    ],
)
async def test_paths_that_lead_nowhere_are_problem_documents(
    maas: Replica, method: str, path: str, status: int
) -> None:
    alice = await maas.caller("alice")
    response = await alice.request(method, path)
    assert response.status_code == status, response.text
    assert response.json().keys() >= PROBLEM_MEMBERS


@pytest.mark.parametrize("given", ["abc-123", "x" * 65, "a b", 'x"}{"y', ""])
async def test_a_request_id_is_taken_when_it_is_harmless(maas: Replica, given: str) -> None:
    response = await maas.public.get("/maas-api/healthz", headers={"X-Request-Id": given})
    taken = response.headers["x-request-id"]
    assert (taken == given) == (given == "abc-123")
    assert len(taken) <= 64


async def test_no_log_line_ever_holds_a_token(maas: Replica, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    token = await maas.workspace.person("alice")
    headers = {"Authorization": f"Bearer {token}"}
    issued = (await maas.public.post("/maas-api/token", headers=headers)).json()["token"]
    for path in (f"/maas-api/tokens/{issued}", f"/v1/models/{issued}", f"/maas-api/{token}?token={token}"):
        await maas.public.get(path, headers=headers)
        await maas.public.get(path, headers={"Authorization": f"Bearer {issued}"})
    await maas.authorize(issued + "x", "model")
    await maas.authorize(issued, issued)
    lines = [JsonFormatter().format(record) for record in caplog.records]
    assert any("token.issued" in line for line in lines)
    for line in lines:
        assert issued not in line
        assert issued.split(".")[1] not in line
        assert token not in line
        json.loads(line)


async def test_grants_refusals_and_revocations_are_audited(
    maas: Replica, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="audit")
    alice = await maas.caller("alice")
    issued = await alice.issued()
    await alice.issue(expiration=1)
    await maas.authorize(issued["token"], "no-such-model")
    await alice.delete(f"/maas-api/tokens/{issued['id']}")
    lines = [
        json.loads(JsonFormatter().format(record)) for record in caplog.records if record.name == "audit"
    ]
    told = [(line["action"], line["outcome"], line["actor"]) for line in lines]
    assert told == [
        ("token.issued", "granted", "alice"),
        ("POST /maas-api/token", "refused", "alice"),
        ("inference", "refused", "alice"),
        ("token.revoked", "granted", "alice"),
    ]
    assert len(lines[0]["tokenSha256"]) == 64
    assert lines[0]["tokenId"] == lines[3]["tokenId"] == issued["id"]
    assert lines[1]["reason"] == "expiration_out_of_range"
