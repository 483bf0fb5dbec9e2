"""Cycle time with 10³ to 10⁶ stored verifications, half of them open and half ended.

The small and the large store exist side by side, and their cycles are timed in turn. The added rows are copies of real
records, made by the database itself: only the cycle is measured.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator

import sqlalchemy as sa

from phone_verify.model import Status
from phone_verify.phone import PhoneNumber
from phone_verify.stores.memory import MemoryStore
from phone_verify.testing.stores import LIMITS, opening, run

from .measure import Figure, in_turn
from .servers import Servers
from .sites import Cycle, parsed

_CYCLES = 40
_SEEDS = 1000
#: The number of copies that one statement makes of every seed.
_AT_ONCE = 20


def figures(rounds: int, servers: Servers, most: int) -> Iterator[Figure]:
    """Return for each store the cycle time at `most` verifications relative to that at a thousand."""
    yield _memory(rounds, most)
    with tempfile.TemporaryDirectory() as folder:
        yield _grown(
            "SQLite", f"sqlite:///{folder}/few.sqlite3", f"sqlite:///{folder}/many.sqlite3", _rows, rounds, most
        )
    if servers.postgresql:
        with servers.fresh_postgresql() as few, servers.fresh_postgresql() as many:
            yield _grown("PostgreSQL", few, many, _rows, rounds, most)
    if servers.mariadb:
        with servers.fresh_mariadb() as few, servers.fresh_mariadb() as many:
            yield _grown("MariaDB", few, many, _rows, rounds, most)
    if servers.redis:
        with servers.fresh_redis(14) as few, servers.fresh_redis() as many:
            yield _grown("Redis", few, many, _keys, rounds, most)


def _memory(rounds: int, most: int) -> Figure:
    few, many = MemoryStore(), MemoryStore()
    for store, kept in ((few, _SEEDS), (many, most)):
        for number in range(kept):
            order = opening(PhoneNumber(f"+98912{1_000_000 + number:07d}"))
            run(store.open(order, [], LIMITS, None))
            if number % 2:
                run(store.settle(order.id, Status.VERIFIED, None))
    return _figure("memory", Cycle("own:", {"own": few}), Cycle("own:", {"own": many}), rounds, most)


def _grown(name: str, few: str, many: str, multiply: Callable[[str, int], None], rounds: int, most: int) -> Figure:
    at_few, at_many = Cycle(few), Cycle(many)
    for cycle in (at_few, at_many):
        for number in range(_SEEDS):
            started = cycle.start(parsed(1_000_000 + number))
            if number % 2:
                cycle.check(*started)
    multiply(many, most // _SEEDS - 1)
    return _figure(name, at_few, at_many, rounds, most)


def _figure(name: str, few: Cycle, many: Cycle, rounds: int, most: int) -> Figure:
    at_few, at_many, ratio = in_turn(lambda: few(_CYCLES), lambda: many(_CYCLES), rounds)
    notes = {"cycle_us_at_1000": at_few / _CYCLES * 1e6, f"cycle_us_at_{most}": at_many / _CYCLES * 1e6}
    return Figure(f"{name}, from 10³ to {most:,} kept", ratio, "×", bar=1.5, mark=1.2, notes=notes)


def _rows(url: str, copies: int) -> None:
    """Copy every row of the phones and their records this many times, with new keys."""
    from phone_verify.stores.sql.engine import engine_of
    from phone_verify.stores.sql.tables import PHONE, VERIFICATION

    engine = engine_of(url)
    with engine.begin() as connection:
        for table in (VERIFICATION, PHONE):
            _copy(connection, table, copies)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if engine.dialect.name in ("postgresql", "sqlite"):
            connection.execute(sa.text("ANALYZE"))
        if engine.dialect.name == "sqlite":
            connection.execute(sa.text("PRAGMA wal_checkpoint(TRUNCATE)"))
    engine.dispose()


def _copy(connection: sa.Connection, table: sa.Table, copies: int) -> None:
    """Return the key with the number of the copy at its end and unchanged length; the tag column gets the same."""
    length = 12
    joined = "SUBSTR({0}, 1, LENGTH({0}) - {1}) || copy_of_it.number"
    if connection.dialect.name in ("mysql", "mariadb"):
        joined = "CONCAT(SUBSTR({0}, 1, LENGTH({0}) - {1}), copy_of_it.number)"
    names = [column.name for column in table.columns]
    changed = {"tag", *(column.name for column in table.primary_key)}
    quoted = {name: connection.dialect.identifier_preparer.quote(name) for name in names}
    chosen = ", ".join(joined.format(quoted[name], length) if name in changed else quoted[name] for name in names)
    # In the order of the key, the first column, and in parts small enough for the timeouts.
    statement = sa.text(
        f"INSERT INTO {table.name} ({', '.join(quoted.values())}) SELECT {chosen} FROM seed_of_it "
        "CROSS JOIN copy_of_it WHERE copy_of_it.number >= :first AND copy_of_it.number < :last ORDER BY 1"
    )
    connection.execute(sa.text(f"CREATE TEMPORARY TABLE seed_of_it AS SELECT * FROM {table.name}"))
    connection.execute(sa.text(f"CREATE TEMPORARY TABLE copy_of_it (number CHAR({length}))"))
    numbers = [{"number": f"{number:0{length}d}"} for number in range(copies + 1)]
    connection.execute(sa.text("INSERT INTO copy_of_it VALUES (:number)"), numbers[:-1])
    for first in range(0, copies, _AT_ONCE):
        last = min(first + _AT_ONCE, copies)
        connection.execute(statement, {"first": numbers[first]["number"], "last": numbers[last]["number"]})
    connection.execute(sa.text("DROP TABLE seed_of_it"))
    connection.execute(sa.text("DROP TABLE copy_of_it"))


def _keys(url: str, copies: int) -> None:
    """Copy the key of every phone this many times, with unchanged content."""
    import redis

    server = redis.Redis.from_url(url)
    phones = [key for key in server.scan_iter("phone_verify:*", count=1000) if b"{shared}" not in key]
    for number in range(copies):
        with server.pipeline(transaction=False) as pipe:
            for key in phones:
                pipe.copy(key, key.removesuffix(b"}")[:-12] + b"%012d}" % number)
            pipe.execute()
