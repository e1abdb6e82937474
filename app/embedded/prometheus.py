"""What Prometheus needs to watch the platform on this machine: a file with everybody's address."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from app.embedded.gateway.addresses import Address

# The names of what Envoy counts of inference, in every profile: less Envoy's own prefix.
METER_NAMES: list[dict[str, Any]] = [
    {"source_labels": ["__name__"], "regex": "envoy_(maas_gateway_.+)", "target_label": "__name__"}
]
_HEAD = "# Written by `maasctl up`; the ports are others the next time.  prometheus --config.file=THIS_FILE\n"


def prometheus_configuration(*, service: Address, model: Address, gateway: Address) -> dict[str, Any]:
    """Return the configuration of a Prometheus that watches these three.

    Args:
        service: The gateway app.
        model: The model server.
        gateway: Envoy's admin interface.
    """
    return {
        "global": {"scrape_interval": "5s", "scrape_timeout": "4s"},
        "scrape_configs": [
            {"job_name": "maas-api", **_target(service)},
            {"job_name": "model", **_target(model)},
            {
                "job_name": "envoy",
                "metrics_path": "/stats/prometheus",
                **_target(gateway),
                "metric_relabel_configs": METER_NAMES,
            },
        ],
    }


def write_prometheus_configuration(path: Path, configuration: Mapping[str, Any]) -> None:
    """Write the configuration for Prometheus to read."""
    path.write_text(_HEAD + yaml.safe_dump(dict(configuration), sort_keys=False), encoding="utf-8")


def _target(address: Address) -> dict[str, Any]:
    host, port = address
    return {"static_configs": [{"targets": [f"[{host}]:{port}" if ":" in host else f"{host}:{port}"]}]}
