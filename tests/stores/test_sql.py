"""The SQL store on SQLite files: the suite, concurrent processes, forks, and refusals."""

from __future__ import annotations

import gc
import importlib
import json
import logging
import multiprocessing
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy.dialects.postgresql import psycopg

from phone_verify.errors import ConfigurationError, StoreError
from phone_verify.lifecycle import PROOF_LIFE, Spent
from phone_verify.limits import Counted, Denied, Quota
from phone_verify.model import Status, Verification
from phone_verify.stores.rows.writes import _PURGED, WriteStatements
from phone_verify.stores.sql import SqlStore, connections, metadata, schema, tables, transactions
from phone_verify.stores.sql import connections as connections_of_sql
from phone_verify.stores.sql import engine as sql_engine
from phone_verify.testing.clock import ManualClock
from phone_verify.testing.stores import (
    BINDING,
    LIMITS,
    NOBODY,
    RIGHT,
    ROUNDS,
    WRONG,
    StoreSuite,
    opening,
    reservation,
    run,
    together,
)

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite3"


@pytest.fixture
def store(path: Path) -> SqlStore:
    return SqlStore.from_url(f"sqlite:///{path}")


@pytest.fixture(scope="module")
def with_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file that has the tables and nothing else."""
    path = tmp_path_factory.mktemp("with_tables") / "store.sqlite3"
    schema.upgrade(f"sqlite:///{path}")
    return path


class TestSqliteStore(StoreSuite):
    @pytest.fixture
    def path(self, with_tables: Path, tmp_path: Path) -> Path:
        return shutil.copy(with_tables, tmp_path)

    @pytest.fixture
    def store(self, path: Path) -> SqlStore:
        return SqlStore.from_url(f"sqlite:///{path}")

    @pytest.fixture
    def stores(self, store: SqlStore, path: Path) -> list[SqlStore]:
        # The second store represents another process: its threads do not queue with those of the first.
        return [store, store, store, SqlStore.from_url(f"sqlite:///{path}")]

    @pytest.fixture
    def forgetful(self, path: Path) -> SqlStore:
        return SqlStore.from_url(f"sqlite:///{path}", keep=PROOF_LIFE)

    def test_phone_row_drops_expired_counts(self, store: SqlStore, clock: ManualClock) -> None:
        for n in range(5):
            self.fail(store, clock, 1, purpose=f"purpose_{n}")
            run(store.open(opening(), [Quota(f"quota {n}", 9)], LIMITS, clock()))
            clock.move(4000)
        with store._transactions.engine.connect() as connection:
            windows, failures = connection.execute(
                sqlalchemy.select(tables.PHONE.c.windows, tables.PHONE.c.failures)
            ).one()
        assert (len(json.loads(windows)), len(json.loads(failures))) == (1, 1)

    def test_interrupted_step_leaves_nothing(
        self, store: SqlStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        live, quota = self.open(store, clock), Quota("sends:p", 1)

        def break_off(*_: object, **__: object) -> None:
            raise sqlite3.OperationalError("disk I/O error")

        with monkeypatch.context() as patch:
            patch.setattr(store._writes, "insert", break_off)
            with pytest.raises(StoreError):
                run(store.open(opening(shown=[BINDING]), [quota], LIMITS, clock()))
        assert run(store.get(live.id, clock())) == live
        assert isinstance(run(store.open(opening(), [quota], LIMITS, clock())), Verification)


def in_processes(work: Callable[[int], object], count: int) -> list[Any]:
    """Return the results of `count` forked processes that begin `work` simultaneously."""
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(count), context.SimpleQueue()

    def child(number: int) -> None:
        barrier.wait(60)
        try:
            results.put(work(number))
        except StoreError as error:
            results.put(error)

    children = [context.Process(target=child, args=(number,)) for number in range(count)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the fork with running threads is the subject of the test
        for process in children:
            process.start()
    answers = [results.get() for _ in children]
    for process in children:
        process.join(60)
    return answers


@forks
@pytest.mark.race
def test_processes_sharing_a_file_count_every_conversion(store: SqlStore) -> None:
    def add(_: int) -> int:
        for _ in range(20):
            run(store.add_conversion("kavenegar:IR:sms", 1, 1, None))
        return 20

    assert in_processes(add, 4) == [20] * 4
    (found,) = run(store.conversions(["kavenegar:IR:sms"], None))
    assert (found.sent, found.verified) == pytest.approx((80, 80), rel=0.01)


@forks
@pytest.mark.race
@pytest.mark.parametrize("_", range(ROUNDS))
def test_processes_sharing_a_file_share_the_limit(store: SqlStore, _: int) -> None:
    record = run(store.open(opening(), [], LIMITS, None))
    assert isinstance(record, Verification)

    def guess(_: int) -> list[int]:
        answers = [run(store.spend(record.id, BINDING, [WRONG], 6, LIMITS, NOBODY, None)) for _ in range(10)]
        return [answer.record.attempts_left for answer in answers if isinstance(answer, Spent)]

    taken = in_processes(guess, 8)
    assert sorted(left for some in taken for left in some) == [0, 1, 2, 3, 4]
    found = run(store.get(record.id, None))
    assert found is not None
    assert found.status is Status.EXHAUSTED


@forks
@pytest.mark.race
@pytest.mark.parametrize("_", range(ROUNDS))
def test_concurrent_processes_create_the_tables_once(path: Path, _: int) -> None:
    quota = Quota("total", 100)
    answers = in_processes(lambda _: run(SqlStore.from_url(f"sqlite:///{path}").count([quota], None)), 8)
    assert not [answer for answer in answers if isinstance(answer, (Denied, Exception))]
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count FROM phone_verify_counter").fetchall() == [(8,)]
    connection.close()


@pytest.fixture
def open_umask() -> Iterator[None]:
    """Files are created world-readable unless the creator sets a mode."""
    before = os.umask(0)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    return {each.name: each.stat().st_mode & 0o777 for each in folder.iterdir()}


@pytest.mark.usefixtures("open_umask")
def test_new_file_is_readable_by_its_user_only(store: SqlStore, path: Path) -> None:
    assert not path.exists(), "nothing is made before it is needed"
    run(store.open(opening(), [], LIMITS, None))
    assert modes(path.parent) == dict.fromkeys((path.name, f"{path.name}-wal", f"{path.name}-shm"), 0o600)


@pytest.mark.usefixtures("open_umask")
def test_existing_file_keeps_its_mode(store: SqlStore, path: Path) -> None:
    path.touch(mode=0o640)
    run(store.open(opening(), [], LIMITS, None))
    assert modes(path.parent) == dict.fromkeys((path.name, f"{path.name}-wal", f"{path.name}-shm"), 0o640)


@pytest.mark.usefixtures("open_umask")
def test_new_file_behind_a_dangling_link_is_private(tmp_path: Path) -> None:
    target, link = tmp_path / "target.sqlite3", tmp_path / "link.sqlite3"
    link.symlink_to(target)
    run(SqlStore.from_url(f"sqlite:///{link}").open(opening(), [], LIMITS, None))
    assert target.stat().st_mode & 0o777 == 0o600


@forks
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files cannot be listed here")
def test_no_connection_is_open_while_the_process_forks(store: SqlStore, path: Path) -> None:
    run(store.open(opening(), [], LIMITS, None))
    assert str(path) in open_files()
    assert [files for files in in_processes(lambda _: open_files(), 1) if str(path) in files] == []
    assert isinstance(run(store.open(opening(), [], LIMITS, None)), Verification)


def test_count_and_open_are_one_transaction(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    total, own, taken = Quota("total", 2), Quota("own", 1), list[Any]()
    assert not isinstance(run(store.count_and_open([total], opening(), [own], LIMITS, None)), Denied)
    with monkeypatch.context() as patch:
        execute = store._transactions.run
        patch.setattr(store._transactions, "run", lambda *given: taken.append(given) or execute(*given))
        denied = run(store.count_and_open([total], opening(), [own], LIMITS, None))
    assert isinstance(denied, Denied)
    assert len(taken) == 1
    assert not isinstance(run(store.count([total], None)), Denied), "the denied start was not counted"
    assert isinstance(run(store.count([total], None)), Denied)


def test_threads_of_a_forked_process_share_one_gate(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server in C forks a worker whose threads all begin with a step."""
    run(store.count([Quota("total", 99)], None))
    kept, calls = store._transactions.connections, list[int]()
    after_fork = kept.after_fork_in_child

    def slowly() -> None:
        calls.append(1)
        time.sleep(0.02 * len(calls))
        after_fork()

    monkeypatch.setattr(kept, "after_fork_in_child", slowly)
    monkeypatch.setattr(kept, "_pid", 0)
    together(8, lambda _: [run(store.count([Quota("total", 99)], None)) for _ in range(5)])
    assert len(calls) == 1
    assert isinstance(run(store.count([Quota("total", 42)], None)), Counted)
    assert isinstance(run(store.count([Quota("total", 42)], None)), Denied)


