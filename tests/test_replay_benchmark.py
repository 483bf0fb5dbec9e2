"""The benchmark of a cycle's commands repeats all of them, on a database with the same rows."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy")

from benchmarks.replay import measure


def test_commands_of_a_cycle_are_repeated(tmp_path: Path) -> None:
    parts = measure("sqlite", [f"sqlite:///{tmp_path}/{name}.sqlite3" for name in "abc"], rounds=1)
    steps = [f"commands of `{verb}`" for verb in ("count_and_open", "attach", "spend")]
    assert list(parts) == ["the floor", *steps, "all commands", "a cycle in memory", "a cycle"]
    assert parts["all commands"][0] == pytest.approx(sum(parts[step][0] for step in steps))
