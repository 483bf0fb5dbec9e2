"""A cycle (start and check of one code) on every store as a multiple of its floor; in memory, of an HMAC."""

from __future__ import annotations

import hmac
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

from . import floors
from .measure import Figure, in_turn, median_seconds, repeated
from .servers import Servers
from .sites import KEY, Cycle

_HMACS = 2000


def memory(rounds: int) -> Iterator[Figure]:
    """Measure the verifier over the memory store in HMAC-SHA-256 operations of a message of equal length."""
    key, message, cycle = KEY.encode(), secrets.token_bytes(96), Cycle("memory:", parses=False)

    def hmacs() -> None:
        for _ in range(_HMACS):
            hmac.digest(key, message, "sha256")

    times = 100
    bare, ours, ratio = in_turn(hmacs, lambda: cycle(times), rounds)
    notes = {"hmac_us": bare / _HMACS * 1e6, "cycle_us": ours / times * 1e6}
    yield Figure("memory, in HMAC-SHA-256", ratio * _HMACS / times, "×", bar=60, mark=40, notes=notes)


def on_servers(rounds: int, servers: Servers) -> Iterator[Figure]:
    """Measure SQLite and every store whose server is available."""
    with tempfile.TemporaryDirectory() as folder:
        bare = floors.sqlite(Path(folder) / "floor.sqlite3")
        yield _figure("SQLite", bare, Cycle(f"sqlite:///{folder}/ours.sqlite3"), rounds, bar=15, mark=10)
    if servers.postgresql:
        with servers.fresh_postgresql() as url:
            yield _figure("PostgreSQL", floors.postgresql(url), Cycle(url), rounds, bar=3, mark=2)
    if servers.mariadb:
        with servers.fresh_mariadb() as url:
            yield _figure("MariaDB", floors.mariadb(url), Cycle(url), rounds)
    if servers.redis:
        with servers.fresh_redis() as url:
            yield _figure("Redis", floors.redis(url), Cycle(url), rounds, bar=3.5, mark=2.5)


def _figure(
    name: str, floor: floors.Floor, cycle: Cycle, rounds: int, *, bar: float | None = None, mark: float | None = None
) -> Figure:
    less, more = repeated(floor), repeated(cycle)
    bare, ours, ratio = in_turn(lambda: floor(less), lambda: cycle(more), rounds)
    notes = {"floor_us": bare / less * 1e6, "cycle_us": ours / more * 1e6}
    return Figure(f"{name}, times the floor", ratio * less / more, "×", bar, mark, notes=notes)


def imports(rounds: int) -> Iterator[Figure]:
    """Measure `import phone_verify` in a new process, less the bare interpreter."""
    import subprocess
    import sys

    def seconds(program: str) -> float:
        return median_seconds(lambda: subprocess.run([sys.executable, "-c", program], check=True), rounds)

    bare, whole = seconds("pass"), seconds("import phone_verify")
    notes = {"interpreter_ms": bare * 1000, "process_ms": whole * 1000}
    yield Figure("import phone_verify", (whole - bare) * 1000, "ms", bar=100, mark=50, notes=notes)
