"""Steps in the database of `PHONE_VERIFY_LEDGER`: transactions, repetition, threads and forks."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pymysql
import pytest
import sqlalchemy as sa

from phone_verify.database import connection as database_connection
from phone_verify.database.connection import Database
from phone_verify.errors import StoreError
from phone_verify.stores.sql import connections
from tests.interruptions import TimeLimitError
from tests.stores import servers
from tests.stores.test_sql import forks, in_processes, open_files

NUMBER = sa.table("number", sa.column("id"), sa.column("value"))
Add = Callable[[sa.Connection], int]


def prepare(database: Database) -> None:
    """Make a table with two numbers, both 0."""
    for statement in (
        "CREATE TABLE number (id INTEGER PRIMARY KEY, value INTEGER NOT NULL)",
        "INSERT INTO number VALUES (1, 0), (2, 0)",
    ):
        database.run(lambda connection, statement=statement: connection.exec_driver_sql(statement).rowcount)  # type: ignore[misc]


def add(*ids: int) -> Add:
    """Return a step that adds 1 to these numbers in their order, and returns how many it found."""

    def step(connection: sa.Connection) -> int:
        changes = [NUMBER.update().where(NUMBER.c.id == id).values(value=NUMBER.c.value + 1) for id in ids]
        return sum(connection.execute(change).rowcount for change in changes)

    return step


def values(database: Database) -> list[int]:
    query = sa.select(NUMBER.c.value).order_by(NUMBER.c.id)
    return database.read(lambda connection: list(connection.execute(query).scalars()))


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Database]:
    database = Database.from_url(f"sqlite:///{tmp_path}/services.sqlite3")
    prepare(database)
    yield database
    database.engine.dispose()


@pytest.fixture(scope="module", params=servers.KINDS)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with servers.database(request.param) as url:
        prepare(Database(servers._engine(url)))
        yield url


@pytest.fixture
def server(url: str) -> Database:
    servers.execute(url, "UPDATE number SET value = 0")
    return Database(servers._engine(url))


def end_connection(connection: sa.Connection, url: str) -> None:
    ask = "SELECT CONNECTION_ID()" if url.startswith("mysql") else "SELECT pg_backend_pid()"
    servers.end(url, connection.exec_driver_sql(ask).scalar_one())


def test_step_is_repeated_if_the_connection_was_lost(server: Database, url: str) -> None:
    runs = []

    def step(connection: sa.Connection) -> int:
        changed = add(1)(connection)
        if not runs:
            end_connection(connection, url)
        runs.append(changed)
        return add(2)(connection)

    assert server.run(step) == 1
    assert (len(runs), values(server)) == (2, [1, 1])


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_read_only_session_is_replaced(server: Database) -> None:
    """As after a failover that leaves sockets open."""
    with server.engine.connect() as connection:
        connection.exec_driver_sql("SET default_transaction_read_only = on")
        connection.commit()
    assert server.run(add(1)) == 1
    assert values(server) == [1, 0]


@pytest.mark.parametrize("url", ["mysql"], indirect=True)
def test_interrupted_step_leaves_no_answer_to_the_next_one(server: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a time limit of a task queue, when a statement was sent and its answer not read."""
    send = pymysql.connections.Connection._execute_command

    def execute(self: Any, command: Any, text: Any) -> None:
        send(self, command, text)
        if b"UPDATE" in text:
            raise TimeLimitError

    with monkeypatch.context() as patch:
        patch.setattr(pymysql.connections.Connection, "_execute_command", execute)
        with pytest.raises(TimeLimitError):
            server.run(add(1))
    assert values(server) == [0, 0]
    assert server.run(add(2)) == 1
    assert values(server) == [0, 1]


def test_repetition_has_an_end(server: Database, url: str) -> None:
    runs = []

    def step(connection: sa.Connection) -> int:
        runs.append(1)
        end_connection(connection, url)
        return add(1)(connection)

    with pytest.raises(StoreError, match="PHONE_VERIFY_LEDGER failed"):
        server.run(step)
    assert (len(runs), values(server)) == (3, [0, 0])


def test_step_without_a_response_to_its_commit_is_not_repeated(url: str) -> None:
    servers.execute(url, "UPDATE number SET value = 0")
    place = sa.make_url(url)
    wire = servers.Wire(place.port or 0)
    behind = place.set(port=wire.port).render_as_string(hide_password=False)
    database = Database(servers._engine(behind))

    def step(connection: sa.Connection) -> int:
        changed = add(1)(connection)
        wire.answers = 0
        return changed

    with closing(wire):  # type: ignore[type-var]
        with pytest.raises(StoreError):
            database.run(step)
        assert values(database) == [1, 0]
        database.engine.dispose()


def test_deadlock_is_resolved_by_a_repetition(server: Database) -> None:
    meet = threading.Barrier(2)

    def change(first: int, second: int) -> None:
        runs: list[int] = []

        def step(connection: sa.Connection) -> int:
            changed = add(first)(connection)
            if not runs:
                runs.append(changed)
                meet.wait(10)
            return changed + add(second)(connection)

        server.run(step)

    threads = [threading.Thread(target=change, args=order) for order in ((1, 2), (2, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert values(server) == [2, 2]


def test_step_that_raises_is_undone(sqlite: Database) -> None:
    def step(connection: sa.Connection) -> int:
        add(1, 2)(connection)
        raise KeyError

    with pytest.raises(KeyError):
        sqlite.run(step)
    assert values(sqlite) == [0, 0]


def test_threads_queue_for_a_file_until_their_timeout(sqlite: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "WAIT", 0.05)
    with sqlite._connections, pytest.raises(StoreError, match="too busy"):
        sqlite.run(add(1))
    assert sqlite.run(add(1)) == 1


def test_preparation_is_repeated_until_it_succeeds(tmp_path: Path) -> None:
    failures: list[Exception] = [StoreError("not now")]
    calls = []

    def prepare_once() -> None:
        calls.append(1)
        if failures:
            raise failures.pop()

    engine = database_connection.engine_for(f"sqlite:///{tmp_path}/x.sqlite3")
    database = Database(engine, prepare_once)
    with pytest.raises(StoreError, match="not now"):
        database.read(lambda connection: connection.exec_driver_sql("SELECT 1").scalar())
    for _ in range(2):
        database.read(lambda connection: connection.exec_driver_sql("SELECT 1").scalar())
    assert len(calls) == 2
    engine.dispose()


def test_closed_database_closes_its_connections(tmp_path: Path) -> None:
    path = tmp_path / "services.sqlite3"
    database = Database.from_url(f"sqlite:///{path}")
    database.read(lambda connection: connection.exec_driver_sql("SELECT 1").scalar())
    assert str(path) in open_files()
    del database
    assert str(path) not in open_files()


@forks
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files cannot be listed here")
def test_no_file_is_open_while_the_process_forks(sqlite: Database, tmp_path: Path) -> None:
    path = f"{tmp_path}/services.sqlite3"
    assert values(sqlite) == [0, 0]
    assert path in open_files()
    (files,) = in_processes(lambda _: open_files(), 1)
    assert path not in files
    assert sqlite.run(add(1)) == 1


@forks
def test_fork_waits_for_the_step_of_another_thread(sqlite: Database) -> None:
    done = threading.Event()

    def add_on() -> None:
        while not done.is_set():
            sqlite.run(add(1))

    writer = threading.Thread(target=add_on)
    writer.start()
    try:
        for n in range(1, 6):
            (found,) = in_processes(lambda _: sqlite.run(add(2)), 1)
            assert (found, values(sqlite)[1]) == (1, n)
    finally:
        done.set()
        writer.join(60)


def test_process_forked_without_hooks_opens_its_own_connections(
    sqlite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_parent = sqlite.engine.pool
    child = os.getpid() + 1
    monkeypatch.setattr("os.getpid", lambda: child)
    assert sqlite.run(add(1)) == 1
    assert sqlite.engine.pool is not of_parent
    of_parent.dispose()
