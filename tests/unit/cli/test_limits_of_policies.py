from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from app.cli.verify.limits import per_minute
from tests.kustomize import rendered, with_component

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("overlay", "component"), [("openshift", "ha"), ("kubernetes", "ha"), ("kubernetes", "global-limits")]
)
@pytest.mark.parametrize("name", ["maas-inference", "maas-models"])
def test_the_shipped_policies_are_understood(overlay: str, component: str, name: str, tmp_path: Path) -> None:
    (policy,) = (
        document
        for document in rendered(with_component(overlay, component, tmp_path))
        if document["kind"] in ("RateLimitPolicy", "BackendTrafficPolicy")
        and document["metadata"]["name"] == name
    )
    assert per_minute(policy) == {"free": 10, "premium": 100, "enterprise": 1000}


def kuadrant(*rates: dict[str, Any]) -> dict[str, Any]:
    when = [{"predicate": "auth.identity.tier == 'free'"}]
    limits = {"limits": {"a": {"when": when, "rates": list(rates)}}}
    return {"kind": "RateLimitPolicy", "spec": {"overrides": limits}}


@pytest.mark.parametrize(
    ("window", "rate"), [("1m", 30), ("30s", 60), ("1m30s", 20), ("1h", 0.5), ("500ms", 3600)]
)
def test_windows_of_any_length_are_compared_by_the_minute(window: str, rate: float) -> None:
    assert per_minute(kuadrant({"limit": 30, "window": window})) == {"free": pytest.approx(rate)}


def test_of_several_limits_the_smallest_counts() -> None:
    assert per_minute(kuadrant({"limit": 5, "window": "1m"}, {"limit": 60, "window": "1h"})) == {"free": 1}


def test_limits_on_model_tokens_are_something_else() -> None:
    policy = kuadrant({"limit": 5, "window": "1m"})
    assert per_minute({**policy, "kind": "TokenRateLimitPolicy"}) == {}
