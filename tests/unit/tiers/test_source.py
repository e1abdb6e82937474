"""The mapping in force, and what is said about one that cannot be."""

from __future__ import annotations

import logging

import pytest

from app.tiers.source import NoMappingError, TierSource

GOOD = "tiers:\n  free: {groups: [everyone], rateLimit: {requestsPerMinute: 10}}\n"
OTHER = "tiers:\n  basic: {groups: [everyone], rateLimit: {requestsPerMinute: 5}}\n"


def config_map(text: str) -> dict[str, dict[str, str]]:
    return {"data": {"mapping.yaml": text}}


def test_before_the_first_good_mapping_nobody_has_a_tier() -> None:
    source = TierSource()
    with pytest.raises(NoMappingError):
        source.tier_of(["everyone"])
    source.put({})
    with pytest.raises(NoMappingError, match=r"mapping\.yaml"):
        source.current()


def test_the_last_good_mapping_stays_in_force() -> None:
    source = TierSource()
    source.replace([config_map(GOOD)], 1)
    for broken in (config_map("tiers: ["), config_map(""), {"data": None}):
        source.put(broken)
        assert source.error
        tier = source.tier_of(["everyone"])
        assert tier is not None
        assert tier.name == "free"
    source.remove(config_map(GOOD))
    assert source.error == "the ConfigMap was deleted"
    source.replace([], 2)
    assert source.error == "the ConfigMap does not exist"
    assert source.current().tiers[0].name == "free"
    assert source.generation == 1


def test_subscribers_hear_of_every_change_and_of_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    source = TierSource()
    told: list[tuple[int, bool]] = []
    source.subscribe(lambda: told.append((source.generation, source.error is None)))
    for text in (GOOD, GOOD, "tiers: [", "tiers: [", OTHER, "tiers: [", OTHER):
        source.put(config_map(text))
    assert told == [(1, True), (1, False), (2, True), (2, False), (3, True)]
    assert "stays in force" in caplog.text


def test_the_same_mapping_after_a_broken_one_heals_without_a_new_generation_being_lost() -> None:
    source = TierSource()
    source.put(config_map(GOOD))
    source.put(config_map("tiers: ["))
    source.put(config_map(GOOD))
    assert source.error is None


def test_the_config_map_that_was_seen_last_is_known_by_its_uid() -> None:
    source = TierSource()
    assert source.uid == ""
    source.put({"metadata": {"uid": "one"}, **config_map(GOOD)})
    assert source.uid == "one"
    source.put({"metadata": {"uid": "two"}, **config_map("tiers: [")})
    source.remove({"metadata": {"uid": "two"}})
    assert source.uid == "two"
