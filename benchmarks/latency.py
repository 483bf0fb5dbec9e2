"""Draws how long a start and a check take under load: `python -m benchmarks.latency docs/images/latency.svg`.

On Django's JSON API under gunicorn, two workers of eight threads, by 1 to 32 clients, each of which starts a
verification, checks its code, and begins again. Prints the medians and 99th percentiles as a table too.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pygal

from .http import serving
from .servers import Servers
from .sustained import Cycle, databases, visits

_CLIENTS = (1, 2, 4, 8, 16, 32)
_WARM_UP = 3.0
#: Legible on a light and on a dark page.
_STYLE = pygal.style.Style(
    background="transparent",
    plot_background="transparent",
    foreground="#808080",
    foreground_strong="#808080",
    foreground_subtle="#808080",
    colors=("#3d8fd1", "#3d8fd1", "#e07b00", "#e07b00"),
    guide_stroke_color="#808080",
    guide_stroke_dasharray="1,4",
    major_guide_stroke_color="#808080",
    major_guide_stroke_dasharray="1,4",
    opacity="1",
    font_family="sans-serif",
)


def measure(database: str, store: str, seconds: float) -> list[tuple[float, float]]:
    """Return median and 99th percentile of a start and its check in milliseconds, for each number of clients."""
    with serving("django", database, store=store, workers=2, threads=8) as server:
        visits(server.port, _WARM_UP)
        return [_spread(visits(server.port, seconds, clients)) for clients in _CLIENTS]


def _spread(cycles: Sequence[Cycle]) -> tuple[float, float]:
    assert not any(cycle.error for cycle in cycles)
    both = [(cycle.start + cycle.check) * 1000 for cycle in cycles]
    return statistics.median(both), statistics.quantiles(both, n=100)[98]


def draw(found: Mapping[str, Sequence[tuple[float, float]]]) -> bytes:
    """Return the graph as SVG, without scripts."""
    chart = pygal.Line(
        style=_STYLE,
        js=[],
        width=720,
        height=360,
        x_title="clients",
        y_title="ms",
        show_minor_y_labels=False,
        dots_size=3,
        legend_at_bottom=True,
        legend_at_bottom_columns=2,
        truncate_legend=-1,
    )
    chart.x_labels = [str(clients) for clients in _CLIENTS]
    for name, spreads in found.items():
        for place, word in enumerate(("median", "99th percentile (dashed)")):
            dash = {"width": 2, "dasharray": "6, 4"} if place else {"width": 2}
            chart.add(f"{name}, {word}", [round(spread[place], 1) for spread in spreads], stroke_style=dash)
    chart.add_xml_filter(_without_scripts)
    drawn: bytes = chart.render()
    return drawn


def _without_scripts(root: Any) -> Any:
    for parent in list(root.iter()):
        for script in [child for child in parent if str(child.tag).endswith("script")]:
            parent.remove(script)
    return root


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.latency", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("svg", type=Path, help="where the graph goes")
    parser.add_argument("--seconds", type=float, default=10, help="for each number of clients")
    chosen = parser.parse_args()
    with databases(Servers.found()) as stores:
        found = {name: measure(*where, chosen.seconds) for name, where in stores.items()}
    chosen.svg.write_bytes(draw(found))
    print("| clients | " + " | ".join(f"{name}, p50 / p99 ms" for name in found) + " |")
    print("|--:" * (len(found) + 1) + "|")
    for place, clients in enumerate(_CLIENTS):
        cells = [f"{median:.0f} / {worst:.0f}" for median, worst in (spreads[place] for spreads in found.values())]
        print(f"| {clients} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
