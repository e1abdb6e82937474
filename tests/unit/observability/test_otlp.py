"""Sending traces: what a collector gets, and what happens while there is none."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import subprocess
import sys
import threading
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trustme

from app.observability.tracing import Tracer, TracingError, calling, current, open_tracer
from app.serving import bind, serving
from app.settings import TracingSettings
from tests.certificate_files import issued_files
from tests.otlp import Collector, collector
from tests.workspace import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

LOGGER = "app.observability.otlp"


def tracer(endpoint: str, **settings: object) -> Tracer:
    made = open_tracer(
        TracingSettings.model_validate({"endpoint": endpoint, **settings}),
        random=random.Random(1),  # noqa: S311
    )
    assert made is not None
    return made


def record(tracer: Tracer, count: int = 1) -> None:
    for _ in range(count):
        span = tracer.begin("work", None, {})
        assert span is not None
        span.end()


def exporting() -> list[threading.Thread]:
    """The threads of the SDK that send, or wait to try it again."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("OtelBatch")]


@pytest.fixture
async def traces() -> AsyncIterator[Collector]:
    async with collector() as running:
        yield running


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address where connections are refused."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


@asynccontextmanager
async def awake() -> AsyncIterator[list[float]]:
    """Looks how long the loop does not come to anything else; gives the longest such time, in seconds."""
    longest = [0.0]

    async def look() -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.005)
            longest[0] = max(longest[0], time.perf_counter() - before)

    task = asyncio.create_task(look(), name="look")
    try:
        yield longest
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_without_a_collector_there_are_no_traces() -> None:
    assert open_tracer(TracingSettings(), random=random.Random()) is None  # noqa: S311
    with calling("somebody", {}) as span:
        assert span is None


