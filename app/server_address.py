"""The base address of an HTTP server, as people write it into a setting."""

from __future__ import annotations

from urllib.parse import urlsplit


def server_address(value: str, *, example: str, secrets: str) -> str:
    """`value`, without a slash at its end.

    Args:
        value: what was written.
        example: a good one, for the message.
        secrets: where to put what must not be in it, for the message.

    Raises:
        ValueError: it is no such address, or there may be a secret in it. The message does not repeat it.
    """
    try:
        url = urlsplit(value)
        names_a_server = url.scheme in ("http", "https") and url.hostname and url.port != 0
    except ValueError:
        names_a_server = False
    if not names_a_server or not value.isascii() or any(map(str.isspace, value)):
        raise ValueError(f"expected an address such as {example}")
    if "@" in url.netloc or url.query or url.fragment:
        raise ValueError(f"expected an address without user, query and fragment; {secrets}")
    return value.rstrip("/")
