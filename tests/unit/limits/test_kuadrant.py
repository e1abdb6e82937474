"""Kuadrant's policies, by the mapping."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.limits.kuadrant import OTHER_TIERS, RequestLimits, TokenLimits
from app.limits.policy import UNLIMITED, NotFollowedError, Policy, Wanted
from app.tiers.mapping import Tier, TierMapping

REQUESTS, TOKENS = RequestLimits("maas-inference"), TokenLimits("maas-inference")
NAMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)


def mapping(**numbers: int | None) -> TierMapping:
    return TierMapping(
        tuple(
            Tier(name, (name,), requests_per_minute=number, tokens_per_minute=number and number * 100)
            for name, number in numbers.items()
        )
    )


def by(policy: Policy, tiers: TierMapping, spec: dict[str, Any]) -> Wanted:
    """What a policy that says this should say."""
    return policy.wanted(tiers, {"metadata": {}, "spec": spec})


def rates(limits: dict[str, Any]) -> dict[str, int]:
    return {name: limit["rates"][0]["limit"] for name, limit in limits.items()}


def test_every_tier_is_limited_per_owner_and_all_others_get_the_smallest_limit() -> None:
    limits = by(REQUESTS, mapping(free=10, premium=100), {}).spec["limits"]
    assert rates(limits) == {"free": 10, "premium": 100, OTHER_TIERS: 10}
    assert limits["premium"]["when"] == [{"predicate": 'auth.identity.tier == "premium"'}]
    assert limits[OTHER_TIERS]["when"] == [{"predicate": "!(auth.identity.tier in ['free', 'premium'])"}]
    for limit in limits.values():
        assert limit["counters"] == [{"expression": "auth.identity.owner"}]
        assert limit["rates"][0]["window"] == "1m"


@given(st.dictionaries(NAMES, st.integers(1, UNLIMITED), min_size=1, max_size=20))
def test_whatever_the_tiers_are_each_is_counted_by_one_limit_and_no_other(numbers: dict[str, int]) -> None:
    wanted = by(REQUESTS, mapping(**numbers), {})
    limits = wanted.spec["limits"]
    assert rates(limits) == {**numbers, OTHER_TIERS: min(numbers.values())}
    assert len({str(limit["when"]) for limit in limits.values()}) == len(numbers) + 1
    assert all(f"'{name}'" in limits[OTHER_TIERS]["when"][0]["predicate"] for name in numbers)
    # What was written is what is wanted: nothing in it is to be removed.
    assert by(REQUESTS, mapping(**numbers), wanted.spec) == wanted


def test_a_tier_that_is_named_other_is_a_tier_like_any_other() -> None:
    limits = by(REQUESTS, mapping(other=7, free=5), {}).spec["limits"]
    assert rates(limits) == {"free": 5, "other": 7, OTHER_TIERS: 5}


def test_a_tier_that_is_gone_is_removed_and_limits_of_another_kind_stay() -> None:
    before = by(REQUESTS, mapping(free=10, gone=20), {}).spec["limits"]
    burst = {"rates": [{"limit": 5, "window": "1s"}]}
    wanted = by(REQUESTS, mapping(free=10), {"limits": {**before, "burst": burst}})
    assert wanted.removed == (("limits", "gone"),)


def test_requests_of_a_tier_without_a_number_are_up_to_others() -> None:
    theirs = by(REQUESTS, mapping(gold=3), {}).spec["limits"]
    wanted = by(REQUESTS, mapping(free=10, gold=None), {"limits": theirs})
    assert rates(wanted.spec["limits"]) == {"free": 10, OTHER_TIERS: 10}
    assert "'gold'" in wanted.spec["limits"][OTHER_TIERS]["when"][0]["predicate"]
    assert wanted.removed == ()


def test_a_mapping_without_numbers_says_nothing_about_requests() -> None:
    with pytest.raises(NotFollowedError, match="requestsPerMinute"):
        by(REQUESTS, mapping(free=None), {})


def test_tokens_of_a_tier_without_a_number_are_not_limited() -> None:
    before = by(TOKENS, mapping(free=10, gold=20), {}).spec
    wanted = by(TOKENS, mapping(free=10, gold=None), before)
    assert rates(wanted.spec["limits"]) == {"free": 1000, OTHER_TIERS: 1000}
    assert wanted.removed == (("limits", "gold"),)


def test_where_no_tier_has_a_limit_on_tokens_one_that_nobody_reaches_is_left() -> None:
    wanted = by(TOKENS, mapping(free=None), by(TOKENS, mapping(free=10), {}).spec)
    assert rates(wanted.spec["limits"]) == {OTHER_TIERS: UNLIMITED}
    assert wanted.removed == (("limits", "free"),)


@pytest.mark.parametrize("shape", ["defaults", "overrides"])
@pytest.mark.parametrize("policy", [REQUESTS, TOKENS])
def test_a_policy_of_another_shape_is_left_as_it_is(policy: Any, shape: str) -> None:
    with pytest.raises(NotFollowedError, match=f"spec.{shape}"):
        by(policy, mapping(free=10), {shape: {"limits": {}}})