def test_without_a_collector_nothing_of_the_sdk_is_loaded() -> None:
    code = (
        "import random, sys\n"
        "import app.cli.root, app.cli.serve, app.cli.up, app.main, app.lifespan\n"
        "from app.observability.tracing import open_tracer\n"
        "from app.settings import TracingSettings\n"
        "assert open_tracer(TracingSettings(), random=random.Random()) is None\n"
        "heavy = ('opentelemetry.sdk', 'opentelemetry.exporter', 'google.protobuf', 'requests')\n"
        "sys.exit(', '.join(name for name in sys.modules if name.startswith(heavy)) or 0)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.stderr.strip() == ""
    assert ended.returncode == 0


async def test_what_is_recorded_is_sent_at_the_end(traces: Collector) -> None:
    made = tracer(traces.url, service_name="models")
    record(made, 1000)
    await made.close()
    assert len(traces.spans) == 1000
    assert {span.service for span in traces.spans} == {"models"}
    assert len({span.trace_id for span in traces.spans}) == 1000


async def test_calls_within_calls_are_parts_of_each_other(traces: Collector) -> None:
    made = tracer(traces.url)
    span = made.begin("request", None, {})
    assert span is not None
    reset = current.set(span)
    with calling("outer", {}) as outer:
        assert outer is not None
        with calling("inner", {"number": 1}):
            pass
    with pytest.raises(ValueError, match="secret"), calling("broken", {}):
        raise ValueError("secret")
    current.reset(reset)
    span.end()
    await made.close()
    by_name = {span.name: span for span in traces.spans}
    assert by_name["outer"].parent_id == by_name["broken"].parent_id == by_name["request"].span_id
    assert outer.traceparent == f"00-{span.trace_id}-{by_name['outer'].span_id}-01"
    assert by_name["inner"].parent_id == by_name["outer"].span_id
    assert by_name["broken"].attributes == {"error.type": "ValueError"}
    assert b"secret" not in traces.raw


async def test_what_is_written_down_is_bounded(traces: Collector) -> None:
    made = tracer(traces.url)
    span = made.begin("work", None, {})
    assert span is not None
    span.note({"long": "x" * 100_000})
    span.end()
    await made.close()
    assert len(traces.spans[0].attributes["long"]) <= 1024


async def test_headers_come_from_a_file(traces: Collector, tmp_path: Path) -> None:
    path = tmp_path / "headers"
    path.write_text("Authorization: Basic c2VjcmV0\n\nX-Scope-OrgID:  maas \n")
    made = tracer(traces.url, headers_file=str(path))
    record(made)
    await made.close()
    assert traces.requests[0]["authorization"] == "Basic c2VjcmV0"
    assert traces.requests[0]["x-scope-orgid"] == "maas"


@pytest.mark.parametrize(
    "content",
    [
        b"t0ps3cret",
        b": t0ps3cret",
        b"a b: t0ps3cret",
        b"a:",
        b"ok: yes\na: t0ps3cret\x00",
        b"a: t0ps3cret\xff",
    ],
)
async def test_a_file_without_headers_is_named_and_not_quoted(
    nobody: str, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "headers"
    path.write_bytes(content)
    with pytest.raises(TracingError, match="MAAS_TRACING_HEADERS_FILE") as caught:
        tracer(nobody, headers_file=str(path))
    assert "t0ps3cret" not in str(caught.value)


@pytest.mark.parametrize("setting", ["headers_file", "ca_file"])
async def test_a_file_that_is_missing_is_named(nobody: str, setting: str) -> None:
    with pytest.raises(TracingError, match=f"MAAS_TRACING_{setting.upper()}: .*/no/such/file"):
        tracer(nobody, **{setting: "/no/such/file"})


@pytest.mark.parametrize("trusted", [True, False])
async def test_a_collector_with_a_certificate_is_trusted_by_the_ca(tmp_path: Path, *, trusted: bool) -> None:
    authority = trustme.CA()
    certificate, ca = issued_files(authority, "localhost", tmp_path), tmp_path / "ca.pem"
    (authority if trusted else trustme.CA()).cert_pem.write_to_path(ca)
    running, listener = Collector(), bind("collector", "127.0.0.1", 0)
    running.speaks.set()
    async with serving((running, listener), shutdown_seconds=1, certificate=certificate):
        made = tracer(
            f"https://localhost:{listener.port}", ca_file=str(ca), export_seconds=1, flush_seconds=5
        )
        record(made)
        await made.close()
    assert len(running.spans) == trusted


async def test_a_collector_that_refuses_is_told_of_once(
    traces: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    traces.status = 400
    made = tracer(traces.url)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            traces.requests.clear()
            record(made, 512)
            await eventually(lambda: traces.requests, seconds=10)
        await made.close()
    (line,) = caplog.records
    assert line.name == LOGGER
    assert traces.url in line.getMessage()


async def test_nobody_waits_for_a_collector_that_says_nothing(
    traces: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    traces.speaks.clear()
    made = tracer(traces.url, queue_spans=512, flush_seconds=0.5)
    async with awake() as longest:
        for _ in range(20):
            record(made, 512)
            await asyncio.sleep(0)
        await eventually(lambda: traces.requests)
        started = time.perf_counter()
        with caplog.at_level(logging.WARNING):
            await made.close()
        assert time.perf_counter() - started < 1.5
    assert longest[0] < 1
    assert "were not sent within 0.5 seconds" in caplog.messages[-1]
    assert logging.getLogger("opentelemetry").propagate


async def test_the_end_does_not_wait_for_a_collector_that_is_away(nobody: str) -> None:
    made = tracer(nobody, flush_seconds=0.5)
    record(made, 2000)
    started = time.perf_counter()
    await made.close()
    assert time.perf_counter() - started < 1.5
    await eventually(lambda: not exporting(), seconds=1)


async def test_a_collector_that_comes_back_gets_what_waits(traces: Collector) -> None:
    traces.status = 503
    made = tracer(traces.url)
    record(made)
    await eventually(lambda: traces.requests, seconds=10)
    traces.status = 200
    await eventually(lambda: traces.spans, seconds=10)
    await made.close()


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, nobody: str) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    monkeypatch.delitem(sys.modules, "app.observability.otlp", raising=False)
    with pytest.raises(TracingError, match=r"privatemaas\[tracing\]"):
        tracer(nobody)
