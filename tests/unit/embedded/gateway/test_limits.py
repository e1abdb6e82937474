from __future__ import annotations

from typing import Any

import pytest

from app.embedded.gateway.limits import MAX_OWNERS, rate_limits


def configured(tier_limits: dict[str, int], **options: int) -> dict[str, Any]:
    settings: dict[str, Any] = rate_limits(tier_limits, **options)["typed_config"]
    return settings


def test_each_tier_has_a_bucket_per_owner_for_inference_and_for_the_list() -> None:
    buckets = {
        tuple(entry.get("value") for entry in descriptor["entries"]): descriptor["token_bucket"]
        for descriptor in configured({"premium": 100, "free": 10})["descriptors"]
    }

    ten = {"max_tokens": 10, "tokens_per_fill": 10, "fill_interval": "60s"}
    assert buckets["inference", "free", None] == buckets["models", "free", None] == ten
    assert buckets["inference", "premium", None]["max_tokens"] == 100
    assert len(buckets) == 4


@pytest.mark.parametrize(("limits", "smallest"), [({"a": 7, "b": 5}, 5), ({}, 1)])
def test_unknown_tiers_have_the_smallest_limit(limits: dict[str, int], smallest: int) -> None:
    assert configured(limits)["token_bucket"]["max_tokens"] == smallest


def test_many_owners_are_remembered() -> None:
    assert configured({"free": 1})["max_dynamic_descriptors"] == MAX_OWNERS
    assert configured({"free": 1}, max_owners=3)["max_dynamic_descriptors"] == 3


def test_a_huge_limit_fits_into_envoys_number() -> None:
    assert configured({"free": 10**12})["token_bucket"]["max_tokens"] == 2**32 - 1


def test_the_order_of_tiers_does_not_matter() -> None:
    assert rate_limits({"a": 1, "b": 2}) == rate_limits({"b": 2, "a": 1})


@pytest.mark.parametrize("limits", [{"free": 0}, {"free": -1}, {"": 10}])
def test_a_senseless_limit_is_refused(limits: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"at least 1|needs a name"):
        rate_limits(limits)
