"""What Prometheus answers is right, or it is an error; and it is asked no more than it must be."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import respx

from app.embedded.gateway.certificates import ensure_certificates
from app.serving import bind, serving
from app.settings import UsageSettings
from app.usage.errors import UsageAnswerError, UsageTooLargeError, UsageUnavailableError
from app.usage.prometheus import MAX_ANSWER_BYTES, Prometheus, Series
from tests.loopback import free_port, serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from starlette.types import Receive, Scope, Send

URL = "http://prometheus.test/prefix"
QUERY = f"{URL}/api/v1/query"
SCALAR = {"resultType": "scalar", "result": []}
ONE = {"metric": {"user": "alice", "code": ""}, "value": [1700000000.123, "5"]}


def vector(*results: object, **more: object) -> dict[str, object]:
    return {"status": "success", "data": {"resultType": "vector", "result": list(results)}, **more}


@asynccontextmanager
async def asking(url: str = URL, **settings: Any) -> AsyncIterator[Prometheus]:
    made = Prometheus(UsageSettings(prometheus_url=url, **settings))
    try:
        yield made
    finally:
        await made.close()


@respx.mock
async def test_an_answer_has_series_with_their_labels_and_points() -> None:
    route = respx.get(QUERY).respond(json=vector(ONE, infos=["PromQL info: whatever"]))
    async with asking() as prometheus:
        answer = await prometheus.instant("up", 1700000000)
    assert answer == [Series({"user": "alice"}, {1700000000: 5.0})]
    asked = route.calls[0].request
    assert asked.url.params["query"] == "up"
    assert asked.url.params["time"] == "1700000000"
    assert asked.url.params["partial_response"] == "false"
    assert "authorization" not in asked.headers


@respx.mock
async def test_a_range_has_a_point_for_each_step() -> None:
    matrix = {"resultType": "matrix", "result": [{"metric": {}, "values": [[60, "1"], [120, "2.5"]]}]}
    route = respx.get(f"{URL}/api/v1/query_range").respond(json={"status": "success", "data": matrix})
    async with asking() as prometheus:
        answer = await prometheus.range("up", start=60, end=120, step=60)
    assert answer == [Series({}, {60: 1.0, 120: 2.5})]
    assert {name: route.calls[0].request.url.params[name] for name in ("start", "end", "step")} == {
        "start": "60",
        "end": "120",
        "step": "60",
    }


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (httpx.Response(200, text=""), UsageAnswerError),
        (httpx.Response(200, text="<html>log in</html>"), UsageAnswerError),
        (httpx.Response(200, text="null"), UsageAnswerError),
        (httpx.Response(200, text="[" * 100_000), UsageAnswerError),
        (httpx.Response(200, content=b'{"status": "success", "data": "\xff"}'), UsageAnswerError),
        (httpx.Response(200, json={"status": "success"}), UsageAnswerError),
        (httpx.Response(200, json={"status": "error", "errorType": "internal"}), UsageAnswerError),
        (httpx.Response(200, json={**vector(ONE), "status": "partial"}), UsageAnswerError),
        (httpx.Response(200, json=vector({"metric": [], "value": [1, "5"]})), UsageAnswerError),
        (httpx.Response(200, json=vector({"metric": {"a": 5}, "value": [1, "5"]})), UsageAnswerError),
        (httpx.Response(200, json=vector({"metric": {}, "value": [1, 5]})), UsageAnswerError),
        (httpx.Response(200, json=vector({"metric": {}, "value": [1, "5", "6"]})), UsageAnswerError),
        (httpx.Response(200, json=vector({"metric": {}, "value": [1, "NaN"]})), UsageAnswerError),
        (httpx.Response(200, json=vector({"metric": {}, "value": [1, "+Inf"]})), UsageAnswerError),
        (httpx.Response(200, json=vector({"metric": {}, "value": [1, "five"]})), UsageAnswerError),
        (httpx.Response(200, json={"status": "success", "data": SCALAR}), UsageAnswerError),
        (httpx.Response(200, json=vector(ONE, warnings=["store-1 is away"])), UsageAnswerError),
        (httpx.Response(200, json=vector(ONE), headers={"Content-Encoding": "br"}), None),
        (httpx.Response(200, json=vector(ONE, warnings=["PromQL info: a hint"])), None),
        (httpx.Response(204), UsageAnswerError),
        (httpx.Response(302, headers={"Location": "http://elsewhere.test/"}), UsageAnswerError),
        (httpx.Response(400, json={"status": "error", "errorType": "bad_data"}), UsageAnswerError),
        (httpx.Response(401), UsageAnswerError),
        (httpx.Response(403), UsageAnswerError),
        (httpx.Response(404), UsageAnswerError),
        (httpx.Response(422, json={"error": "would load too many samples into memory"}), UsageTooLargeError),
        (httpx.Response(422, json={"error": "found duplicate series"}), UsageAnswerError),
        (httpx.Response(429), UsageUnavailableError),
        (httpx.Response(500), UsageUnavailableError),
        (httpx.Response(503, json={"errorType": "timeout"}), UsageUnavailableError),
        (httpx.Response(200, content=b" " * (MAX_ANSWER_BYTES + 1)), UsageTooLargeError),
        (httpx.Response(500, content=b" " * (MAX_ANSWER_BYTES + 1)), UsageTooLargeError),
    ],
)  # fmt: skip
@respx.mock
async def test_what_is_no_answer_is_an_error(
    response: httpx.Response, expected: type[Exception] | None
) -> None:
    respx.get(QUERY).mock(return_value=response)
    elsewhere = respx.get("http://elsewhere.test/").respond(json=vector(ONE))
    async with asking() as prometheus:
        if expected is None:
            assert await prometheus.instant("up", 1)
        else:
            with pytest.raises(expected):
                await prometheus.instant("up", 1)
    assert not elsewhere.called


@pytest.mark.parametrize(
    "error", [httpx.ConnectError, httpx.ReadTimeout, httpx.RemoteProtocolError, httpx.ReadError]
)
@respx.mock
async def test_a_connection_that_fails_is_an_error(error: type[httpx.TransportError]) -> None:
    respx.get(QUERY).mock(side_effect=error("no"))
    async with asking() as prometheus:
        with pytest.raises(UsageUnavailableError):
            await prometheus.instant("up", 1)


async def test_nobody_listening_is_an_error() -> None:
    async with asking(f"http://127.0.0.1:{free_port()}") as prometheus:
        with pytest.raises(UsageUnavailableError):
            await prometheus.instant("up", 1)


async def test_an_answer_that_never_ends_is_given_up_in_time() -> None:
    async def drip(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": b" ", "more_body": True})
            await asyncio.sleep(0.01)

    async with (
        serve(drip) as (host, port),
        asking(f"http://{host}:{port}", timeout_seconds=0.3) as prometheus,
    ):
        async with asyncio.timeout(5):
            with pytest.raises(UsageUnavailableError):
                await prometheus.instant("up", 1)


class Gate:
    """A Prometheus that answers when it is let."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.changed = asyncio.Event()
        self.asked = 0
        self.at_once = 0
        self.most = 0

    async def __call__(self, _request: httpx.Request) -> httpx.Response:
        self.asked += 1
        self.changed.set()
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await self.open.wait()
        self.at_once -= 1
        return httpx.Response(200, json=vector(ONE))


