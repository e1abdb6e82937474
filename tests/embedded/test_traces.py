"""`maasctl up` with a collector: one trace for each request, from the gateway to Kubernetes."""

from __future__ import annotations

import json
import os
import secrets
import signal
import time
from typing import TYPE_CHECKING

import orjson
import pytest

from tests.maasctl import chat, environment, maasctl, up
from tests.otlp import Collector, collector
from tests.workspace import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.maasctl import Up
    from tests.otlp import Span

ALICE = "sha256~alice"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
FORGED = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}


@pytest.fixture
async def traces() -> AsyncIterator[Collector]:
    async with collector() as running:
        yield running


def lines(platform: Up, request_id: str) -> list[dict[str, str]]:
    """What service and gateway have logged of a request."""
    logs = (platform.state_dir / "maas-api.log", platform.state_dir / "gateway" / "access.log")
    found = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
    return [line for line in found if line.get("requestId") == request_id]


def path(traces: Collector, span: Span) -> list[str]:
    """The names of a span and of all that it is a part of, the first of the trace last."""
    by_id = {other.span_id: other for other in traces.spans if other.trace_id == span.trace_id}
    names = [span.name]
    while (parent := by_id.get(span.parent_id)) is not None:
        span = parent
        names.append(span.name)
    assert span.parent_id == "", span
    return names


async def test_a_request_is_one_trace_from_the_gateway_to_kubernetes(
    tmp_path: Path, traces: Collector
) -> None:
    async with up(tmp_path, f"--otlp-endpoint={traces.url}") as platform:
        response = await platform.client.post(
            "/maas-api/token", headers={"Authorization": f"Bearer {ALICE}", **FORGED}
        )
        assert response.status_code == 201
        holder = platform.person(response.json()["token"])
        assert (await chat(holder)).status_code == 200
        refused = await chat(holder, model="none")
        review = await traces.span("create serviceaccounts/token")
        decision = await traces.span("POST /internal/authorize/{path}", gen_ai__request__model="qwen3")
        refusal = await traces.span("POST /internal/authorize/{path}", maas__problem="model_not_found")
        await eventually(
            lambda: sum(span.service == "maas-default-gateway" for span in traces.spans) >= 5, seconds=15
        )
        logged = await eventually(
            lambda: (found := lines(platform, response.headers["x-request-id"])) and len(found) >= 3 and found
        )
    assert path(traces, review) == [
        "create serviceaccounts/token",
        "POST /maas-api/token",
        "POST maas-api",
    ]
    assert path(traces, decision) == [decision.name, "async gateway-app egress", "POST model:qwen3"]
    assert {line["traceId"] for line in logged} == {review.trace_id}
    assert (refused.json()["traceId"], refused.json()["requestId"]) == (
        refusal.trace_id,
        refused.headers["x-request-id"],
    )
    assert TRACE not in {span.trace_id for span in traces.spans}
    for secret in (ALICE, response.json()["token"]):
        assert secret.encode() not in traces.raw


async def test_the_gateway_decides_for_both_what_is_sampled(tmp_path: Path, traces: Collector) -> None:
    env = environment(MAAS_TRACING_ENDPOINT=traces.url, MAAS_TRACING_RATIO="0.3")
    async with up(tmp_path, env=env) as platform:
        for _ in range(60):
            await platform.client.get("/maas-api/tier", headers=FORGED)
    roots = {span.trace_id for span in traces.spans if span.service == "maas-default-gateway"}
    answered = {span.trace_id for span in traces.spans if span.service == "maas-api"}
    assert 0 < len(answered) < 60
    assert roots <= answered  # Envoy does not send what it has left when it ends.


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_collector_that_says_nothing_holds_up_neither_people_nor_the_end(
    tmp_path: Path, traces: Collector, number: signal.Signals
) -> None:
    traces.speaks.clear()
    env = environment(MAAS_TRACING_ENDPOINT=traces.url, MAAS_TRACING_FLUSH_SECONDS="0.5")
    async with up(tmp_path, env=env) as platform:
        for _ in range(20):
            response = await platform.client.get(
                "/maas-api/tier", headers={"Authorization": f"Bearer {ALICE}"}
            )
            assert response.status_code == 200
        await eventually(lambda: traces.requests, seconds=10)
        started = time.monotonic()
        assert await platform.maasctl.stop(number) == 0
        assert time.monotonic() - started < 5
    log = [orjson.loads(line) for line in (tmp_path / "maas-api.log").read_text().splitlines()]
    assert [line["logger"] for line in log].count("app.observability.otlp") == 1
    traces.speaks.set()


@pytest.mark.parametrize(
    "endpoint", ["collector:4318", "http://u:t0ps3cret@collector", "http://collector?key=t0ps3cret"]
)
async def test_an_address_that_is_none_is_an_error(tmp_path: Path, endpoint: str) -> None:
    async with maasctl("up", f"--otlp-endpoint={endpoint}", cwd=tmp_path) as command:
        assert await command.ended() == 2
    assert "--otlp-endpoint" in command.errors
    assert "t0ps3cret" not in command.errors
    assert not (tmp_path / ".maas").exists()


async def test_traces_that_cannot_be_made_are_an_error_at_the_start(tmp_path: Path) -> None:
    headers = tmp_path / secrets.token_hex(4)
    env = environment(
        MAAS_TRACING_ENDPOINT="http://127.0.0.1:9",
        MAAS_TRACING_HEADERS_FILE=str(headers),
        MAAS_HTTP_PUBLIC_PORT="0",
        MAAS_HTTP_GATEWAY_PORT="0",
        KUBECONFIG=os.devnull,
    )
    async with maasctl("serve", env=env) as command:
        assert await command.ended() == 1
    assert f"MAAS_TRACING_HEADERS_FILE: {headers} cannot be read" in command.errors
    assert "Traceback" not in command.errors
