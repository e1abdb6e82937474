"""The HTTP session to the API server, with what the environment says about proxies read once.

The library's own session (`trust_env`) reads it before every request, and ~/.netrc too, each in a thread: two
waits for another thread for each call, which took longer than all the rest that the service does.
"""

from __future__ import annotations

import ssl
import urllib.request
from urllib.parse import urlsplit

import aiohttp

_READ_BYTES = 2**21  # As the library has it: an event of a watch may be as large as an object.


def session_over(library: aiohttp.ClientSession) -> aiohttp.ClientSession:
    """A session over the library's connections, TLS included; the library's own is closed by it."""
    connector = library.connector
    library.detach()
    return aiohttp.ClientSession(
        connector=connector, read_bufsize=_READ_BYTES, cookie_jar=aiohttp.DummyCookieJar()
    )


def tls_of(session: aiohttp.ClientSession) -> ssl.SSLContext | None:
    """The TLS that the library has set up for its connections, by the configuration it has read."""
    context = getattr(session.connector, "_ssl", None)
    return context if isinstance(context, ssl.SSLContext) else None


def environment_proxy(url: str) -> str | None:
    """The proxy for a URL by HTTPS_PROXY, HTTP_PROXY and NO_PROXY as they are now; None: there is none."""
    parts = urlsplit(url)
    if not parts.hostname or urllib.request.proxy_bypass(parts.netloc):
        return None
    return urllib.request.getproxies().get(parts.scheme) or None
