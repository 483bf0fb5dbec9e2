"""The SQL store on PostgreSQL and MariaDB: the suite, isolation, the authoritative clock, purging under load."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import ANY

import psycopg
import pymysql
import pytest
import sqlalchemy as sa

from phone_verify.errors import StoreError
from phone_verify.lifecycle import PROOF_LIFE, Spent
from phone_verify.limits import Counted, DenialReason, Denied, Quota
from phone_verify.model import Channel, Status, Verification
from phone_verify.phone import PhoneNumber
from phone_verify.stores.base import RETENTION
from phone_verify.stores.rows import transactions
from phone_verify.stores.rows.texts import Prepared
from phone_verify.stores.sql import SqlStore, metadata
from phone_verify.stores.sql.engine import _POSTGRESQL_SETTINGS, KEPT, MOST, WAIT, engine_of
from phone_verify.stores.sql.postgresql import Connection
from phone_verify.stores.sql.schema import upgrade
from phone_verify.testing.clock import ManualClock
from phone_verify.testing.stores import (
    BINDING,
    CALL,
    LIMITS,
    LINE,
    NO_DELAY,
    NOBODY,
    OURS,
    RIGHT,
    WRONG,
    StorePromises,
    StoreSuite,
    Sweeping,
    attachment,
    failure_count,
    opening,
    reservation,
    run,
    together,
)
from phone_verify.testing.stores.conversions import ROUTE, counts_of
from tests.interruptions import TimeLimitError
from tests.stores import servers
from tests.stores.modes import always_locked


@pytest.fixture(scope="module", params=servers.PARAMETERS)
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a separate database of this run, with the tables."""
    with servers.database(request.param) as url:
        upgrade(url)
        yield url


@pytest.fixture
def url(database: str) -> str:
    """The same, empty."""
    servers.execute(database, *(f"DELETE FROM {table}" for table in metadata.tables))
    return database


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(url: str) -> SqlStore:
    return SqlStore.from_url(url)


ROOT = Path(__file__).parents[2]


class OnServers:
    @pytest.fixture
    def store(self, url: str) -> SqlStore:
        return servers.store(url)

    @pytest.fixture
    def stores(self, url: str) -> list[SqlStore]:
        # Each has its own connections, as processes have.
        return [servers.store(url, number) for number in range(2)]

    @pytest.fixture
    def forgetful(self, url: str) -> SqlStore:
        return servers.store(url, keep=PROOF_LIFE)


class TestServers(OnServers, StoreSuite):
    pass


class TestNestedLoops(OnServers, Sweeping):
    @pytest.fixture
    def url(self) -> Iterator[str]:
        with servers.database("postgresql") as url:
            upgrade(url)
            servers.nest_loops(url)
            yield url


