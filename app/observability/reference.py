"""The list of metrics in `docs/metrics.md`, made from the metrics: `make docs` writes it there."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from app.observability.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.observability.registry import Description

_BEGIN, _END = "<!-- Written by `make docs`. -->\n", "<!-- Until here. -->\n"


def table(descriptions: Iterable[Description]) -> str:
    """A Markdown table of metrics."""
    rows = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    for each in descriptions:
        labels = ", ".join(f"`{label}`" for label in each.labels)
        rows.append(f"| `{each.name}` | {each.type} | {labels} | {each.meaning} |")
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
    return f"{before}{_BEGIN}\n{table(Metrics().registry.descriptions)}\n{_END}{after}"


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        path.write_text(written(path.read_text()))
