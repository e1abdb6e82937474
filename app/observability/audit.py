"""The audit log: one line for every grant, refusal and revocation.

Lines go to the logger ``audit`` as ordinary structured records, so a cluster's log pipeline can select them.
"""

from __future__ import annotations

import hashlib
import logging
from typing import Any

logger = logging.getLogger("audit")

_SERVICE = "maas-api"


def fingerprint(token: str) -> str:
    """The SHA-256 of a token in hex, which names it without giving it away."""
    return hashlib.sha256(token.encode()).hexdigest()


def granted(actor: str, *, token_id: str, token: str, tier: str, expires_at: str) -> None:
    """A MaaS token was issued to `actor`."""
    _line(
        "token.issued",
        "granted",
        actor,
        tokenId=token_id,
        tokenSha256=fingerprint(token),
        tier=tier,
        expiresAt=expires_at,
    )


def revoked(actor: str, *, token_id: str, owner: str) -> None:
    """`actor` revoked a token of `owner`."""
    _line("token.revoked", "granted", actor, tokenId=token_id, owner=owner)


def changed(*, token_id: str, owner: str, before: dict[str, Any], after: dict[str, Any]) -> None:
    """The service itself made a token's ServiceAccount say what its owner is now."""
    _line("token.changed", "done", _SERVICE, tokenId=token_id, owner=owner, before=before, after=after)


def expired(*, token_id: str, owner: str) -> None:
    """The service itself deleted the ServiceAccount of a token that has expired."""
    _line("token.expired", "done", _SERVICE, tokenId=token_id, owner=owner)


def refused(action: str, actor: str, *, reason: str, **details: Any) -> None:
    """`actor` (empty when unknown) was refused `action`; `reason` is the problem's code."""
    _line(action, "refused", actor, reason=reason, **details)


def _line(action: str, outcome: str, actor: str, **details: Any) -> None:
    logger.info(
        "%s %s", action, outcome, extra={"action": action, "outcome": outcome, "actor": actor, **details}
    )
