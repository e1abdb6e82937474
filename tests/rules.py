"""The shipped rules as Prometheus itself reads them: a PrometheusRule without its envelope."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from tests.kustomize import MANIFESTS

if TYPE_CHECKING:
    from pathlib import Path

EVERYWHERE = MANIFESTS / "observability" / "alerts.yaml"
WITH_KUADRANT = MANIFESTS / "observability" / "kuadrant" / "alerts.yaml"
RULES = (EVERYWHERE, WITH_KUADRANT)
COMPOSE = MANIFESTS / "compose" / "rules.yml"
_HEAD = "# Written by `make rules` from manifests/observability/alerts.yaml: change it there.\n"


def groups(*paths: Path) -> list[dict[str, Any]]:
    """The groups of these PrometheusRules."""
    documents = [yaml.safe_load(path.read_text()) for path in paths]
    assert {document["kind"] for document in documents} == {"PrometheusRule"}
    return [group for document in documents for group in document["spec"]["groups"]]


def for_compose() -> str:
    """What Docker Compose's Prometheus reads."""
    return _HEAD + yaml.safe_dump({"groups": groups(EVERYWHERE)}, sort_keys=False, width=110)


if __name__ == "__main__":
    COMPOSE.write_text(for_compose())
