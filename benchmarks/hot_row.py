"""64 parallel starts under one site-wide quota: the cost of one counter shared by all."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator

from .measure import Figure, median_seconds
from .servers import Servers
from .sites import PHONES, Cycle

_THREADS, _EACH = 64, 4


def figures(rounds: int, servers: Servers) -> Iterator[Figure]:
    """Return the time of 64 parallel starts relative to one start alone, divided by 64."""
    with tempfile.TemporaryDirectory() as folder:
        yield _figure("SQLite", Cycle(f"sqlite:///{folder}/ours.sqlite3"), rounds)
    if servers.postgresql:
        with servers.fresh_postgresql() as url:
            yield _figure("PostgreSQL", Cycle(url), rounds)
    if servers.mariadb:
        with servers.fresh_mariadb() as url:
            yield _figure("MariaDB", Cycle(url), rounds)
    if servers.redis:
        with servers.fresh_redis() as url:
            yield _figure("Redis", Cycle(url), rounds)


def _figure(name: str, cycle: Cycle, rounds: int) -> Figure:
    def alone() -> None:
        for n in range(_THREADS * _EACH):
            cycle.verifier.start(PHONES[n], address="192.0.2.1")

    def together() -> None:
        barrier = threading.Barrier(_THREADS)

        def run(thread: int) -> None:
            barrier.wait()
            for n in range(_EACH):
                assert cycle.verifier.start(PHONES[thread * _EACH + n], address="192.0.2.1").ok

        threads = [threading.Thread(target=run, args=(n,)) for n in range(_THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    one_by_one, at_once = median_seconds(alone, rounds), median_seconds(together, rounds)
    notes = {"starts_per_second_alone": _THREADS * _EACH / one_by_one, "at_once": _THREADS * _EACH / at_once}
    return Figure(f"{name}, {_THREADS} starts at once, of one by one", at_once / one_by_one, "×", notes=notes)
