from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.tiers.mapping import Tier, TierMapping

GROUPS = st.sampled_from([f"group-{number}" for number in range(8)])


def tier(name: str, *groups: str, level: int | None = None, rpm: int | None = None) -> Tier:
    return Tier(name, groups or (f"{name}-users",), level=level, requests_per_minute=rpm)


def order(*tiers: Tier) -> list[str]:
    return [each.name for each in TierMapping(tiers).tiers]


@st.composite
def mappings(draw: st.DrawFn) -> TierMapping:
    level = st.none() | st.integers(0, 3)
    rpm = st.none() | st.integers(1, 3)
    groups = st.lists(GROUPS, min_size=1, max_size=4, unique=True)
    return TierMapping(
        tuple(
            tier(f"tier-{number}", *draw(groups), level=draw(level), rpm=draw(rpm))
            for number in range(draw(st.integers(0, 6)))
        )
    )


def test_the_highest_level_wins() -> None:
    tiers = [tier("high", level=7, rpm=1), tier("low", level=1, rpm=100), tier("middle", level=3, rpm=10)]

    assert order(*tiers) == ["low", "middle", "high"]


def test_without_levels_the_most_requests_per_minute_win() -> None:
    assert order(tier("c", rpm=1000), tier("a", rpm=10), tier("b", rpm=100)) == ["a", "b", "c"]


def test_without_levels_and_with_equal_requests_the_later_place_wins() -> None:
    assert order(tier("b", rpm=10), tier("a", rpm=10), tier("c", rpm=10)) == ["b", "a", "c"]


def test_equal_levels_fall_back_to_requests_per_minute_and_then_to_place() -> None:
    tiers = [tier("d", level=1, rpm=9), tier("b", level=1, rpm=5), tier("c", level=1, rpm=5)]

    assert order(*tiers) == ["b", "c", "d"]


def test_a_level_above_zero_outranks_all_tiers_without_one() -> None:
    assert order(tier("special", level=1, rpm=1), tier("enterprise", rpm=1000)) == ["enterprise", "special"]


def test_level_zero_says_the_same_as_no_level() -> None:
    tiers = [tier("premium", rpm=100), tier("free", level=0, rpm=10), tier("enterprise", rpm=1000)]

    assert order(*tiers) == ["free", "premium", "enterprise"]


def test_a_tier_without_requests_per_minute_ranks_below_those_with_them() -> None:
    assert order(tier("limited", rpm=1), tier("upstream")) == ["upstream", "limited"]


def test_a_person_gets_the_highest_tier_of_their_groups() -> None:
    mapping = TierMapping((tier("free", "everyone", rpm=10), tier("premium", "paying", rpm=100)))

    assert mapping.tier_of(["everyone"]) == mapping.get("free")
    assert mapping.tier_of(["paying", "everyone", "others"]) == mapping.get("premium")


def test_a_group_in_two_tiers_gives_the_higher_one() -> None:
    mapping = TierMapping((tier("premium", "both", rpm=100), tier("free", "both", rpm=10)))

    assert mapping.tier_of(["both"]) == mapping.get("premium")


def test_groups_are_compared_exactly() -> None:
    mapping = TierMapping((tier("premium", "premium-users"),))

    assert mapping.tier_of(["Premium-Users", "premium-users ", "premium", ""]) is None


def test_without_a_matching_group_there_is_no_tier() -> None:
    assert TierMapping((tier("free", "everyone"),)).tier_of([]) is None
    assert TierMapping(()).tier_of(["everyone"]) is None


def test_a_tier_is_found_by_its_name() -> None:
    mapping = TierMapping((tier("free"), tier("premium")))

    assert mapping.get("premium") == tier("premium")
    assert mapping.get("enterprise") is None


def test_the_display_name_is_the_name_unless_given() -> None:
    assert Tier("free", ("everyone",)).display_name == "free"
    assert Tier("free", ("everyone",), display_name="Free of charge").display_name == "Free of charge"


def test_equal_mappings_are_equal_and_hash_alike() -> None:
    one, other = (TierMapping((tier("free", level=1), tier("premium", level=2))) for _ in range(2))

    assert one == other
    assert hash(one) == hash(other)
    assert one != TierMapping((tier("free", level=1), tier("premium", level=3)))


def test_a_mapping_and_its_tiers_cannot_be_changed() -> None:
    mapping: Any = TierMapping((tier("free"),))

    with pytest.raises(FrozenInstanceError):
        mapping.tiers = ()
    with pytest.raises(FrozenInstanceError):
        mapping.tiers[0].level = 9


def test_two_tiers_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="same name"):
        TierMapping((tier("free", "a"), tier("free", "b")))


@given(mappings(), st.lists(GROUPS), GROUPS)
def test_one_more_group_never_lowers_the_rank(mapping: TierMapping, groups: list[str], more: str) -> None:
    def rank(tier: Tier | None) -> int:
        return -1 if tier is None else mapping.tiers.index(tier)

    assert rank(mapping.tier_of([*groups, more])) >= rank(mapping.tier_of(groups))


@given(mappings(), st.lists(GROUPS), st.randoms())
def test_the_order_and_number_of_groups_do_not_matter(
    mapping: TierMapping, groups: list[str], random: Any
) -> None:
    shuffled = groups * 2
    random.shuffle(shuffled)

    assert mapping.tier_of(shuffled) == mapping.tier_of(iter(groups))


@given(mappings(), st.lists(GROUPS))
def test_no_tier_above_the_one_given_has_one_of_the_groups(mapping: TierMapping, groups: list[str]) -> None:
    given_tier = mapping.tier_of(groups)

    members = [each for each in mapping.tiers if set(each.groups) & set(groups)]
    assert given_tier == (members[-1] if members else None)


@given(mappings())
def test_ordering_again_changes_nothing(mapping: TierMapping) -> None:
    assert TierMapping(mapping.tiers) == mapping
