"""Steps inside a caller's transaction on servers: one second connection per thread, outside Django's pool."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from phone_verify.errors import StoreError
from phone_verify.lifecycle import Spent
from phone_verify.limits import Quota
from phone_verify.model import Verification
from phone_verify.stores.rows.transactions import Mode
from phone_verify.testing.stores import BINDING, LIMITS, NOBODY, RIGHT, WRONG, opening, run, together
from phone_verify_django.models import PhoneRow
from phone_verify_django.store import OrmStore, in_worker, transactions
from tests import forks
from tests.django_adapter.databases import make_tables, registered, settings_of, tables
from tests.stores import servers

ROOT = Path(__file__).parents[2]
#: Seconds; the pool's limit is 30, and every caller of a deadlock waits for it.
QUICKLY = 15.0


@pytest.fixture(scope="module", params=servers.PARAMETERS)
def database(request: pytest.FixtureRequest, django_db_blocker: Any) -> Iterator[str]:
    with servers.database(request.param) as url:
        with registered("own", settings_of(url), django_db_blocker) as alias:
            make_tables(alias)
        yield url


on_postgresql = pytest.mark.parametrize("database", ["postgresql"], indirect=True)
on_mariadb = pytest.mark.parametrize("database", ["mysql"], indirect=True)


@pytest.fixture
def options() -> dict[str, Any]:
    return {}


@pytest.fixture
def store(database: str, options: dict[str, Any], django_db_blocker: Any) -> Iterator[OrmStore]:
    own = {**settings_of(database), "OPTIONS": options}
    with registered("own", own, django_db_blocker):
        for model in tables():
            model._default_manager.using("own").all().delete()
        yield OrmStore(using="own")
        if "pool" in options:
            connections["own"].close()
            connections["own"].close_pool()  # type: ignore[attr-defined]


@pytest.fixture
def created(store: OrmStore) -> Iterator[list[BaseDatabaseWrapper]]:
    """The connections opened since, in order; the thread's first one is open already."""
    connections["own"].ensure_connection()
    found: list[BaseDatabaseWrapper] = []

    def note(connection: BaseDatabaseWrapper, **_: object) -> None:
        found.append(connection)

    connection_created.connect(note)
    yield found
    connection_created.disconnect(note)


def start(store: OrmStore) -> Verification:
    record = run(store.open(opening(), [], LIMITS, None))
    assert isinstance(record, Verification)
    return record


def fail(store: OrmStore, record: Verification) -> None:
    assert isinstance(run(store.spend(record.id, BINDING, [WRONG], 6, LIMITS, NOBODY, None)), Spent)


def steps(store: OrmStore) -> None:
    """Start, get, fail and succeed inside a block."""
    with transaction.atomic(using="own"):
        run(store.count([Quota("total", 999)], None))
        record = start(store)
        assert run(store.get(record.id, None)) is not None
        fail(store, record)
        assert isinstance(run(store.spend(record.id, BINDING, [RIGHT], 6, LIMITS, NOBODY, None)), Spent)


def attempts_left(store: OrmStore, record: Verification) -> int:
    found = run(store.get(record.id, None))
    assert found is not None
    return found.attempts_left


def session(connection: BaseDatabaseWrapper) -> int:
    """Return the server's id of the session."""
    raw = connection.connection
    return int(raw.info.backend_pid if connection.vendor == "postgresql" else raw.thread_id())


def is_open(database: str, number: int) -> bool:
    if database.startswith("mysql"):
        return bool(servers.execute(database, f"SELECT 1 FROM information_schema.processlist WHERE id = {number}"))
    return bool(servers.execute(database, f"SELECT 1 FROM pg_stat_activity WHERE pid = {number}"))


def wait_until_closed(database: str, number: int) -> None:
    until = time.monotonic() + 30
    while is_open(database, number):
        assert time.monotonic() < until, "the session stays open"


def test_blocks_of_a_thread_share_one_connection(store: OrmStore, created: list[Any]) -> None:
    steps(store)
    steps(store)
    assert len(created) == 1


