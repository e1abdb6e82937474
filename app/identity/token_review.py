"""Callers are who a TokenReview says they are.

The review asks for no audience, which the API server reads as its own: a token made for anyone else, a MaaS
token among them, is not accepted here (authentication.k8s.io/v1 TokenReview).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import TYPE_CHECKING, Any

import orjson

from app.identity.errors import InsufficientScopeError, InvalidTokenError, MaasTokenNotAcceptedError
from app.identity.review_cache import ReviewCache
from app.identity.user import User
from app.kube.gate import Gate
from app.kube.resources import TOKEN_REVIEWS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from app.kube.client import KubeClient

_AT_ONCE = 32
# Kubernetes bounds neither; a header of this size is at what proxies let through.
_LONGEST_TOKEN = 16 * 1024
_LONGEST_USERNAME = 1024
# The groups become an annotation, as JSON, and all annotations of an object together may have 256 KiB.
_LONGEST_GROUPS = 128 * 1024

_SCOPES = "scopes.authorization.openshift.io"
_FULL_SCOPE = "user:full"
_MAAS_TOKEN = "A MaaS token calls models; to manage tokens use your own cluster token (`oc whoami -t`)."  # noqa: S105


class TokenReviewer:
    """Turns caller tokens into users, asking the API server at most once in a short while per token."""

    def __init__(
        self,
        client: KubeClient,
        *,
        maas_namespace: str,
        cache_seconds: float,
        cache_entries: int,
        clock: Callable[[], float],
        time: Callable[[], float],
    ) -> None:
        self._client = client
        self._maas_users = f"system:serviceaccount:{maas_namespace}:"
        self._time = time
        # Anybody can send made-up tokens: they must not take every connection from decisions on inference.
        self._gate = Gate(_AT_ONCE)
        self._cache: ReviewCache[bytes, User] = ReviewCache(
            name="token", seconds=cache_seconds, entries=cache_entries, clock=clock
        )
        self._subscribers: list[Callable[[User], None]] = []

    def subscribe(self, notify: Callable[[User], None]) -> None:
        """Call `notify` with whom a TokenReview names, when it does; not with whoever is only remembered."""
        self._subscribers.append(notify)

    def review(self, token: str, *, remember_seconds: float = 0) -> Awaitable[User]:
        """The user whose token this is.

        Args:
            token: the caller token.
            remember_seconds: while the API server is away, an answer that was given no longer ago than this
                stands. Nothing may be changed in the name of a user who is only remembered.

        Raises:
            InvalidTokenError: the API server does not know the token, or it has expired.
            MaasTokenNotAcceptedError: it belongs to a ServiceAccount of a MaaS token.
            InsufficientScopeError: an OpenShift token without the scope ``user:full``.
            KubeError: the API server could not be asked.
        """
        if len(token) > _LONGEST_TOKEN or not token.isascii() or not token.isprintable():
            raise InvalidTokenError("The caller token is not one that Kubernetes could have issued.")
        expires_at = _expiry(token)
        if expires_at <= self._time():
            raise InvalidTokenError("The caller token has expired; log in again.")
        key = hashlib.sha256(token.encode()).digest()
        return self._cache.get_or_remember(
            key,
            lambda: self._ask(token),
            remember_seconds=min(remember_seconds, expires_at - self._time()),
            seconds=lambda _: expires_at - self._time(),
        )

    async def close(self) -> None:
        """End the reviews that are on their way."""
        await self._cache.close()

    async def _ask(self, token: str) -> User:
        if not self._gate.enter_now():
            await self._gate.acquire()
        try:
            answer = await self._client.review(
                TOKEN_REVIEWS,
                {
                    "apiVersion": TOKEN_REVIEWS.api_version,
                    "kind": "TokenReview",
                    "spec": {"token": token},
                },
            )
        finally:
            self._gate.release()
        status: dict[str, Any] = answer.get("status") or {}
        user: dict[str, Any] = status.get("user") or {}
        username = user.get("username")
        if status.get("authenticated") is not True or not username:
            # Believed only as far as to say what is wrong with it.
            if str(_claims(token).get("sub", "")).startswith(self._maas_users):
                raise MaasTokenNotAcceptedError(_MAAS_TOKEN)
            raise InvalidTokenError("The cluster does not accept this caller token; log in again.")
        if username.startswith(self._maas_users):
            raise MaasTokenNotAcceptedError(_MAAS_TOKEN)
        scopes = (user.get("extra") or {}).get(_SCOPES)
        if scopes is not None and _FULL_SCOPE not in scopes:
            raise InsufficientScopeError(
                f"This OpenShift token is scoped; a token with the scope {_FULL_SCOPE} is needed."
            )
        groups = tuple(user.get("groups") or ())
        if len(username) > _LONGEST_USERNAME or len(orjson.dumps(groups)) > _LONGEST_GROUPS:
            raise InvalidTokenError("The user's name or list of groups is longer than is supported.")
        named = User(username, groups)
        for notify in self._subscribers:
            notify(named)
        return named


def _expiry(token: str) -> float:
    """When a JWT says it expires, in seconds since the epoch; infinite for any other token.

    It is read without being believed: it can only shorten how long a review's answer is kept.
    """
    expiry = _claims(token).get("exp")
    return float(expiry) if isinstance(expiry, int | float) else float("inf")


def _claims(token: str) -> dict[str, Any]:
    """What a JWT claims, unverified; empty for any other token."""
    parts = token.split(".")
    if len(parts) != 3:  # noqa: PLR2004  # header, payload, signature
        return {}
    try:
        payload = orjson.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError):
        return {}
    return payload if isinstance(payload, dict) else {}
