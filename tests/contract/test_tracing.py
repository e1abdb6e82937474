"""Traces of requests, as the collector gets them."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import pytest

from app.settings import TracingSettings
from tests.otlp import Collector, collector
from tests.workspace import FREE, Replica, Workspace, eventually, replica

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from tests.clusters import TestCluster
    from tests.otlp import Span

ISSUE = "POST /maas-api/token"
AUTHORIZE = "POST /internal/authorize/{path}"


def traceparent(trace_id: str, *, sampled: bool = True) -> dict[str, str]:
    return {"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-0{int(sampled)}"}


@pytest.fixture
async def traces() -> AsyncIterator[Collector]:
    async with collector() as running:
        yield running


def traced_replica(
    workspace: Workspace, traces: Collector, **tracing: Any
) -> AbstractAsyncContextManager[Replica]:
    return replica(workspace, tracing=TracingSettings(endpoint=traces.url, **tracing))


@pytest.fixture
async def traced(workspace: Workspace, traces: Collector) -> AsyncIterator[Replica]:
    """A replica that traces every request."""
    async with traced_replica(workspace, traces) as running:
        yield running


async def children(traces: Collector, span: Span, count: int) -> list[Span]:
    return list(await eventually(lambda: len(traces.children(span)) == count and traces.children(span)))


async def test_an_issue_is_one_trace_with_the_calls_that_it_made(traced: Replica, traces: Collector) -> None:
    alice = await traced.caller("alice")
    trace_id = secrets.token_hex(16)
    response = await alice.request("POST", "/maas-api/token", headers=traceparent(trace_id))
    assert response.status_code == 201
    span = await traces.span(ISSUE)
    assert (span.trace_id, span.kind, span.service, span.failed) == (trace_id, "server", "maas-api", False)
    assert span.attributes == {
        "http.request.method": "POST",
        "http.route": "/maas-api/token",
        "http.response.status_code": 201,
        "url.scheme": "http",
        "maas.tier": "free",
    }
    calls = await children(traces, span, 3)
    assert [call.name for call in calls] == [
        "create tokenreviews",
        "create serviceaccounts",
        "create serviceaccounts/token",
    ]
    for call in calls:
        assert (call.kind, call.failed) == ("client", False)
        assert call.attributes["http.request.method"] == "POST"
        assert call.attributes["http.response.status_code"] == 201
        assert call.attributes["maas.kubernetes.verb"] == "create"
        assert 0 < call.seconds <= span.seconds


async def test_a_decision_is_in_the_trace_of_the_gateway(traced: Replica, traces: Collector) -> None:
    alice = await traced.caller("alice")
    token = (await alice.issued())["token"]
    await traced.known(model := await traced.workspace.model("qwen3", FREE))
    first, second = traceparent(secrets.token_hex(16)), traceparent(secrets.token_hex(16))
    for headers in (first, second):
        assert (await traced.authorize(token, model, headers=headers)).status_code == 200
    await eventually(lambda: sum(span.name == AUTHORIZE for span in traces.spans) == 2, seconds=15)
    asked, remembered = [span for span in traces.spans if span.name == AUTHORIZE]
    for span, headers in ((asked, first), (remembered, second)):
        assert ["00", span.trace_id, span.parent_id, "01"] == headers["traceparent"].split("-")
        assert span.kind == "server"
        assert span.attributes["maas.tier"] == "free"
        assert span.attributes["gen_ai.request.model"] == model
        assert span.attributes["http.response.status_code"] == 200
    assert [call.name for call in await children(traces, asked, 1)] == ["create subjectaccessreviews"]
    assert traces.children(remembered) == []


async def test_a_refusal_is_no_error_and_tells_its_code_but_nothing_that_was_sent(
    traced: Replica, traces: Collector
) -> None:
    alice = await traced.caller("alice")
    token = (await alice.issued())["token"]
    assert (await traced.authorize(token, "my-secret-text")).status_code == 404
    assert (await traced.public.get("/maas-api/tokens/no-such-token?token=my-secret-text")).status_code == 401
    decision = await traces.span(AUTHORIZE, maas__problem="model_not_found")
    look = await traces.span("GET /maas-api/tokens/{id}", maas__problem="missing_token")
    for span, status in ((decision, 404), (look, 401)):
        assert not span.failed
        assert span.attributes["http.response.status_code"] == status
    assert b"my-secret-text" not in traces.raw


async def test_no_token_and_no_user_is_in_any_trace(traced: Replica, traces: Collector) -> None:
    alice, root = await traced.caller("alice-liddell"), await traced.caller("root", "system:masters")
    issued = await alice.issued(name="looking-glass")
    await alice.get(f"/maas-api/tokens/{issued['id']}")
    assert (await root.get("/maas-api/admin/users/alice-liddell/tokens")).status_code == 200
    await traced.authorize(issued["token"], path="/v1/models", method="GET")
    assert (await alice.delete(f"/maas-api/tokens/{issued['id']}")).status_code == 204
    await traces.span("delete serviceaccounts")
    await traces.span("GET /maas-api/admin/users/{user}/tokens")
    await traces.span("DELETE /maas-api/tokens/{id}")
    for secret in ("alice-liddell", "looking-glass", issued["token"], issued["token"][:20], alice.token):
        assert secret.encode() not in traces.raw


async def test_users_are_named_where_that_is_wanted(workspace: Workspace, traces: Collector) -> None:
    async with traced_replica(workspace, traces, user_names=True) as traced:
        alice = await traced.caller("alice")
        token = (await alice.issued())["token"]
        await traced.authorize(token, path="/v1/models", method="GET")
    await traces.span(ISSUE, user__name="alice")
    await traces.span("GET /internal/authorize/{path}", user__name="alice")


async def test_what_fails_says_so_by_its_kind(traced: Replica, traces: Collector, away: TestCluster) -> None:
    alice = await traced.caller("alice")
    await away.pause()
    assert (await alice.issue()).status_code == 503
    span = await traces.span(ISSUE, error__type="503", maas__problem="upstream_unavailable")
    assert span.failed
    calls = await children(traces, span, 2)
    assert [call.name for call in calls] == ["create tokenreviews"] * 2
    assert [call.attributes.get("http.request.resend_count") for call in calls] == [None, 1]
    for told in (span, *calls):
        assert told.failed
        assert (told.message, told.events) == ("", [])
    assert {call.attributes["error.type"] for call in calls} == {"KubeUnavailableError"}


@pytest.fixture
async def away(cluster: TestCluster) -> AsyncIterator[TestCluster]:
    """A cluster that a test pauses; it is back afterwards whatever the test did."""
    yield cluster
    await cluster.resume()


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "garbage",
        "00-" + "0" * 32 + "-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" + "0" * 30_000,
        "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-" + "x" * 30_000,
    ],
    ids=lambda sent: sent[:40],
)
async def test_a_traceparent_that_is_none_begins_a_trace_of_its_own(
    traced: Replica, traces: Collector, sent: str
) -> None:
    headers = {"traceparent": sent, "tracestate": "a=" + "b" * 20_000}
    response = await traced.public.get("/maas-api/tier", headers=headers)
    assert response.status_code == 401
    span = await traces.span("GET /maas-api/tier")
    assert span.parent_id == ""
    assert span.trace_id not in sent
    assert response.json()["traceId"] == span.trace_id
    assert b"bbb" not in traces.raw


async def test_a_client_chooses_its_trace_but_not_that_it_is_sampled(
    workspace: Workspace, traces: Collector
) -> None:
    trace_id = secrets.token_hex(16)
    async with traced_replica(workspace, traces, ratio=0) as traced:
        response = await traced.public.get("/maas-api/tier", headers=traceparent(trace_id))
        refusal = await traced.authorize("none", headers=traceparent(trace_id))
    assert response.json()["traceId"] == refusal.json()["traceId"] == trace_id
    assert traces.spans == []


async def test_the_gateway_decides_what_is_sampled_where_it_is_to(
    workspace: Workspace, traces: Collector
) -> None:
    sampled, not_sampled = secrets.token_hex(16), secrets.token_hex(16)
    async with traced_replica(workspace, traces, ratio=0, sampled_by="gateway") as traced:
        await traced.public.get("/maas-api/tier", headers=traceparent(not_sampled, sampled=False))
        await traced.public.get("/maas-api/tier", headers=traceparent(sampled))
        await traced.public.get("/maas-api/tier")
    assert {span.trace_id for span in traces.spans} == {sampled}


async def test_a_share_of_the_requests_is_traced(workspace: Workspace, traces: Collector) -> None:
    async with traced_replica(workspace, traces, ratio=0.5) as traced:
        for _ in range(100):
            await traced.public.get("/maas-api/nothing")
    assert 20 < len(traces.spans) < 80


async def test_authorino_and_paths_without_a_route_are_traced_and_probes_are_not(
    traced: Replica, traces: Collector
) -> None:
    for client, path in (
        (traced.public, "/maas-api/healthz"),
        (traced.public, "/maas-api/readyz"),
        (traced.gateway, "/readyz"),
        (traced.gateway, "/metrics"),
        (traced.public, "/elsewhere"),
    ):
        await client.get(path)
    await traced.gateway.post("/internal/identity", json={"username": "x", "uid": "y"})
    await traced.public.request("PROPFIND", "/elsewhere")
    await traces.span("HTTP", http__request__method="_OTHER")
    await traces.span("POST /internal/identity")
    assert {span.name for span in traces.spans} == {"GET", "HTTP", "POST /internal/identity"}
