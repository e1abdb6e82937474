"""The shipped monitors as a Prometheus without the operator reads them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from tests.kustomize import MANIFESTS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

OBSERVABILITY = MANIFESTS / "observability"
LIMITADOR = OBSERVABILITY / "kuadrant" / "limitador.yaml"
PROXIES = OBSERVABILITY / "envoy-gateway" / "proxies.yaml"


def scrape_config(monitor: Path, target: str) -> dict[str, Any]:
    """The job that scrapes this target as a PodMonitor says, by the name that it has in a cluster."""
    document = yaml.safe_load(monitor.read_text())
    assert document["kind"] == "PodMonitor"
    (endpoint,) = document["spec"]["podMetricsEndpoints"]
    return {
        "job_name": "{namespace}/{name}".format_map(document["metadata"]),
        "metrics_path": endpoint["path"],
        "static_configs": [{"targets": [target]}],
        "metric_relabel_configs": [_snake_case(rule) for rule in endpoint["metricRelabelings"]],
    }


def _snake_case(rule: Mapping[str, Any]) -> dict[str, Any]:
    return {
        re.sub(r"[A-Z]", lambda letter: f"_{letter[0].lower()}", key): value for key, value in rule.items()
    }
