"""Ratios of two operations timed in turn, so that other load on the machine affects both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

#: In seconds. Blocks of a few milliseconds made ratios swing by two.
_BLOCK = 0.05


@dataclass(frozen=True)
class Figure:
    """One line of the table: what was measured, the value, its unit, and the required bar and mark."""

    name: str
    value: float
    unit: str
    bar: float | None = None
    mark: float | None = None
    #: Whether a larger value is better.
    more: bool = False
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        if self.bar is None:
            return ""

        def reaches(limit: float | None) -> bool:
            return limit is not None and (self.value >= limit if self.more else self.value <= limit)

        return "mark" if reaches(self.mark) else "bar" if reaches(self.bar) else "MISSED"


def timed(block: Callable[[], object]) -> float:
    """Return the seconds that one run takes."""
    began = time.perf_counter()
    block()
    return time.perf_counter() - began


def median_seconds(block: Callable[[], object], rounds: int) -> float:
    """Return the median of this many runs, after one that is not counted."""
    block()
    return statistics.median(timed(block) for _ in range(rounds))


def repeated(operation: Callable[[int], object]) -> int:
    """Return how often an operation runs within 50 ms, so that a block outlasts the machine's pauses."""
    times, seconds = 0, 0.0
    while seconds < _BLOCK:
        times = max(8, 2 * times, int(times * _BLOCK / seconds) if seconds else 0)
        began = time.perf_counter()
        operation(times)
        seconds = time.perf_counter() - began
    return times


def in_turn(floor: Callable[[], object], ours: Callable[[], object], rounds: int) -> tuple[float, float, float]:
    """Return the median seconds of the floor and of our code, and the median ratio of adjacent runs."""
    floor(), ours()
    pairs = [(timed(floor), timed(ours)) for _ in range(rounds)]
    ratio = statistics.median(mine / bare for bare, mine in pairs)
    return statistics.median(bare for bare, _ in pairs), statistics.median(mine for _, mine in pairs), ratio


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as a Markdown table."""
    rows: list[tuple[str, ...]] = [("what", "measured", "bar", "mark", "")]
    for figure in figures:
        limits = tuple("" if limit is None else _plain(limit) for limit in (figure.bar, figure.mark))
        rows.append((figure.name, f"{_plain(figure.value)} {figure.unit}".strip(), *limits, figure.verdict))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _plain(value: float) -> str:
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"
