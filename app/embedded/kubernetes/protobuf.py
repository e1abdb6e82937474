"""Reads bodies in the protobuf encoding of Kubernetes, which kubectl sends for builtin kinds.

The envelope is `runtime.Unknown` behind four magic bytes (k8s.io/apimachinery's serializer/protobuf); what is
inside is described in `messages`. Answers are always JSON: clients that send protobuf accept both.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from app.embedded.kubernetes import messages
from app.embedded.kubernetes.errors import bad_request
from app.embedded.kubernetes.messages import Many, Map, Message, Scalar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"

_MAGIC = b"k8s\x00"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}
_VARINT_BITS = 70


class _MalformedError(Exception):
    """The bytes are no protobuf message of the expected kind."""


def decode(body: bytes) -> dict[str, Any]:
    """Return the object that a body holds, as JSON would have it.

    Raises:
        APIError: The body is malformed or holds a kind that is not known here (400).
    """
    try:
        return _open(body)
    except (_MalformedError, UnicodeDecodeError, orjson.JSONDecodeError, OverflowError):
        raise bad_request("the body of the request is not a protobuf message of a known kind") from None


def _open(body: bytes) -> dict[str, Any]:
    if not body.startswith(_MAGIC):
        raise _MalformedError
    envelope = _message(messages.UNKNOWN, body[len(_MAGIC) :])
    identity = envelope.get("typeMeta", {})
    kind = messages.KINDS.get(identity.get("kind", ""))
    if kind is None:
        raise _MalformedError
    return {**identity, **_message(kind, base64.b64decode(envelope.get("raw", "")))}


def _message(message: Message, data: bytes) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for number, value in _fields(data):
        if number not in message:
            continue
        name, kind = message[number]
        if isinstance(kind, Many):
            result.setdefault(name, []).append(_value(kind.of, value))
        elif isinstance(kind, Map):
            entry = dict(_fields(_bytes(value)))
            key = _value(Scalar.STRING, entry.get(1, b""))
            result.setdefault(name, {})[key] = _value(kind.of, entry.get(2, b""))
        else:
            decoded = _value(kind, value)
            # Go writes empty strings and times where JSON has nothing.
            if decoded not in ("", None):
                result[name] = decoded
    return result


def _value(kind: Scalar | Message, value: int | bytes) -> Any:
    if kind in (Scalar.INTEGER, Scalar.BOOLEAN):
        if not isinstance(value, int):
            raise _MalformedError
        return bool(value) if kind is Scalar.BOOLEAN else _signed(value)
    data = _bytes(value)
    return _message(kind, data) if isinstance(kind, dict) else _DECODERS[kind](data)


def _wrapped(data: bytes) -> list[bytes]:
    """The contents of a message that JSON shows without the message."""
    return [_bytes(each) for number, each in _fields(data) if number == 1]


def _time(data: bytes) -> str | None:
    fields = dict(_fields(data))
    seconds, nanoseconds = fields.get(1), fields.get(2, 0)
    if not isinstance(seconds, int) or not isinstance(nanoseconds, int):
        return None
    try:
        text = datetime.fromtimestamp(_signed(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%S")
    except (ValueError, OSError):
        raise _MalformedError from None
    return f"{text}.{nanoseconds // 1000:06d}Z" if nanoseconds else f"{text}Z"


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the fields of a message: their number, and a number or bytes."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        wire_type = key & 7
        if wire_type == _VARINT:
            value, position = _varint(data, position)
            yield key >> 3, value
            continue
        if wire_type == _BYTES:
            length, position = _varint(data, position)
        elif wire_type in _FIXED:
            length = _FIXED[wire_type]
        else:
            raise _MalformedError
        end = position + length
        if end > len(data):
            raise _MalformedError
        yield key >> 3, data[position:end]
        position = end


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, _VARINT_BITS, 7):
        if position >= len(data):
            break
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the highest bit says that more follows
            return value, position
    raise _MalformedError


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise _MalformedError
    return value


_DECODERS: dict[Scalar, Callable[[bytes], Any]] = {
    Scalar.BYTES: lambda data: base64.b64encode(data).decode(),
    Scalar.JSON: lambda data: orjson.loads(b"".join(_wrapped(data)) or b"{}"),
    Scalar.STRING: bytes.decode,
    Scalar.STRINGS: lambda data: [each.decode() for each in _wrapped(data)],
    Scalar.TIME: _time,
}
