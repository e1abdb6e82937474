"""docs/checks.md and manifests/base/rbac.yaml, held to the checks themselves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from app.cli.verify.families import CHECKS, FAMILIES
from app.cli.verify.families.rbac import LIMIT_RULES, RULES, Rule
from app.cli.verify.report import named

if TYPE_CHECKING:
    from app.cli.verify.check import Check

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "checks.md").read_text()
POLICIES = ROOT / "manifests" / "policies"
RBAC = ROOT / "manifests" / "base" / "rbac.yaml"


def row(check: Check) -> str:
    fix = named(check.fix, kubectl="kubectl", namespace="maas", gateway="maas-default-gateway")
    return f"| `{check.id}` | {check.asks} | {check.how} | {fix} |"


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_every_check_is_documented_as_it_is(check: Check) -> None:
    assert row(check) in PAGE.splitlines()


def test_no_check_is_documented_that_does_not_exist() -> None:
    documented = [
        line for line in PAGE.splitlines() if line.startswith(tuple(f"| `{name}." for name in FAMILIES))
    ]
    assert sorted(documented) == sorted(map(row, CHECKS))


def test_a_check_needs_only_what_comes_before_it() -> None:
    before: set[str] = set()
    for check in CHECKS:
        assert set(check.needs) <= before, check.id
        assert check.id not in before
        before.add(check.id)


@pytest.mark.parametrize(
    ("path", "rules"),
    [
        (RBAC, RULES),
        *((POLICIES / profile / "rbac.yaml", rules) for profile, rules in LIMIT_RULES.items()),
    ],
)
def test_the_rules_that_are_checked_are_those_that_are_shipped(path: Path, rules: tuple[Rule, ...]) -> None:
    shipped = {
        Rule(group, resource, tuple(rule["verbs"]), namespaced=manifest["kind"] == "Role", name=name)
        for manifest in yaml.safe_load_all(path.read_text())
        for rule in manifest.get("rules", ())
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
    }
    assert set(rules) == shipped
