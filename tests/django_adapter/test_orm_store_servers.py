"""The store in Django's database on PostgreSQL and MariaDB: the suite, callers' blocks, lost connections, purging."""

from __future__ import annotations

import itertools
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any
from unittest.mock import ANY

import pytest
from django.db import connections, transaction

from phone_verify.errors import StoreError
from phone_verify.lifecycle import PROOF_LIFE, AttemptResult, Spent
from phone_verify.limits import Counted, Denied, Limits, Quota
from phone_verify.model import Status, Verification
from phone_verify.phone import PhoneNumber
from phone_verify.stores.base import RETENTION, Store
from phone_verify.stores.rows import verbs
from phone_verify.testing.clock import ManualClock
from phone_verify.testing.stores import (
    BINDING,
    LIMITS,
    NOBODY,
    RIGHT,
    WRONG,
    StoreRaces,
    StoreSuite,
    Sweeping,
    attachment,
    failure_count,
    opening,
    run,
    together,
)
from phone_verify.testing.stores.conversions import ROUTE, counts_of
from phone_verify_django.models import ConversionRow, CounterRow, PhoneRow, VerificationRow
from phone_verify_django.store import OrmStore
from tests.django_adapter.databases import make_tables, registered, settings_of, tables
from tests.interruptions import TimeLimitError
from tests.stores import servers
from tests.stores.modes import always_locked
from tests.stores.test_sql_servers import after_erasing, while_erasing

#: In Django every thread has a separate connection, and a server accepts a hundred.
MOST_THREADS = 40


@pytest.fixture(scope="module", params=servers.PARAMETERS)
def database(request: pytest.FixtureRequest, django_db_blocker: Any) -> Iterator[str]:
    """The URL of a separate database of this run, with the tables."""
    with servers.database(request.param) as url:
        with registered("own", settings_of(url), django_db_blocker) as alias:
            make_tables(alias)
        yield url


@pytest.fixture
def options() -> dict[str, Any]:
    """Return the site's database options besides the URL."""
    return {}


@pytest.fixture
def alias(database: str, options: dict[str, Any], django_db_blocker: Any) -> Iterator[str]:
    """Return an unused name for it."""
    own = {**settings_of(database), "OPTIONS": options}
    with registered("own", own, django_db_blocker) as alias:
        for model in tables():
            model._default_manager.using(alias).all().delete()
        yield alias


@pytest.fixture
def store(alias: str) -> OrmStore:
    return OrmStore(using=alias)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def leave() -> None:
    """Close the connections of an ending thread."""
    connections["own"].close()


class OnServers:
    @pytest.fixture
    def store(self, alias: str) -> OrmStore:
        return OrmStore(using=alias)

    def race(self, stores: Sequence[Store], count: int, step: Callable[[Store, int], Any]) -> list[Any]:
        threads = min(count, MOST_THREADS)

        def share(first: int) -> list[Any]:
            return [step(stores[0], number) for number in range(first, count, threads)]

        return [answer for answers in together(threads, share, leave) for answer in answers]


@pytest.mark.slow
class TestServers(OnServers, StoreSuite):
    @pytest.fixture
    def forgetful(self, alias: str) -> OrmStore:
        return OrmStore(using=alias, keep=PROOF_LIFE)


@pytest.mark.slow
class TestTexts(OnServers, StoreSuite):
    """A database without the functions."""

    @pytest.fixture(scope="class")
    @classmethod
    def database(cls, django_db_blocker: Any) -> Iterator[str]:
        with servers.database("postgresql") as url:
            with registered("own", settings_of(url), django_db_blocker) as alias:
                make_tables(alias, functions=False)
            yield url

    @pytest.fixture
    def forgetful(self, alias: str) -> OrmStore:
        return OrmStore(using=alias, keep=PROOF_LIFE)


