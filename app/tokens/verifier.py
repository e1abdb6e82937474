"""Decides whether what a request carries is a live MaaS token.

Two questions with two answers: is it a JWT that this cluster signed for our audience and that has not
expired (asked once per token and remembered, since signatures do not change), and is its ServiceAccount
still the one it was issued for (asked of the inventory every time, since that is what a revocation changes).
The API server accepts deleted and expired tokens for up to a minute; this does not.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt

from app.tokens.errors import TokenNotAcceptedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.tokens.inventory import Inventory
    from app.tokens.lookup import Lookup
    from app.tokens.record import MaasToken
    from app.tokens.signing_keys import SigningKeys

_LONGEST_TOKEN = 16 * 1024
_ALGORITHMS = ["RS256", "ES256", "ES384", "ES512"]  # What kube-apiserver can sign with.
# The API server's clock may be this far ahead of ours; it has no say in when a token ends.
_NOT_BEFORE_LEEWAY_SECONDS = 30
_UNKNOWN_SECONDS = 5
_MOST_UNKNOWN = 10_000

_NOT_A_MAAS_TOKEN = "This is not a MaaS token of this platform; get one with POST /maas-api/token."  # noqa: S105
_EXPIRED = "This MaaS token has expired; get a new one with POST /maas-api/token."
_REVOKED = "This MaaS token was revoked or does not exist any more; get a new one with POST /maas-api/token."


@dataclass(frozen=True, slots=True)
class _Verified:
    uid: str
    service_account: str
    expires_at: float


class Verifier:
    """Turns JWTs into the records of live MaaS tokens."""

    def __init__(
        self,
        lookup: Lookup,
        inventory: Inventory,
        keys: SigningKeys,
        *,
        namespace: str,
        audience: str,
        entries: int,
        time: Callable[[], float],
    ) -> None:
        self._lookup = lookup
        self._inventory = inventory
        self._keys = keys
        self._namespace = namespace
        self._audience = audience
        self._most = entries
        self._time = time
        self._verified: dict[bytes, _Verified] = {}
        self._unknown: dict[str, float] = {}

    def forget(self) -> None:
        """Look into every signature again: the keys have changed, and an old one may not count any more."""
        self._verified.clear()

    def recall(self, token: bytes) -> MaasToken | None:
        """The live record of a token whose signature was verified before; None if that has to be looked into.

        This is the hot path: one hash and two look-ups, no waiting.
        """
        verified = self._verified.get(hashlib.sha256(token).digest())
        if verified is None:
            return None
        record = self._inventory.by_uid(verified.uid)
        if record is None or min(verified.expires_at, record.expires_at) <= self._time():
            return None
        return record

    async def verify(self, token: str) -> MaasToken:
        """The live record of a token.

        Raises:
            TokenNotAcceptedError: it is not a live MaaS token; the message says which of it and what to do.
            KubeError: the API server was needed (for its keys, or for a token this replica has not seen yet)
                and could not be asked.
        """
        verified = await self._signature(token)
        if verified.expires_at <= self._time():
            raise TokenNotAcceptedError(_EXPIRED)
        record = self._inventory.by_uid(verified.uid) or await self._confirm(verified)
        # Whoever may make tokens for our ServiceAccounts could make one that outlives what was granted.
        if record.expires_at <= self._time():
            raise TokenNotAcceptedError(_EXPIRED)
        return record

    async def _signature(self, token: str) -> _Verified:
        if len(token) > _LONGEST_TOKEN or not token.isascii():
            raise TokenNotAcceptedError(_NOT_A_MAAS_TOKEN)
        digest = hashlib.sha256(token.encode()).digest()
        if (known := self._verified.get(digest)) is not None:
            return known
        try:
            header = jwt.get_unverified_header(token)
            key = await self._keys.key(str(header.get("kid", "")))
            if key is None:
                raise TokenNotAcceptedError(_NOT_A_MAAS_TOKEN)
            claims = jwt.decode(
                token,
                key,
                algorithms=_ALGORITHMS,
                audience=self._audience,
                issuer=self._keys.issuer,
                # Times are compared below, with the clock that was passed in.
                options={
                    "require": ["exp", "sub"],
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
            verified = self._read(claims)
        except (jwt.InvalidTokenError, KeyError, TypeError, ValueError):
            raise TokenNotAcceptedError(_NOT_A_MAAS_TOKEN) from None
        while len(self._verified) >= self._most:
            del self._verified[next(iter(self._verified))]
        self._verified[digest] = verified
        return verified

    def _read(self, claims: dict[str, Any]) -> _Verified:
        bound = claims["kubernetes.io"]
        account = bound["serviceaccount"]
        name, uid = str(account["name"]), str(account["uid"])
        if claims["sub"] != f"system:serviceaccount:{self._namespace}:{name}":
            raise ValueError("a ServiceAccount of another namespace")
        if float(claims.get("nbf", 0)) > self._time() + _NOT_BEFORE_LEEWAY_SECONDS:
            raise ValueError("not valid yet")
        return _Verified(uid, name, float(claims["exp"]))

    async def _confirm(self, verified: _Verified) -> MaasToken:
        """Ask the API server for a token that another replica may have issued a moment ago.

        An answer "no" is kept for some seconds: a revoked token must not become a way to load the API server.
        """
        now = self._time()
        if self._inventory.was_revoked(verified.uid) or self._unknown.get(verified.uid, 0) > now:
            raise TokenNotAcceptedError(_REVOKED)
        record = await self._lookup.find(verified.service_account)
        if record is None or record.uid != verified.uid:
            while len(self._unknown) >= _MOST_UNKNOWN:
                del self._unknown[next(iter(self._unknown))]
            self._unknown[verified.uid] = now + _UNKNOWN_SECONDS
            raise TokenNotAcceptedError(_REVOKED)
        return record
