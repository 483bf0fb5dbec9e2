"""The benchmark of a cycle's commands repeats all of them, on a database with the same rows."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy")

ROOT = Path(__file__).parents[1]


def test_commands_of_a_cycle_are_repeated() -> None:
    command = [sys.executable, "-m", "benchmarks.replay", "sqlite", "--rounds", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    parts = {name: int(micros) for name, micros in re.findall(r"\| (.+?) \| +([\d]+) \|", done.stdout.replace(",", ""))}
    steps = [f"commands of `{verb}`" for verb in ("count_and_open", "attach", "spend")]
    assert list(parts) == ["the floor", *steps, "all commands", "a cycle in memory", "a cycle"]
    assert parts["all commands"] == pytest.approx(sum(parts[step] for step in steps), abs=len(steps))
