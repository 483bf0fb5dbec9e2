"""Aggregates in SQL databases: SQLite, PostgreSQL and MariaDB."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from phone_verify.database.aggregates import SqlAggregates
from phone_verify.database.all_tables import metadata
from phone_verify.database.connection import Database
from phone_verify.database.ledger import SqlLedger
from phone_verify.database.ledger_tables import ATTEMPT
from phone_verify.database.schema import upgrade
from phone_verify.ledger.values import Held
from phone_verify.reports.downloads import attempts_in
from phone_verify.reports.reading import read_order
from phone_verify.reports.report import fold_backlog
from phone_verify.testing.aggregates import AggregatesSuite
from phone_verify.testing.ledger_calls import attempt, later, run
from tests.ledger_files import with_tables
from tests.stores import servers


class TestSqlite(AggregatesSuite):
    @pytest.fixture
    def ledger(self, tmp_path: Path) -> SqlLedger:
        return SqlLedger(Database.from_url(with_tables(tmp_path / "ledger.sqlite3")))

    @pytest.fixture
    def aggregates(self, ledger: SqlLedger, tmp_path: Path) -> SqlAggregates:
        return SqlAggregates(Database.from_url(f"sqlite:///{tmp_path}/ledger.sqlite3"))


def test_long_download_obeys_a_limit_of_work_for_each_statement(tmp_path: Path) -> None:
    """A rare value of a filter is found among many attempts, by statements that each read few of them."""
    ledger = SqlLedger(Database.from_url(f"sqlite:///{tmp_path}/ledger.sqlite3"))
    held = run(ledger.begin(attempt(), [], None, later(0)))
    assert isinstance(held, Held)
    columns = [column.name for column in ATTEMPT.columns if column.name != "id"]
    changed = {
        "verification": "'v' || n",
        "started_at": "started_at + n * 1000000",
        "driver": "CASE n % 10000 WHEN 1 THEN 'rare' ELSE 'amoot' END",
    }
    with ledger.database.engine.begin() as connection:
        connection.exec_driver_sql(
            "WITH RECURSIVE series(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n < 40000) "
            f"INSERT INTO {ATTEMPT.name} ({', '.join(columns)}) "
            f"SELECT {', '.join(changed.get(name, name) for name in columns)} FROM {ATTEMPT.name}, series"
        )
    aggregates = SqlAggregates(ledger.database)
    run(fold_backlog(aggregates, lambda: True))
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 1 if steps > 1300 else 0  # the statement ends with an error

    def limit(connection: sqlite3.Connection, *_: object) -> None:
        connection.set_progress_handler(count, 1000)

    def begin(*_: object) -> None:
        nonlocal steps
        steps = 0

    ledger.database.engine.dispose()
    sa.event.listen(ledger.database.engine, "connect", limit)
    sa.event.listen(ledger.database.engine, "before_cursor_execute", begin)
    order = read_order({"from": "2030-01-01", "to": "2030-01-03", "driver": "rare"}, "UTC", later(0))
    listed = list(attempts_in(aggregates, order))
    assert [each.verification for each in listed] == ["v30001", "v20001", "v10001", "v1"]
    ledger.database.engine.dispose()


@pytest.fixture(scope="module", params=servers.PARAMETERS)
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a separate database of this run, with the tables."""
    with servers.database(request.param) as url:
        upgrade(url)
        yield url


class TestServers(AggregatesSuite):
    @pytest.fixture
    def ledger(self, database: str) -> SqlLedger:
        servers.execute(database, *(f"DELETE FROM {table}" for table in metadata.tables))
        return SqlLedger(Database(servers._engine(database, 0)))

    @pytest.fixture
    def aggregates(self, ledger: SqlLedger) -> SqlAggregates:
        return SqlAggregates(ledger.database)
