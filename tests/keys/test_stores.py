"""Access keys in SQL databases: the suite on SQLite, PostgreSQL and MariaDB, failures and forks."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from phone_verify.database.connection import Database
from phone_verify.database.engine import engine_for
from phone_verify.database.keys import ACCESS_KEY, DatabaseKeyStore
from phone_verify.database.schema import Schema
from phone_verify.errors import ConfigurationError, StoreError
from phone_verify.keys.access_key import AccessKey
from phone_verify.sync import run
from phone_verify.testing.keys import KeySuite, new_key
from tests.ledger_files import with_tables
from tests.stores import servers


@contextmanager
def store_at(url: str) -> Iterator[DatabaseKeyStore]:
    database = Database.from_url(url)
    try:
        yield DatabaseKeyStore(database)
    finally:
        database.engine.dispose()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "services.sqlite3"


class TestSqlite(KeySuite):
    @pytest.fixture
    def keys(self, path: Path) -> Iterator[DatabaseKeyStore]:
        with store_at(with_tables(path)) as keys:
            yield keys


@pytest.fixture(scope="module", params=servers.PARAMETERS)
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    with servers.database(request.param) as url:
        yield url


class TestServers(KeySuite):
    @pytest.fixture
    def keys(self, database: str) -> Iterator[DatabaseKeyStore]:
        with store_at(database) as keys:
            run(keys.listed())
            servers.execute(database, f"DELETE FROM {ACCESS_KEY.name}")
            yield keys


@pytest.mark.slow
def test_names_are_in_any_script_in_a_database_with_an_old_character_set() -> None:
    with servers.database("mysql") as url:
        servers.execute(url, f"ALTER DATABASE {sa.make_url(url).database} CHARACTER SET latin1")
        with store_at(url) as keys:
            key = new_key(name="Заказы и доставка", created_by="مریم")
            assert run(keys.add(key))
            assert run(keys.find(key.id)) == key


def test_lost_connection_is_replaced(database: str) -> None:
    with store_at(database) as keys:
        key = new_key()
        assert run(keys.add(key))
        is_mysql = database.startswith("mysql")
        ask = "SELECT CONNECTION_ID()" if is_mysql else "SELECT pg_backend_pid()"
        with keys._database.engine.connect() as connection:
            number = connection.exec_driver_sql(ask).scalar_one()
        servers.end(database, number)
        assert run(keys.find(key.id)) == key


def test_failure_names_no_value(path: Path) -> None:
    with store_at(f"sqlite:///{path}") as keys:
        assert run(keys.listed()) == []
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(f"DROP TABLE {ACCESS_KEY.name}")
        key = new_key(name="A name that nobody should see")
        for step in (keys.add(key), keys.find(key.id), keys.revoke(key.id, key.created_at)):
            with pytest.raises(StoreError) as failure:
                run(step)
            assert "PHONE_VERIFY_LEDGER" in str(failure.value)
            assert "nobody" not in str(failure.value)
            assert key.id not in str(failure.value)


@pytest.mark.parametrize("url", ["redis://localhost", "sqlite://", "no url"])
def test_other_databases_are_refused_by_the_setting(url: str) -> None:
    with pytest.raises(ConfigurationError, match="PHONE_VERIFY_LEDGER"):
        engine_for(url)


def test_two_processes_make_the_tables(path: Path) -> None:
    first, second = (engine_for(f"sqlite:///{path}") for _ in range(2))
    Schema(first).ready()
    Schema(second).ready()
    assert sa.inspect(second).has_table(ACCESS_KEY.name)
    for engine in (first, second):
        engine.dispose()


def test_repr_shows_no_digest() -> None:
    key: AccessKey = new_key()
    assert repr(key.digest) not in repr(key)
    assert "digest" not in repr(key)
