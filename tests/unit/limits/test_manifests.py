"""The shipped policies are what the shipped mapping makes of them, so neither can drift from the other."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from app.limits.policy import Wanted
from app.limits.profiles import PROFILES, policies_of
from app.tiers.parser import parse_mapping
from tests.kustomize import MANIFESTS, rendered

if TYPE_CHECKING:
    from pathlib import Path

    from app.limits.policy import Policy

OVERLAYS = {"kuadrant": "openshift", "envoy-gateway": "kubernetes"}
every_policy = pytest.mark.parametrize(
    ("profile", "policy"),
    [(profile, policy) for profile, policies in PROFILES.items() for policy in policies],
    ids=lambda value: value if isinstance(value, str) else f"{value.kind}-{value.name}",
)


@pytest.fixture
def shipped(profile: str, tmp_path: Path) -> list[dict[str, Any]]:
    """The overlay of a profile, with the limits on tokens that Kuadrant's may have."""
    overlay = MANIFESTS / "overlays" / OVERLAYS[profile]
    component = MANIFESTS / "components" / "token-limits"
    here = {"resources": [os.path.relpath(overlay, tmp_path)]}
    if profile == "kuadrant":
        here["components"] = [os.path.relpath(component, tmp_path)]
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(here))
    return list(rendered(tmp_path))


def the(documents: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    (found,) = (each for each in documents if (each["kind"], each["metadata"]["name"]) == (kind, name))
    return found


@every_policy
def test_a_shipped_policy_is_exactly_what_the_shipped_mapping_makes_of_it(
    shipped: list[dict[str, Any]], policy: Policy
) -> None:
    mapping = parse_mapping(the(shipped, "ConfigMap", "tier-to-group-mapping")["data"])
    document = the(shipped, policy.kind, policy.name)
    wanted = policy.wanted(mapping, document)
    assert document["apiVersion"] == policy.resource.api_version
    assert wanted == Wanted({field: document["spec"][field] for field in wanted.spec})


@every_policy
def test_the_service_may_watch_and_change_the_policy_and_nothing_else_of_its_kind(
    shipped: list[dict[str, Any]], profile: str, policy: Policy
) -> None:
    rules = [
        rule
        for rule in the(shipped, "Role", f"maas-api-limits-{profile}")["rules"]
        if (rule["apiGroups"], rule["resources"]) == ([policy.resource.group], [policy.resource.plural])
    ]
    assert [policy.name in rule["resourceNames"] for rule in rules] == [True]
    assert rules[0]["verbs"] == ["get", "list", "watch", "patch"]


@pytest.mark.parametrize("profile", OVERLAYS)
def test_the_role_is_for_the_policies_and_nothing_else(shipped: list[dict[str, Any]], profile: str) -> None:
    allowed = {
        (group, resource, name)
        for rule in the(shipped, "Role", f"maas-api-limits-{profile}")["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule["resourceNames"]
    }
    assert allowed == {
        (each.resource.group, each.resource.plural, each.name) for each in policies_of(profile)
    }


def test_without_a_choice_the_policies_of_every_profile_are_followed() -> None:
    assert policies_of("auto") == (*policies_of("kuadrant"), *policies_of("envoy-gateway"))
