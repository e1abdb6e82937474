"""Requests that a well-behaved client cannot be made to send."""

from __future__ import annotations

import asyncio
import contextlib
import re
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

_HEADERS_FRAME = 0x1
_SETTINGS_FRAME = 0x4


async def http1(address: tuple[str, int], trust: ssl.SSLContext, path: str, *headers: str) -> tuple[int, str]:
    """Send a GET with `path` as it is; returns the status and the whole answer."""
    trust.set_alpn_protocols(["http/1.1"])
    reader, writer = await asyncio.open_connection(*address, ssl=trust)
    lines = [f"GET {path} HTTP/1.1", "Host: localhost", *headers, "", ""]
    writer.write("\r\n".join(lines).encode("latin-1"))
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = re.search(r"content-length: (\d+)", head)
    body = await (reader.readexactly(int(length[1])) if length else reader.readuntil(b"\r\n0\r\n\r\n"))
    await _hang_up(writer)
    return int(head.split(" ", 2)[1]), head + body.decode()


async def http2(address: tuple[str, int], trust: ssl.SSLContext, path: str) -> bytes:
    """Send a GET over HTTP/2; returns the block of headers of its answer, in HPACK."""
    trust.set_alpn_protocols(["h2"])
    reader, writer = await asyncio.open_connection(*address, ssl=trust)
    tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
    assert tls.selected_alpn_protocol() == "h2"
    method_get, scheme_https, path_name, authority_name = b"\x82", b"\x87", b"\x04", b"\x01"
    block = method_get + scheme_https + path_name + _string(path) + authority_name + _string("localhost")
    end_of_headers_and_stream = 0x5
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(_SETTINGS_FRAME, 0, 0, b""))
    writer.write(_frame(_HEADERS_FRAME, end_of_headers_and_stream, 1, block))
    while True:
        length, kind, _, _ = struct.unpack(">I", b"\0" + (head := await reader.readexactly(9))[:3]) + tuple(
            struct.unpack(">BBI", head[3:])
        )
        payload = await reader.readexactly(length)
        if kind == _HEADERS_FRAME:
            break
    await _hang_up(writer)
    return payload


async def _hang_up(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    # The other side may still have been sending, which is no concern of a test that has its answer.
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def _string(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload
