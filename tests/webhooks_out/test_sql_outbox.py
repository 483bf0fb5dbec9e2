"""The outbox in an SQL database: the suite on SQLite, PostgreSQL and MariaDB, and a worker that is killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import warnings
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from phone_verify.database.connection import Database
from phone_verify.database.metadata import metadata
from phone_verify.database.outbox import SqlOutbox, enqueue
from phone_verify.database.outbox_tables import ENDPOINT, MESSAGE
from phone_verify.errors import StoreError
from phone_verify.stores.sql.engine import engine_of
from phone_verify.sync import run
from phone_verify.testing.clock import ManualClock
from phone_verify.testing.outbox_suite import LEASE, OutboxSuite, change, endpoint
from phone_verify.webhooks_out.base import Outbox, Taken, Wanted
from phone_verify.webhooks_out.endpoints import Endpoint
from phone_verify.webhooks_out.messages import Change
from tests.stores import servers

TABLES = [MESSAGE, ENDPOINT]


class RolledBackError(Exception):
    pass


class SqlSuite(OutboxSuite):
    @pytest.fixture
    def outbox(self, outboxes: list[SqlOutbox]) -> SqlOutbox:
        return outboxes[0]

    def enqueue(self, outbox: Any, endpoints: Iterable[Endpoint], change: Change, now: datetime) -> int:
        written: int = outbox._database.run(lambda connection: enqueue(connection, endpoints, change, now))
        return written

    def enqueue_and_roll_back(self, outbox: Any, change: Change, now: datetime) -> None:
        def step(connection: sa.Connection) -> None:
            assert enqueue(connection, [endpoint()], change, now) == 1
            raise RolledBackError

        with pytest.raises(RolledBackError):
            outbox._database.run(step)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/outbox.sqlite3"


class TestSqliteOutbox(SqlSuite):
    @pytest.fixture
    def outboxes(self, url: str) -> Iterator[list[SqlOutbox]]:
        # Each has its own connection, as processes have.
        engines = [engine_of(url), engine_of(url)]
        metadata.create_all(engines[0], TABLES)
        yield [SqlOutbox(Database(engine)) for engine in engines]
        for engine in engines:
            engine.dispose()


@pytest.fixture(scope="module", params=servers.PARAMETERS)
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    with servers.database(request.param) as url:
        engine = engine_of(url)
        metadata.create_all(engine, TABLES)
        engine.dispose()
        yield url


class TestServers(SqlSuite):
    @pytest.fixture
    def outboxes(self, database: str) -> list[SqlOutbox]:
        servers.execute(database, *(f"DELETE FROM {table.name}" for table in TABLES))
        return [SqlOutbox(Database(servers._engine(database, number))) for number in range(2)]


def test_errors_name_their_kind_and_no_values(url: str, clock: ManualClock) -> None:
    engine = engine_of(url)
    with pytest.raises(StoreError, match="a table is missing; run: phone-verify schema") as raised:
        run(SqlOutbox(Database(engine)).again("msg_secret", "shop", "main", clock()))
    engine.dispose()
    assert raised.value.__cause__ is None
    assert "msg_secret" not in str(raised.value)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def _take_and_wait(url: str, now: datetime, taken: Any) -> None:
    outbox = SqlOutbox(Database(engine_of(url)))
    taken.send(run(outbox.take(10, LEASE, now)))
    signal.pause()


def test_killed_worker_loses_no_message(url: str, clock: ManualClock) -> None:
    engine = engine_of(url)
    metadata.create_all(engine, TABLES)
    runner = Database(engine)
    runner.run(lambda connection: enqueue(connection, [endpoint()], change(), clock()))
    engine.dispose()
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    worker = context.Process(target=_take_and_wait, args=(url, clock(), there), daemon=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks in a process with threads
        worker.start()
    assert here.poll(60)
    first: Taken = here.recv()[0]
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    worker.join(30)
    outbox: Outbox = SqlOutbox(runner)
    assert run(outbox.take(10, LEASE, clock())) == []
    clock.move(LEASE.total_seconds())
    [again] = run(outbox.take(10, LEASE, clock()))
    assert (again.id, again.body) == (first.id, first.body) == (change().id, change().body)
    run(outbox.done(again, "place", 200, clock()))
    [delivery] = run(outbox.deliveries(Wanted()))
    assert delivery.attempts == 2
    engine.dispose()
    engine.dispose()


def test_forked_process_leaves_the_connections_of_its_parent(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of(url)
    runner = Database(engine)
    runner.run(lambda connection: connection.exec_driver_sql("SELECT 1").scalar())
    of_parent = engine.pool
    monkeypatch.setattr("os.getpid", lambda: -1)
    runner.run(lambda connection: connection.exec_driver_sql("SELECT 1").scalar())
    assert engine.pool is not of_parent
    of_parent.dispose()
    engine.dispose()