class TestNestedLoops(OnServers, Sweeping):
    @pytest.fixture
    def alias(self, django_db_blocker: Any) -> Iterator[str]:
        with servers.database("postgresql") as url:
            servers.nest_loops(url)
            with registered("own", settings_of(url), django_db_blocker) as alias:
                make_tables(alias)
                yield alias

    @pytest.fixture
    def forgetful(self, alias: str) -> OrmStore:
        return OrmStore(using=alias, keep=PROOF_LIFE)


@pytest.mark.slow
class TestStrictSites(OnServers, StoreRaces):
    """A site with the strictest isolation level."""

    @pytest.fixture
    def options(self, database: str) -> dict[str, Any]:
        if database.startswith("mysql"):
            return {"isolation_level": "serializable"}
        from django.db.backends.postgresql.psycopg_any import IsolationLevel

        return {"isolation_level": IsolationLevel.SERIALIZABLE.value}


def begun(store: OrmStore) -> Verification:
    record = run(store.open(opening(), [], LIMITS, None))
    assert isinstance(record, Verification)
    return record


@contextmanager
def rolled_back() -> Iterator[None]:
    """A caller's block that has read and written, and is rolled back."""
    with transaction.atomic(using="own"):
        CounterRow.objects.using("own").create(name="the caller's")
        yield
        assert CounterRow.objects.using("own").count() >= 1, "the caller's block goes on"
        transaction.set_rollback(True, using="own")
    assert not CounterRow.objects.using("own").filter(name="the caller's").exists()


def test_wrong_code_stays_counted_after_outer_rollback(store: OrmStore) -> None:
    record = begun(store)
    with rolled_back():
        run(store.spend(record.id, BINDING, [WRONG], 6, LIMITS, NOBODY, None))
    found = run(store.get(record.id, None))
    assert found is not None
    assert found.attempts_left == 4
    assert isinstance(run(store.open(opening(), [], Limits(1), None)), Denied)


def test_right_code_stays_used_after_outer_rollback(store: OrmStore) -> None:
    record = begun(store)
    with rolled_back():
        spent = run(store.spend(record.id, BINDING, [RIGHT], 6, LIMITS, NOBODY, None))
        assert isinstance(spent, Spent)
        assert spent.answer is AttemptResult.RIGHT
        assert run(store.redeem(record.id, BINDING, "", None)) is not None
    found = run(store.get(record.id, None))
    assert found is not None
    assert (found.status, found.redeemed) == (Status.VERIFIED, True)


def test_start_stays_counted_after_outer_rollback(store: OrmStore) -> None:
    own, shared = Quota("own", 1), Quota("total", 1)
    with rolled_back():
        run(store.count([shared], None))
        run(store.open(opening(), [own], LIMITS, None))
    assert isinstance(run(store.count([shared], None)), Denied)
    assert isinstance(run(store.open(opening(), [own], LIMITS, None)), Denied)


def test_locked_conversion_delays_for_a_fraction_of_a_second(
    database: str, store: OrmStore, clock: ManualClock
) -> None:
    run(store.add_conversion(ROUTE, 1, 0, clock()))
    with servers.locked(database, ConversionRow._meta.db_table):
        begun = time.monotonic()
        with pytest.raises(StoreError, match="timed out"):
            run(store.add_conversion(ROUTE, 1, 0, clock()))
        assert time.monotonic() - begun < 2.5, "it took 4 seconds, or more"
        assert counts_of(store, clock) == [(1.0, 0.0)], "a read does not wait"
    run(store.add_conversion(ROUTE, 1, 0, clock()))
    assert counts_of(store, clock) == [(2.0, 0.0)]


ORDER = opening()
VERBS: dict[str, Callable[[OrmStore, ManualClock], Any]] = {
    "count": lambda store, clock: run(store.count([Quota("total", 9)], clock())),
    "open": lambda store, clock: run(store.open(opening(id=ORDER.tag + "x" * 22), [Quota("own", 9)], LIMITS, clock())),
    "spend wrong": lambda store, clock: run(store.spend(ORDER.id, BINDING, [WRONG], 6, LIMITS, NOBODY, clock())),
    "spend right": lambda store, clock: run(store.spend(ORDER.id, BINDING, [RIGHT], 6, LIMITS, NOBODY, clock())),
    "settle": lambda store, clock: run(store.settle(ORDER.id, Status.VERIFIED, clock())),
}


