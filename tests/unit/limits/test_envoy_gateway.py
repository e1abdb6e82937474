"""Envoy Gateway's policies, by the mapping."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.limits.envoy_gateway import MAX_TIERS, LocalLimits
from app.limits.policy import UNLIMITED, NotFollowedError, Wanted
from app.tiers.mapping import Tier, TierMapping

POLICY = LocalLimits("maas-inference")


def mapping(**numbers: int | None) -> TierMapping:
    return TierMapping(
        tuple(Tier(name, (name,), requests_per_minute=number) for name, number in numbers.items())
    )


def rules(wanted: Wanted) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = wanted.spec["rateLimit"]["local"]["rules"]
    return found


def numbers_of(wanted: Wanted) -> dict[str, int]:
    *tiers, _ = rules(wanted)
    return {rule["clientSelectors"][0]["headers"][0]["value"]: rule["limit"]["requests"] for rule in tiers}


def test_every_tier_is_limited_per_owner_and_the_last_rule_is_for_all_others() -> None:
    free, premium, rest = rules(POLICY.wanted(mapping(premium=100, free=10), {}))
    assert free == {
        "clientSelectors": [
            {
                "headers": [
                    {"type": "Exact", "name": "x-maas-tier", "value": "free", "invert": False},
                    {"type": "Distinct", "name": "x-maas-user", "invert": False},
                ]
            }
        ],
        "limit": {"requests": 10, "unit": "Minute"},
    }
    assert premium["limit"] == {"requests": 100, "unit": "Minute"}
    assert rest == {"limit": {"requests": 10, "unit": "Minute"}}


@given(st.lists(st.integers(1, UNLIMITED), min_size=1, max_size=40))
def test_there_are_never_more_rules_than_the_api_server_accepts(numbers: list[int]) -> None:
    tiers = {f"tier-{place}": number for place, number in enumerate(numbers)}
    wanted = POLICY.wanted(mapping(**tiers), {})
    assert len(rules(wanted)) <= 16
    assert rules(wanted)[-1]["limit"]["requests"] == min(numbers)
    # Those that are left out are the lowest, and they are told.
    kept = numbers_of(wanted)
    assert {**kept, **{name: tiers[name] for name in wanted.left_out}} == tiers
    assert len(wanted.left_out) == max(0, len(tiers) - MAX_TIERS)
    assert all(tiers[name] <= min(kept.values()) for name in wanted.left_out)


def test_a_tier_without_a_number_keeps_its_rule_and_is_not_limited_if_it_has_none() -> None:
    before = POLICY.wanted(mapping(free=10, gold=50), {}).spec
    wanted = POLICY.wanted(mapping(free=20, gold=None, silver=None), before)
    assert numbers_of(wanted) == {"gold": 50, "silver": UNLIMITED, "free": 20}


def test_rules_that_select_no_tier_are_not_taken_for_one() -> None:
    odd = [
        {"limit": {"requests": 1, "unit": "Minute"}},
        {"clientSelectors": [{"methods": [{"value": "GET"}]}]},
        {"clientSelectors": [{"headers": [{"type": "Distinct", "name": "x-maas-tier"}]}]},
        {"clientSelectors": [{"headers": [{"name": "x-other", "value": "gold"}]}]},
        {"clientSelectors": [{"headers": [{"name": "x-maas-tier"}]}]},
    ]
    wanted = POLICY.wanted(mapping(free=10, gold=None), {"rateLimit": {"local": {"rules": odd}}})
    assert numbers_of(wanted) == {"free": 10, "gold": UNLIMITED}


def test_a_mapping_without_numbers_says_nothing_about_requests() -> None:
    with pytest.raises(NotFollowedError, match="requestsPerMinute"):
        POLICY.wanted(mapping(free=None), {})


def test_a_policy_that_counts_for_all_replicas_is_left_as_it_is() -> None:
    with pytest.raises(NotFollowedError, match="global"):
        POLICY.wanted(mapping(free=10), {"rateLimit": {"global": {"rules": []}}})
