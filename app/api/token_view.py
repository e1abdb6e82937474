"""How tokens are shown."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from app.api.schemas import OwnedTokenInfo, TokenInfo
from app.kube.timestamps import timestamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from app.service import Service
    from app.tokens.record import MaasToken


def live(tokens: Iterable[MaasToken]) -> Iterator[MaasToken]:
    """Those that have not expired, in the same order."""
    now = time.time()
    return (token for token in tokens if token.expires_at > now)


def token_info(service: Service, token: MaasToken) -> TokenInfo:
    """A token as its owner sees it."""
    return TokenInfo(**_fields(service, token))


def owned_token_info(service: Service, token: MaasToken) -> OwnedTokenInfo:
    """A token as an administrator sees it."""
    return OwnedTokenInfo(owner=token.owner, **_fields(service, token))


def _fields(service: Service, token: MaasToken) -> dict[str, Any]:
    tier = service.standings.of(token).tier
    return {
        "id": token.id,
        "name": token.name,
        "tier": tier.name if tier else "",
        "created_at": timestamp(token.created_at),
        "expires_at": timestamp(token.expires_at),
    }
