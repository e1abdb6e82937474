"""Why a caller is not accepted."""

from __future__ import annotations


class IdentityError(Exception):
    """A caller who cannot be accepted; `str()` says why and what to do, and holds no secret."""


class MissingTokenError(IdentityError):
    """The request carries no caller token."""


class ConflictingTokensError(IdentityError):
    """The request carries two different tokens; choosing one would let a proxy's be overruled."""


class InvalidTokenError(IdentityError):
    """The Kubernetes API does not accept the token."""


class MaasTokenNotAcceptedError(IdentityError):
    """A MaaS token, or another token of its ServiceAccount, must never mint or manage MaaS tokens."""


class InsufficientScopeError(IdentityError):
    """An OpenShift token that is scoped to less than its user may do."""
