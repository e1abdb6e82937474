"""The list of metrics in `docs/metrics.md`, made from the metrics: `make docs` writes it there."""

from __future__ import annotations

import sys
from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase

from app.observability.metrics import Metrics

_BEGIN, _END = "<!-- Written by `make docs`. -->\n", "<!-- Until here. -->\n"


def table(metrics: object) -> str:
    """A Markdown table of every metric that is an attribute of `metrics`, in their order."""
    rows = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    for collector in vars(metrics).values():
        if isinstance(collector, MetricWrapperBase):
            (family,) = collector.describe()
            name = f"{family.name}_total" if family.type == "counter" else family.name
            labels = ", ".join(f"`{label}`" for label in vars(collector)["_labelnames"])
            rows.append(f"| `{name}` | {family.type} | {labels} | {family.documentation} |")
    return "\n".join(rows) + "\n"


def written(page: str) -> str:
    """`page` with the list as it should be.

    Raises:
        ValueError: it does not say where the list is.
    """
    before, found, rest = page.partition(_BEGIN)
    _, ended, after = rest.partition(_END)
    if not found or not ended:
        raise ValueError(f"there is no place for the metrics between {_BEGIN!r} and {_END!r}")
    return f"{before}{_BEGIN}\n{table(Metrics())}\n{_END}{after}"


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        path.write_text(written(path.read_text()))