@respx.mock
async def test_the_same_question_is_asked_once_at_a_time_and_then_remembered() -> None:
    gate = Gate()
    respx.get(QUERY).mock(side_effect=gate)
    async with asking(cache_seconds=60) as prometheus:
        askers = [asyncio.create_task(prometheus.instant("up", 1)) for _ in range(20)]
        await asyncio.sleep(0)
        askers[0].cancel()
        gate.open.set()
        answers = await asyncio.gather(*askers[1:])
        assert all(answer == answers[0] for answer in answers)
        assert await prometheus.instant("up", 1) == answers[0]
        assert gate.asked == 1
        await prometheus.instant("up", 2)
        assert gate.asked == 2


@respx.mock
async def test_a_failure_is_not_remembered() -> None:
    route = respx.get(QUERY).mock(side_effect=[httpx.Response(500), httpx.Response(200, json=vector(ONE))])
    async with asking(cache_seconds=60) as prometheus:
        with pytest.raises(UsageUnavailableError):
            await prometheus.instant("up", 1)
        assert await prometheus.instant("up", 1)
    assert route.call_count == 2


@respx.mock
async def test_no_more_questions_are_asked_at_once_than_is_allowed() -> None:
    gate = Gate()
    respx.get(QUERY).mock(side_effect=gate)
    async with asking(concurrency=3) as prometheus:
        askers = [asyncio.create_task(prometheus.instant("up", moment)) for moment in range(20)]
        while gate.asked < 3:
            await gate.changed.wait()
            gate.changed.clear()
        gate.open.set()
        await asyncio.gather(*askers)
    assert (gate.asked, gate.most) == (20, 3)


