"""Other people's tokens, for those whom RBAC allows to list or delete ServiceAccounts in the namespace."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from fastapi import APIRouter, Path

from app.api import schemas
from app.api.dependencies import CALLER_TOKEN, Admin, AdminReader, Parts
from app.api.paging import Key, page, start
from app.api.problems import TierNotFoundError
from app.api.responses import problems
from app.api.token_view import live, owned_token_info
from app.api.tokens import Cursor, Limit, revoke_many
from app.service import Service
from app.tokens.chronicle import age
from app.tokens.record import MaasToken

router = APIRouter(prefix="/maas-api/admin", tags=["admin"], dependencies=CALLER_TOKEN)

TierName = Annotated[str, Path(max_length=63, examples=["free"])]
Username = Annotated[str, Path(max_length=1024, examples=["alice@example.com"])]


@router.get("/tokens", responses=problems(403, 422), summary="List everybody's tokens")
async def list_all(
    service: Parts, _admin: AdminReader, limit: Limit = 100, cursor: Cursor = None
) -> schemas.OwnedTokenList:
    """All live tokens, oldest first."""
    after = start(cursor)
    return _page(service, service.inventory.after(after), limit, after)


@router.get("/users/{user:path}/tokens", responses=problems(403, 404, 422), summary="List a user's tokens")
async def list_of_user(
    service: Parts, _admin: AdminReader, user: Username, limit: Limit = 100, cursor: Cursor = None
) -> schemas.OwnedTokenList:
    """A user's live tokens, oldest first; empty for a user who has none."""
    return _page(service, service.inventory.of_owner(user), limit, start(cursor))


@router.delete(
    "/users/{user:path}/tokens", responses=problems(403, 404, 422), summary="Revoke a user's tokens"
)
async def revoke_of_user(service: Parts, admin: Admin, user: Username) -> schemas.Revocation:
    """Revoke every token of a user; they stop working at once."""
    return await revoke_many(service, admin, await service.lookup.of_owner(user))


@router.delete(
    "/tiers/{tier}/tokens", responses=problems(403, 404, 422), summary="Revoke the tokens of a tier"
)
async def revoke_of_tier(service: Parts, admin: Admin, tier: TierName) -> schemas.Revocation:
    """Revoke every token whose owner is in this tier now; they stop working at once.

    Many take longer than one request may: then the answer says how many remain, and the same request goes on.
    """
    if service.tiers.current().get(tier) is None:
        raise TierNotFoundError(tier)
    tokens = [
        token
        async for token in service.lookup.all()
        if (standing := service.standings.of(token)).tier is not None and standing.tier.name == tier
    ]
    return await revoke_many(service, admin, tokens)


def _page(
    service: Service, tokens: Iterable[MaasToken], limit: int, after: Key | None
) -> schemas.OwnedTokenList:
    shown, following = page(live(tokens), age, limit=limit, after=after)
    return schemas.OwnedTokenList(
        tokens=[owned_token_info(service, token) for token in shown], next_page=following
    )
