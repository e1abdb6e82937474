"""Log lines: whole, readable, and without secrets."""

from __future__ import annotations

import io
import json
import logging
import sys
import time

import pytest

from app.observability.logging import JsonFormatter, TextFormatter, configure, redact, request_id, trace_id

JWT = "eyJhbGciOiJSUzI1NiIsImtpZCI6IngifQ.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl-_x"


def record(message: str, **extra: object) -> logging.LogRecord:
    made = logging.makeLogRecord({"name": "app", "levelname": "INFO", "msg": message, "levelno": 20})
    made.__dict__.update(extra)
    return made


@pytest.mark.parametrize(
    "text",
    [
        f"token {JWT} end",
        f"Authorization: Bearer {JWT}",
        "Authorization: bearer abc.def/ghi+jkl==",
        "sha256~AbC-d_9",
        f"GET /maas-api/tokens/{JWT}?token={JWT}",
        "Bearer%20abcdef",
        JWT[:-20],
    ],
)
def test_tokens_are_redacted(text: str) -> None:
    redacted = redact(text)
    assert "[redacted]" in redacted
    for secret in ("eyJhbGci", "eyJzdWIi", "c2lnbmF0", "AbC-d_9", "abc.def", "abcdef"):
        assert secret not in redacted


@pytest.mark.parametrize(
    "text", ["alice-sa-1795456035123", "tier premium", "eyJ", "GET /v1/models/keyjournal"]
)
def test_ordinary_text_stays(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize("piece", ["eyJ", "eyJaaaaaa.", "sha256~", "bearer ", "Bearer%20"])
def test_a_path_made_to_look_like_many_tokens_is_redacted_in_no_time(piece: str) -> None:
    path = piece * (60_000 // len(piece))
    started = time.perf_counter()
    redact(path)
    assert time.perf_counter() - started < 0.2


def test_a_json_line_has_its_extras_and_request_id() -> None:
    reset = request_id.set("r-1")
    try:
        line = json.loads(JsonFormatter().format(record("hello", tokenId="x", many=[1, "a"], odd=object)))
    finally:
        request_id.reset(reset)
    assert line["message"] == "hello"
    assert line["requestId"] == "r-1"
    assert line["tokenId"] == "x"
    assert line["many"] == [1, "a"]
    assert "object" in line["odd"]


def test_every_line_tells_request_and_trace_in_either_form() -> None:
    resets = request_id.set("r-1"), trace_id.set("4bf92f3577b34da6a3ce929d0e0e4736")
    try:
        line = json.loads(JsonFormatter().format(record("hello")))
        text = TextFormatter().format(record("hello", tokenId="x"))
    finally:
        request_id.reset(resets[0])
        trace_id.reset(resets[1])
    assert (line["requestId"], line["traceId"]) == ("r-1", "4bf92f3577b34da6a3ce929d0e0e4736")
    assert text.endswith("hello tokenId=x requestId=r-1 traceId=4bf92f3577b34da6a3ce929d0e0e4736")
    assert "Id" not in TextFormatter().format(record("hello"))


def test_redaction_never_breaks_a_json_line() -> None:
    nasty = f'say "Bearer {JWT}\\" or {{"a": "Bearer x\\\\"}}'
    line = json.loads(JsonFormatter().format(record(nasty, inner={"k": f"sha256~{'a' * 9}\\"})))
    assert JWT not in str(line)


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
def test_tracebacks_are_redacted_too(formatter: logging.Formatter) -> None:
    try:
        int(f"bad {JWT}")
    except ValueError:
        made = record("failed", exc_info=sys.exc_info())
    text = formatter.format(made)
    assert "ValueError" in text
    assert JWT not in text


def test_a_text_line_stays_one_line() -> None:
    assert TextFormatter().format(record("first\nsecond", user="a\r\nb\x85\u2028c")).splitlines()[1:] == []


def test_a_text_line_does_not_command_the_terminal() -> None:
    line = TextFormatter().format(record("GET /\x1b[2J\x9b31m\x07", actor="日本"))
    assert line.isprintable()
    assert "GET /\\x1b[2J" in line
    assert "日本" in line


@pytest.mark.parametrize(("style", "begins"), [("json", "{"), ("auto", "{"), ("text", "0123456789")])
def test_the_style_is_a_choice(style: str, begins: str) -> None:
    stream = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        configure("INFO", style, stream=stream)  # type: ignore[arg-type]
        logging.getLogger("somewhere").info("hello")
    finally:
        root.handlers[:], root.level = handlers, level
    assert stream.getvalue()[0] in begins
    assert "hello" in stream.getvalue()
