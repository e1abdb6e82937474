"""The one token of a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.identity.errors import ConflictingTokensError, MissingTokenError

if TYPE_CHECKING:
    from collections.abc import Iterable

    # As ASGI has them: names in lower case.
    Headers = Iterable[tuple[bytes, bytes]]


def caller_token(headers: Headers) -> str:
    """The caller token in ``Authorization: Bearer`` or ``X-Forwarded-Access-Token``.

    An authenticating proxy sets the second; a client that could overrule it, or be overruled by it, would be
    someone else than they seem. So both may be there only if they agree.

    Raises:
        MissingTokenError: there is none.
        ConflictingTokensError: there are two that differ, or an Authorization that is no bearer token.
    """
    tokens = set()
    for name, value in headers:
        if name == b"authorization":
            tokens.add(bearer(value.decode("latin-1")))
        elif name == b"x-forwarded-access-token":
            tokens.add(value.decode("latin-1").strip())
    if not tokens - {""}:
        raise MissingTokenError(
            "Send your cluster token: `Authorization: Bearer $(oc whoami -t)`, or X-Forwarded-Access-Token."
        )
    if len(tokens) > 1:
        raise ConflictingTokensError(
            "Authorization and X-Forwarded-Access-Token carry different tokens; send one, or the same twice."
        )
    return tokens.pop()


def maas_token(headers: Headers) -> str:
    """The MaaS token in ``Authorization: Bearer``.

    Raises:
        MissingTokenError: there is none.
        ConflictingTokensError: there are two that differ: the gateway may have decided by the other one.
    """
    tokens = {bearer(value.decode("latin-1")) for name, value in headers if name == b"authorization"}
    if not tokens - {""}:
        raise MissingTokenError(
            "Send a MaaS token: `Authorization: Bearer <token>`; POST /maas-api/token gives one."
        )
    if len(tokens) > 1:
        raise ConflictingTokensError("There are two Authorization headers that differ; send one.")
    return tokens.pop()


def bearer(authorization: str) -> str:
    """The token of an ``Authorization: Bearer`` header (RFC 6750); empty if it is another scheme."""
    scheme, _, token = authorization.strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
