"""Every rule that is shipped, on a Prometheus that has watched real traffic: it runs, on what there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.dashboards import metric_names
from tests.kustomize import MANIFESTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.observability.conftest import Observed

# What there is only elsewhere, and where it is seen.
ELSEWHERE = (
    "maas_limits_",  # test_dashboards_in_a_cluster.py
    "maas_gateway_unmetered_total",  # tests/embedded/gateway/test_what_dashboards_show.py
    "kuadrant_",  # metrics of Kuadrant's wasm filter, an image that cannot be had here
    "certmanager_",  # metrics of cert-manager, likewise
)


def rules() -> Iterator[dict[str, Any]]:
    for path in sorted((MANIFESTS / "observability").rglob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            if document["kind"] == "PrometheusRule":
                for group in document["spec"]["groups"]:
                    yield from group["rules"]


RULES = list(rules())
RECORDED = {rule["record"] for rule in RULES if "record" in rule}


def name(rule: dict[str, Any]) -> str:
    return str(rule.get("alert") or rule["record"])


def test_there_are_rules() -> None:
    assert [rule for rule in RULES if "alert" in rule]


@pytest.mark.parametrize("rule", RULES, ids=name)
async def test_a_rule_runs_on_metrics_that_exist(observed: Observed, rule: dict[str, Any]) -> None:
    asked = {metric for metric in metric_names(rule["expr"]) - RECORDED if not metric.startswith(ELSEWHERE)}
    known = await observed.prometheus.label_values('{__name__=~".+"}', "__name__")
    assert asked <= set(known)
    await observed.prometheus.query(rule["expr"], at=observed.end.at)


@pytest.mark.parametrize("rule", [rule for rule in RULES if "record" in rule], ids=name)
async def test_a_recording_rule_records_something(observed: Observed, rule: dict[str, Any]) -> None:
    assert await observed.prometheus.query(rule["expr"], at=observed.end.at)
