"""Limits for Kuadrant: RateLimitPolicy counts requests, TokenRateLimitPolicy the tokens of models.

`spec.limits` is a map: every tier has an entry of its name, and whoever wants another limit adds an entry of
another name. Limitador does not limit what no limit names, so one more entry counts whoever has a tier that
is not in here yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from app.kube.resources import RATE_LIMIT_POLICIES, TOKEN_RATE_LIMIT_POLICIES
from app.limits.policy import UNLIMITED, NotFollowedError, Wanted

if TYPE_CHECKING:
    from app.kube.client import JsonObject
    from app.kube.resources import Resource
    from app.tiers.mapping import TierMapping

OTHER_TIERS: Final = "other_tiers"
"""The entry of all other tiers. No tier can have this name: those are DNS labels."""


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """A RateLimitPolicy: requests of one owner in a minute.

    For a tier without a number there is no entry of ours: the platform's own policies decide, and an entry
    that somebody else has written for it stays.
    """

    name: str
    kind: str = "RateLimitPolicy"
    resource: Resource = RATE_LIMIT_POLICIES

    def wanted(self, mapping: TierMapping, policy: JsonObject) -> Wanted:
        """See `Policy`."""
        spec = _checked(policy)
        numbers = {tier.name: tier.requests_per_minute for tier in mapping.tiers if tier.requests_per_minute}
        if not numbers:
            raise NotFollowedError("no tier of the mapping has requestsPerMinute")
        gone = (name for name in _tiers_limited_by(spec) if mapping.get(name) is None)
        return Wanted({"limits": _limits(mapping, numbers)}, tuple(("limits", name) for name in gone))


@dataclass(frozen=True, slots=True)
class TokenLimits:
    """A TokenRateLimitPolicy: tokens of models that one owner may use in a minute.

    A tier without a number has no limit of this kind.
    """

    name: str
    kind: str = "TokenRateLimitPolicy"
    resource: Resource = TOKEN_RATE_LIMIT_POLICIES

    def wanted(self, mapping: TierMapping, policy: JsonObject) -> Wanted:
        """See `Policy`."""
        spec = _checked(policy)
        numbers = {tier.name: tier.tokens_per_minute for tier in mapping.tiers if tier.tokens_per_minute}
        gone = (name for name in _tiers_limited_by(spec) if name not in numbers)
        return Wanted({"limits": _limits(mapping, numbers)}, tuple(("limits", name) for name in gone))


POLICIES: Final = (
    RequestLimits("maas-inference"),
    # With a counter of its own, so that a spent limit never hides the list: Kuadrant counts per route.
    RequestLimits("maas-models"),
    TokenLimits("maas-inference"),
)


def _limits(mapping: TierMapping, numbers: dict[str, int]) -> JsonObject:
    known = ", ".join(f"'{tier.name}'" for tier in mapping.tiers)
    limits = {name: _limit(_of_tier(name), number) for name, number in numbers.items()}
    # The API server wants one entry at least, also where nothing is limited.
    smallest = min(numbers.values(), default=UNLIMITED)
    return {**limits, OTHER_TIERS: _limit(f"!(auth.identity.tier in [{known}])", smallest)}


def _limit(predicate: str, number: int) -> JsonObject:
    return {
        "when": [{"predicate": predicate}],
        "rates": [{"limit": number, "window": "1m"}],
        # Counted per owner: counted per token, a person would multiply the limit by minting tokens.
        "counters": [{"expression": "auth.identity.owner"}],
    }


def _of_tier(name: str) -> str:
    return f'auth.identity.tier == "{name}"'


def _tiers_limited_by(spec: JsonObject) -> list[str]:
    """The names of entries that limit the tier of the same name and nothing else."""
    limits: dict[str, Any] = spec.get("limits") or {}
    return [name for name, limit in limits.items() if limit.get("when") == [{"predicate": _of_tier(name)}]]


def _checked(policy: JsonObject) -> JsonObject:
    spec: JsonObject = policy.get("spec") or {}
    for other in ("defaults", "overrides"):
        if other in spec:
            raise NotFollowedError(f"it has its limits under `spec.{other}`")
    return spec
