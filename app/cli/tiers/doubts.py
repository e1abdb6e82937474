"""What is allowed in a tier mapping and still hardly meant."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.tiers.mapping import Tier, TierMapping

EVERYONE = "system:authenticated"
"""The group of everybody with a valid token:
https://kubernetes.io/docs/reference/access-authn-authz/rbac/#default-roles-and-role-bindings"""


def doubts(mapping: TierMapping) -> list[str]:
    """One line for each; empty if there is nothing to wonder about."""
    found = []
    if mapping.tier_of([EVERYONE]) is None:
        found.append(f"no tier has the group {EVERYONE}: people in none of the groups get no token")
    tiers = mapping.tiers
    found += [
        f"nobody gets the tier {tier.name}: its groups are in higher tiers too"
        for tier in tiers
        if all(mapping.tier_of([group]) is not tier for group in tier.groups)
    ]
    for group in dict.fromkeys(group for tier in tiers for group in tier.groups):
        holders = [tier.name for tier in tiers if group in tier.groups]
        if len(holders) > 1:
            found.append(f"the group {group} is in {', '.join(holders)}: its members get {holders[-1]}")
    for lower, higher in pairwise(tiers):
        if _rank(lower) == _rank(higher):
            found.append(f"{lower.name} and {higher.name} rank alike: their place in the file decides")
        elif (lower.requests_per_minute or 0) > (higher.requests_per_minute or 0) > 0:
            found.append(f"{higher.name} ranks above {lower.name} and allows fewer requests")
    levels = [tier.level is not None for tier in tiers]
    if any(levels) and not all(levels):
        found.append("some tiers have a level and some have none, which counts as 0")
    return found


def _rank(tier: Tier) -> tuple[int, int]:
    return tier.level or 0, tier.requests_per_minute or 0
