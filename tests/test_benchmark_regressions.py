"""The kept ratios of the benchmarks: what is worse than them is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.measure import Figure
from benchmarks.regressions import keep, kept, worse

SHARE = Figure("JSON API, share of a bare view", 0.5, "", more=True)
CYCLE = Figure("Redis, times the floor", 4.0, "×")


@pytest.mark.parametrize(
    ("value", "more", "is_worse"), [(4.9, False, False), (5.1, False, True), (3.3, True, False), (3.1, True, True)]
)
def test_figure_a_quarter_worse_is_named(value: float, more: bool, is_worse: bool) -> None:
    found = worse([Figure("a figure", value, "×", more=more)], {"a figure": 4.0})
    assert found == ([f"a figure: {value:.2f} ×, was 4.00"] if is_worse else [])


def test_seconds_and_new_figures_are_not_compared() -> None:
    assert worse([Figure("starts", 9.0, "s"), CYCLE], {"starts": 1.0}) == []


def test_kept_ratios_of_other_parts_stay(tmp_path: Path) -> None:
    file = tmp_path / "ratios.json"
    keep([SHARE, CYCLE, Figure("starts", 9.0, "s")], file)
    keep([Figure(CYCLE.name, 3.0, "×")], file)
    assert kept(file) == {SHARE.name: 0.5, CYCLE.name: 3.0}
