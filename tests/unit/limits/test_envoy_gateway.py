"""Envoy Gateway's policies, by the mapping."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.limits.envoy_gateway import MAX_TIERS, TrafficLimits
from app.limits.policy import FIELD_MANAGER, UNLIMITED, NotFollowedError, Wanted
from app.tiers.mapping import Tier, TierMapping

POLICY = TrafficLimits("maas-inference")


def mapping(**numbers: int | None) -> TierMapping:
    return TierMapping(
        tuple(Tier(name, (name,), requests_per_minute=number) for name, number in numbers.items())
    )


def by(tiers: TierMapping, spec: dict[str, Any], **owners: str) -> Wanted:
    """What a policy that says this should say; `owners` are those of each place of its rate limit."""
    entries = [
        {"manager": manager, "fieldsV1": {"f:spec": {"f:rateLimit": {f"f:{place}": {"f:rules": {}}}}}}
        for place, manager in owners.items()
    ]
    return POLICY.wanted(tiers, {"metadata": {"managedFields": entries}, "spec": spec})


def rules(wanted: Wanted) -> list[dict[str, Any]]:
    ((_, limit),) = wanted.spec["rateLimit"].items()
    found: list[dict[str, Any]] = limit["rules"]
    return found


def numbers_of(wanted: Wanted) -> dict[str, int]:
    *tiers, _ = rules(wanted)
    return {rule["clientSelectors"][0]["headers"][0]["value"]: rule["limit"]["requests"] for rule in tiers}


def test_every_tier_is_limited_per_owner_and_the_last_rule_is_for_all_others() -> None:
    free, premium, rest = rules(by(mapping(premium=100, free=10), {}))
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
    wanted = by(mapping(**tiers), {})
    assert len(rules(wanted)) <= 16
    assert rules(wanted)[-1]["limit"]["requests"] == min(numbers)
    # Those that are left out are the lowest, and they are told.
    kept = numbers_of(wanted)
    assert {**kept, **{name: tiers[name] for name in wanted.left_out}} == tiers
    assert len(wanted.left_out) == max(0, len(tiers) - MAX_TIERS["local"])
    assert all(tiers[name] <= min(kept.values()) for name in wanted.left_out)


def test_a_tier_without_a_number_keeps_its_rule_and_is_not_limited_if_it_has_none() -> None:
    before = by(mapping(free=10, gold=50), {}).spec
    wanted = by(mapping(free=20, gold=None, silver=None), before)
    assert numbers_of(wanted) == {"gold": 50, "silver": UNLIMITED, "free": 20}


def test_rules_that_select_no_tier_are_not_taken_for_one() -> None:
    odd = [
        {"limit": {"requests": 1, "unit": "Minute"}},
        {"clientSelectors": [{"methods": [{"value": "GET"}]}]},
        {"clientSelectors": [{"headers": [{"type": "Distinct", "name": "x-maas-tier"}]}]},
        {"clientSelectors": [{"headers": [{"name": "x-other", "value": "gold"}]}]},
        {"clientSelectors": [{"headers": [{"name": "x-maas-tier"}]}]},
    ]
    wanted = by(mapping(free=10, gold=None), {"rateLimit": {"local": {"rules": odd}}})
    assert numbers_of(wanted) == {"free": 10, "gold": UNLIMITED}


def test_a_mapping_without_numbers_says_nothing_about_requests() -> None:
    with pytest.raises(NotFollowedError, match="requestsPerMinute"):
        by(mapping(free=None), {})


GLOBAL: dict[str, Any] = {"rateLimit": {"global": {"rules": []}}}
BOTH: dict[str, Any] = {"rateLimit": {"global": {"rules": []}, "local": {"rules": []}}}


def test_where_all_replicas_count_together_the_global_rules_follow_and_each_owner_counts_apart() -> None:
    wanted = by(mapping(free=10, premium=100), GLOBAL)
    assert list(wanted.spec["rateLimit"]) == ["global"]
    free, premium, rest = rules(wanted)
    assert [free, premium] == rules(by(mapping(free=10, premium=100), {}))[:2]
    (selector,) = rest["clientSelectors"]
    assert selector["headers"] == [
        {"type": "RegularExpression", "name": "x-maas-tier", "value": "free|premium", "invert": True},
        {"type": "Distinct", "name": "x-maas-user", "invert": False},
    ]
    assert rest["limit"] == {"requests": 10, "unit": "Minute"}


def test_any_number_of_tiers_is_left_out_of_the_last_global_rule() -> None:
    tiers = {f"tier-with-a-name-of-some-length-{number:032}": number for number in range(1, 101)}
    wanted = by(mapping(**tiers), GLOBAL)
    assert wanted.left_out == ()
    *patterns, _ = rules(wanted)[-1]["clientSelectors"][0]["headers"]
    assert len(patterns) > 1
    assert all(len(pattern["value"]) <= 1024 and pattern["invert"] for pattern in patterns)
    assert [name for pattern in patterns for name in pattern["value"].split("|")] == list(tiers)


def test_no_global_rule_is_made_for_a_tier_without_a_number() -> None:
    assert numbers_of(by(mapping(free=10, gold=None), GLOBAL)) == {"free": 10}


@pytest.mark.parametrize(
    ("owners", "place"),
    [
        ({"local": FIELD_MANAGER, "global": "kubectl"}, "global"),
        ({"local": "kubectl", "global": FIELD_MANAGER}, "local"),
    ],
)
def test_of_two_ways_of_counting_the_one_is_followed_that_somebody_wants(
    owners: dict[str, str], place: str
) -> None:
    assert list(by(mapping(free=10), BOTH, **owners).spec["rateLimit"]) == [place]


def test_a_policy_that_others_have_made_count_both_ways_is_left_as_it_is() -> None:
    with pytest.raises(NotFollowedError, match="both"):
        by(mapping(free=10), BOTH, **{"local": "kubectl", "global": "somebody"})