@pytest.mark.slow
class TestHeld(OnServers, StorePromises):
    """Run every step only in a transaction that locks the phone, as after a concurrent step."""

    @pytest.fixture(autouse=True)
    def _held(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("phone_verify.stores.rows.verbs.Mode", always_locked())


@pytest.mark.parametrize("setting", ["jit", "plan_cache_mode"])
def test_postgresql_plans_once_and_compiles_nothing(setting: str) -> None:
    with servers.database("postgresql") as url:
        engine = engine_of(url)
        with engine.connect() as connection:
            found = connection.exec_driver_sql(f"SHOW {setting}").scalar()
        engine.dispose()
    assert found == {"jit": "off", "plan_cache_mode": "force_generic_plan"}[setting]


def test_connections_read_committed_data(url: str, store: SqlStore) -> None:
    """Also if the server's default is different."""
    name = sa.make_url(url).database
    if url.startswith("postgresql"):
        servers.execute(url, f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
        ask = "SHOW transaction_isolation"
    else:
        ask = "SELECT @@tx_isolation"
    with store._transactions.engine.connect() as connection:
        level = connection.exec_driver_sql(ask).scalar_one()
    assert level.lower().replace("-", " ") == "read committed"


class _Off(datetime):
    """The wrong clock of a process."""

    by = timedelta(0)

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) + cls.by


@pytest.mark.parametrize("seconds", [2, -2, 3600, -3600, 86400 * 3])
def test_server_clock_is_used_instead_of_worker_clocks(
    url: str, store: SqlStore, seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker with a wrong clock does the same as the others, and does not affect them."""
    orders = [opening(), opening(PhoneNumber("+79160000002"))]
    wrong = SqlStore.from_url(url)
    quota = Quota("total", 2)

    def elsewhere(step: object) -> object:
        with monkeypatch.context() as patch:
            patch.setattr(_Off, "by", timedelta(seconds=seconds))
            patch.setattr(transactions, "datetime", _Off)
            patch.setattr(transactions.time, "time_ns", lambda: int(_Off.now().timestamp() * 10**9))
            return run(step)  # type: ignore[arg-type]

    assert not isinstance(elsewhere(wrong.count([quota], None)), Denied)
    assert not isinstance(run(store.count([quota], None)), Denied)
    assert isinstance(elsewhere(wrong.count([quota], None)), Denied)
    opened = elsewhere(wrong.open(orders[0], [Quota("own", 1)], LIMITS, None))
    here = run(store.open(orders[1], [], LIMITS, None))
    assert isinstance(opened, Verification)
    assert isinstance(here, Verification)
    assert timedelta(0) <= here.created_at - opened.created_at < timedelta(seconds=5)
    assert isinstance(run(store.spend(orders[0].id, BINDING, [WRONG], 6, LIMITS, NOBODY, None)), Spent)
    spent = elsewhere(wrong.spend(orders[0].id, BINDING, [RIGHT], 6, LIMITS, NOBODY, None))
    assert isinstance(spent, Spent)
    assert spent.record.closed_at is not None
    assert abs(spent.record.closed_at - here.created_at) < timedelta(seconds=5)
    redeemed = elsewhere(wrong.redeem(orders[0].id, BINDING, "", None))
    assert isinstance(redeemed, Verification)
    assert elsewhere(wrong.purge(100, None)) == 0


def test_purging_does_not_block_other_steps(url: str, store: SqlStore, clock: ManualClock) -> None:
    """Concurrent starts, checks and two purges on a table full of old rows: none fails, and open records stay."""
    for n in range(120):
        run(store.count([Quota(f"address:{n}", 9)], clock()))
        run(store.open(opening(PhoneNumber(f"+9891200{n:05}")), [Quota(f"sends:{n}", 9)], LIMITS, clock()))
    clock.move(3 * RETENTION.total_seconds())
    stores = [store, SqlStore.from_url(url)]
    live: list[str] = []

    def traffic(number: int) -> None:
        for n in range(20):
            phone = PhoneNumber(f"+9891200{n:05}")  # one that has an old row, of a record and of counters
            assert not isinstance(run(stores[number % 2].count([Quota(f"address:{n}", 999)], clock())), Denied)
            order = opening(phone)
            assert isinstance(run(stores[number % 2].open(order, [Quota("own", 99)], LIMITS, clock())), Verification)
            live.append(order.id)
            assert isinstance(
                run(stores[number % 2].spend(order.id, BINDING, [RIGHT], 6, LIMITS, NOBODY, clock())), Spent
            )

    def work(number: int) -> None:
        if number >= 2:
            traffic(number)
        else:
            while run(stores[number].purge(10, clock())):
                pass

    together(8, work)
    assert sum(run(store.purge(1000, clock())) for _ in range(3)) == 0
    found = [run(store.get(id, clock())) for id in live]
    assert {record.status for record in found if record is not None} == {Status.VERIFIED}
    assert None not in found


def test_purge_runs_in_small_transactions(store: SqlStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("phone_verify.stores.rows.verbs.BATCH", 3)
    for n in range(10):
        run(store.open(opening(PhoneNumber(f"+9891200{n:05}")), [], LIMITS, clock()))
    clock.move(3 * RETENTION.total_seconds())
    taken: list[int] = []
    run_step = store._transactions.run
    monkeypatch.setattr(store._transactions, "run", lambda *given: taken.append(n := run_step(*given)) or n)
    assert run(store.purge(12, clock())) == 12
    assert taken == [3, 3, 3, 1, 2]


def test_missing_server_is_a_store_error_without_address(url: str) -> None:
    parts = sa.make_url(url)
    away = parts.set(port=1, username="someone", password="hunter2").render_as_string(hide_password=False)
    with pytest.raises(StoreError) as raised:
        run(SqlStore.from_url(away).get("x" * 44, None))
    assert raised.value.__cause__ is None
    assert not {"hunter2", "someone", "127.0.0.1"} & set(str(raised.value).replace("'", " ").split())


def test_phone_lock_timeout_is_a_store_error(url: str, store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("phone_verify.stores.sql.engine.WAIT", 1)
    settings = _POSTGRESQL_SETTINGS.replace("lock_timeout=5s", "lock_timeout=1s")
    monkeypatch.setattr("phone_verify.stores.sql.engine._POSTGRESQL_SETTINGS", settings)
    order = opening()
    run(store.open(order, [], LIMITS, None))
    hurried = SqlStore.from_url(url)
    with store._transactions.engine.connect() as connection:
        connection.exec_driver_sql("BEGIN")
        connection.exec_driver_sql("SELECT tag FROM phone_verify_phone FOR UPDATE")
        with pytest.raises(StoreError):
            run(hurried.spend(order.id, BINDING, [WRONG], 6, LIMITS, NOBODY, None))
        assert run(hurried.get(order.id, None)) is not None, "reading goes on"
        connection.rollback()
    spent = run(hurried.spend(order.id, BINDING, [WRONG], 6, LIMITS, NOBODY, None))
    assert isinstance(spent, Spent)
    assert spent.record.attempts_left == 4


def test_code_that_expires_while_a_transaction_waits_is_refused(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("phone_verify.stores.rows.verbs.Mode", always_locked())
    order = opening(plan=replace(OURS, ttl=timedelta(seconds=1)))
    opened = run(store.open(order, [], LIMITS, None))
    assert isinstance(opened, Verification)
    found: list[Any] = []
    answer = threading.Thread(
        target=lambda: found.append(run(store.spend(order.id, BINDING, [RIGHT], 6, LIMITS, NOBODY, None)))
    )
    with store._transactions.engine.connect() as connection:
        connection.exec_driver_sql("BEGIN")
        connection.exec_driver_sql("SELECT tag FROM phone_verify_phone FOR UPDATE")
        answer.start()
        while datetime.now(UTC) <= opened.expires_at:
            time.sleep(0.01)
        connection.rollback()
    answer.join(30)
    assert getattr(found[0], "why", None) is DenialReason.CLOSED


def test_locked_conversion_delays_for_a_fraction_of_a_second(url: str, store: SqlStore, clock: ManualClock) -> None:
    run(store.add_conversion(ROUTE, 1, 0, clock()))
    with servers.locked(url, "phone_verify_conversion"):
        begun = time.monotonic()
        with pytest.raises(StoreError, match="timed out"):
            run(store.add_conversion(ROUTE, 1, 0, clock()))
        assert time.monotonic() - begun < 2.5, "it took 4 seconds, or more"
        assert counts_of(store, clock) == [(1.0, 0.0)], "a read does not wait"
    run(store.add_conversion(ROUTE, 1, 0, clock()))
    assert counts_of(store, clock) == [(2.0, 0.0)]
    with store._transactions.engine.connect() as connection:
        shown = "SHOW lock_timeout" if url.startswith("postgresql") else "SELECT @@max_statement_time * 1"
        limit = connection.exec_driver_sql(shown).scalar()
    assert limit in ("5s", 0.0), "that of other steps is unchanged"


def test_overtaken_step_is_retried(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between its read and its write another one spends an attempt: neither is lost."""
    order = opening(resend_after=NO_DELAY)
    run(store.open(order, [], LIMITS, None))
    write = store._writes.update
    met = threading.Event()

    def overtaken(*arguments: object) -> bool:
        if not met.is_set():
            met.set()
            assert isinstance(run(store.spend(order.id, BINDING, [WRONG], 6, LIMITS, NOBODY, None)), Spent)
        return write(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(store._writes, "update", overtaken)
    again = run(store.reopen(order.id, BINDING, Channel.SMS, False, [], LIMITS, NO_DELAY, None))
    assert isinstance(again, Verification)
    assert (again.attempts_left, failure_count(again), again.sends) == (4, 1, 2)
    assert run(store.get(order.id, None)) == replace(again, read_at=ANY)


def test_step_that_is_kept_from_writing_is_an_error(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by a policy or a trigger of the site: no row is written, although no other step came between."""
    order = opening()
    run(store.open(order, [], LIMITS, None))
    monkeypatch.setattr(store._writes, "update", lambda *values, **options: False)
    with pytest.raises(StoreError, match="kept a step from writing"):
        run(store.settle(order.id, Status.CANCELLED, None))


def test_failed_reservation_leaves_no_transaction(url: str, store: SqlStore) -> None:
    """Another step on its connection would join that transaction, and be lost with it."""
    order = opening()
    run(store.open(order, [], LIMITS, None))
    with pytest.raises(StoreError, match="a place was taken"):
        run(store.reserve(replace(reservation(), lasts=timedelta(microseconds=1)), None))
    run(store.spend(order.id, BINDING, [WRONG], 6, LIMITS, NOBODY, None))
    found = run(servers.store(url).get(order.id, None))
    assert found is not None
    assert found.attempts_left == 4


def test_receipts_with_a_line_are_durable(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only PostgreSQL has asynchronous commits: they are for receipts without a line."""
    orders, lazy = [opening(), opening(plan=CALL)], []
    for order in orders:
        run(store.open(order, [], LIMITS, None))
    run_statement = Prepared.__call__

    def note(statement: Prepared, cursor: Any, *mapping: Any, **values: Any) -> Any:
        lazy.append("synchronous_commit" in statement._text)
        return run_statement(statement, cursor, *mapping, **values)

    monkeypatch.setattr(Prepared, "__call__", note)
    for order, line in zip(orders, (None, LINE), strict=True):
        lazy.clear()
        assert isinstance(run(store.attach(order.id, attachment(order, line=line), None)), Verification)
        assert any(lazy) is (line is None and store._transactions.engine.dialect.name == "postgresql")


def test_every_write_on_a_phone_changes_its_version(store: SqlStore) -> None:
    order, versions = opening(), list[int | None]()
    for write in (
        lambda: store.open(order, [Quota("own", 9)], LIMITS, None),
        lambda: store.attach(order.id, attachment(order), None),
        lambda: store.spend(order.id, BINDING, [WRONG], 6, LIMITS, NOBODY, None),
        lambda: store.spend(order.id, BINDING, [WRONG], 6, LIMITS, NOBODY, None),
        lambda: store.settle(order.id, Status.CANCELLED, None),
    ):
        run(write())
        versions.append(store._transactions.run(lambda tx: tx.phone(order.tag)[0].version, None))
    assert None not in versions
    assert len(set(versions)) == len(versions)


@pytest.mark.parametrize("slow", [False, True], ids=["exact", "slow"])
def test_receipt_reads_nothing_if_the_time_of_the_start_was_exact(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch, slow: bool
) -> None:
    """However long the provider took: the ticks since tell the server's time, unless it was long on its way."""
    ahead, pace, texts, run_statement = [0.0], [0.0], [], Prepared.__call__

    def ticks() -> float:
        ahead[0] += pace[0]
        return time.monotonic() + ahead[0]

    def note(statement: Prepared, cursor: Any, *mapping: Any, **values: Any) -> Any:
        texts.append(statement._text)
        return run_statement(statement, cursor, *mapping, **values)

    monkeypatch.setattr(transactions, "time", SimpleNamespace(monotonic=ticks, time_ns=time.time_ns))
    order, pace[0] = opening(), 0.2 if slow else 0.0
    record = run(store.open(order, [], LIMITS, None))
    assert isinstance(record, Verification)
    pace[0], ahead[0] = 0.0, ahead[0] + 30
    monkeypatch.setattr(Prepared, "__call__", note)
    sent = run(store.attach(order.id, attachment(order), None))
    assert isinstance(sent, Verification)
    assert (len(texts) == 1) is not slow
    assert (sent.read_at - record.read_at > timedelta(seconds=29)) is not slow


def test_receipt_undoes_no_earlier_step(url: str, store: SqlStore) -> None:
    """The process that wrote the start caches it; another process has since spent an attempt."""
    order, other = opening(), SqlStore.from_url(url)
    record = run(store.open(order, [], LIMITS, None))
    assert isinstance(record, Verification)
    assert isinstance(run(other.spend(order.id, BINDING, [WRONG], 6, LIMITS, NOBODY, None)), Spent)
    sent = run(store.attach(order.id, attachment(order), None))
    assert isinstance(sent, Verification)
    assert (sent.attempts_left, failure_count(sent), sent.status) == (record.attempts_left - 1, 1, Status.SENT)
    assert run(store.get(order.id, None)) == replace(sent, read_at=ANY)


def test_start_sees_counts_of_another_process(url: str, store: SqlStore) -> None:
    """A start that has the time cached first assumes a new phone."""
    quota, other = Quota("own", 2), SqlStore.from_url(url)
    for each in (store, other):
        run(each.count([Quota("total", 9)], None))
        assert isinstance(run(each.open(opening(), [quota], LIMITS, None)), Verification)
    assert isinstance(run(store.open(opening(), [quota], LIMITS, None)), Denied)


def test_phone_with_a_deleted_row_can_be_written(url: str, store: SqlStore) -> None:
    order = opening()
    run(store.open(order, [], LIMITS, None))
    servers.execute(url, "DELETE FROM phone_verify_phone")
    assert isinstance(run(store.spend(order.id, BINDING, [WRONG], 6, LIMITS, NOBODY, None)), Spent)
    assert isinstance(run(store.spend(order.id, BINDING, [RIGHT], 6, LIMITS, NOBODY, None)), Spent)


_WITHOUT_POLL = """
import select, sys
del select.poll, select.epoll
from phone_verify.stores.sql import SqlStore
from phone_verify.testing.stores import opening, run
from tests.stores import servers

url = sys.argv[1]
store = SqlStore.from_url(url)
for _ in range(2):
    assert run(store.get(opening().id, None)) is None
with store._transactions.engine.connect() as connection:
    number = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
servers.end(url, number)
assert run(store.get(opening().id, None)) is None, "a connection that was closed while idle is replaced"
print("done")
"""


@pytest.mark.slow
def test_system_without_poll_works() -> None:
    """As Windows, and under eventlet, which removes it."""
    with servers.database("postgresql") as url:
        upgrade(url)
        command = [sys.executable, "-c", _WITHOUT_POLL, url]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "done\n", done.stderr


_FORKED_IN_C = """
import ctypes, os, sys
from phone_verify.stores.sql import SqlStore
from phone_verify.testing.stores import opening, run

store = SqlStore.from_url(sys.argv[1])

def session():
    assert run(store.get(opening().id, None)) is None
    connections = store._transactions.connections
    connection = connections.take()
    raw = connection.dbapi_connection
    number = raw.info.backend_pid if "postgresql" in sys.argv[1] else raw.thread_id()
    connections.give_back(connection)
    return number

before = session()
child = ctypes.PyDLL(None).fork()
if child == 0:
    os._exit(0 if session() != before else 1)
assert os.waitpid(child, 0)[1] == 0, "the child has the connection of its parent"
unused = ctypes.PyDLL(None).fork()
if unused == 0:
    del store
    os._exit(0)
os.waitpid(unused, 0)
assert session() == before, "the parent keeps its connection"
print("done")
"""


@pytest.mark.slow
def test_fork_without_hooks_shares_no_connection(url: str) -> None:
    """As uWSGI forks its workers: a shared connection would give one visitor the answer for another."""
    command = [sys.executable, "-c", _FORKED_IN_C, url]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "done\n", done.stderr


def test_connection_is_not_kept_while_a_thread_may_wait_for_it(store: SqlStore) -> None:
    connections, got = store._transactions.connections, threading.Event()
    taken = [connections.take() for _ in range(MOST)]

    def wait() -> None:
        taken.append(connections.take())
        got.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    connections.give_back(taken.pop())
    assert got.wait(WAIT / 2), "the connection was kept"
    waiting.join()
    for connection in taken:
        connections.give_back(connection)
    assert len(connections._idle) == KEPT


@pytest.mark.parametrize("kind", [sa.NullPool, sa.StaticPool])
def test_engine_of_the_site_may_have_any_pool(url: str, kind: type[sa.Pool]) -> None:
    driver = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}
    engine = sa.create_engine(sa.make_url(url).set(drivername=driver[sa.make_url(url).drivername]), poolclass=kind)
    store = SqlStore(engine)
    assert run(store.get(opening().id, None)) is None
    assert not store._transactions.connections._idle
    engine.dispose()


def test_connection_is_not_kept_if_its_rollback_is_interrupted(store: SqlStore) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    def step(tx: transactions.Transaction) -> None:
        patch.setattr(type(tx.cursor.connection), "rollback", interrupt)
        raise StoreError("The step failed")

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        store._transactions.run(step, None, transactions.Mode.LOCKED)
    assert not store._transactions.connections._idle


@contextmanager
def interrupted_after_sending(store: SqlStore) -> Iterator[None]:
    """Raise when the next statement was sent, before its answer is read."""
    sent: list[None] = []
    with pytest.MonkeyPatch.context() as patch:
        if store._transactions.engine.dialect.name == "postgresql":

            def waited(self: Connection, gen: Any, *arguments: Any, **named: Any) -> Any:
                next(gen)
                raise TimeLimitError

            patch.setattr(Connection, "wait", waited)
        else:
            send = pymysql.connections.Connection._execute_command

            def execute(self: Any, command: Any, text: Any) -> None:
                send(self, command, text)
                if not sent:
                    sent.append(None)
                    raise TimeLimitError

            patch.setattr(pymysql.connections.Connection, "_execute_command", execute)
        with pytest.raises(TimeLimitError):
            yield


@pytest.mark.parametrize("verb", ["get", "spend"])
def test_interrupted_step_leaves_no_answer_to_the_next_one(store: SqlStore, verb: str) -> None:
    """The next one would take it for its own, and return the record of another visitor."""
    orders = [opening() for _ in range(3)]
    for order in orders:
        run(store.open(order, [], LIMITS, None))
    with interrupted_after_sending(store):
        if verb == "get":
            run(store.get(orders[0].id, None))
        else:
            run(store.spend(orders[0].id, BINDING, [WRONG], 6, LIMITS, NOBODY, None))
    for order in orders[::-1]:
        found = run(store.get(order.id, None))
        assert found is not None
        assert found.id == order.id
    assert isinstance(run(store.open(opening(), [], LIMITS, None)), Verification)


def test_answer_to_another_statement_is_refused(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """And its connection is not used again."""
    mine, other = opening(), opening()
    for order in (mine, other):
        run(store.open(order, [], LIMITS, None))
    reads, used = store._transactions._reads, list[Any]()
    read = reads.record

    def read_other(cursor: Any, values: Any) -> Any:
        used.append(cursor.connection)
        return read(cursor, {**values, "this": other.id, "of_phone": other.tag})

    with monkeypatch.context() as patch:
        patch.setattr(reads, "record", read_other)
        with pytest.raises(StoreError, match="the answer to another statement"):
            run(store.get(mine.id, None))
    assert run(store.get(mine.id, None)) is not None
    assert used[0] not in [kept.dbapi_connection for kept in store._transactions.connections._idle]


@pytest.mark.parametrize(
    ("database", "text"),
    [
        ("postgresql", "SET default_transaction_read_only = on"),
        ("postgresql", "DEALLOCATE ALL"),
        pytest.param("mysql", "SET SESSION TRANSACTION READ ONLY", marks=pytest.mark.slow),
    ],
    indirect=["database"],
)
def test_outdated_session_is_replaced(store: SqlStore, text: str) -> None:
    """After a failover that leaves sockets open, and behind a pooler that clears sessions: without a restart."""
    quota, connections = [Quota("total", 10)], store._transactions.connections
    for _ in range(9):  # psycopg prepares a statement after five
        assert isinstance(run(store.count(quota, None)), Counted)
    for connection in connections._idle:
        raw: Any = connection.dbapi_connection
        if isinstance(raw, psycopg.Connection):
            raw.pgconn.exec_(text.encode())  # psycopg's cursor would notice that its statements are gone
        else:
            raw.query(text)
    assert isinstance(run(store.count(quota, None)), Counted)
    assert isinstance(run(store.count(quota, None)), Denied)


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_changed_type_of_a_column_needs_no_restart(url: str, store: SqlStore) -> None:
    order = opening()
    run(store.open(order, [], LIMITS, None))
    for _ in range(9):
        run(store.get(order.id, None))
    change = "ALTER TABLE phone_verify_verification ALTER COLUMN purpose TYPE {}"
    try:
        servers.execute(url, change.format("text"))
        assert run(store.get(order.id, None)) is not None
    finally:
        servers.execute(url, change.format("varchar(32)"))


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
@pytest.mark.parametrize("left", ["BEGIN", "BEGIN; SELECT 1/0"])
def test_connection_that_was_left_in_a_transaction_is_not_used(store: SqlStore, left: str) -> None:
    connections = store._transactions.connections
    connection = connections.take()
    with suppress(psycopg.Error):
        connections.cursor(connection).execute(left)
    connections.give_back(connection)
    order = opening()
    assert isinstance(run(store.open(order, [], LIMITS, None)), Verification)
    assert run(store.get(order.id, None)) is not None
    assert not connection.is_valid


def test_loss_of_a_connection_leaves_the_limit_to_the_others(url: str, store: SqlStore) -> None:
    connections = store._transactions.connections
    taken = [connections.take() for _ in range(MOST)]
    waiting = threading.Thread(target=lambda: taken.append(connections.take()))
    waiting.start()
    connections.forget(taken.pop(), RuntimeError("lost"))
    waiting.join(WAIT / 2)
    assert not waiting.is_alive(), "a thread waits at a pool that nothing is given back to"
    pool: Any = connections.engine.pool
    assert pool.checkedout() == MOST  # the same pool: another would have a separate limit
    for connection in taken:
        connections.give_back(connection)


def test_connections_that_were_idle_in_the_pool_are_replaced_after_a_loss(store: SqlStore) -> None:
    connections = store._transactions.connections
    taken = [connections.take() for _ in range(KEPT + 2)]
    older = [connection.dbapi_connection for connection in taken]
    for connection in taken[: KEPT + 1]:
        connections.give_back(connection)  # the last one to the pool
    connections.forget(taken[-1], RuntimeError("lost"))
    assert not connections._idle
    newer = connections.take()
    assert not any(newer.dbapi_connection is old for old in older)
    connections.give_back(newer)


def test_connection_of_the_pool_may_end_before_a_loss(url: str, store: SqlStore) -> None:
    connections = store._transactions.connections
    taken = [connections.take() for _ in range(KEPT + 2)]
    raw: Any = taken[KEPT].dbapi_connection
    for connection in taken[: KEPT + 1]:
        connections.give_back(connection)
    servers.end(url, raw.info.backend_pid if url.startswith("postgresql") else raw.thread_id())
    connections.forget(taken[-1], RuntimeError("lost"))
    assert isinstance(run(store.open(opening(), [], LIMITS, None)), Verification)


def test_connection_that_ended_while_idle_is_replaced(url: str, store: SqlStore) -> None:
    assert run(store.get(opening().id, None)) is None
    (idle,) = store._transactions.connections._idle
    raw: Any = idle.dbapi_connection
    servers.end(url, raw.info.backend_pid if url.startswith("postgresql") else raw.thread_id())
    assert isinstance(run(store.open(opening(), [], LIMITS, None)), Verification)
    (other,) = store._transactions.connections._idle
    assert other is not idle


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_start_that_is_repeated_after_a_deadlock_counts_once(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    own, shared = Quota("own", 2), [Quota("total", 9)]
    run(store.count(shared, None))
    writes, calls = store._writes, list[int]()
    start_at_once = writes.start_at_once

    def deadlocked_once(*arguments: Any, **named: Any) -> bool:
        calls.append(1)
        if len(calls) == 1:
            raise psycopg.errors.DeadlockDetected
        return start_at_once(*arguments, **named)

    monkeypatch.setattr(writes, "start_at_once", deadlocked_once)
    opened = run(store.count_and_open(shared, opening(), [own], LIMITS, None))
    assert not isinstance(opened, Denied)
    assert len(calls) == 2
    assert isinstance(run(store.open(opening(), [own], LIMITS, None)), Verification), "the second of two"


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_start_after_an_erasure_does_not_write_the_old_counts(
    store: SqlStore, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    order, quota, shared = opening(), Quota("own", 2), [Quota("total", 9)]
    run(store.count(shared, None))
    run(store.open(order, [quota], LIMITS, None))
    monkeypatch.setattr(store._writes, "start_at_once", after_erasing(store, SqlStore.from_url(url), order.tag))
    assert not isinstance(run(store.count_and_open(shared, opening(), [quota], LIMITS, None)), Denied)
    assert isinstance(run(store.open(opening(), [quota], LIMITS, None)), Verification), "the second of two"


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_start_during_an_erasure_does_not_write_the_old_counts(
    store: SqlStore, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    order, quota, shared = opening(), Quota("own", 2), [Quota("total", 9)]
    run(store.count(shared, None))
    run(store.open(order, [quota], LIMITS, None))
    monkeypatch.setattr(store._writes, "start_at_once", while_erasing(store, url, "phone_verify_phone"))
    assert not isinstance(run(store.count_and_open(shared, opening(), [quota], LIMITS, None)), Denied)
    assert isinstance(run(store.open(opening(), [quota], LIMITS, None)), Verification), "the second of two"


WAITS_FOR_US = """SELECT EXISTS (
    SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid)))"""


def while_erasing(store: Any, url: str, table: str) -> Any:
    """Return the start of a store that waits for an erasure of the phones, once."""
    start_at_once, erasures = store._writes.start_at_once, iter([psycopg.connect(url)])

    def commit(erasing: psycopg.Connection) -> None:
        with erasing:
            while not erasing.execute(WAITS_FOR_US).fetchone()[0]:
                time.sleep(0.01)

    def start(*arguments: Any, **named: Any) -> Any:
        for erasing in erasures:
            erasing.execute(f"DELETE FROM {table}")
            threading.Thread(target=commit, args=[erasing]).start()
        return start_at_once(*arguments, **named)

    return start


def after_erasing(store: Any, other: Any, tag: str) -> Any:
    """Return the start of a store before which another one erases the phone, once."""
    start_at_once, erasures = store._writes.start_at_once, iter([tag])

    def start(*arguments: Any, **named: Any) -> Any:
        for erased in erasures:
            run(other.erase(erased, None))
        return start_at_once(*arguments, **named)

    return start
