"""The benchmark of a cycle's commands repeats all of them, on a database with the same rows."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy")

from tests.stores.redis_servers import HOST, RedisServer, running
from tests.stores.servers import database

ROOT = Path(__file__).parents[1]
STEPS = [f"commands of `{verb}`" for verb in ("count_and_open", "attach", "spend")]


def _databases(store: str, folder: Path, stack: ExitStack) -> Sequence[str]:
    """Return the URLs of three empty databases; for SQLite none, since the command creates its files."""
    match store:
        case "postgresql":
            return [stack.enter_context(database(store)) for _ in range(3)]
        case "redis":
            port = stack.enter_context(running(RedisServer(folder))).port
            return [f"redis://{HOST}:{port}/{number}" for number in range(3)]
    return []


@pytest.mark.parametrize("store", ["sqlite", "postgresql", "redis"])
def test_commands_of_a_cycle_are_repeated(store: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        urls = _databases(store, tmp_path, stack)
        # In another process, because the bare connections are closed only at its end.
        command = [sys.executable, "-m", "benchmarks.replay", store, "--rounds", "1"]
        command += ["--urls", *urls] if urls else []
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    parts = {name: int(micros) for name, micros in re.findall(r"\| (.+?) \| +([\d]+) \|", done.stdout.replace(",", ""))}
    assert list(parts) == ["the floor", *STEPS, "all commands", "a cycle in memory", "a cycle"]
    assert all(parts[step] > 0 for step in STEPS)
    assert parts["all commands"] == pytest.approx(sum(parts[step] for step in STEPS), abs=len(STEPS))
