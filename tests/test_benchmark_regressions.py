"""The kept ratios of the benchmarks: what is worse than them is named."""

from __future__ import annotations

import json
from pathlib import Path

import phonenumbers
import pytest

from benchmarks.instructions import UNIT, counted
from benchmarks.measure import Figure
from benchmarks.regressions import keep, kept, worse
from phone_verify.phone import PhoneNumber

SHARE = Figure("JSON API, share of a bare view", 0.5, "", more=True)
CYCLE = Figure("Redis, times the floor", 4.0, "×")


@pytest.mark.parametrize(
    ("value", "more", "is_worse"), [(4.9, False, False), (5.1, False, True), (3.3, True, False), (3.1, True, True)]
)
def test_figure_a_quarter_worse_is_named(value: float, more: bool, is_worse: bool) -> None:
    found = worse([Figure("a figure", value, "×", more=more)], {"a figure": 4.0})
    assert found == ([f"a figure: {value:.2f} ×, was 4.00"] if is_worse else [])


def test_count_of_instructions_may_hardly_grow() -> None:
    kept_counts = {"memory": 10_000.0}
    assert worse([Figure("memory", 10_200, UNIT)], kept_counts) == []
    assert worse([Figure("memory", 10_400, UNIT)], kept_counts) == ["memory: 10400.00 instructions, was 10000.00"]


def test_instructions_are_counted_by_part() -> None:
    found = counted(lambda: (phonenumbers.parse("+989120000000"), PhoneNumber("+989120000000").hint))
    assert found["phone"] > 10
    assert found["phonenumbers"] > 100
    document = counted(lambda: json.dumps({}))
    assert document == counted(lambda: json.dumps({}))
    assert document["Python"] > 10
    assert "phone" not in document


def test_seconds_and_new_figures_are_not_compared() -> None:
    assert worse([Figure("starts", 9.0, "s"), CYCLE], {"starts": 1.0}) == []


def test_kept_ratios_of_other_parts_stay(tmp_path: Path) -> None:
    file = tmp_path / "ratios.json"
    keep([SHARE, CYCLE, Figure("starts", 9.0, "s")], file)
    keep([Figure(CYCLE.name, 3.0, "×")], file)
    assert kept(file) == {SHARE.name: 0.5, CYCLE.name: 3.0}
