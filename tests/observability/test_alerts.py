"""The alerts, by promtool: each fires by what it is for, and by nothing else that is likely."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kustomize import MANIFESTS, ROOT
from tests.prometheus import promtool

# This loader makes strings of everything: 0x10 is no number here.
CASES: list[dict[str, Any]] = yaml.load((Path(__file__).parent / "alerts.yaml").read_text(), yaml.BaseLoader)  # noqa: S506
RUNBOOKS = (ROOT / "docs" / "runbooks.md").read_text()
RULE: dict[str, Any] = yaml.safe_load((MANIFESTS / "observability" / "alerts.yaml").read_text())
ALERTS = {
    rule["alert"]: rule for group in RULE["spec"]["groups"] for rule in group["rules"] if "alert" in rule
}

pytestmark = pytest.mark.usefixtures("prometheus_programs")


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """The rules as Prometheus reads them: what the PrometheusRule contains."""
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump(RULE["spec"]))
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
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["description"]
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert page.endswith("/docs/runbooks.md")
    assert anchor == alert.lower()
    assert f"\n## {alert}\n" in RUNBOOKS


def test_every_runbook_is_that_of_an_alert() -> None:
    assert set(re.findall(r"^## (Maas\w+)$", RUNBOOKS, re.MULTILINE)) == ALERTS.keys()
