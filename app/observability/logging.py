"""Structured logs with the ids of request and trace, and no token in any of them."""

from __future__ import annotations

import json
import logging
import re
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal, TextIO

import orjson

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the request that is being answered; empty outside of one."""

trace_id: ContextVar[str] = ContextVar("trace_id", default="")
"""The id of the trace it belongs to (W3C Trace Context); empty if there is none."""

# JWTs, OpenShift's tokens, and whatever follows "Bearer": wherever they come from, they end here. What
# begins like a JWT is taken whole, dots or not: looking for a dot that never comes, from each "eyJ" of a long
# path anew, takes seconds.
_SECRETS = re.compile(
    r"(?-i:eyJ)[\w-]{5,}(?:\.[\w-]*){0,2}|sha256~[\w-]+|(?<=bearer )[^\s\"',]+|(?<=bearer%20)[^\s\"',]+",
    re.IGNORECASE,
)
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


def redact(text: str) -> str:
    """`text` with everything that looks like a token replaced."""
    return _SECRETS.sub("[redacted]", text)


class JsonFormatter(logging.Formatter):
    """One JSON object per line: `time`, `level`, `logger`, `message`, the ids and the record's extras."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; every string in it is redacted, those of tracebacks and extras too."""
        line: dict[str, Any] = {
            "time": _time(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= ids() | _extras(record)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        try:
            text = orjson.dumps(line).decode()
        except TypeError:  # Something that JSON does not know, or half of a character.
            text = None
        if text is None or _may_hold_secret(text):
            return json.dumps(_redacted(line), ensure_ascii=False)
        return text


class TextFormatter(logging.Formatter):
    """One readable line per record, for a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; redacted as a whole."""
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        extras = " ".join(f"{key}={value}" for key, value in (_extras(record) | ids()).items())
        line = f"{time} {record.levelname:<7} {record.getMessage()} {extras}".rstrip()
        # A caller's text must not be able to begin a line of its own, or to command the terminal.
        line = _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], line)
        if record.exc_info:
            line = f"{line}\n{self.formatException(record.exc_info)}"
        return redact(line)


def ids() -> dict[str, str]:
    """What tells where a line or an answer belongs: `requestId` and `traceId`, as far as there are any."""
    found = {"requestId": request_id.get(), "traceId": trace_id.get()}
    return {name: value for name, value in found.items() if value}


def configure(level: str, style: Literal["auto", "json", "text"], *, stream: TextIO | None = None) -> None:
    """Send every log record of the process to `stream` (standard error by default), in the given style."""
    stream = stream or sys.stderr
    text = style == "text" or (style == "auto" and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TextFormatter() if text else JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # No line tells thread, process or place in the code, so no record need find out (Logging HOWTO).
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # noqa: SLF001
    for noisy in ("httpx", "httpcore", "asyncio", "aiohttp", "kubernetes_asyncio", "uvicorn.error"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))


def _time(seconds: float) -> str:
    """In RFC 3339, with milliseconds."""
    whole = int(seconds)
    return f"{_second(whole)}.{int((seconds - whole) * 1000):03d}+00:00"


@lru_cache(maxsize=2)
def _second(seconds: int) -> str:
    """Lines come many a second, and this takes longer than the rest of a line's time."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _may_hold_secret(text: str) -> bool:
    """Whether what every secret has in it is there; nearly every line has nothing of it."""
    return "eyJ" in text or "~" in text or "bearer" in text.lower()


def _redacted(value: Any) -> Any:
    """`value` with every string redacted; what JSON does not know becomes a string first."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict):
        return {redact(str(key)): _redacted(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(entry) for entry in value]
    return redact(str(value))


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}
