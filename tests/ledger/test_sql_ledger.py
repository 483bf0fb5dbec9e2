"""The ledger in SQL databases: SQLite, PostgreSQL and MariaDB."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from phone_verify.database.all_tables import metadata
from phone_verify.database.connection import Database
from phone_verify.database.ledger import SqlLedger
from phone_verify.database.schema import upgrade
from phone_verify.testing.ledger import LedgerSuite
from tests.ledger_files import with_tables
from tests.stores import servers


class TestSqlite(LedgerSuite):
    @pytest.fixture
    def ledger(self, tmp_path: Path) -> SqlLedger:
        return SqlLedger(Database.from_url(with_tables(tmp_path / "ledger.sqlite3")))


@pytest.fixture(scope="module", params=servers.PARAMETERS)
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a separate database of this run, with the tables."""
    with servers.database(request.param) as url:
        upgrade(url)
        yield url


class TestServers(LedgerSuite):
    @pytest.fixture
    def ledger(self, database: str) -> SqlLedger:
        servers.execute(database, *(f"DELETE FROM {table}" for table in metadata.tables))
        return SqlLedger(Database(servers._engine(database, 0)))
