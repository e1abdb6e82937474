"""Limits for Envoy Gateway: the rules of a BackendTrafficPolicy's rate limit.

It counts locally, each replica of the gateway for itself, or globally, in Redis. Either way the rules are one
list, which has one owner, and the last one counts whoever has a tier that is not in here yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from app.kube.resources import BACKEND_TRAFFIC_POLICIES
from app.limits.fields import owners
from app.limits.policy import FIELD_MANAGER, UNLIMITED, NotFollowedError, Wanted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from app.kube.client import JsonObject
    from app.kube.resources import Resource
    from app.tiers.mapping import Tier, TierMapping

MAX_TIERS: Final = {"local": 15, "global": 255}
"""The CRD allows 16 local and 256 global rules, and one is for the tiers that are not in here."""
_LONGEST_PATTERN: Final = 1024


@dataclass(frozen=True, slots=True)
class TrafficLimits:
    """A BackendTrafficPolicy: requests of one owner in a minute.

    A tier without a number keeps the rule that it has; without one it is not limited.
    """

    name: str
    kind: str = "BackendTrafficPolicy"
    resource: Resource = BACKEND_TRAFFIC_POLICIES

    def wanted(self, mapping: TierMapping, policy: JsonObject) -> Wanted:
        """See `Policy`."""
        numbers = [tier.requests_per_minute for tier in mapping.tiers if tier.requests_per_minute]
        if not numbers:
            raise NotFollowedError("no tier of the mapping has requestsPerMinute")
        place = _place(policy)
        present = (_rate_limit(policy).get(place) or {}).get("rules") or ()
        tiers = mapping.tiers[-MAX_TIERS[place] :]
        rules = list(_rules(tiers, place, _by_tier(present)))
        rules.append(_rest(mapping.tiers, place, min(numbers)))
        left_out = tuple(tier.name for tier in mapping.tiers[: -MAX_TIERS[place]])
        return Wanted({"rateLimit": {place: {"rules": rules}}}, left_out=left_out)


POLICIES: Final = (
    TrafficLimits("maas-inference"),
    # With a counter of its own, so that a spent limit never hides the list: each route counts apart.
    TrafficLimits("maas-models"),
)


def _place(policy: JsonObject) -> str:
    """Where the policy counts: ``local`` or ``global``."""
    places = [place for place in MAX_TIERS if place in _rate_limit(policy)]
    if len(places) > 1:
        # Who installs the other way of counting, by server-side apply, leaves there what the service owns.
        places = [place for place in places if owners(policy, "spec", "rateLimit", place) - {FIELD_MANAGER}]
    if len(places) > 1:
        raise NotFollowedError("it counts both in each replica of the gateway and for all of them")
    return places[0] if places else "local"


def _rate_limit(policy: JsonObject) -> JsonObject:
    return (policy.get("spec") or {}).get("rateLimit") or {}


def _rules(tiers: Iterable[Tier], place: str, present: dict[str, JsonObject]) -> Iterator[JsonObject]:
    for tier in tiers:
        if tier.requests_per_minute:
            yield _rule([_is(tier.name)], tier.requests_per_minute)
        elif tier.name in present:
            yield present[tier.name]
        elif place == "local":
            # Without a rule of its own it would come under the last one; no global rule selects it.
            yield _rule([_is(tier.name)], UNLIMITED)


def _rest(tiers: Iterable[Tier], place: str, number: int) -> JsonObject:
    """The rule for all other tiers."""
    if place == "local":
        # It selects nobody, so that it is for whom no other rule selects; they share it.
        return {"limit": _limit(number)}
    names = [""]
    for tier in tiers:
        longer = f"{names[-1]}|{tier.name}" if names[-1] else tier.name
        if len(longer) <= _LONGEST_PATTERN:
            names[-1] = longer
        else:
            names.append(tier.name)
    header = {"type": "RegularExpression", "name": "x-maas-tier", "invert": True}
    return _rule([{**header, "value": pattern} for pattern in names], number)


def _rule(tier: list[JsonObject], number: int) -> JsonObject:
    # Per owner: counted per token, a person would multiply the limit by minting tokens.
    owner = {"type": "Distinct", "name": "x-maas-user", "invert": False}
    return {"clientSelectors": [{"headers": [*tier, owner]}], "limit": _limit(number)}


def _is(tier: str) -> JsonObject:
    # Server-side apply compares before the API server fills in defaults; so this one is said.
    return {"type": "Exact", "name": "x-maas-tier", "value": tier, "invert": False}


def _limit(number: int) -> JsonObject:
    return {"requests": number, "unit": "Minute"}


def _by_tier(rules: Iterable[JsonObject]) -> dict[str, JsonObject]:
    """The rules by the tier that they select."""
    return {
        header["value"]: rule
        for rule in rules
        for selector in rule.get("clientSelectors") or ()
        for header in selector.get("headers") or ()
        if header["name"] == "x-maas-tier" and header.get("type", "Exact") == "Exact" and "value" in header
    }
