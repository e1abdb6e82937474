"""The result on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from bench.report import cells

if TYPE_CHECKING:
    from bench.figures import Result

_STYLES = {True: "green", False: "bold red", None: ""}


def shown(result: Result) -> Group:
    """The figures as a table, and below it what was not measured."""
    machine = result.machine
    table = Table(title=f"{machine['processor']}, {machine['cores']} cores, {result.date}", expand=False)
    for column in ("what", "measured", "compared with", "ratio", "rounds", "must", "holds"):
        table.add_column(column, justify="right" if column in {"measured", "ratio"} else "left")
    measure = ""
    for figure in result.figures:
        if figure.measure != measure:
            table.add_section()
            measure = figure.measure
        *told, holds = cells(figure)
        table.add_row(*told, Text(holds.strip("*"), style=_STYLES[figure.holds]))
    skipped = [Text(f"not measured: {each.measure}: {each.reason}") for each in result.skipped]
    return Group(table, *skipped)