def test_second_connection_closes_with_the_first(database: str, store: OrmStore, created: list[Any]) -> None:
    steps(store)
    number = session(created[0])
    assert is_open(database, number)
    connections["own"].close()
    wait_until_closed(database, number)
    steps(store)
    assert len(created) == 3, "both are opened again"


def test_second_connection_closes_with_its_thread(database: str, store: OrmStore, created: list[Any]) -> None:
    numbers: list[int] = []

    def work() -> None:
        steps(store)
        numbers.append(session(created[-1]))
        connections["own"].connection.close()  # not by Django, which would close both

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    del created[:]
    wait_until_closed(database, numbers[0])


def test_child_process_opens_its_own(database: str, store: OrmStore, created: list[Any]) -> None:
    steps(store)
    number = session(created[0])
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:  # never returns into pytest
        try:
            first = connections["own"]
            first.close = lambda: None  # type: ignore[method-assign]  # of the parent
            parents, first.connection = first.connection, None
            opened_before = len(created)
            steps(store)
            os.write(writes, " ".join(str(session(one)) for one in created[opened_before:]).encode())
            assert parents is not None
        finally:
            os._exit(0)
    os.close(writes)
    os.waitpid(child, 0)
    with os.fdopen(reads) as pipe:
        opened = pipe.read().split()
    assert len(opened) == 2, "a first and a second connection"
    assert str(number) not in opened
    steps(store)
    assert (len(created), session(created[0])) == (1, number), "the parent's is as it was"


def test_lost_second_connection_is_replaced(database: str, store: OrmStore, created: list[Any]) -> None:
    with transaction.atomic(using="own"):
        record = start(store)
        servers.end(database, session(created[0]))
        fail(store, record)
    assert attempts_left(store, record) == 4
    assert len(created) == 2


