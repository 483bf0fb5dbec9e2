"""Whether a cycle slows down where much is kept: 10³ to 10⁶ verifications, half of them open and half over.

The rows are copies of real ones, multiplied by the database itself: what is measured is the cycle, not how they came
there. Redis gets real ones through the store's own scripts, in a pipeline of several connections.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import sqlalchemy as sa

from .measure import Figure, median_seconds
from .servers import Servers
from .sites import Cycle, parsed

_CYCLES = 40
_SEEDS = 1000


def figures(rounds: int, servers: Servers, most: int) -> Iterator[Figure]:
    """For each store, the cycle at `most` kept verifications in times of the cycle at a thousand."""
    with tempfile.TemporaryDirectory() as folder:
        yield _sql("SQLite", f"sqlite:///{folder}/ours.sqlite3", rounds, most)
    if servers.postgresql:
        with servers.fresh_postgresql() as url:
            yield _sql("PostgreSQL", url, rounds, most)
    if servers.mariadb:
        with servers.fresh_mariadb() as url:
            yield _sql("MariaDB", url, rounds, most)
    if servers.redis:
        with servers.fresh_redis() as url:
            yield _redis(url, rounds, most)


def _sql(name: str, url: str, rounds: int, most: int) -> Figure:
    cycle = Cycle(url)
    for number in range(_SEEDS):
        started = cycle.start(parsed(1_000_000 + number))
        if number % 2:
            cycle.check(*started)
    few = _seconds(cycle, rounds)
    _multiply(url, most // _SEEDS - 1)
    return _figure(name, few, _seconds(cycle, rounds), most)


def _multiply(url: str, copies: int) -> None:
    """Copy every row of every table so often, under keys of their own."""
    from phone_verify.stores.sql.engine import engine_of
    from phone_verify.stores.sql.tables import PHONE, VERIFICATION

    engine = engine_of(url)
    with engine.begin() as connection:
        for table in (VERIFICATION, PHONE):
            _copy(connection, table, copies)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if engine.dialect.name in ("postgresql", "sqlite"):
            connection.execute(sa.text("ANALYZE"))
    engine.dispose()


def _copy(connection: sa.Connection, table: sa.Table, copies: int) -> None:
    """A key keeps its length and gets the number of its copy at its end; the tag in another column goes with it."""
    length = 12
    joined = "SUBSTR({0}, 1, LENGTH({0}) - {1}) || :n"
    if connection.dialect.name in ("mysql", "mariadb"):
        joined = "CONCAT(SUBSTR({0}, 1, LENGTH({0}) - {1}), :n)"
    names = [column.name for column in table.columns]
    changed = {"tag", *(column.name for column in table.primary_key)}
    quoted = {name: connection.dialect.identifier_preparer.quote(name) for name in names}
    chosen = ", ".join(joined.format(quoted[name], length) if name in changed else quoted[name] for name in names)
    statement = sa.text(f"INSERT INTO {table.name} ({', '.join(quoted.values())}) SELECT {chosen} FROM seeds_of_it")
    connection.execute(sa.text(f"CREATE TEMPORARY TABLE seeds_of_it AS SELECT * FROM {table.name}"))
    for copy in range(copies):
        connection.execute(statement, {"n": f"{copy:0{length}d}"})
    connection.execute(sa.text("DROP TABLE seeds_of_it"))


def _redis(url: str, rounds: int, most: int) -> Figure:
    cycle = Cycle(url)
    few = _grown(cycle, 0, 1000, rounds)
    return _figure("Redis", few, _grown(cycle, 1000, most, rounds), most)


def _grown(cycle: Cycle, first: int, until: int, rounds: int) -> float:
    def fill(numbers: range) -> None:
        for number in numbers:
            cycle.verifier.start(parsed(2_000_000 + number))
            cycle.transport.notices.clear()

    step = 1000
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(fill, [range(n, min(n + step, until)) for n in range(first, until, step)]))
    return _seconds(cycle, rounds)


def _seconds(cycle: Cycle, rounds: int) -> float:
    return median_seconds(lambda: cycle(_CYCLES), rounds) / _CYCLES


def _figure(name: str, few: float, many: float, most: int) -> Figure:
    notes = {"cycle_us_at_1000": few * 1e6, f"cycle_us_at_{most}": many * 1e6}
    return Figure(f"{name}, from 10³ to {most:,} kept", many / few, "×", bar=1.5, mark=1.2, notes=notes)
