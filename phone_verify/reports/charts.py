"""Charts as pictures: SVG without a script, in light or dark colours.

The numbers are in the table of the page, which is the text alternative.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from ..errors import missing_extra
from ..i18n.languages import Language
from .numbers import Numbers
from .periods import Unit
from .report import Report, Row

KINDS = ("volume", "conversion", "cost")
SVG_TYPE = "image/svg+xml; charset=utf-8"
#: The groups of a bar chart, the largest first; the table has all.
_MOST_BARS = 12
_FEW_BARS = 4
_MOST_LABELS = 6
_MOST_LABELS_OF_SMALL = 4
_DOTS_UP_TO = 40
_COLORS = {False: ("#0b6b5d", "#c2571a", "#4458b8"), True: ("#63d2bd", "#ffb27a", "#a9b8ff")}
_PAPER = {False: ("#ffffff", "#14211e", "#4d5f5a"), True: ("#151e1c", "#e8f0ed", "#a7b8b2")}
#: On a desktop and, by `small`, on a phone, where a larger picture would be scaled down with its letters.
_SIZE = {False: (560, 260), True: (340, 240)}
_FONT = "system-ui, 'Segoe UI', Roboto, 'Noto Sans', Vazirmatn, 'Noto Sans Arabic', Tahoma, Arial, sans-serif"


def draw(
    report: Report,
    kind: str,
    currency: str,
    language: Language,
    texts: Mapping[str, str],
    labels: Mapping[str, str],
    *,
    dark: bool,
    small: bool = False,
) -> bytes:
    """Return a chart of a report; `labels` are the names of groups. Raises `ConfigurationError` without pygal."""
    pygal = _load_pygal()
    paper, ink, muted = _PAPER[dark]
    style = pygal.style.Style(
        background=paper, plot_background=paper, foreground=muted, foreground_strong=ink, foreground_subtle=muted,
        colors=_COLORS[dark], opacity=".9", opacity_hover="1", transition="0s", font_family=_FONT,
        label_font_size=13, major_label_font_size=13, legend_font_size=14, no_data_font_size=16,
        guide_stroke_color=muted, major_guide_stroke_color=muted, guide_stroke_dasharray="1,4",
    )  # fmt: skip
    numbers, over_time = Numbers(language), report.order.by.unit is not None
    rows = report.rows if over_time else report.rows[:_MOST_BARS]
    lines, most_labels = over_time and kind != "cost", _MOST_LABELS_OF_SMALL if small else _MOST_LABELS
    chart = (pygal.Line if lines else pygal.Bar)(
        style=style, js=(), width=_SIZE[small][0], height=_SIZE[small][1], explicit_size=True,
        disable_xml_declaration=True,
        show_dots=len(rows) <= _DOTS_UP_TO, dots_size=2.5, stroke_style={"width": 2}, include_x_axis=True,
        legend_at_bottom=True, legend_at_bottom_columns=3, legend_box_size=10, margin=12, spacing=8,
        show_legend=kind == "volume", pretty_print=False, no_data_text=texts["none"], range=_range(rows, kind),
        value_formatter=lambda value: _written(numbers, kind, value),
        x_label_rotation=0 if over_time or len(rows) <= _FEW_BARS else 20,
        show_minor_x_labels=not over_time or len(rows) <= most_labels,
        truncate_label=18, y_labels_major_count=4, show_minor_y_labels=True,
        max_scale=5,
    )  # fmt: skip
    chart.x_labels = names = [_name(row, report, numbers, labels) for row in rows]
    if over_time and len(rows) > most_labels:
        step = -(-len(rows) // most_labels)
        chart.x_labels_major = names[::step]
    chart.add_xml_filter(_without_scripts)
    for title, values in _series(rows, kind, currency, texts):
        chart.add(title, values)
    return str(chart.render(is_unicode=True)).encode()


def _series(rows: Sequence[Row], kind: str, currency: str, texts: Mapping[str, str]) -> list[tuple[str, list[Any]]]:
    if kind == "volume":
        return [(texts[name], [row.figures.count(name) for row in rows]) for name in ("sent", "delivered", "verified")]
    if kind == "cost":
        return [(texts["cost"], [float(row.figures.cost.get(currency, 0)) for row in rows])]
    return [(texts["conversion"], [_percent(row) for row in rows])]


@cache
def _load_pygal() -> Any:
    try:
        import pygal
    except ImportError as error:
        raise missing_extra("a chart", "reports", error) from error
    # It leaves a finder of its map plugins, in a form that warns at every later import which fails.
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, pygal.PluginImportFixer)]
    return pygal


def _without_scripts(root: Any) -> Any:
    """Remove pygal's own script, which shows values at a pointer: a picture runs none."""
    for parent in list(root.iter()):
        for child in [child for child in parent if str(child.tag).rpartition("}")[2] == "script"]:
            parent.remove(child)
    return root


def _percent(row: Row) -> float | None:
    share = row.figures.conversion
    return None if share is None else round(share * 100, 1)


def _range(rows: Sequence[Row], kind: str) -> tuple[float, float] | None:
    if kind == "conversion":
        return (0, 100)
    if not any(row.figures.count("attempts") for row in rows):
        return (0, 1)
    return None


def _written(numbers: Numbers, kind: str, value: Any) -> str:
    if kind == "conversion":
        return numbers.percent(float(value) / 100, 0)
    return numbers.plain(float(value))


def _name(row: Row, report: Report, numbers: Numbers, labels: Mapping[str, str]) -> str:
    if row.start is not None:
        one_day = report.order.first == report.order.last
        form = "%m-%d" if report.order.by.unit is Unit.DAY else "%H:%M" if one_day else "%m-%d %H:%M"
        return numbers.time(row.start, form)
    return labels.get(row.key, row.key)
