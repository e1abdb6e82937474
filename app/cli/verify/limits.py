"""Requests a minute for each tier, as the policies of either profile say it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUTES = ("maas-inference", "maas-models")
"""The routes that are limited by tier."""

_TIER = re.compile(r"""\.tier\s*==\s*["']([a-z0-9-]+)["']""")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
_UNITS = {"Second": 1, "Minute": 60, "Hour": 3600, "Day": 86400}
# A Duration of the Gateway API: https://gateway-api.sigs.k8s.io/geps/gep-2257/
_PART = re.compile(r"(\d+)(ms|h|m|s)")


def per_minute(policy: dict[str, Any]) -> dict[str, float]:
    """The limit of each tier that a policy names: the smallest, where it names several for one."""
    found: dict[str, float] = {}
    for tier, requests, seconds in (*_kuadrant(policy), *_envoy(policy)):
        rate = requests * 60 / seconds
        found[tier] = min(rate, found.get(tier, rate))
    return found


def _kuadrant(policy: dict[str, Any]) -> Iterator[tuple[str, int, float]]:
    """Of a RateLimitPolicy; a TokenRateLimitPolicy counts something else."""
    spec = policy["spec"]
    if policy["kind"] != "RateLimitPolicy":
        return
    for part in (spec, spec.get("defaults", {}), spec.get("overrides", {})):
        for limit in part.get("limits", {}).values():
            tiers = [found[1] for when in limit.get("when", ()) if (found := _TIER.search(when["predicate"]))]
            for rate in limit.get("rates", ()):
                for tier in tiers:
                    yield tier, rate["limit"], _seconds(rate["window"])


def _envoy(policy: dict[str, Any]) -> Iterator[tuple[str, int, float]]:
    """Of a BackendTrafficPolicy."""
    limit = policy["spec"].get("rateLimit", {})
    for place in ("local", "global"):
        for rule in limit.get(place, {}).get("rules", ()):
            for selector in rule.get("clientSelectors", ()):
                for header in selector.get("headers", ()):
                    if _names_a_tier(header):
                        yield header["value"], rule["limit"]["requests"], _UNITS[rule["limit"]["unit"]]


def _names_a_tier(header: dict[str, Any]) -> bool:
    """Whether a header selects one tier; the rule for all others has a pattern that is inverted."""
    exact = header.get("type", "Exact") == "Exact" and not header.get("invert", False)
    return exact and header["name"].lower() == "x-maas-tier" and "value" in header


def _seconds(window: str) -> float:
    return sum(int(count) * _SECONDS[unit] for count, unit in _PART.findall(window))
