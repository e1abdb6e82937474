"""`docs/benchmarks.md`: the figures as tables, between two marks; what people wrote around them stays."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.figures import Figure, Result

BEGIN = "<!-- measured: written by `make bench`, not by hand -->"
END = "<!-- /measured -->"
_TIMES = "\N{MULTIPLICATION SIGN}"
_HOLDS = {True: "yes", False: "**no**", None: ""}


class ReportError(Exception):
    """The document cannot be written; the message says why."""


def updated(document: str, result: Result, titles: Mapping[str, str]) -> str:
    """The document with these results in place of those before.

    Args:
        document: as it is.
        result: of the run.
        titles: of the measures, by their names.

    Raises:
        ReportError: the marks between which results stand are not there.
    """
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ReportError(f"the document has no place for results: a line {BEGIN} and a line {END}")
    return f"{before}{BEGIN}\n{rendered(result, titles)}{END}{after}"


def rendered(result: Result, titles: Mapping[str, str]) -> str:
    """The results as Markdown."""
    machine = result.machine
    memory = f"{machine['memory_gib']} GiB" if machine["memory_gib"] else "unknown memory"
    architecture = f"{machine['architecture']}, {machine['kernel']}"
    form = "the quick form, " if result.quick else ""
    lines = [
        f"Measured on {result.date[:10]} ({form}load of the machine before: {machine['load_at_start']}):",
        f"{machine['processor']}, {machine['cores']} cores, {memory}, {architecture}.",
        "",
        "With " + ", ".join(f"{name} {version}" for name, version in result.versions.items()) + ".",
        "",
    ]
    for measure, figures in groupby(result.figures, key=lambda figure: figure.measure):
        lines += [f"### {titles.get(measure, measure)}", "", *_table(list(figures)), ""]
    if result.skipped:
        lines += ["### Not measured", ""]
        lines += [f"- {titles.get(each.measure, each.measure)}: {each.reason}" for each in result.skipped]
        lines.append("")
    return "\n".join(lines)


def _table(figures: list[Figure]) -> list[str]:
    return [
        "| what | measured | compared with | ratio | rounds | must | holds |",
        "|---|---|---|---|---|---|---|",
        *("| " + " | ".join(cells(figure)) + " |" for figure in figures),
    ]


def cells(figure: Figure) -> tuple[str, str, str, str, str, str, str]:
    """The cells of a figure: what, value, what it is compared with, ratio, rounds, must, whether it holds."""
    unit = figure.unit
    compared = ""
    if figure.baseline is not None:
        compared = f"{figure.against}: {number(figure.baseline)} {unit}"
    ratio = f"{number(figure.ratio)}{_TIMES}" if figure.ratio is not None else ""
    return (
        figure.name,
        f"{number(figure.value)} {unit}",
        compared,
        ratio,
        _rounds(figure),
        _must(figure),
        _HOLDS[figure.holds],
    )


def number(value: float) -> str:
    """A number with three digits that say something, or all those before the point."""
    if abs(value) >= 100:  # noqa: PLR2004  # three digits
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 1 else f"{value:#.3g}"


def _rounds(figure: Figure) -> str:
    if figure.spread is None:
        return ""
    least, most = map(number, figure.spread)
    return f"{least} to {most}{_TIMES if figure.spread_of == 'ratio' else ' ' + figure.unit}"


def _must(figure: Figure) -> str:
    if figure.must is None:
        return ""
    unit = _TIMES if figure.must.of == "ratio" else f" {figure.unit}"
    return f"{figure.must}{unit}"
