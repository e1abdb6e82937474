"""The files of the dashboards. Whether they show the truth, tests/observability finds out."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase

from app.embedded.simulator.metrics import Series
from app.observability.metrics import Metrics
from app.usage.price_metrics import PriceMetrics
from app.usage.price_source import PriceSource
from tests.dashboards import (
    CONSOLE,
    DASHBOARDS,
    FILES,
    GRAFANA,
    dashboard,
    label_values,
    metric_names,
    panels,
    queries,
    variables,
)
from tests.kustomize import rendered

if TYPE_CHECKING:
    from pathlib import Path

each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(DASHBOARDS)))
each_grafana = pytest.mark.parametrize("path", GRAFANA, ids=lambda path: path.name)

# `kubectl apply` keeps a copy of each object in an annotation, and all annotations may have 256 KiB.
_MOST_BYTES = 200 * 1024
# How much of a counter came within the time range, exactly: app/usage/promql.py says why so.
_USED = re.compile(
    r"last_over_time\((?P<series>\S+?\{[^}]*\})\[\$__range\]\) - "
    r"\(\(last_over_time\((?P=series)\[1h\] offset \$__range\) <= "
    r"min_over_time\((?P=series)\[\$__range\]\)\) or "
    r"last_over_time\((?P=series)\[\$__range\]\) \* 0\) "
    r"unless \(resets\((?P=series)\[\$__range\]\) > 0\) or increase\((?P=series)\[\$__range\]\)"
)
# What OpenShift's console draws, and with which options it does.
_CONSOLE_PANELS = {"graph", "singlestat", "table", "gauge", "grafana-piechart-panel"}


def placed(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = dashboard(path)["panels"]
    return found


@each_file
def test_the_format_is_that_of_one_export_after_another(path: Path) -> None:
    canonical = json.dumps(dashboard(path), indent=2, ensure_ascii=False, sort_keys=True) + "\n"
    assert path.read_text() == canonical


def test_every_dashboard_has_a_name_and_an_id_of_its_own() -> None:
    for key in ("uid", "title"):
        assert set(Counter(dashboard(path)[key] for path in FILES).values()) == {1}


@each_file
def test_every_panel_has_an_id_of_its_own(path: Path) -> None:
    ids = [panel["id"] for _, panel in panels(path)]
    assert len(ids) == len(set(ids))
    names = Counter((row, panel["title"]) for row, panel in panels(path))
    assert set(names.values()) == {1}


@each_grafana
def test_it_is_of_grafana_12(path: Path) -> None:
    assert dashboard(path)["schemaVersion"] == 42
    removed = {"graph", "singlestat", "table-old"}
    assert not removed & {panel["type"] for panel in placed(path)}


@each_grafana
def test_every_panel_says_what_it_shows(path: Path) -> None:
    for _, panel in panels(path):
        assert panel["description"].endswith("."), panel["title"]
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["unit"], panel["title"]
        assert defaults["thresholds"]["steps"][0]["value"] is None, panel["title"]
        for target in panel["targets"]:
            assert target["legendFormat"], panel["title"]


@each_grafana
def test_the_data_source_is_whatever_one_chooses(path: Path) -> None:
    chosen = {"type": "prometheus", "uid": "$datasource"}
    listed = dashboard(path)["templating"]["list"]
    assert [(listed[0]["name"], listed[0]["type"], listed[0]["query"])] == [
        ("datasource", "datasource", "prometheus")
    ]
    for variable in variables(path).values():
        assert variable["datasource"] == chosen
    for _, panel in panels(path):
        assert panel["datasource"] == chosen
        for target in panel["targets"]:
            assert target["datasource"] == chosen


@each_grafana
def test_no_panel_lies_on_another(path: Path) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in placed(path):
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


@each_grafana
def test_every_dashboard_leads_to_the_others(path: Path) -> None:
    tags = {tag for link in dashboard(path)["links"] if link["type"] == "dashboards" for tag in link["tags"]}
    for other in GRAFANA:
        assert tags & set(dashboard(other)["tags"])


@each_file
def test_every_variable_is_there_and_used(path: Path) -> None:
    asked = " ".join(query.expression for query in queries(path))
    chained = " ".join(label_values(variable)[0] for variable in variables(path).values())
    used = {name for name in re.findall(r"\$(\w+)", f"{asked} {chained}") if not name.startswith("__")}
    assert used == set(variables(path))


@each_file
def test_a_value_that_is_chosen_or_all_of_them_fit_into_the_queries(path: Path) -> None:
    for variable in variables(path).values():
        assert variable["includeAll"]
        assert variable["allValue"] in {".+", ".*"}
    for query in queries(path):
        for match in re.finditer(r"(\S{2})\"\$(?!__)\w+\"", query.expression):
            assert match[1] == "=~", query


@each_file
def test_what_was_used_is_counted_exactly_and_curves_follow_the_zoom(path: Path) -> None:
    for query in queries(path):
        rest = _USED.sub("", query.expression)
        assert "$__range]" not in rest, query
        assert "$__range)" not in rest, query
        if query.instant:
            assert not re.search(r"\b(i?rate|increase)\(", rest), query
        for window in re.findall(r"\[([^]]+)\]", rest):
            assert window in {"$__rate_interval", "5m"}, query


def test_the_service_and_the_models_have_the_metrics_that_are_asked_for() -> None:
    served = {
        sample
        for collector in (Metrics().registry, Series().registry, PriceMetrics(PriceSource()))
        for family in collector.collect()
        for sample in (family.name, *(f"{family.name}_{end}" for end in ("total", "bucket", "sum", "count")))
    }
    asked = {name for path in FILES for query in queries(path) for name in metric_names(query.expression)}
    elsewhere = ("maas_gateway_", "envoy_", "http_request")
    own = {name for name in asked if not name.startswith(elsewhere)}
    assert {name.partition("_")[0] for name in own} >= {"maas"}
    assert any(name.startswith("vllm:") for name in own)
    assert own <= served


def test_everything_that_the_simulator_measures_is_shown() -> None:
    asked = " ".join(query.expression for path in GRAFANA for query in queries(path))
    measured = [
        family.name
        for metric in vars(Series()).values()
        for collector in (metric if isinstance(metric, list) else [metric])
        if isinstance(collector, MetricWrapperBase)
        for family in collector.describe()
    ]
    assert measured
    assert [name for name in measured if name not in asked] == []


# In a cluster


def test_grafana_finds_each_dashboard_in_a_configmap_of_its_own() -> None:
    maps = rendered(GRAFANA[0].parent)
    assert len(maps) == len(GRAFANA)
    shipped = {path.read_text() for path in GRAFANA}
    assert {text for found in maps for text in found["data"].values()} == shipped
    for found in maps:
        assert found["kind"] == "ConfigMap"
        assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert len(yaml.safe_dump(found).encode()) < _MOST_BYTES


def test_the_console_finds_its_dashboard() -> None:
    (found,) = rendered(CONSOLE.parent)
    assert found["metadata"]["namespace"] == "openshift-config-managed"
    assert found["metadata"]["labels"]["console.openshift.io/dashboard"] == "true"
    assert list(found["data"].values()) == [CONSOLE.read_text()]
    assert len(yaml.safe_dump(found).encode()) < _MOST_BYTES


# OpenShift's console draws old panels in rows, one number in a `singlestat`, and columns that `styles` name.


def test_the_console_can_draw_every_panel() -> None:
    assert dashboard(CONSOLE)["rows"]
    for _, panel in panels(CONSOLE):
        assert panel["type"] in _CONSOLE_PANELS, panel["title"]
        assert 1 <= panel["span"] <= 12
        assert [target["refId"] for target in panel["targets"]] == list("ABCDEFGH"[: len(panel["targets"])])
        if panel["type"] == "graph":
            assert panel["yaxes"][0]["format"]
        if panel["type"] == "singlestat":
            assert len(panel["targets"]) == 1
        if panel["type"] == "table":
            values = {style["pattern"] for style in panel["styles"]} - {"Time"}
            assert {f"Value #{target['refId']}" for target in panel["targets"]} <= values


def test_the_console_can_read_every_variable() -> None:
    names = list(variables(CONSOLE))
    for name, variable in variables(CONSOLE).items():
        assert isinstance(variable["query"], str)
        assert variable["hide"] == 0
        # The console sets in `$tier` before it looks whether the name goes on.
        assert not [other for other in names if other != name and other.startswith(name)]


def test_the_console_asks_what_grafana_asks() -> None:
    known = {query.expression for path in GRAFANA for query in queries(path)}
    assert [str(query) for query in queries(CONSOLE) if query.expression not in known] == []
