"""Services as rows of SQL databases: the suite on SQLite, PostgreSQL and MariaDB, and failures."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from phone_verify.database.connection import Database
from phone_verify.database.services import CHANGE, SERVICE, SqlServiceRows
from phone_verify.errors import ConfigurationError, StoreError
from phone_verify.sync import run
from phone_verify.testing.services import ServiceRowsSuite
from tests.ledger_files import with_tables
from tests.stores import servers


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "services.sqlite3"


class TestSqlite(ServiceRowsSuite):
    @pytest.fixture
    def rows(self, path: Path) -> SqlServiceRows:
        return SqlServiceRows(Database.from_url(with_tables(path)))


@pytest.fixture(scope="module", params=servers.PARAMETERS)
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    with servers.database(request.param) as url:
        yield url


class TestServers(ServiceRowsSuite):
    @pytest.fixture
    def rows(self, database: str) -> SqlServiceRows:
        rows = SqlServiceRows(Database.from_url(database))
        run(rows.version())
        servers.execute(database, f"DELETE FROM {SERVICE.name}", f"DELETE FROM {CHANGE.name}")
        return rows


def test_failure_names_no_value(path: Path) -> None:
    rows = SqlServiceRows(Database.from_url(with_tables(path)))
    run(rows.save("shop", {"title": "A title that no log may show"}, 0))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"DROP TABLE {SERVICE.name}")
    for step in (rows.load("shop"), rows.versions(), rows.save("shop", {"title": "A title that no log may show"}, 1)):
        with pytest.raises(StoreError, match="PHONE_VERIFY_LEDGER") as failure:
            run(step)
        assert "title" not in str(failure.value)


@pytest.mark.parametrize("text", ["", "no JSON", "[]", "null", '"text"', "[" * 100_000])
def test_row_that_is_no_document_is_read_as_a_mistake(path: Path, text: str) -> None:
    rows = SqlServiceRows(Database.from_url(with_tables(path)))
    run(rows.save("shop", {}, 0))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"UPDATE {SERVICE.name} SET document = ?", (text,))
    row = run(rows.load("shop"))
    assert row is not None
    assert row.document == {"(document)": "not JSON"}


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_database_without_a_file_is_refused_by_the_setting(url: str) -> None:
    with pytest.raises(ConfigurationError, match="PHONE_VERIFY_LEDGER"):
        SqlServiceRows(Database.from_url(url))