def kept() -> list[Any]:
    return [list(model._default_manager.using("own").order_by("pk").values_list()) for model in tables()]


@pytest.mark.parametrize("verb", VERBS)
def test_dropped_connection_is_all_or_nothing(database: str, store: OrmStore, clock: ManualClock, verb: str) -> None:
    connection = connections["own"]

    def prepare() -> list[Any]:
        for model in tables():
            model._default_manager.using("own").all().delete()
        assert isinstance(run(store.open(ORDER, [], LIMITS, clock())), Verification)
        return kept()

    prepare()
    VERBS[verb](store, clock)
    done = kept()
    for number in itertools.count(1):
        undone = prepare()
        left = iter(range(number - 1, -1, -1))

        def kill(execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
            if next(left, None) == 0:  # noqa: B023 - called in this turn
                if connection.vendor == "postgresql":
                    servers.end(database, connection.connection.info.backend_pid)
                else:
                    servers.end(database, connection.connection.thread_id())
            return execute(sql, params, many, context)

        with connection.execute_wrapper(kill), suppress(StoreError):
            VERBS[verb](store, clock)
            undone = done
        assert kept() == undone
        if next(left, None) is not None:
            assert number > 1
            return


@pytest.mark.parametrize("verb", VERBS)
def test_dead_idle_connection_goes_unnoticed(database: str, store: OrmStore, clock: ManualClock, verb: str) -> None:
    for model in tables():
        model._default_manager.using("own").all().delete()
    assert isinstance(run(store.open(ORDER, [], LIMITS, clock())), Verification)
    raw = connections["own"].connection
    servers.end(database, raw.info.backend_pid if connections["own"].vendor == "postgresql" else raw.thread_id())
    VERBS[verb](store, clock)


@pytest.mark.parametrize("verb", ["get", "unlock"])
def test_interrupted_step_leaves_no_connection(store: OrmStore, clock: ManualClock, verb: str) -> None:
    """It may be in a transaction that Django does not know of, or have an unread answer."""

    def interrupt(execute: Callable[..., Any], text: str, *given: Any) -> Any:
        done = execute(text, *given)
        if text.startswith(("SELECT", "BEGIN", "START TRANSACTION")):
            raise TimeLimitError
        return done

    run(store.open(ORDER, [], LIMITS, clock()))
    with connections["own"].execute_wrapper(interrupt), pytest.raises(TimeLimitError):
        run(store.get(ORDER.id, clock()) if verb == "get" else store.unlock(ORDER.tag, clock()))
    assert connections["own"].connection is None
    assert run(store.get(ORDER.id, clock())) is not None


def test_read_only_session_is_replaced(store: OrmStore, clock: ManualClock) -> None:
    """As after a failover that leaves sockets open: CONN_MAX_AGE may keep the session for hours."""
    quota, connection = [Quota("total", 2)], connections["own"]
    assert isinstance(run(store.count(quota, clock())), Counted)
    read_only = {"postgresql": "default_transaction_read_only = on", "mysql": "SESSION TRANSACTION READ ONLY"}
    with connection.cursor() as cursor:
        cursor.execute(f"SET {read_only[connection.vendor]}")
    assert isinstance(run(store.count(quota, clock())), Counted)
    assert isinstance(run(store.count(quota, clock())), Denied)


def end_all(database: str) -> None:
    """End all connections to this database, as a restart of its server does."""
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    deadline = time.monotonic() + 10
    while servers.execute(database, f"SELECT pg_terminate_backend(pid) {others}") and time.monotonic() < deadline:
        time.sleep(0.02)


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_read_is_repeated_after_a_deadlock(database: str, store: OrmStore) -> None:
    """A migration may lock tables in another order than a read."""
    record = run(store.open(opening(), [], LIMITS, None))
    assert isinstance(record, Verification)

    def migrate() -> None:
        migration.exec_driver_sql("SET deadlock_timeout = '60s'")  # the read ends, not the migration
        migration.exec_driver_sql("BEGIN")
        migration.exec_driver_sql(f"LOCK TABLE {PhoneRow._meta.db_table}")
        locked.set()
        deadline = time.monotonic() + 5
        while not servers.execute(database, "SELECT 1 FROM pg_locks WHERE NOT granted") and time.monotonic() < deadline:
            time.sleep(0.01)
        migration.exec_driver_sql(f"LOCK TABLE {VerificationRow._meta.db_table}")
        migration.exec_driver_sql("ROLLBACK")

    locked = threading.Event()
    with servers._engine(database, 1).connect() as migration:
        thread = threading.Thread(target=migrate)
        thread.start()
        assert locked.wait(5)
        assert run(store.get(record.id, None)) == replace(record, read_at=ANY)
        thread.join()


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_closed_connection_stays_within_a_transaction_of_the_site(database: str, store: OrmStore) -> None:
    connection = connections["own"]
    transaction.set_autocommit(False, using="own")
    try:
        CounterRow.objects.using("own").create(name="the site's")
        end_all(database)
        with pytest.raises(StoreError):
            run(store.open(opening(), [], LIMITS, None))
        assert not connection.autocommit
    finally:
        connection.close()
    assert not CounterRow.objects.using("own").filter(name="the site's").exists()


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
@pytest.mark.parametrize("options", [{"pool": {"min_size": 3, "max_size": 3}}], ids=["pool"])
def test_closed_connections_of_a_pool_go_unnoticed(database: str, store: OrmStore) -> None:
    order, connection = opening(), connections["own"]
    try:
        run(store.open(order, [], LIMITS, None))
        connection.close()
        connection.pool.wait(10)  # type: ignore[attr-defined]
        end_all(database)
        assert isinstance(run(store.spend(order.id, BINDING, [RIGHT], 6, LIMITS, NOBODY, None)), Spent)
    finally:
        connection.close()
        connection.close_pool()  # type: ignore[attr-defined]


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_start_after_an_erasure_does_not_write_the_old_counts(store: OrmStore, monkeypatch: pytest.MonkeyPatch) -> None:
    order, quota, shared = opening(), Quota("own", 2), [Quota("total", 9)]
    run(store.count(shared, None))
    run(store.open(order, [quota], LIMITS, None))
    monkeypatch.setattr(store._writes, "start_at_once", after_erasing(store, OrmStore(using="own"), order.tag))
    assert not isinstance(run(store.count_and_open(shared, opening(), [quota], LIMITS, None)), Denied)
    assert isinstance(run(store.open(opening(), [quota], LIMITS, None)), Verification), "the second of two"


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_start_during_an_erasure_does_not_write_the_old_counts(
    database: str, store: OrmStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    order, quota, shared = opening(), Quota("own", 2), [Quota("total", 9)]
    run(store.count(shared, None))
    run(store.open(order, [quota], LIMITS, None))
    erasing = while_erasing(store, database, "phone_verify_django_phonerow")
    monkeypatch.setattr(store._writes, "start_at_once", erasing)
    assert not isinstance(run(store.count_and_open(shared, opening(), [quota], LIMITS, None)), Denied)
    assert isinstance(run(store.open(opening(), [quota], LIMITS, None)), Verification), "the second of two"


def test_receipt_undoes_no_earlier_step(store: OrmStore) -> None:
    """The process that wrote the start caches it; another process has since spent an attempt."""
    order, other = opening(), OrmStore(using="own")
    record = run(store.open(order, [], LIMITS, None))
    assert isinstance(record, Verification)
    assert isinstance(run(other.spend(record.id, BINDING, [WRONG], 6, LIMITS, NOBODY, None)), Spent)
    sent = run(store.attach(record.id, attachment(order), None))
    assert isinstance(sent, Verification)
    assert (sent.attempts_left, failure_count(sent), sent.status) == (record.attempts_left - 1, 1, Status.SENT)
    assert run(store.get(record.id, None)) == replace(sent, read_at=ANY)


def test_receipt_of_a_locking_start_undoes_nothing(store: OrmStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL versions a row by transactions, and the next one may be another step on this phone."""
    order, other = opening(), OrmStore(using="own")
    run(store.count([Quota("total", 9)], None))  # the server's time has been received
    run(store.open(opening(), [], LIMITS, None))
    with monkeypatch.context() as patched:
        patched.setattr(verbs, "Mode", always_locked())
        record = run(store.open(order, [], LIMITS, None))
    assert isinstance(record, Verification)
    assert isinstance(run(other.spend(record.id, BINDING, [WRONG], 6, LIMITS, NOBODY, None)), Spent)
    sent = run(store.attach(record.id, attachment(order), None))
    assert isinstance(sent, Verification)
    assert (sent.attempts_left, failure_count(sent)) == (record.attempts_left - 1, 1)


def test_start_and_check_take_a_fixed_number_of_statements(store: OrmStore) -> None:
    """Each statement is a round trip, the main cost here; without PostgreSQL every step is a transaction."""
    texts: list[str] = []

    def note(execute: Any, sql: str, params: Any, many: Any, context: Any) -> Any:
        texts.append(sql)
        return execute(sql, params, many, context)

    run(store.count([Quota("total", 9)], None))
    order = opening()
    with connections["own"].execute_wrapper(note):
        run(store.count_and_open([Quota("total", 9)], order, [Quota("own", 9)], LIMITS, None))
        run(store.attach(order.id, attachment(order), None))
        run(store.spend(order.id, BINDING, [RIGHT], 6, LIMITS, NOBODY, None))
    words = [text.split()[0] for text in texts]
    if connections["own"].vendor == "postgresql":
        called = [found[1] for text in texts if (found := re.match(r"SELECT \* FROM phone_verify_([a-z]+)_", text))]
        assert (called, len(texts)) == (["count", "start", "attach", "spend"], 4)
    else:
        assert (words.count("START"), words.count("COMMIT"), len(words)) == (4, 4, 22)


def test_purging_does_not_block_other_steps(store: OrmStore, clock: ManualClock) -> None:
    for n in range(60):
        run(store.count([Quota(f"address:{n}", 9)], clock()))
        run(store.open(opening(PhoneNumber(f"+9891200{n:05}")), [Quota(f"sends:{n}", 9)], LIMITS, clock()))
    clock.move(3 * RETENTION.total_seconds())

    def work(number: int) -> None:
        if number < 2:
            while run(store.purge(10, clock())):
                pass
            return
        for n in range(10):
            assert not isinstance(run(store.count([Quota(f"address:{n}", 999)], clock())), Denied)
            order = opening(PhoneNumber(f"+9891200{n:05}"))
            assert isinstance(run(store.open(order, [Quota("own", 99)], LIMITS, clock())), Verification)
            assert isinstance(run(store.spend(order.id, BINDING, [RIGHT], 6, LIMITS, NOBODY, clock())), Spent)

    together(8, work, leave)
    run(store.purge(1000, clock()))
    assert set(VerificationRow.objects.using("own").values_list("status", flat=True)) == {"verified"}
    assert VerificationRow.objects.using("own").count() == 60


def test_purge_runs_in_small_transactions(store: OrmStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("phone_verify.stores.rows.verbs.BATCH", 3)
    for n in range(10):
        run(store.open(opening(PhoneNumber(f"+9891200{n:05}")), [], LIMITS, clock()))
    clock.move(3 * RETENTION.total_seconds())
    taken: list[int] = []
    run_step = store._transactions.run
    monkeypatch.setattr(store._transactions, "run", lambda *given: taken.append(n := run_step(*given)) or n)
    assert run(store.purge(12, clock())) == 12
    assert taken == [3, 3, 3, 1, 2]
