"""The SQL store behind PgBouncer in transaction mode: the suite, its time limits, and how a pooler is found."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from phone_verify.errors import ConfigurationError, StoreError
from phone_verify.lifecycle import PROOF_LIFE, Spent
from phone_verify.limits import Quota
from phone_verify.model import Verification
from phone_verify.stores.sql import SqlStore, connections, engine, metadata, options
from phone_verify.stores.sql.engine import engine_of
from phone_verify.stores.sql.postgresql import Connection
from phone_verify.stores.sql.schema import upgrade
from phone_verify.testing.stores import BINDING, LIMITS, NOBODY, RIGHT, StoreSuite, opening, run, together
from tests.stores import servers

#: PgBouncer drops the settings with which a session starts, or refuses the connection because of them.
DROPPED = {"ignore_startup_parameters": "options"}
POOLERS = pytest.mark.parametrize("pooler", [{}, DROPPED], indirect=True, ids=["refused", "dropped"])


@pytest.fixture(scope="module")
def direct() -> Iterator[str]:
    """The URL of the database without a pooler."""
    with servers.database("postgresql") as url:
        upgrade(url)
        yield url


@pytest.fixture(scope="module")
def pooler(request: pytest.FixtureRequest, direct: str) -> Iterator[servers.Pgbouncer]:
    with servers.pooled(direct, **getattr(request, "param", {})) as pooler:
        yield pooler


@pytest.fixture
def url(direct: str, pooler: servers.Pgbouncer) -> str:
    servers.execute(direct, *(f"DELETE FROM {table}" for table in metadata.tables))
    return pooler.url


@contextmanager
def opened(url: str) -> Iterator[SqlStore]:
    store = SqlStore.from_url(url)
    yield store
    store._transactions.engine.dispose()


@contextmanager
def session(store: SqlStore) -> Iterator[Connection]:
    """A connection of the store."""
    with closing(store._transactions.engine.raw_connection()) as connection:
        yield connection.dbapi_connection  # type: ignore[misc]


@pytest.fixture
def store(url: str) -> Iterator[SqlStore]:
    with opened(url) as store:
        yield store


@POOLERS
@pytest.mark.slow
class TestPooler(StoreSuite):
    @pytest.fixture
    def store(self, url: str) -> SqlStore:
        return servers.store(url)

    @pytest.fixture
    def stores(self, url: str) -> list[SqlStore]:
        return [servers.store(url, number) for number in range(2)]

    @pytest.fixture
    def forgetful(self, url: str) -> SqlStore:
        return servers.store(url, keep=PROOF_LIFE)


def cycle(store: SqlStore) -> None:
    assert run(store.count([Quota("total", 10_000)], None))
    order = opening()
    record = run(store.open(order, [], LIMITS, None))
    assert isinstance(record, Verification)
    spent = run(store.spend(record.id, BINDING, [RIGHT], 6, LIMITS, NOBODY, None))
    assert isinstance(spent, Spent)


@POOLERS
def test_all_of_96_cycles_succeed(url: str, store: SqlStore) -> None:
    def work(_: int) -> None:
        for _n in range(12):
            cycle(store)

    together(8, work, lambda: None)
    for _n in range(8):  # more often than psycopg runs a statement before it prepares it
        cycle(store)


@POOLERS
def test_pooler_is_detected(url: str, store: SqlStore, direct: str) -> None:
    with session(store) as connection:
        assert (connection.pooled, connection.prepare_threshold) == (True, None)
    with opened(direct) as store, session(store) as connection:
        assert (connection.pooled, connection.prepare_threshold) == (False, 5)


def test_pooler_is_named_by_an_option(direct: str) -> None:
    with opened(f"{direct}?pooler=transaction") as store, session(store) as connection:
        assert (connection.pooled, connection.prepare_threshold) == (True, None)


def test_refused_settings_are_logged_by_name(url: str) -> None:
    refused = pytest.raises(StoreError, match="the pooler refused a startup parameter")
    with opened(f"{url}?pooler=none") as store, refused:
        run(store.get(opening().id, None))


def test_own_startup_options_are_added_to_ours(direct: str) -> None:
    names = ("jit", "work_mem", "default_transaction_isolation")
    with opened(f"{direct}?options=-c%20work_mem%3D8MB&connect_timeout=2") as store, session(store) as connection:
        assert [shown(connection, name) for name in names] == ["off", "8MB", "read committed"]


def shown(connection: Connection, setting: str) -> str:
    row = connection.execute(f"SHOW {setting}").fetchone()
    assert row is not None
    return str(row[0])


LIMITED = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")


def test_server_limits_hold_in_a_session(direct: str) -> None:
    with opened(direct) as store, session(store) as connection:
        assert [shown(connection, name) for name in LIMITED] == ["5s", "5s", "10s"]


@POOLERS
def test_server_limits_hold_in_each_transaction(url: str, store: SqlStore, direct: str) -> None:
    """Nothing of them is left in the sessions, which other sites use as well."""
    cycle(store)
    names = (*LIMITED, "jit", "transaction_isolation")
    with session(store) as connection:
        connection.execute(connections.BEGIN_POOLED)
        assert [shown(connection, name) for name in names] == ["5s", "5s", "10s", "off", "read committed"]
        connection.rollback()
        assert shown(connection, "statement_timeout") == "0"
        assert connection.execute("SELECT 1 FROM pg_prepared_statements").fetchall() == []


@pytest.mark.slow
def test_step_waits_for_a_full_pooler_within_its_limit(direct: str) -> None:
    with servers.pooled(direct, default_pool_size=1) as pooler, opened(pooler.url) as store:
        assert run(store.get(opening().id, None)) is None
        with session(store) as connection:
            connection.patience = 0.3
        with psycopg.connect(pooler.url) as other:
            other.execute("SELECT 1")  # its transaction holds the only connection of the pooler
            # After the first failure the step is tried once again, with the usual limit.
            started = time.monotonic()
            with pytest.raises(StoreError, match="timed out"):
                run(store.get(opening().id, None))
            assert time.monotonic() - started < 2 * engine.WAIT
        assert run(store.get(opening().id, None)) is None


# The options of a URL.


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql://host/name?prepare_threshold=0", "unknown option 'prepare_threshold'"),
        ("postgresql://host/name?autocommit=1", "unknown option 'autocommit'"),
        ("postgresql://host/name?sslmod=require", "did you mean 'sslmode'?"),
        ("postgresql://host/name?poller=transaction", "did you mean 'pooler'?"),
        ("postgresql://host/name?pooler=session", "write pooler=transaction or pooler=none"),
        ("postgresql://host/name?connect_timeout=soon", "'connect_timeout': write whole seconds"),
        ("postgresql://host/name?sslmode=a&sslmode=b", "'sslmode' is there twice"),
        ("mysql://host/name?read_timout=4", "did you mean 'read_timeout'?"),
        ("mysql://host/name?cursorclass=x", "mysql:// has the options connect_timeout, read_timeout"),
        ("sqlite:////tmp/name?mode=ro", "sqlite:// has no options; remove 'mode'"),
    ],
)
def test_wrong_option_is_a_configuration_error(url: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match="PHONE_VERIFY_STORE: ") as caught:
        SqlStore.from_url(url)
    assert says in str(caught.value)


def test_error_of_an_option_shows_no_value() -> None:
    with pytest.raises(ConfigurationError) as caught:
        SqlStore.from_url("postgresql://user:secret@host/name?sslpasword=secret")
    assert "secret" not in str(caught.value)


def test_options_of_postgresql_are_those_of_libpq() -> None:
    known = {each.keyword.decode() for each in psycopg.pq.Conninfo.get_defaults()}
    assert set(options._OPTIONS["postgresql"]) - {"pooler"} <= known


def test_own_limits_of_mysql_replace_ours() -> None:
    engine = engine_of("mysql://user@host/name?read_timeout=9")
    named: dict[str, Any] = {}

    def note(_: object, __: object, arguments: Any, given: dict[str, Any]) -> None:
        named.update(given)
        raise ConnectionError

    sa.event.listen(engine, "do_connect", note)
    with pytest.raises(ConnectionError):
        engine.connect()
    assert (named["read_timeout"], named["write_timeout"]) == (9, 5)
