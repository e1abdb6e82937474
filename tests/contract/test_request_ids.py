"""The ids of request and trace: in every log line, in every error, and never those of another request."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from app.observability.logging import JsonFormatter
from tests.workspace import FREE

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.clusters import TestCluster
    from tests.workspace import Replica


class Lines:
    """What was logged, line by line."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    def of(self, request_id: str) -> list[dict[str, Any]]:
        return [line for line in self.all() if line.get("requestId") == request_id]

    def all(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


@contextmanager
def logged() -> Iterator[Lines]:
    """Everything from INFO on, in the form that it has in a cluster."""
    lines, root = Lines(), logging.getLogger()
    handler = logging.StreamHandler(lines.stream)
    handler.setFormatter(JsonFormatter())
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


def ids() -> tuple[str, str, dict[str, str]]:
    """A request id, a trace id, and the headers that bring them."""
    request_id, trace_id = f"request-{secrets.token_hex(8)}", secrets.token_hex(16)
    parent = f"00-{trace_id}-{secrets.token_hex(8)}-01"
    return request_id, trace_id, {"X-Request-Id": request_id, "traceparent": parent}


async def test_lines_and_answers_have_the_ids_that_came_with_the_request(maas: Replica) -> None:
    alice = await maas.caller("alice")
    request_id, trace_id, headers = ids()
    with logged() as lines:
        response = await alice.request("POST", "/maas-api/token", headers=headers)
    assert response.headers["x-request-id"] == request_id
    found = lines.of(request_id)
    assert {"audit", "access"} <= {line["logger"] for line in found}
    assert {line["traceId"] for line in found} == {trace_id}


async def test_a_problem_has_both_ids(maas: Replica) -> None:
    request_id, trace_id, headers = ids()
    problem = (await maas.public.get("/maas-api/tier", headers=headers)).json()
    assert (problem["requestId"], problem["traceId"]) == (request_id, trace_id)


@pytest.mark.parametrize("app", ["public", "gateway"])
async def test_an_error_of_v1_has_both_beside_what_openai_has(maas: Replica, app: str) -> None:
    request_id, trace_id, headers = ids()
    prefix = "/internal/authorize" if app == "gateway" else ""
    client: httpx.AsyncClient = getattr(maas, app)
    response = await client.get(f"{prefix}/v1/models", headers=headers)
    assert response.json().keys() == {"error", "requestId", "traceId"}
    assert (response.json()["requestId"], response.json()["traceId"]) == (request_id, trace_id)
    assert response.headers.get_list("x-request-id") == [request_id]


async def test_without_a_trace_there_is_no_trace_id(maas: Replica) -> None:
    with logged() as lines:
        response = await maas.public.get("/maas-api/tier")
    assert "traceId" not in response.json()
    assert all("traceId" not in line for line in lines.of(response.headers["x-request-id"]))
    assert lines.of(response.headers["x-request-id"])


async def test_an_id_that_had_to_be_made_is_one_and_the_same_throughout(maas: Replica) -> None:
    with logged() as lines:
        response = await maas.authorize("not-a-token", path="/v1/models", method="GET")
    made = response.json()["requestId"]
    assert response.headers["x-request-id"] == made
    assert [line["reason"] for line in lines.of(made)] == ["invalid_token"]


async def test_what_is_said_while_kubernetes_is_asked_has_the_ids_too(
    maas: Replica, cluster: TestCluster
) -> None:
    alice = await maas.caller("alice")
    token = (await alice.issued())["token"]
    await maas.known(model := await maas.workspace.model("qwen3", FREE))
    await cluster.pause()
    try:
        request_id, trace_id, headers = ids()
        with logged() as lines:
            assert (await maas.authorize(token, model, headers=headers)).status_code == 503
    finally:
        await cluster.resume()
    (line,) = lines.of(request_id)
    assert line["traceId"] == trace_id
    assert line["message"].startswith("kubernetes: ")


async def test_requests_at_once_do_not_mix_their_ids(maas: Replica) -> None:
    alice = await maas.caller("alice")
    many = [ids() for _ in range(60)]

    async def ask(number: int) -> httpx.Response:
        headers = many[number][2]
        if number % 3 == 0:
            return await alice.get("/maas-api/tokens/none", headers=headers)
        if number % 3 == 1:
            return await maas.authorize(alice.token, "none", headers=headers)
        return await maas.public.post("/maas-api/token", headers=headers, content=b"{")

    with logged() as lines:
        answers = await asyncio.gather(*(ask(number) for number in range(len(many))))
    for (request_id, trace_id, _), answer in zip(many, answers, strict=True):
        assert answer.is_client_error
        assert (answer.json()["requestId"], answer.json()["traceId"]) == (request_id, trace_id)
        assert {line["traceId"] for line in lines.of(request_id)} == {trace_id}


@pytest.mark.parametrize("app", ["public", "gateway"])
async def test_requests_that_follow_on_a_connection_do_not_inherit_ids(maas: Replica, app: str) -> None:
    client: httpx.AsyncClient = getattr(maas, app)
    path = "/v1/models" if app == "public" else "/internal/authorize/v1/models"
    _, trace_id, headers = ids()
    given = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    first = f"GET {path} HTTP/1.1\r\nHost: maas\r\n{given}\r\n"
    second = f"GET {path} HTTP/1.1\r\nHost: maas\r\nConnection: close\r\n\r\n"
    reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
    writer.write((first + second).encode())
    answers = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    assert answers.count("HTTP/1.1 401") == 2
    assert answers.count(trace_id) == 1
