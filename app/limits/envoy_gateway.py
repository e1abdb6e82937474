"""Limits for Envoy Gateway: the rules of a BackendTrafficPolicy's local rate limit.

The rules are one list, which has one owner. The last one counts whoever has a tier that is not in here yet:
together, because it selects nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from app.kube.resources import BACKEND_TRAFFIC_POLICIES
from app.limits.policy import UNLIMITED, NotFollowedError, Wanted

if TYPE_CHECKING:
    from app.kube.client import JsonObject
    from app.kube.resources import Resource
    from app.tiers.mapping import TierMapping

MAX_TIERS: Final = 15
"""The CRD allows 16 rules, and one is for the tiers that are not in here."""


@dataclass(frozen=True, slots=True)
class LocalLimits:
    """A BackendTrafficPolicy: requests of one owner in a minute, counted by each replica of the gateway.

    A tier without a number keeps the rule that it has; without one it is not limited.
    """

    name: str
    kind: str = "BackendTrafficPolicy"
    resource: Resource = BACKEND_TRAFFIC_POLICIES

    def wanted(self, mapping: TierMapping, spec: JsonObject) -> Wanted:
        """See `Policy`."""
        rate_limit = spec.get("rateLimit") or {}
        if "global" in rate_limit:
            raise NotFollowedError("it counts for all replicas of the gateway (`spec.rateLimit.global`)")
        numbers = [tier.requests_per_minute for tier in mapping.tiers if tier.requests_per_minute]
        if not numbers:
            raise NotFollowedError("no tier of the mapping has requestsPerMinute")
        present = _by_tier((rate_limit.get("local") or {}).get("rules") or ())
        rules = [
            _rule(tier.name, tier.requests_per_minute)
            if tier.requests_per_minute
            else present.get(tier.name) or _rule(tier.name, UNLIMITED)
            for tier in mapping.tiers[-MAX_TIERS:]
        ]
        rules.append({"limit": _limit(min(numbers))})
        left_out = tuple(tier.name for tier in mapping.tiers[:-MAX_TIERS])
        return Wanted({"rateLimit": {"local": {"rules": rules}}}, left_out=left_out)


POLICIES: Final = (
    LocalLimits("maas-inference"),
    # With a counter of its own, so that a spent limit never hides the list: each route counts apart.
    LocalLimits("maas-models"),
)


def _rule(tier: str, number: int) -> JsonObject:
    # Per owner: counted per token, a person would multiply the limit by minting tokens.
    headers = [
        # Server-side apply compares before the API server fills in defaults; so this one is said.
        {"type": "Exact", "name": "x-maas-tier", "value": tier, "invert": False},
        {"type": "Distinct", "name": "x-maas-user", "invert": False},
    ]
    return {"clientSelectors": [{"headers": headers}], "limit": _limit(number)}


def _limit(number: int) -> JsonObject:
    return {"requests": number, "unit": "Minute"}


def _by_tier(rules: list[JsonObject] | tuple[()]) -> dict[str, JsonObject]:
    """The rules by the tier that they select."""
    return {
        header["value"]: rule
        for rule in rules
        for selector in rule.get("clientSelectors") or ()
        for header in selector.get("headers") or ()
        if header["name"] == "x-maas-tier" and header.get("type", "Exact") == "Exact" and "value" in header
    }
