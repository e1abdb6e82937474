"""One's own tier, and all tiers."""

from __future__ import annotations

from fastapi import APIRouter

from app.api import schemas
from app.api.dependencies import CALLER_TOKEN, CallerTier, Parts, Reader
from app.api.responses import problems
from app.service import Service
from app.tiers.mapping import Tier

router = APIRouter(prefix="/maas-api", tags=["tiers"], dependencies=CALLER_TOKEN)


@router.get("/tier", responses=problems(403), summary="Your tier")
async def my_tier(service: Parts, tier: CallerTier) -> schemas.TierInfo:
    """Your tier now, with its limits."""
    return _describe(service, tier)


@router.get("/tiers", responses=problems(), summary="All tiers")
async def all_tiers(service: Parts, _caller: Reader) -> schemas.TierList:
    """Every tier, the lowest first."""
    return schemas.TierList(tiers=[_describe(service, tier) for tier in service.tiers.current().tiers])


def _describe(service: Service, tier: Tier) -> schemas.TierInfo:
    return schemas.TierInfo(
        tier=tier.name,
        display_name=tier.display_name,
        description=tier.description,
        limits=schemas.Limits(
            requests_per_minute=tier.requests_per_minute,
            tokens_per_minute=tier.tokens_per_minute,
            max_tokens=tier.max_tokens or service.settings.tokens.max_per_owner,
        ),
    )
