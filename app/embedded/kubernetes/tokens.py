"""ServiceAccount tokens: the key that signs them, their claims, and what publishes the key."""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm

from app.embedded.kubernetes.users import service_account_username

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.embedded.kubernetes.storage import Stored

_ALGORITHM = "RS256"
_BITS = 2048


def generate_key() -> rsa.RSAPrivateKey:
    """Return a new signing key. This takes about 100 ms."""
    return rsa.generate_private_key(public_exponent=65537, key_size=_BITS)


class InvalidTokenError(Exception):
    """The text is not a token that this key signed for this issuer."""


class Signer:
    """Signs and reads ServiceAccount tokens, as kube-apiserver does (pkg/serviceaccount)."""

    def __init__(self, key: rsa.RSAPrivateKey, issuer: str) -> None:
        self.issuer = issuer
        self._private, self._public = key, key.public_key()
        # The real server names its keys by the hash of their public half, too.
        encoded = self._public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.key_id = base64.urlsafe_b64encode(hashlib.sha256(encoded).digest()).rstrip(b"=").decode()

    def sign(self, account: Stored, audiences: Sequence[str], issued_at: int, seconds: int) -> str:
        """Return a token for a ServiceAccount that expires `seconds` after it was issued."""
        claims = {
            "aud": list(audiences),
            "exp": issued_at + seconds,
            "iat": issued_at,
            "iss": self.issuer,
            "jti": str(uuid.uuid4()),
            "kubernetes.io": {
                "namespace": account.namespace,
                "serviceaccount": {"name": account.name, "uid": account.metadata["uid"]},
            },
            "nbf": issued_at,
            "sub": service_account_username(account.namespace, account.name),
        }
        return jwt.encode(claims, self._private, algorithm=_ALGORITHM, headers={"kid": self.key_id})

    def read(self, token: str) -> dict[str, Any]:
        """Return the claims of a token. Times and audiences are for the caller to judge.

        Raises:
            InvalidTokenError: It is no JWT, another key signed it, or another issuer is named.
        """
        try:
            if jwt.get_unverified_header(token).get("kid") not in (None, self.key_id):
                raise InvalidTokenError("another key")
            claims: dict[str, Any] = jwt.decode(
                token,
                self._public,
                algorithms=[_ALGORITHM],
                issuer=self.issuer,
                options={
                    "require": ["iss", "exp", "sub", "aud"],
                    "verify_aud": False,
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
        except jwt.InvalidTokenError as error:
            raise InvalidTokenError(type(error).__name__) from None
        return claims

    def key_set(self) -> dict[str, Any]:
        """Return the JSON Web Key Set (RFC 7517) with the public key."""
        key = json.loads(RSAAlgorithm.to_jwk(self._public))
        fields = {"use": "sig", "kty": "RSA", "kid": self.key_id, "alg": _ALGORITHM}
        return {"keys": [{**fields, "n": key["n"], "e": key["e"]}]}

    def discovery(self, base: str) -> dict[str, Any]:
        """Return the OpenID Connect discovery document; `base` is where this server is reached."""
        return {
            "issuer": self.issuer,
            "jwks_uri": f"{base}/openid/v1/jwks",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [_ALGORITHM],
        }
