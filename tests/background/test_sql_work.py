"""Orders that wait and leases of jobs in SQL databases: SQLite, PostgreSQL and MariaDB."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from phone_verify.database.connection import Database
from phone_verify.database.schema import upgrade
from phone_verify.database.work import work_in
from phone_verify.database.work_tables import JOB, SEND
from phone_verify.testing.work import WorkSuite
from phone_verify.work.leases import JobLeases
from phone_verify.work.sends import SendQueue
from tests.ledger_files import with_tables
from tests.stores import servers


class TestSqlite(WorkSuite):
    @pytest.fixture
    def works(self, tmp_path: Path) -> Sequence[tuple[SendQueue, JobLeases]]:
        url = with_tables(tmp_path / "work.sqlite3")
        return [work_in(Database.from_url(url)), work_in(Database.from_url(url))]


@pytest.fixture(scope="module", params=servers.PARAMETERS)
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a separate database of this run, with the tables."""
    with servers.database(request.param) as url:
        upgrade(url)
        yield url


class TestServers(WorkSuite):
    @pytest.fixture
    def works(self, database: str) -> Sequence[tuple[SendQueue, JobLeases]]:
        servers.execute(database, *(f"DELETE FROM {table.name}" for table in (SEND, JOB)))
        return [work_in(Database(servers._engine(database, number))) for number in range(2)]
