"""Which user a bearer token stands for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.embedded.kubernetes.resources import SERVICE_ACCOUNTS
from app.embedded.kubernetes.tokens import InvalidTokenError, Signer
from app.embedded.kubernetes.users import User, service_account_groups, service_account_username

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from app.embedded.kubernetes.storage import Storage

CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"

# How much later than it says a token expires: go-jose's default, which the real server uses.
LEEWAY_SECONDS = 60.0


class AuthenticationError(Exception):
    """The token stands for nobody; the text says why without repeating it."""


@dataclass(frozen=True, slots=True)
class Authenticated:
    """The user that a token stands for, and the audiences, of those asked for, that it is meant for."""

    user: User
    audiences: tuple[str, ...]


class Authenticator:
    """Knows the seeded users' tokens and the ServiceAccounts' JWTs."""

    def __init__(
        self,
        storage: Storage,
        signer: Signer,
        clock: Callable[[], float],
        *,
        users: Mapping[str, User],
        api_audience: str,
    ) -> None:
        self._storage = storage
        self._signer = signer
        self._clock = clock
        self.users = {token: user.authenticated() for token, user in users.items()}
        self.api_audiences = (api_audience,)

    def authenticate(self, token: str, audiences: Iterable[str] = ()) -> Authenticated:
        """Return whom a token stands for.

        Args:
            token: The token.
            audiences: Whom it should be meant for; by default the API server itself.

        Raises:
            AuthenticationError: It stands for nobody, or is meant for others.
        """
        wanted = tuple(audiences) or self.api_audiences
        user = self.users.get(token)
        if user is None:
            return self._service_account(token, wanted)
        # Tokens that name no audience are meant for the API server.
        meant = tuple(each for each in wanted if each in self.api_audiences)
        if not meant:
            raise AuthenticationError("invalid bearer token")
        return Authenticated(user, meant)

    def _service_account(self, token: str, wanted: tuple[str, ...]) -> Authenticated:
        try:
            claims = self._signer.read(token)
        except InvalidTokenError:
            raise AuthenticationError("invalid bearer token") from None
        audiences = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        meant = tuple(each for each in audiences if each in wanted)
        if not meant:
            shown = [" ".join(f'"{each}"' for each in several) for several in (audiences, wanted)]
            text = f"token audiences [{shown[0]}] is invalid for the target audiences [{shown[1]}]"
            raise AuthenticationError(f"[invalid bearer token, {text}]")
        return Authenticated(self._living(claims), meant)

    def _living(self, claims: Mapping[str, Any]) -> User:
        """Return the user that valid claims describe, if the token is in time and its account exists."""
        now = self._clock()
        if now > claims["exp"] + LEEWAY_SECONDS:
            raise AuthenticationError("[invalid bearer token, service account token has expired]")
        if now + LEEWAY_SECONDS < claims.get("nbf", 0):
            raise AuthenticationError("[invalid bearer token, service account token is not valid yet]")
        private = claims["kubernetes.io"]
        namespace, account = private["namespace"], private["serviceaccount"]
        stored = self._storage.get(SERVICE_ACCOUNTS, namespace, account["name"])
        if stored is None or stored.metadata["uid"] != account["uid"]:
            raise AuthenticationError("[invalid bearer token, service account token has been invalidated]")
        return User(
            service_account_username(namespace, account["name"]),
            service_account_groups(namespace),
            account["uid"],
            {CREDENTIAL_ID: (f"JTI={claims['jti']}",)},
        )
