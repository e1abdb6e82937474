"""The gateway's spans: where traces begin, who is told of them, and what clients have no say in."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING

import httpx
import pytest

from app.embedded.gateway import GatewayTracing
from app.embedded.gateway.certificates import ensure_certificates
from app.serving import bind, serving
from tests.otlp import Collector, collector
from tests.workspace import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from tests.embedded.gateway.conftest import Stage
    from tests.embedded.gateway.stubs import Stub
    from tests.otlp import Span

    Running = Callable[..., AbstractAsyncContextManager[Stage]]

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
FORGED = {
    "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01",
    "tracestate": "a=b",
    "x-client-trace-id": "me",
    "x-envoy-force-trace": "true",
}


@pytest.fixture
async def traces() -> AsyncIterator[Collector]:
    async with collector() as running:
        yield running


def parent(stub: Stub) -> list[str]:
    """The parts of the traceparent that came last."""
    return stub.received[-1].headers["traceparent"].split("-")


async def gateway_span(stage: Stage, traces: Collector, trace_id: str) -> Span:
    async def found() -> Span | None:
        await stage.chat(
            "premium:somebody"
        )  # Envoy sends five spans at once, or what it has after five seconds.
        return next((s for s in traces.spans if s.trace_id == trace_id and s.kind == "server"), None)

    span: Span = await eventually(found, seconds=15)
    return span


async def test_the_model_and_the_authorizer_are_in_the_trace_of_the_gateway(
    running: Running, traces: Collector, tmp_path: Path
) -> None:
    async with running(tracing=GatewayTracing(traces.url)) as stage:
        response = await stage.chat("premium:alice", "opt")
        model, authorizer = parent(stage.model), parent(stage.authorizer)
        span = await gateway_span(stage, traces, model[1])
        (asking,) = await eventually(lambda: traces.children(span), seconds=15)
    assert (span.service, span.parent_id) == ("maas-default-gateway", "")
    assert model == ["00", span.trace_id, span.span_id, "01"]
    assert authorizer == ["00", span.trace_id, asking.span_id, "01"]
    assert (span.name, span.attributes["http.route"]) == ("POST model:opt", "model:opt")
    assert span.attributes["maas.tier"] == "premium"
    assert span.attributes["gen_ai.request.model"] == "opt"
    assert span.attributes["guid:x-request-id"] == response.headers["x-request-id"]
    line, *_ = (tmp_path / "gateway" / "access.log").read_text().splitlines()
    assert json.loads(line)["traceId"] == span.trace_id


async def test_a_client_neither_chooses_a_trace_nor_what_is_sampled(
    running: Running, traces: Collector
) -> None:
    async with running(tracing=GatewayTracing(traces.url, ratio=0)) as stage:
        await stage.chat("premium:alice", "opt", headers=FORGED)
    _, trace_id, _, flags = parent(stage.model)
    assert trace_id != TRACE
    assert flags == "00"
    assert parent(stage.authorizer)[3] == "00"
    assert "x-client-trace-id" not in stage.model.received[0].headers


async def test_a_traceparent_that_is_none_is_no_way_around_a_trace(
    running: Running, traces: Collector
) -> None:
    async with running(tracing=GatewayTracing(traces.url)) as stage:
        await stage.chat("premium:alice", "opt", headers={"traceparent": "garbage" * 1000})
        await gateway_span(stage, traces, parent(stage.model)[1])


async def test_where_the_gateway_does_not_trace_the_trace_of_the_client_goes_through(stage: Stage) -> None:
    await stage.chat("premium:alice", "opt", headers=FORGED)
    assert parent(stage.model) == parent(stage.authorizer) == FORGED["traceparent"].split("-")


async def test_no_token_and_no_user_is_in_a_span(running: Running, traces: Collector) -> None:
    async with running(tracing=GatewayTracing(traces.url)) as stage:
        secret = {"x-forwarded-access-token": "t0ps3cret", "cookie": "t0ps3cret"}
        await stage.chat("premium:alice-liddell:t0ps3cret", headers=secret)
        await stage.client.get("/maas-api/tokens/alice-liddell-sa-1?access_token=t0ps3cret", headers=secret)
        for trace_id in (parent(stage.model)[1], parent(stage.public)[1]):
            await gateway_span(stage, traces, trace_id)
    assert b"t0ps3cret" not in traces.raw
    assert b"alice-liddell" not in traces.raw


async def test_users_are_named_where_that_is_wanted(running: Running, traces: Collector) -> None:
    async with running(tracing=GatewayTracing(traces.url, user_names=True)) as stage:
        await stage.chat("premium:alice", headers={"x-maas-user": "root"})
        span = await gateway_span(stage, traces, parent(stage.model)[1])
    assert span.attributes["user.name"] == "alice"


async def test_a_collector_with_a_certificate_and_a_password_gets_the_spans(
    running: Running, traces: Collector, tmp_path: Path
) -> None:
    made = ensure_certificates(tmp_path / "tls", lambda: dt.datetime.now(dt.UTC))
    listener = bind("collector", "127.0.0.1", 0)
    async with serving((traces, listener), shutdown_seconds=1, certificate=(made.chain, made.key)):
        tracing = GatewayTracing(
            f"https://localhost:{listener.port}",
            headers={"authorization": "Basic 100%"},
            ca_file=str(made.ca),
        )
        async with running(tracing=tracing) as stage:
            await stage.chat("premium:alice")
            await gateway_span(stage, traces, parent(stage.model)[1])
    assert traces.requests[0]["authorization"] == "Basic 100%"


@pytest.mark.parametrize("speaks", [True, False])
async def test_a_collector_that_does_not_answer_holds_nobody_up(
    running: Running, traces: Collector, closed_port: tuple[str, int], *, speaks: bool
) -> None:
    traces.speaks.clear()
    endpoint = traces.url if speaks else f"http://127.0.0.1:{closed_port[1]}"
    async with running(tracing=GatewayTracing(endpoint)) as stage:
        for _ in range(50):
            assert (await stage.chat("premium:alice")).status_code == 200
    traces.speaks.set()


async def test_what_the_gateway_refuses_has_the_id_of_the_request(stage: Stage) -> None:
    nowhere = await stage.client.get("/elsewhere")
    assert nowhere.json()["requestId"] == nowhere.headers["x-request-id"]
    for _ in range(3):
        await stage.chat("free:bob")
    limited = await stage.chat("free:bob")
    assert limited.status_code == httpx.codes.TOO_MANY_REQUESTS
    assert limited.json()["requestId"] == limited.headers["x-request-id"]
