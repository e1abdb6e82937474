"""Why a MaaS token cannot be issued, found or accepted."""

from __future__ import annotations


class TokenError(Exception):
    """Something about a MaaS token; `str()` says what, and holds no secret."""


class TokenLimitReachedError(TokenError):
    """The owner already holds as many live tokens as they may."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"You hold {limit} live tokens, the most you may; revoke one you no longer need.")
        self.limit = limit


class ExpirationOutOfRangeError(TokenError):
    """A lifetime outside of what is configured."""


class TokenNotFoundError(TokenError):
    """The caller has no live token of this id."""


class TokenNotAcceptedError(TokenError):
    """What was presented is not a live MaaS token."""


class RevocationIncompleteError(TokenError):
    """A bulk revocation that was interrupted; repeating it goes on where it stopped.

    Attributes:
        revoked: how many tokens were revoked.
        remaining: how many were not.
    """

    def __init__(self, revoked: int, remaining: int) -> None:
        super().__init__(f"{revoked} tokens were revoked, {remaining} remain; send the request again.")
        self.revoked = revoked
        self.remaining = remaining


class RecordError(ValueError):
    """A ServiceAccount that looks like a MaaS token but cannot be read as one."""
