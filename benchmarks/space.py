"""The bytes of an open verification on each store."""

from __future__ import annotations

import tempfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

from .measure import Figure
from .servers import Servers
from .sites import Cycle, parsed

_STARTS = 2000


def figures(servers: Servers) -> Iterator[Figure]:
    """Return the bytes per open verification, for two thousand of different phones, counters included."""
    tracemalloc.start()
    cycle = Cycle("memory:")
    before = tracemalloc.get_traced_memory()[0]
    _fill(cycle)
    yield _figure("memory", tracemalloc.get_traced_memory()[0] - before)
    tracemalloc.stop()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "ours.sqlite3"
        _fill(Cycle(f"sqlite:///{file}"))
        yield _figure("SQLite", sum(part.stat().st_size for part in (file,) if part.exists()))
    if servers.postgresql:
        import psycopg

        with servers.fresh_postgresql() as url, psycopg.connect(url, autocommit=True) as connection:
            _fill(Cycle(url))
            query = "SELECT sum(pg_total_relation_size(relid)) FROM pg_stat_user_tables"
            row = connection.execute(query).fetchone()
            assert row is not None
            yield _figure("PostgreSQL", int(row[0]))
    if servers.redis:
        import redis

        with servers.fresh_redis() as url:
            server = redis.Redis.from_url(url)
            _fill(Cycle(url))
            yield _figure("Redis", sum(int(server.memory_usage(key) or 0) for key in server.scan_iter(count=1000)))


def _fill(cycle: Cycle) -> None:
    for number in range(_STARTS):
        cycle.start(parsed(number))


def _figure(name: str, size: int) -> Figure:
    return Figure(f"{name}, an open verification", size / _STARTS, "bytes")
