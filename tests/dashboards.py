"""The shipped dashboards, read as Grafana and OpenShift's console read them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from tests.kustomize import MANIFESTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

DASHBOARDS = MANIFESTS / "observability" / "dashboards"
CONSOLE = DASHBOARDS / "console" / "maas.json"
GRAFANA = sorted((DASHBOARDS / "grafana").glob("*.json"))
FILES = [*GRAFANA, CONSOLE]
# How the titles of rows end whose metrics are only there where the gateway's policies follow the mapping.
IN_CLUSTERS = "(clusters only)"

_WORDS = {
    "and",
    "or",
    "unless",
    "offset",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "bool",
}
# Braces, strings, ranges and lists of labels; what is left before a parenthesis is a function.
_NO_METRICS = r'\{[^}]*\}|"[^"]*"|\[[^]]*\]|\b(?:by|without|on|ignoring|group_left|group_right) ?\([^)]*\)'
_FUNCTION = r"\b\w+\s*(?=\()"


@dataclass(frozen=True)
class Query:
    """One query of a panel.

    Attributes:
        dashboard: the dashboard's title.
        row: the title of the panel's row.
        panel: the panel's title.
        expression: PromQL, with variables.
        legend: how Grafana names the series.
        instant: whether it asks for one moment only, the end of the time range.
    """

    dashboard: str
    row: str
    panel: str
    expression: str
    legend: str
    instant: bool

    def __str__(self) -> str:
        return f"{self.dashboard}: {self.panel}: {self.legend}"


@dataclass(frozen=True)
class View:
    """What a person looks at.

    Attributes:
        chosen: the value of each variable, as it goes into a query.
        range_seconds: the length of the time range.
        rate_seconds: what Grafana sets in for `$__rate_interval`: four scrapes or more.
    """

    chosen: Mapping[str, str]
    range_seconds: int
    rate_seconds: int

    def expression(self, template: str) -> str:
        """PromQL without variables.

        Raises:
            KeyError: A variable has no value.
        """
        values = {
            "__range": f"{self.range_seconds}s",
            "__range_s": str(self.range_seconds),
            "__rate_interval": f"{self.rate_seconds}s",
            **self.chosen,
        }
        return re.sub(r"\$(\w+)", lambda match: values[match[1]], template)


@cache
def dashboard(path: Path) -> dict[str, Any]:
    """The document; it is shared, so nobody may change it."""
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def panels(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every panel that draws something, after the title of its row."""
    document = dashboard(path)
    for row in document.get("rows", ()):
        for panel in row["panels"]:
            yield row["title"], panel
    title = ""
    for panel in document.get("panels", ()):
        if panel["type"] == "row":
            title = panel["title"]
        else:
            yield title, panel


def queries(path: Path) -> list[Query]:
    """What the panels of a dashboard ask for."""
    return [
        Query(
            dashboard=dashboard(path)["title"],
            row=row,
            panel=panel["title"],
            expression=target["expr"],
            legend=target["legendFormat"],
            instant=target.get("instant", False),
        )
        for row, panel in panels(path)
        for target in panel["targets"]
    ]


def variables(path: Path) -> dict[str, dict[str, Any]]:
    """The variables whose values come from Prometheus, by name."""
    listed = dashboard(path)["templating"]["list"]
    return {variable["name"]: variable for variable in listed if variable["type"] == "query"}


def label_values(variable: Mapping[str, Any]) -> tuple[str, str]:
    """The selector and the label in `label_values(<selector>, <label>)`."""
    query = variable["query"]
    text = query if isinstance(query, str) else query["query"]
    match = re.fullmatch(r"label_values\((.*), (\w+)\)", text)
    assert match, text
    return match[1], match[2]


def metric_names(expression: str) -> set[str]:
    """The names of all metrics in a query or a selector."""
    bare = expression
    for pattern in (_NO_METRICS, r"\$\w+", _FUNCTION):
        bare = re.sub(pattern, " ", bare)
    return set(re.findall(r"[a-z][\w:]+", bare)) - _WORDS


def all_values(path: Path) -> dict[str, str]:
    """The variables of a dashboard with "All" chosen, as it opens."""
    return {name: variable["allValue"] for name, variable in variables(path).items()}


def chosen(*values: str) -> str:
    """What Grafana sets in for the values that are chosen of a variable: a regular expression in a string."""
    escaped = [
        re.sub(r"[$^*{}\[\]'+?.()|]", r"\\\\\g<0>", value.replace("\\", "\\\\\\\\")) for value in values
    ]
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"