def test_idle_second_connection_is_tested(
    database: str, store: OrmStore, created: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps(store)
    servers.end(database, session(created[0]))
    monkeypatch.setattr("phone_verify_django.store.second_connection._IDLE", -1.0)
    # A cached start is not run again once it was sent.
    steps(store)


def test_attempts_survive_a_block_marked_for_rollback(store: OrmStore) -> None:
    record = start(store)
    with transaction.atomic(using="own"):
        transaction.set_rollback(True, using="own")
        fail(store, record)
        assert transaction.get_rollback(using="own")
    assert attempts_left(store, record) == 4


def test_async_callers_share_the_connection_of_a_thread(store: OrmStore, created: list[Any]) -> None:
    async def visit() -> None:
        async with ThreadSensitiveContext():  # as an ASGI server's request
            await asyncio.gather(*(sync_to_async(steps)(store) for _ in range(4)))
            await sync_to_async(lambda: connections["own"].close())()

    asyncio.run(visit())
    assert len(created) == 2, "the first and the second connection of one thread"


@on_postgresql
class TestPool:
    """Django's connection pool."""

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {"pool": {"min_size": 0, "max_size": 2}}

    def test_six_callers_in_blocks_finish_quickly(self, store: OrmStore) -> None:
        connections["own"].close()  # its place in the pool is one of theirs
        all_wait = threading.Barrier(6)

        def call(_: int) -> None:
            all_wait.wait(10)
            steps(store)

        started = time.monotonic()
        together(6, call, lambda: connections["own"].close())
        assert time.monotonic() - started < QUICKLY

    def test_block_with_the_only_place_finishes_quickly(self, database: str, django_db_blocker: Any) -> None:
        options = {"pool": {"min_size": 1, "max_size": 1}}
        with registered("own", {**settings_of(database), "OPTIONS": options}, django_db_blocker):
            store = OrmStore(using="own")
            started = time.monotonic()
            steps(store)
            steps(store)
            assert time.monotonic() - started < QUICKLY
            connections["own"].close()
            connections["own"].close_pool()  # type: ignore[attr-defined]

    def test_step_waits_for_the_pool_within_its_limit(self, store: OrmStore, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(transactions, "_WAIT", 0.2)
        connections["own"].close()
        held = [connections["own"].pool.getconn() for _ in range(2)]  # type: ignore[attr-defined]
        started = time.monotonic()
        with pytest.raises(StoreError, match="OperationalError"):
            run(store.get(opening().id, None))
        assert time.monotonic() - started < QUICKLY
        for raw in held:
            connections["own"].pool.putconn(raw)  # type: ignore[attr-defined]
        assert run(store.get(opening().id, None)) is None


def set_path(connection: BaseDatabaseWrapper, schema: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('search_path', %s, false)", [schema])


@on_postgresql
class TestTenants:
    """Sites that set a schema or a role on the connection of a request."""

    @pytest.fixture(autouse=True)
    def _schemas(self, store: OrmStore) -> Iterator[None]:
        own = connections["own"]
        for schema in ("north", "south"):
            with own.cursor() as cursor:
                cursor.execute(f"CREATE SCHEMA {schema}")
            set_path(own, schema)
            make_tables("own")
        set_path(own, "public")
        yield
        with own.cursor() as cursor:
            cursor.execute("DROP SCHEMA north, south CASCADE")

    def test_steps_use_the_schema_of_their_request(self, store: OrmStore, created: list[Any]) -> None:
        schema = "north"
        calls: list[BaseDatabaseWrapper] = []

        def setup(connection: BaseDatabaseWrapper) -> None:
            calls.append(connection)
            set_path(connection, schema)

        store = OrmStore(using="own", connection_setup=setup)
        with transaction.atomic(using="own"):
            record = start(store)
        schema = "south"
        with transaction.atomic(using="own"):
            assert run(store.get(record.id, None)) is None
        schema = "north"
        with transaction.atomic(using="own"):
            assert run(store.get(record.id, None)) is not None
        assert len(created) == 1
        assert set(calls) == set(created)

    def test_setup_is_called_again_after_a_reconnect(self, database: str, store: OrmStore, created: list[Any]) -> None:
        store = OrmStore(using="own", connection_setup=lambda connection: set_path(connection, "north"))
        with transaction.atomic(using="own"):
            record = start(store)
            servers.end(database, session(created[0]))
            fail(store, record)
            assert attempts_left(store, record) == 4
        assert run(store.get(record.id, None)) is None, "nothing is written into the public schema"

    def test_setup_is_called_for_a_connection_of_the_request_that_the_server_closed(
        self, database: str, store: OrmStore
    ) -> None:
        own, calls = connections["own"], list[BaseDatabaseWrapper]()

        def setup(connection: BaseDatabaseWrapper) -> None:
            calls.append(connection)
            set_path(connection, "north")

        store = OrmStore(using="own", connection_setup=setup)
        set_path(own, "north")
        record = start(store)
        assert not calls
        number = session(own)
        servers.end(database, number)
        wait_until_closed(database, number)
        assert run(store.get(record.id, None)) is not None, "in the schema of the request"
        assert calls == [own]
        with own.cursor() as cursor:
            cursor.execute("SHOW search_path")
            assert cursor.fetchone() == ("north",), "also the site's next statements"

    def test_setup_is_called_again_after_one_that_failed_on_an_opened_connection(
        self, database: str, store: OrmStore
    ) -> None:
        own, calls = connections["own"], list[BaseDatabaseWrapper]()

        def setup(connection: BaseDatabaseWrapper) -> None:
            calls.append(connection)
            if len(calls) % 2:
                raise LookupError("no tenant")
            set_path(connection, "north")

        store = OrmStore(using="own", connection_setup=setup)
        set_path(own, "north")
        record = start(store)
        for reopened_by_site in (False, True):
            number = session(own)
            servers.end(database, number)
            wait_until_closed(database, number)
            with pytest.raises(LookupError):
                run(store.get(record.id, None))
            if reopened_by_site:
                own.ensure_connection()
            for _ in range(2):
                assert run(store.get(record.id, None)) is not None, "in the schema of the request"
        assert calls == [own] * 4

    def test_setup_that_raises_stops_the_step(self, store: OrmStore, created: list[Any]) -> None:
        schema = "south"

        def setup(connection: BaseDatabaseWrapper) -> None:
            set_path(connection, "public")
            if schema == "south":
                raise LookupError("no tenant")

        record = start(store)
        store = OrmStore(using="own", connection_setup=setup)
        with transaction.atomic(using="own"), pytest.raises(LookupError):
            fail(store, record)
        assert created[0].connection is None
        assert attempts_left(store, record) == 5

    def test_schema_of_the_request_is_followed(self, store: OrmStore, created: list[Any]) -> None:
        own = connections["own"]
        set_path(own, "north")
        with transaction.atomic(using="own"):
            record = start(store)
        assert attempts_left(store, record) == 5, "outside, on the first connection"
        set_path(own, "south")
        with transaction.atomic(using="own"):
            assert run(store.get(record.id, None)) is None
        with transaction.atomic(using="own"):
            set_path(own, "north")
            fail(store, record)
            set_path(own, "public")
            assert run(store.get(record.id, None)) is None
        set_path(own, "north")
        assert attempts_left(store, record) == 4
        set_path(own, "public")
        assert len(created) == 1

    def test_role_of_the_request_is_followed(self, store: OrmStore, created: list[Any]) -> None:
        record = start(store)
        own = connections["own"]
        with own.cursor() as cursor:
            cursor.execute("CREATE ROLE clerk")
        try:
            with own.cursor() as cursor:
                cursor.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO clerk")
                cursor.execute("SET ROLE clerk")
            with transaction.atomic(using="own"):
                with pytest.raises(StoreError, match="permission denied"):
                    fail(store, record)
                assert attempts_left(store, record) == 5
            with own.cursor() as cursor:
                cursor.execute("RESET ROLE")
            with transaction.atomic(using="own"):
                fail(store, record)
            assert len(created) == 1
        finally:
            own.close()
            with own.cursor() as cursor:
                cursor.execute("DROP OWNED BY clerk")
                cursor.execute("DROP ROLE clerk")

    def test_other_user_is_refused(self, store: OrmStore) -> None:
        record = start(store)
        own = connections["own"]
        with own.cursor() as cursor:
            cursor.execute("SET SESSION AUTHORIZATION pg_monitor")
        with transaction.atomic(using="own"), pytest.raises(StoreError, match=r"PHONE_VERIFY\['connection_setup'\]"):
            fail(store, record)
        own.close()
        assert attempts_left(store, record) == 5

    def test_worker_thread_is_set_up(self, store: OrmStore, created: list[Any]) -> None:
        calls: list[BaseDatabaseWrapper] = []
        store = OrmStore(using="own", connection_setup=calls.append)
        start(store)
        assert calls == []
        with in_worker():
            start(store)
        assert calls == [connections["own"]]

    def test_other_path_to_the_same_tables_is_accepted(self, store: OrmStore) -> None:
        record = start(store)
        set_path(connections["own"], "public, pg_catalog")
        with transaction.atomic(using="own"):
            fail(store, record)
        assert attempts_left(store, record) == 4


@pytest.mark.slow
@on_mariadb
def test_block_in_another_database_uses_it(database: str, store: OrmStore) -> None:
    """Where the tables are missing, as outside the block."""
    record = start(store)
    own = connections["own"]
    with own.cursor() as cursor:
        cursor.execute("USE information_schema")
    with transaction.atomic(using="own"), pytest.raises(StoreError, match="42S02"):
        fail(store, record)
    own.close()
    assert attempts_left(store, record) == 5


def test_wrappers_of_the_request_see_its_steps(store: OrmStore) -> None:
    seen: list[BaseDatabaseWrapper] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        seen.append(context["connection"])
        return execute(sql, params, many, context)

    with transaction.atomic(using="own"), connections["own"].execute_wrapper(note):
        start(store)
    assert len(set(seen)) == 2, "statements of both connections"
    del seen[:]
    with transaction.atomic(using="own"):
        start(store)
    assert seen == []


def test_second_connection_waits_within_its_limit(database: str, store: OrmStore, created: list[Any]) -> None:
    """The caller's block holds the row that the step waits for."""
    record = start(store)
    own = connections["own"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("phone_verify_django.store.second_connection._RESPONSE_TIMEOUT", 1)
        patch.setattr("phone_verify_django.store.transactions._RETRY_WITHIN", 0)
        with transaction.atomic(using="own"):
            PhoneRow.objects.using("own").update(ends_at=0)
            started = time.monotonic()
            with pytest.raises(StoreError):
                fail(store, record)
            assert time.monotonic() - started < QUICKLY
    own.close()
    assert attempts_left(store, record) >= 4, "the statement may have run when the row was free"


@pytest.mark.parametrize("setup", [None, lambda connection: None], ids=["no setup", "setup"])
def test_store_uses_no_second_connection_outside_a_block(
    store: OrmStore, created: list[Any], setup: Callable[[BaseDatabaseWrapper], object] | None
) -> None:
    start(OrmStore(using="own", connection_setup=setup))
    assert created == []


@on_postgresql
class TestPooler:
    """PgBouncer in transaction mode."""

    @pytest.fixture(params=[4, 1])
    def behind(
        self, request: pytest.FixtureRequest, database: str, django_db_blocker: Any
    ) -> Iterator[BaseDatabaseWrapper]:
        with servers.pooled(database, default_pool_size=request.param) as pooler:
            given = {**settings_of(pooler.url), "DISABLE_SERVER_SIDE_CURSORS": True}
            with registered("own", given, django_db_blocker):
                yield connections["own"]

    @pytest.mark.parametrize("behind", [4], indirect=True)
    def test_steps_inside_and_outside_blocks(self, behind: BaseDatabaseWrapper) -> None:
        store = OrmStore(using="own")

        def work(_: int) -> None:
            for _n in range(4):
                steps(store)
                fail(store, start(store))

        together(2, work, lambda: connections["own"].close())

    @pytest.mark.parametrize("behind", [4], indirect=True)
    def test_schema_is_not_given_to_other_sessions(self, behind: BaseDatabaseWrapper) -> None:
        with behind.cursor() as cursor:
            cursor.execute("CREATE SCHEMA north")
        make_north = "SET LOCAL search_path TO north"
        store = OrmStore(using="own")
        with transaction.atomic(using="own"):
            with behind.cursor() as cursor:
                cursor.execute(make_north)
            with pytest.raises(StoreError, match="connection_setup"):
                start(store)
        with behind.cursor() as cursor:
            cursor.execute("SHOW search_path")
            assert "north" not in cursor.fetchone()[0]
            cursor.execute("DROP SCHEMA north")

    @pytest.mark.parametrize("behind", [1], indirect=True)
    def test_block_with_the_only_connection_is_refused_in_time(
        self, behind: BaseDatabaseWrapper, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("phone_verify_django.store.second_connection._RESPONSE_TIMEOUT", 0.5)
        monkeypatch.setattr(transactions, "_RETRY_WITHIN", 0)
        store = OrmStore(using="own")
        record = start(store)
        started = time.monotonic()
        with transaction.atomic(using="own"):
            with behind.cursor() as cursor:
                cursor.execute("SELECT 1")
            with pytest.raises(StoreError):
                fail(store, record)
        assert time.monotonic() - started < QUICKLY
        assert attempts_left(store, record) == 5


@pytest.mark.parametrize("middleware", ["blocking_schema", "AsyncSchema"])
def test_schema_of_a_middleware_is_used_by_every_step(middleware: str) -> None:
    with servers.database("postgresql") as url:
        done = forks.run(
            [sys.executable, "-m", "tests.django_adapter.schema_site", url, f"__main__.{middleware}"],
            cwd=ROOT,
            env={name: value for name, value in os.environ.items() if not name.startswith("PHONE_VERIFY_")},
            timeout=120,
        )
    assert done.returncode == 0, done.stderr[-3000:]


def test_connection_is_closed_if_its_rollback_is_interrupted(store: OrmStore) -> None:
    """By Ctrl-C or the time limit of a task queue: the next step would commit what the failed one wrote."""

    def interrupt(execute: Callable[..., Any], text: str, *given: Any) -> Any:
        if text == "ROLLBACK":
            raise KeyboardInterrupt
        return execute(text, *given)

    def step(_: object) -> None:
        raise ValueError

    with connections["own"].execute_wrapper(interrupt), pytest.raises(KeyboardInterrupt):
        store._transactions.run(step, None, Mode.LOCKED)
    assert connections["own"].connection is None
    assert isinstance(run(store.open(opening(), [], LIMITS, None)), Verification)