@respx.mock
async def test_closing_ends_what_is_on_its_way() -> None:
    respx.get(QUERY).mock(side_effect=Gate())
    prometheus = Prometheus(UsageSettings(prometheus_url=URL))
    asker = asyncio.create_task(prometheus.instant("up", 1))
    await asyncio.sleep(0)
    await prometheus.close()
    with pytest.raises(asyncio.CancelledError):
        await asker


class Guarded:
    """A Prometheus behind TLS that remembers which tokens it was shown."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        self.shown.append(dict(scope["headers"]).get(b"authorization", b"").decode())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(vector(ONE)).encode()})


async def test_the_token_and_the_ca_are_those_that_are_in_the_files_now(tmp_path: Path) -> None:
    def now() -> dt.datetime:
        return dt.datetime.now(dt.UTC)

    ours, others = ensure_certificates(tmp_path / "ours", now), ensure_certificates(tmp_path / "others", now)
    token, ca = tmp_path / "token", tmp_path / "ca.crt"
    token.write_text("first\n")
    ca.write_bytes(others.ca.read_bytes())
    guarded, listener = Guarded(), bind("prometheus", "127.0.0.1", 0)
    async with (
        serving((guarded, listener), shutdown_seconds=0.1, certificate=(ours.chain, ours.key)),
        asking(
            f"https://localhost:{listener.port}", token_file=str(token), ca_file=str(ca), cache_seconds=0
        ) as prometheus,
    ):
        with pytest.raises(UsageUnavailableError):
            await prometheus.instant("up", 1)
        assert guarded.shown == []
        ca.write_bytes(ours.ca.read_bytes())
        await prometheus.instant("up", 2)
        token.write_text("second")
        await prometheus.instant("up", 3)
        assert guarded.shown == ["Bearer first", "Bearer second"]
        for broken in ("", "two tokens", "caf\u00e9", "a\x00b"):
            token.write_text(broken)
            with pytest.raises(UsageUnavailableError):
                await prometheus.instant("up", 4)
        token.unlink()
        with pytest.raises(UsageUnavailableError):
            await prometheus.instant("up", 5)
        token.write_text("third")
        ca.write_text("-----BEGIN CERTIFICATE-----\nnothing\n-----END CERTIFICATE-----\n")
        with pytest.raises(UsageUnavailableError):
            await prometheus.instant("up", 6)
        assert len(guarded.shown) == 2


async def test_a_certificate_of_nobody_known_is_not_trusted(tmp_path: Path) -> None:
    made = ensure_certificates(tmp_path, lambda: dt.datetime.now(dt.UTC))
    guarded, listener = Guarded(), bind("prometheus", "127.0.0.1", 0)
    async with (
        serving((guarded, listener), shutdown_seconds=0.1, certificate=(made.chain, made.key)),
        asking(f"https://localhost:{listener.port}") as prometheus,
    ):
        with pytest.raises(UsageUnavailableError, match="CERTIFICATE_VERIFY_FAILED"):
            await prometheus.instant("up", 1)
        assert guarded.shown == []
