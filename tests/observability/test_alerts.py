"""The alerts, by promtool: each fires by what it is for, and by nothing else that is likely."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from app.observability.metrics import Metrics
from tests.kustomize import ROOT
from tests.prometheus import promtool
from tests.rules import COMPOSE, EVERYWHERE, RULES, for_compose, groups

if TYPE_CHECKING:
    from tests.observability.conftest import Observed

# This loader makes strings of everything: 0x10 is no number here.
CASES: list[dict[str, Any]] = yaml.load((Path(__file__).parent / "alerts.yaml").read_text(), yaml.BaseLoader)  # noqa: S506
RUNBOOKS = (ROOT / "docs" / "runbooks.md").read_text()
ALERTS = {rule["alert"]: rule for group in groups(*RULES) for rule in group["rules"] if "alert" in rule}

pytestmark = pytest.mark.usefixtures("prometheus_programs")


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """The rules as Prometheus reads them: what the PrometheusRules contain."""
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": groups(*RULES)}))
    return path


def scene(name: str, alert: str, at: str, series: dict[str, Any], *, fires: bool) -> dict[str, Any]:
    return {
        "name": name,
        "interval": "1m",
        "input_series": [
            {"series": series_name, "values": str(values)} for series_name, values in series.items()
        ],
        "promql_expr_test": [
            {
                "expr": f'count(ALERTS{{alertname="{alert}", alertstate="firing"}}) > bool 0',
                "eval_time": at,
                "exp_samples": [{"labels": "{}", "value": 1}] if fires else [],
            }
        ],
    }


async def test_the_rules_are_ones_that_prometheus_takes(rules: Path) -> None:
    code, output = await promtool("check", "rules", rules)
    assert code == 0, output


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["alert"])
async def test_an_alert_fires_by_what_it_is_for_and_not_otherwise(
    case: dict[str, Any], rules: Path, tmp_path: Path
) -> None:
    alert, at = case["alert"], case["at"]
    tests = [
        scene("fires", alert, at, case["fires"], fires=True),
        scene("quiet", alert, at, case["quiet"], fires=False),
    ]
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": tests}))
    code, output = await promtool("test", "rules", file)
    assert code == 0, output


def test_every_alert_has_a_case() -> None:
    assert {case["alert"] for case in CASES} == ALERTS.keys()


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_says_how_bad_it_is_and_what_to_do(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["labels"]["namespace"] == "maas"
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["description"]
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert page.endswith("/docs/runbooks.md")
    assert anchor == alert.lower()
    assert f"\n## {alert}\n" in RUNBOOKS


def test_every_runbook_is_that_of_an_alert() -> None:
    assert set(re.findall(r"^## (Maas\w+)$", RUNBOOKS, re.MULTILINE)) == ALERTS.keys()


def test_docker_compose_has_the_same_rules_but_for_those_about_kuadrant() -> None:
    assert COMPOSE.read_text() == for_compose(), "run `make rules`"


# What the platform on one machine does not have, and where it was seen.
ELSEWHERE = {
    "certmanager_certificate_expiration_timestamp_seconds": "cert-manager",
    "envoy_cluster_ratelimit_failure_mode_allowed": "Envoy that asks a rate limit service, and fails open",
    "envoy_cluster_ratelimit_ok": "the same: tests/e2e/test_compose_data_plane.py",
    "kuadrant_errors": "Kuadrant's filter",
    "kuadrant_policies_enforced": "Kuadrant's operator",
}


async def test_every_metric_that_is_asked_for_is_one_that_is_there(observed: Observed) -> None:
    expressions = [rule["expr"] for group in groups(*RULES) for rule in group["rules"]]
    asked = set(re.findall(r"\b(?:maas_|vllm:|envoy_|kuadrant_|certmanager_)\w+", "\n".join(expressions)))
    own = {
        f"{family.name}{suffix}"
        for family in Metrics().registry.collect()
        for suffix in ("", "_total", "_count", "_bucket")
    }
    seen = set(await observed.prometheus.label_values('{__name__=~".+"}', "__name__"))

    assert asked >= {"maas_leader", "maas_gateway_requests_total", "vllm:request_success_total"}
    assert asked - own - seen - {"maas_gateway_unmetered_total"} == ELSEWHERE.keys()


async def test_on_a_platform_that_works_nothing_is_wrong_with_any_rule(observed: Observed) -> None:
    found = await observed.prometheus.rules()

    everywhere = {rule["alert"] for group in groups(EVERYWHERE) for rule in group["rules"] if "alert" in rule}
    assert {rule["name"] for rule in found} >= everywhere
    assert {rule["name"]: rule["lastError"] for rule in found if rule["health"] != "ok"} == {}
    # Its people send more than they may, on purpose.
    assert {rule["name"] for rule in found if rule.get("alerts")} <= {"MaasManyLimited"}