_FORKED_IN_C = """
import ctypes, os, sys
from phone_verify.stores.sql import SqlStore
from phone_verify.testing.stores import LIMITS, opening, run

def opened():
    files = (f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd"))
    return [os.readlink(file) for file in files if os.path.exists(file)].count(sys.argv[1])

store = SqlStore.from_url(f"sqlite:///{sys.argv[1]}")
order = opening()
run(store.open(order, [], LIMITS, None))
assert opened() == 1
child = ctypes.PyDLL(None).fork()
if child == 0:
    found = run(store.get(order.id, None))
    os._exit(0 if found is not None and opened() == 2 else 1)
assert os.waitpid(child, 0)[1] == 0, "the child has opened a connection, and left the inherited one open"
assert run(store.get(order.id, None)) is not None
print("done")
"""


@forks
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files cannot be listed here")
def test_process_forked_without_hooks_shares_no_connection(path: Path) -> None:
    """As uWSGI forks its workers."""
    command = [sys.executable, "-c", _FORKED_IN_C, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "done\n", done.stderr


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files cannot be listed here")
def test_connection_is_kept_and_closed_with_its_store(path: Path) -> None:
    store = SqlStore.from_url(f"sqlite:///{path}")
    run(store.open(opening(), [], LIMITS, None))
    checkouts: list[object] = []
    sqlalchemy.event.listen(store._transactions.engine, "checkout", lambda *given: checkouts.append(given))
    run(store.open(opening(), [], LIMITS, None))
    assert not checkouts
    assert open_files().count(str(path)) == 1
    del store
    gc.collect()
    assert str(path) not in open_files()


def test_end_of_a_store_leaves_the_connection_to_a_step_that_lasts(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread of a server may be in a step when the process ends: closing its connection would crash it."""
    monkeypatch.setattr(connections_of_sql, "_WAIT_TO_CLOSE", 0.05)
    store = SqlStore.from_url(f"sqlite:///{path}")
    run(store.open(opening(), [], LIMITS, None))
    connections = store._transactions.connections
    with connections:
        connection = connections.take()
        connections.close()
        assert connection.is_valid
        connection.cursor().execute("SELECT 1")
        connections.give_back(connection)
    connections.close()
    assert not connection.is_valid


def open_files() -> list[str]:
    files = []
    for number in os.listdir("/proc/self/fd"):
        try:
            files.append(os.readlink(f"/proc/self/fd/{number}"))
        except OSError:
            continue  # the one that lists the directory
    return files


@forks
def test_fork_waits_for_the_step_of_another_thread(store: SqlStore) -> None:
    record = run(store.open(opening(), [], LIMITS, None))
    assert isinstance(record, Verification)
    done = threading.Event()

    def read_on() -> None:
        while not done.is_set():
            run(store.get(record.id, None))

    reader = threading.Thread(target=read_on)
    reader.start()
    try:
        for _ in range(5):
            (found,) = in_processes(lambda _: run(store.get(record.id, None)), 1)
            assert found.id == record.id
    finally:
        done.set()
        reader.join(60)


@forks
def test_attempt_survives_the_death_of_its_process(store: SqlStore) -> None:
    record = run(store.open(opening(), [], LIMITS, None))
    assert isinstance(record, Verification)

    def spend_and_die() -> None:
        run(store.spend(record.id, BINDING, [WRONG], 6, LIMITS, NOBODY, None))
        os.kill(os.getpid(), signal.SIGKILL)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = multiprocessing.get_context("fork").Process(target=spend_and_die)
        child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    found = run(store.get(record.id, None))
    assert found is not None
    assert found.attempts_left == 4


def test_locked_store_raises_an_error_and_recovers(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (sql_engine, connections, transactions):
        monkeypatch.setattr(module, "WAIT", 0.05)
    store = SqlStore.from_url(f"sqlite:///{path}")
    order = opening()
    run(store.open(order, [], LIMITS, None))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="the database is locked"):
        run(store.spend(order.id, BINDING, [RIGHT], 6, LIMITS, NOBODY, None))
    assert run(store.get(order.id, None)) is not None, "reading goes on"
    other.close()
    assert isinstance(run(store.spend(order.id, BINDING, [RIGHT], 6, LIMITS, NOBODY, None)), Spent)


def test_threads_that_wait_too_long_get_an_error(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    run(store.get("x" * 44, None))
    for module in (sql_engine, connections, transactions):
        monkeypatch.setattr(module, "WAIT", 0.05)
    with store._transactions.connections, pytest.raises(StoreError, match="too busy"):
        run(store.get("x" * 44, None))


def test_gate_that_an_interruption_left_closed_is_replaced(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """It can come between the acquisition and the block that releases; SQLite's own lock still protects the file."""
    run(store.get("x" * 44, None))
    monkeypatch.setattr(connections, "WAIT", 0.05)
    of_store = store._transactions.connections
    left = of_store._gate
    left.acquire()
    with pytest.raises(StoreError, match="too busy"):
        run(store.get("x" * 44, None))
    assert isinstance(run(store.open(opening(), [], LIMITS, None)), Verification)
    left.release()


def test_step_that_lasts_too_long_releases_only_its_own_gate(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    run(store.get("x" * 44, None))
    monkeypatch.setattr(connections, "WAIT", 0.05)
    of_store, replaced = store._transactions.connections, threading.Event()

    def wait() -> None:
        with pytest.raises(StoreError, match="too busy"):
            run(store.get("x" * 44, None))
        replaced.set()

    with of_store:
        thread = threading.Thread(target=wait)
        thread.start()
        assert replaced.wait(10)
        thread.join()
        newer = of_store._gate
        newer.acquire()
    assert newer.locked()
    newer.release()


def test_failed_reservation_leaves_no_transaction(store: SqlStore, path: Path) -> None:
    with pytest.raises(StoreError, match="a place was taken"):
        run(store.reserve(replace(reservation(), lasts=timedelta(microseconds=1)), None))
    run(SqlStore.from_url(f"sqlite:///{path}").count([Quota("total", 9)], None))
    run(store.count([Quota("total", 9)], None))


def test_errors_name_their_kind_and_no_values(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = SqlStore.from_url(f"sqlite:///{path}", create_tables=False)
    order = opening()
    with caplog.at_level(logging.DEBUG), pytest.raises(StoreError, match="a table is missing") as raised:
        run(store.open(order, [], LIMITS, None))
    assert raised.value.__cause__ is None
    assert order.id not in f"{raised.value}{caplog.text}"


def test_missing_directory_is_a_store_error(tmp_path: Path) -> None:
    store = SqlStore.from_url(f"sqlite:///{tmp_path}/nowhere/store.sqlite3")
    with pytest.raises(StoreError, match="the database file cannot be opened"):
        run(store.get("x" * 44, None))


def test_sqlite_uses_wal_and_keeps_its_path_after_chdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = SqlStore.from_url("sqlite:///relative.sqlite3")
    monkeypatch.chdir("/")
    run(store.get("x" * 44, None))
    with store._transactions.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 1
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 5000
    assert (tmp_path / "relative.sqlite3").exists()


def test_site_may_create_the_tables_itself(path: Path) -> None:
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    metadata.create_all(engine)
    engine.dispose()
    names = ("verification", "phone", "counter", "conversion", "response")
    assert set(metadata.tables) == {f"phone_verify_{name}" for name in names}
    store = SqlStore.from_url(f"sqlite:///{path}", create_tables=False)
    assert isinstance(run(store.open(opening(), [], LIMITS, None)), Verification)


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&cache=shared&uri=true"]
)
def test_sqlite_without_a_file_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="memory:"):
        SqlStore.from_url(url)


def test_engines_without_statements_are_refused(path: Path) -> None:
    engine = sqlalchemy.create_engine(f"sqlite:///{path}", paramstyle="named")
    with pytest.raises(ConfigurationError, match="paramstyle of this engine, with pysqlite, is 'named'"):
        SqlStore(engine)
    engine.dialect.name = "oracle"
    with pytest.raises(ConfigurationError, match="not oracle"):
        SqlStore(engine)


@pytest.mark.parametrize(
    "url", ["oracle://user:hunter2@db/x", "user:hunter2@db", "postgresql://user:hunter2@db:port/x"]
)
def test_url_of_another_kind_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ConfigurationError, match="PHONE_VERIFY_STORE") as raised:
        SqlStore.from_url(url)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "package", "extra"),
    [("postgresql://u:hunter2@db/x", "psycopg", "sql,postgresql"), ("mysql://u:hunter2@db/x", "pymysql", "sql,mysql")],
)
def test_missing_package_is_named_by_its_extra(
    url: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigurationError) as raised:
        SqlStore.from_url(url)
    assert f"pip install 'phone-verify[{extra}]'" in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_missing_sqlalchemy_is_named_by_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    monkeypatch.delitem(sys.modules, "phone_verify.stores.sql")
    with pytest.raises(ConfigurationError, match=r"phone-verify\[sql\]"):
        importlib.import_module("phone_verify.stores.sql")


def test_store_repr_shows_no_address(store: SqlStore) -> None:
    assert repr(store) == "<SqlStore on sqlite>"


def test_postgresql_plans_a_start_for_the_rows_it_purges() -> None:
    """A plan is made once, for any values: with the literal number it scanned the whole of a large table."""
    text = WriteStatements(tables.row_tables(psycopg.dialect()))._starts[True]._text
    assert re.findall(r"LIMIT (\S+)", text) == [str(most) for most in _PURGED.values()]
