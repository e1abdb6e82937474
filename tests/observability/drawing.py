"""Draws a dashboard with what its queries answered, as SVG: what Grafana shows, without Grafana."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_COLUMN, _ROW, _GAP = 50, 30, 4
_COLOURS = ("#3274d9", "#73bf69", "#ff9830", "#b877d9", "#f2495c", "#37872d", "#e0b400", "#5794f2", "#c4162a")
_NAMED = {"green": "#37872d", "yellow": "#c69b06", "red": "#c4162a"}
_INK, _PALE, _LINE = "#24292e", "#6e7781", "#d8dee4"
_RED = 'font-weight="600"'
_THOUSAND = 1000


@dataclass(frozen=True)
class Line:
    """One series.

    Attributes:
        labels: its labels.
        legend: its name.
        points: seconds since the epoch and values; a single one of an instant query.
    """

    labels: Mapping[str, str]
    legend: str
    points: Sequence[tuple[float, float]]


@dataclass
class Canvas:
    """Where things are drawn."""

    parts: list[str] = field(default_factory=list)

    def text(
        self, x: float, y: float, text: str, size: int = 11, fill: str = _INK, *, more: str = ""
    ) -> None:
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}" {more}>{escape(text)}</text>'
        )

    def rectangle(self, x: float, y: float, w: float, h: float, fill: str, *, more: str = "") -> None:
        self.parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}" fill="{fill}" {more}/>'
        )

    def path(self, points: Sequence[tuple[float, float]], *, more: str) -> None:
        moves = " ".join(f"{'ML'[bool(number)]}{x:.1f} {y:.1f}" for number, (x, y) in enumerate(points))
        self.parts.append(f'<path d="{moves}" {more}/>')


@dataclass(frozen=True)
class Box:
    """A part of the canvas."""

    x: float
    y: float
    w: float
    h: float


def legend(template: str, labels: Mapping[str, str]) -> str:
    """The name of a series."""
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda match: labels.get(match[1], ""), template).strip()


def number(value: float, unit: str) -> str:
    """A value as Grafana writes it, more or less."""
    if unit == "percentunit":
        return f"{value * 100:.1f}%"
    if unit in {"s", "ms"}:
        seconds = value / _THOUSAND if unit == "ms" else value
        return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * _THOUSAND:.3g} ms"
    suffix = {"reqps": " req/s", "ops": " ops/s", "cps": "/s"}.get(unit, "")
    if unit == "short" and abs(value) >= 10 * _THOUSAND:
        return f"{value / _THOUSAND:.3g} K"
    return (f"{value:.0f}" if value == round(value) else f"{value:.3g}") + suffix


def draw(dashboard: Mapping[str, Any], answers: Mapping[int, Sequence[Sequence[Line]]]) -> str:
    """The dashboard as SVG.

    Args:
        dashboard: its document.
        answers: what each query of each panel answered, by the panel's id.
    """
    canvas = Canvas()
    panels = dashboard["panels"]
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels) * _ROW + 40
    canvas.rectangle(0, 0, 24 * _COLUMN, height, "#f6f8fa")
    canvas.text(10, 24, dashboard["title"], 17, more=_RED)
    for panel in panels:
        at = panel["gridPos"]
        box = Box(at["x"] * _COLUMN, at["y"] * _ROW + 36, at["w"] * _COLUMN - _GAP, at["h"] * _ROW - _GAP)
        if panel["type"] == "row":
            canvas.text(10, box.y + 18, panel["title"], 13, _PALE, more=_RED)
            continue
        canvas.rectangle(box.x + 2, box.y, box.w - 2, box.h, "#ffffff", more=f'stroke="{_LINE}" rx="3"')
        canvas.text(box.x + 10, box.y + 17, panel["title"], 12, more=_RED)
        inner = Box(box.x + 10, box.y + 26, box.w - 20, box.h - 34)
        _DRAWERS[panel["type"]](canvas, inner, panel, answers[panel["id"]])
    body = "\n".join(canvas.parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {24 * _COLUMN} {height}" '
        f'font-family="Helvetica, Arial, sans-serif">\n{body}\n</svg>\n'
    )


def _lines(answers: Sequence[Sequence[Line]]) -> list[Line]:
    return [line for answer in answers for line in answer]


def _last(line: Line) -> float:
    return next((value for _, value in reversed(line.points) if not math.isnan(value)), math.nan)


def _stat(canvas: Canvas, box: Box, panel: Mapping[str, Any], answers: Sequence[Sequence[Line]]) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    line = _lines(answers)[0]
    value = _last(line)
    shown = number(value, defaults["unit"])
    for mapping in defaults["mappings"]:
        shown = mapping["options"].get(shown, {"text": shown})["text"]
    if panel["options"]["textMode"] == "value_and_name":
        shown += f" {line.legend}"
    colour = next(s["color"] for s in reversed(defaults["thresholds"]["steps"]) if value >= (s["value"] or 0))
    middle = f'text-anchor="middle" {_RED}'
    canvas.text(box.x + box.w / 2, box.y + box.h / 2 + 12, shown, 28, _NAMED[colour], more=middle)


def _series(canvas: Canvas, box: Box, panel: Mapping[str, Any], answers: Sequence[Sequence[Line]]) -> None:
    lines = [line for line in _lines(answers) if not math.isnan(_last(line))]
    stacked = panel["fieldConfig"]["defaults"]["custom"]["stacking"]["mode"] == "normal"
    curves = list(_stacked(lines)) if stacked else [dict(line.points) for line in lines]
    times = sorted({at for line in lines for at, _ in line.points})
    most = max((v for curve in curves for v in curve.values() if not math.isnan(v)), default=0) or 1
    rows = 1 + sum(len(line.legend) + 4 for line in lines) * 6 // max(1, int(box.w))
    plot = Box(box.x + 56, box.y + 4, box.w - 60, box.h - 22 - 14 * rows)
    unit = panel["fieldConfig"]["defaults"]["unit"]
    for share in (0, 0.5, 1):
        y = plot.y + plot.h * (1 - share)
        canvas.path([(plot.x, y), (plot.x + plot.w, y)], more=f'stroke="{_LINE}"')
        canvas.text(plot.x - 5, y + 4, number(most * share, unit), 9, _PALE, more='text-anchor="end"')
    start, span = times[0], (times[-1] - times[0]) or 1
    below = [(plot.x + plot.w, plot.y + plot.h), (plot.x, plot.y + plot.h)]
    for curve, colour in zip(curves, _cycle(), strict=False):
        points = [
            (plot.x + plot.w * (at - start) / span, plot.y + plot.h * (1 - value / most))
            for at, value in sorted(curve.items())
            if not math.isnan(value)
        ]
        if stacked:
            canvas.path([*points, *below], more=f'fill="{colour}" fill-opacity="0.35"')
            below = points[::-1]
        canvas.path(points, more=f'fill="none" stroke="{colour}" stroke-width="1.5"')
    x, y = box.x, plot.y + plot.h + 18
    for line, colour in zip(lines, _cycle(), strict=False):
        width = 16 + 6 * len(line.legend) + 12
        if x + width > box.x + box.w and x > box.x:
            x, y = box.x, y + 14
        canvas.rectangle(x, y - 6, 10, 4, colour)
        canvas.text(x + 14, y, line.legend, 10, _PALE)
        x += width


def _stacked(lines: Sequence[Line]) -> Iterator[dict[float, float]]:
    below: dict[float, float] = {}
    for line in lines:
        below = {at: below.get(at, 0) + (0 if math.isnan(value) else value) for at, value in line.points} | {
            at: value for at, value in below.items() if at not in dict(line.points)
        }
        yield dict(below)


def _table(canvas: Canvas, box: Box, panel: Mapping[str, Any], answers: Sequence[Sequence[Line]]) -> None:
    unit = panel["fieldConfig"]["defaults"]["unit"]
    organize = next(each["options"] for each in panel["transformations"] if each["id"] == "organize")
    ordered = sorted(organize["indexByName"], key=organize["indexByName"].__getitem__)
    names = {key: organize["renameByName"][key] for key in ordered if not key.startswith("Value")}
    columns = [organize["renameByName"][key] for key in ordered if key.startswith("Value")]
    rows: dict[tuple[str, ...], dict[str, float]] = {}
    for column, answer in zip(columns, answers, strict=True):
        for line in answer:
            rows.setdefault(tuple(line.labels.get(label, "") for label in names), {})[column] = _last(line)
    order = panel["options"]["sortBy"][0]["displayName"]
    listed = sorted(rows.items(), key=lambda row: -row[1].get(order, 0))
    width = box.w / (len(names) + len(columns))
    for place, name in enumerate([*names.values(), *columns]):
        canvas.text(box.x + place * width, box.y + 12, name, 11, _COLOURS[0], more=_RED)
    for line_number, (labels, values) in enumerate(listed[: int(box.h / 20) - 1]):
        y = box.y + 32 + 20 * line_number
        canvas.path([(box.x, y - 14), (box.x + box.w, y - 14)], more=f'stroke="{_LINE}"')
        cells = [number(values[column], unit) if column in values else "" for column in columns]
        for place, cell in enumerate([*labels, *cells]):
            canvas.text(box.x + place * width, y, cell)


def _pie(canvas: Canvas, box: Box, panel: Mapping[str, Any], answers: Sequence[Sequence[Line]]) -> None:
    unit = panel["fieldConfig"]["defaults"]["unit"]
    lines = sorted(_lines(answers), key=_last, reverse=True)
    whole = sum(map(_last, lines)) or 1
    radius, angle = min(box.h, box.w / 2) / 2 - 8, -math.pi / 2
    x, y = box.x + radius + 6, box.y + box.h / 2
    for place, (line, colour) in enumerate(zip(lines, _cycle(), strict=False)):
        share = _last(line) / whole
        ends = [angle, angle := angle + 2 * math.pi * min(share, 0.9999)]
        (x1, y1), (x2, y2) = ((x + radius * math.cos(end), y + radius * math.sin(end)) for end in ends)
        arc = f"M{x1:.1f} {y1:.1f} A{radius:.1f} {radius:.1f} 0 {int(share > 1 / 2)} 1 {x2:.1f} {y2:.1f}"
        canvas.parts.append(f'<path d="{arc}" fill="none" stroke="{colour}" stroke-width="16"/>')
        side = x + radius + 22
        canvas.rectangle(side, box.y + 22 + 20 * place, 10, 10, colour)
        named = f"{line.legend}  {number(_last(line), unit)}  ({share:.0%})"
        canvas.text(side + 16, box.y + 31 + 20 * place, named)


def _heat(canvas: Canvas, box: Box, panel: Mapping[str, Any], answers: Sequence[Sequence[Line]]) -> None:
    unit = panel["options"]["yAxis"]["unit"]
    lines = sorted(_lines(answers), key=lambda line: float(line.labels["le"]))
    own: list[tuple[str, dict[float, float]]] = []
    before: dict[float, float] = {}
    for line in lines:
        counts = dict(line.points)
        own.append((line.labels["le"], {at: value - before.get(at, 0) for at, value in counts.items()}))
        before = counts
    used = [place for place, (_, counts) in enumerate(own) if any(value > 0 for value in counts.values())]
    own = own[min(used, default=0) : max(used, default=0) + 1]
    most = max((value for _, counts in own for value in counts.values()), default=1) or 1
    times = sorted({at for _, counts in own for at in counts})
    high, wide = (box.h - 6) / len(own), (box.w - 60) / len(times)
    for place, (bound, counts) in enumerate(reversed(own)):
        canvas.text(
            box.x + 50,
            box.y + high * (place + 1),
            number(float(bound), unit),
            9,
            _PALE,
            more='text-anchor="end"',
        )
        for at, value in counts.items():
            if value > 0:
                shade = f'fill-opacity="{0.15 + 0.85 * math.sqrt(value / most):.2f}"'
                left = box.x + 56 + wide * times.index(at)
                canvas.rectangle(
                    left, box.y + high * place, max(wide - 0.5, 0.5), high - 1, "#e0752d", more=shade
                )


def _cycle() -> Iterator[str]:
    while True:
        yield from _COLOURS


_DRAWERS = {"stat": _stat, "timeseries": _series, "table": _table, "piechart": _pie, "heatmap": _heat}
