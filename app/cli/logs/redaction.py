"""Takes secrets out of what others wrote: tokens, keys, passwords.

It looks for what secrets look like and for what they are called. Rather a word too many is lost than a secret
kept. Every pattern is bounded, so that a hostile line costs no more than its length.
"""

from __future__ import annotations

import re
from typing import Any

from app.observability.logging import redact

REDACTED = "[redacted]"

_NAMES = r"passw(?:or)?d|secret|credentials?|api[_-]?key|access[_-]?key|private[_-]?key"
# Between a name and its value: `=`, `: `, `": "`, and the same within a JSON string.
_IS = r"\\{0,3}[\"']?\s{0,8}[:=]\s{0,8}"
_VALUE = r"(?:\\{0,3}\"[^\"]{0,1024}\"?|'[^']{0,1024}'?|[^\s\"']+)"
# `DB_PASSWORD=…`, `"clientSecret": "…"`, `--api-key …`; what comes before the name does not matter.
_NAMED = re.compile(rf"((?:{_NAMES})[\w.-]{{0,40}}{_IS}){_VALUE}", re.IGNORECASE)
_FLAG = re.compile(rf"((?<![\w-])--[\w-]{{0,40}}(?:{_NAMES}|token)[\w-]{{0,40}}[ =]){_VALUE}", re.IGNORECASE)
# `token: …`, `access_token=…`; but not tokenId, tokenSha256 or `"total_tokens": 12`, which say who did what.
_TOKEN = re.compile(rf"(token{_IS}[\"']?)[^\s\"']{{12,}}", re.IGNORECASE)
_HEADER = r"[\"']?(?:\s{0,8}[:=]\s{0,8}|,\s{0,8})[\"'\[]{0,3}"
_AUTHORIZATION = re.compile(
    rf"(authorization{_HEADER})((?:basic|bearer|digest|negotiate|token)\s{{1,8}}[^\s\"',\]]+|[\w+/=.~-]{{16,}})",
    re.IGNORECASE,
)
_COOKIE = re.compile(rf"(cookie{_HEADER})[^\s\"'\]][^\"'\]]*", re.IGNORECASE)
_USER_INFO = re.compile(r"(?<=://)[^/\s:@\"']{0,256}:[^/\s@\"']{1,512}(?=@)")
_WELL_KNOWN = re.compile(r"\b(?:hf_\w{16,}|sk-[\w-]{16,}|gh[pousr]_\w{16,}|AKIA[0-9A-Z]{16})")

_KEY_BEGINS = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----")
_KEY_ENDS = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----")
# A line of a key, perhaps behind a timestamp; the last one may be short.
_KEY_LINE = re.compile(
    r"(?:^|\s)[A-Za-z0-9+/=]{16,128}$|^(?:\d\S{0,64} )?[A-Za-z0-9+/=]{0,128}$|(?:Proc-Type|DEK-Info): "
)

_SECRET_NAME = re.compile(rf"{_NAMES}|token", re.IGNORECASE)
_OURS = "MAAS_"  # No setting of the service is a secret.
_SECRET_KEYS = frozenset(
    ("password", "passwd", "secret", "token", "apikey", "accesskey", "privatekey", "clientsecret")
)
_DROPPED_ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration"


class Redactor:
    """Redacts a text line by line; it remembers that it is within a private key."""

    def __init__(self) -> None:
        self._in_key = False

    def line(self, text: str) -> str:
        """The line without secrets."""
        if self._in_key:
            if end := _KEY_ENDS.search(text):
                self._in_key = False
                return REDACTED + self.line(text[end.end() :])
            if _KEY_LINE.search(text):
                return REDACTED
            self._in_key = False  # It was cut off.
        if begin := _KEY_BEGINS.search(text):
            self._in_key = True
            return _redacted(text[: begin.start()]) + self._rest_of_key(text[begin.end() :])
        return _redacted(text)

    def _rest_of_key(self, rest: str) -> str:
        """What follows the beginning of a private key on its line: all of it, where JSON holds it on one."""
        end = _KEY_ENDS.search(rest)
        if end is None:
            return REDACTED
        self._in_key = False
        return REDACTED + self.line(rest[end.end() :])


def redacted_object(value: Any, key: str = "") -> Any:
    """A Kubernetes object without secrets: in variables, in flags, and whatever else looks like one.

    What only repeats the object, such as managed fields, is left out.
    """
    if isinstance(value, str):
        return REDACTED if key.lower() in _SECRET_KEYS else _redacted_text(value)
    if isinstance(value, list):
        return _redacted_list(value)
    if not isinstance(value, dict):
        return value
    entries = {
        name: entry for name, entry in value.items() if name not in ("managedFields", _DROPPED_ANNOTATION)
    }
    redacted = {name: redacted_object(entry, name) for name, entry in entries.items()}
    name = value.get("name")
    if isinstance(name, str) and isinstance(value.get("value"), str) and _is_secret(name):
        redacted["value"] = REDACTED
    return redacted


def _redacted_list(values: list[Any]) -> list[Any]:
    """The entries; of a command line, what follows a flag such as `--password` too."""
    redacted = []
    after_flag = False
    for value in values:
        redacted.append(REDACTED if after_flag and isinstance(value, str) else redacted_object(value))
        after_flag = (
            isinstance(value, str) and value.startswith("-") and "=" not in value and _is_secret(value)
        )
    return redacted


def _is_secret(name: str) -> bool:
    return not name.startswith(_OURS) and _SECRET_NAME.search(name) is not None


def _redacted_text(text: str) -> str:
    redactor = Redactor()
    return "\n".join(redactor.line(line) for line in text.split("\n"))


def _redacted(text: str) -> str:
    text = _AUTHORIZATION.sub(rf"\1{REDACTED}", text)
    text = _COOKIE.sub(rf"\1{REDACTED}", text)
    text = _NAMED.sub(rf"\1{REDACTED}", text)
    text = _FLAG.sub(rf"\1{REDACTED}", text)
    text = _TOKEN.sub(rf"\1{REDACTED}", text)
    text = _USER_INFO.sub(REDACTED, text)
    return redact(_WELL_KNOWN.sub(REDACTED, text))
