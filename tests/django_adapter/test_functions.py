"""The functions of PostgreSQL that the store calls: made by `migrate`, missing, and dropped meanwhile."""

from __future__ import annotations

import io
import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import connections, transaction

from phone_verify.errors import StoreError
from phone_verify.lifecycle import AttemptResult, Spent
from phone_verify.limits import Denied, Quota
from phone_verify.model import Verification
from phone_verify.stores.rows import verbs
from phone_verify.testing.stores import (
    BINDING,
    LIMITS,
    NOBODY,
    RIGHT,
    WRONG,
    attachment,
    failure_count,
    opening,
    run,
    together,
)
from phone_verify_django.models import CounterRow, VerificationRow
from phone_verify_django.store import OrmStore, functions
from tests.django_adapter.databases import make_tables, registered, settings_of, tables
from tests.stores import servers
from tests.stores.modes import always_locked

CALL = re.compile(r"SELECT \* FROM phone_verify_([a-z]+)_[0-9a-f]{16}\(")


@pytest.fixture(scope="module")
def database(django_db_blocker: Any) -> Iterator[str]:
    with servers.database("postgresql") as url:
        with registered("own", settings_of(url), django_db_blocker) as alias:
            make_tables(alias, functions=False)
        yield url


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a connection call functions from its first statement on."""
    monkeypatch.setattr(functions, "_USES", 0)


@pytest.fixture
def alias(database: str, django_db_blocker: Any) -> Iterator[str]:
    """The database with the functions; each test finds it so."""
    with registered("own", settings_of(database), django_db_blocker) as alias:
        for model in tables():
            model._default_manager.using(alias).all().delete()
        functions.make_functions(alias)
        yield alias


def names(alias: str = "own") -> list[str]:
    """The verbs of our functions."""
    return sorted(name.split("_")[2] for name in full_names(alias))


def full_names(alias: str = "own") -> set[str]:
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT proname FROM pg_proc WHERE proname ~ '^phone_verify_[a-z]+_[0-9a-f]{16}$'")
        return {name for (name,) in cursor.fetchall()}


def execute(*texts: str) -> None:
    with connections["own"].cursor() as cursor:
        for text in texts:
            cursor.execute(text)


def drop() -> None:
    execute(*(f"DROP FUNCTION {name}" for name in full_names()))


@contextmanager
def statements(alias: str = "own") -> Iterator[list[str]]:
    """Note what is called: a verb for a function, "text" for anything else."""
    noted: list[str] = []

    def note(execute: Any, sql: str, params: Any, many: Any, context: Any) -> Any:
        found = CALL.match(sql)
        noted.append(found[1] if found else "text")
        return execute(sql, params, many, context)

    with connections[alias].execute_wrapper(note):
        yield noted


def cycle(store: OrmStore, digest: bytes = RIGHT, total: int = 99) -> AttemptResult:
    """Start, attach and answer; return the result."""
    order = opening()
    counted = run(store.count_and_open([Quota("total", total)], order, [Quota("own", 99)], LIMITS, None))
    assert not isinstance(counted, Denied), counted
    assert isinstance(run(store.attach(order.id, attachment(order), None)), Verification)
    spent = run(store.spend(order.id, BINDING, [digest], 6, LIMITS, NOBODY, None))
    assert isinstance(spent, Spent), spent
    return spent.answer


EVERY = ["attach", "count", "spend", "start", "start"]


def test_migrate_makes_the_functions_once(django_db_blocker: Any) -> None:
    with servers.database("postgresql") as url, registered("own", settings_of(url), django_db_blocker) as alias:
        call_command("migrate", database=alias, verbosity=0)
        assert names() == EVERY
        made = full_names()
        with statements() as noted:
            functions.make_functions(alias)
        assert len(noted) == 5, "it looks, and changes nothing"
        call_command("migrate", "phone_verify_django", "zero", database=alias, verbosity=0)
        assert names() == []
        call_command("migrate", database=alias, verbosity=0)
        assert full_names() == made


def test_migrate_drops_functions_of_other_versions_only(alias: str) -> None:
    old, others = f"phone_verify_spend_{'0' * 16}", ["phone_verify_spend_mine", f"a_phone_verify_spend_{'0' * 16}"]
    body = "() RETURNS integer LANGUAGE sql AS 'SELECT 1'"
    execute(*(f"CREATE OR REPLACE FUNCTION {name}{body}" for name in [old, *others]))
    functions.make_functions(alias)
    assert names() == EVERY
    execute(*(f"DROP FUNCTION {name}" for name in others))


def test_every_step_of_a_start_and_a_check_calls_one(alias: str) -> None:
    store = OrmStore(using=alias)
    cycle(store)
    with statements() as noted:
        assert cycle(store, WRONG) is AttemptResult.WRONG
        assert cycle(store) is AttemptResult.RIGHT
    assert noted == ["count", "start", "attach", "spend"] * 2


def test_first_statement_of_a_process_looks_once(alias: str) -> None:
    store, texts = OrmStore(using=alias), list[str]()

    def note(execute: Any, sql: str, params: Any, many: Any, context: Any) -> Any:
        texts.append(sql)
        return execute(sql, params, many, context)

    with connections[alias].execute_wrapper(note):
        cycle(store)
        cycle(store)
    assert sum("to_regproc" in text for text in texts) == 1


def test_only_a_start_and_an_answer_wait_for_the_disk(alias: str) -> None:
    """The setting holds until the statement's transaction ends, so also after the function has returned.

    And no function reads a whole table, however small: its plan is kept while the table grows.
    """
    store, kept, scans = OrmStore(using=alias), dict[str, str](), dict[str, int]()

    def note(execute: Any, sql: str, params: Any, many: Any, context: Any) -> Any:
        found, raw = CALL.match(sql), context["cursor"].cursor
        if found is None:
            return execute(sql, params, many, context)

        def asked(text: str) -> Any:
            raw.execute(text)
            return raw.fetchone()[0]

        raw.execute("BEGIN")
        before = asked("SELECT sum(seq_scan) FROM pg_stat_xact_user_tables")
        result = execute(f"WITH called AS MATERIALIZED ({sql}) SELECT * FROM called", params, many, context)
        rows = raw.fetchall()
        kept[found[1]] = asked("SHOW synchronous_commit")
        scans[found[1]] = asked("SELECT sum(seq_scan) FROM pg_stat_xact_user_tables") - before
        raw.execute("COMMIT")
        placed = ", ".join(["%s"] * len(rows[0]))
        raw.execute(f"SELECT * FROM (VALUES ({placed})) AS rows", rows[0])
        return result

    run(store.count([Quota("total", 99)], None))
    with connections[alias].execute_wrapper(note):
        order = opening()
        run(store.count_and_open([Quota("total", 99)], order, [Quota("own", 99)], LIMITS, None))
        run(store.attach(order.id, attachment(order), None))
        run(store.spend(order.id, BINDING, [WRONG], 6, LIMITS, NOBODY, None))
    assert kept == {"count": "off", "start": "on", "attach": "off", "spend": "on"}
    assert scans == dict.fromkeys(kept, 0)


def test_functions_dropped_while_the_process_runs(alias: str, caplog: pytest.LogCaptureFixture) -> None:
    """As when `migrate` of the next version drops them: each step is done, once, and later ones run the texts."""
    store = OrmStore(using=alias)
    cycle(store)
    drop()
    with caplog.at_level(logging.INFO, "phone_verify"), statements() as noted:
        assert cycle(store, WRONG) is AttemptResult.WRONG
        assert cycle(store, total=3) is AttemptResult.RIGHT
    assert noted == ["count", *["text"] * 9], "one failed call, and another look"
    assert CounterRow.objects.using(alias).get(name="total").count == 3
    told = "The store calls no functions in the database 'own'; see docs/stores.md, Functions in PostgreSQL"
    assert caplog.messages == [told]


@pytest.mark.parametrize("verb", ["count", "start", "attach", "spend"])
def test_one_function_dropped_while_the_process_runs(alias: str, verb: str) -> None:
    store = OrmStore(using=alias)
    cycle(store)
    execute(*(f"DROP FUNCTION {name}" for name in full_names() if f"_{verb}_" in name))
    order = opening()
    with statements() as noted:
        run(store.count_and_open([Quota("total", 99)], order, [Quota("own", 99)], LIMITS, None))
        run(store.attach(order.id, attachment(order), None))
        spent = run(store.spend(order.id, BINDING, [WRONG], 6, LIMITS, NOBODY, None))
    assert isinstance(spent, Spent)
    assert (spent.record.attempts_left, failure_count(spent.record)) == (4, 1)
    assert CounterRow.objects.using(alias).get(name="total").count == 2
    assert noted.count(verb) == 1


def test_functions_dropped_before_steps_of_many_threads(alias: str) -> None:
    store, calling = OrmStore(using=alias), threading.Barrier(4, timeout=20)
    cycle(store)
    drop()

    def note(execute: Any, sql: str, params: Any, many: Any, context: Any) -> Any:
        if CALL.match(sql):
            calling.wait()  # all call before the first one misses its function
        return execute(sql, params, many, context)

    def answer(_: int) -> AttemptResult:
        with connections[alias].execute_wrapper(note):
            return cycle(store, WRONG)

    assert together(4, answer, lambda: connections[alias].close()) == [AttemptResult.WRONG] * 4
    assert CounterRow.objects.using(alias).get(name="total").count == 5


def test_functions_dropped_before_a_step_in_a_transaction(alias: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = OrmStore(using=alias)
    cycle(store)
    drop()
    monkeypatch.setattr(verbs, "Mode", always_locked())
    with statements() as noted:
        assert cycle(store) is AttemptResult.RIGHT
    assert noted.count("attach") == 1
    assert VerificationRow.objects.using(alias).filter(status="verified").count() == 2


def test_functions_dropped_before_a_step_inside_a_block(alias: str) -> None:
    store = OrmStore(using=alias)
    cycle(store)
    drop()
    with transaction.atomic(using=alias):
        assert cycle(store, WRONG) is AttemptResult.WRONG
        transaction.set_rollback(True, using=alias)
    assert CounterRow.objects.using(alias).get(name="total").count == 2


def reported() -> list[str | None]:
    return [message.id for message in run_checks(tags=["database"], databases=["own"])]


def test_site_that_may_not_create_functions(alias: str, settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Everything works by the texts; `migrate`, the log and the check say so."""
    settings.PHONE_VERIFY = {**settings.PHONE_VERIFY, "store": "orm:own"}
    drop()
    assert "phone_verify.I057" not in reported(), "the next migrate creates them"
    execute(
        "DROP ROLE IF EXISTS phone_verify_reader",
        "CREATE ROLE phone_verify_reader",
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO phone_verify_reader",
        "SET ROLE phone_verify_reader",
    )
    try:
        said = io.StringIO()
        functions.make_functions(alias, stdout=said)
        assert "The database 'own' gets no functions for phone_verify_django" in said.getvalue()
        assert "Run migrate as a user who may create functions" in said.getvalue()
        assert "phone_verify.I057" in reported()
        with caplog.at_level(logging.INFO, "phone_verify"), statements() as noted:
            assert cycle(OrmStore(using=alias)) is AttemptResult.RIGHT
        assert set(noted) == {"text"}
        assert "see docs/stores.md, Functions in PostgreSQL" in caplog.text
    finally:
        execute("RESET ROLE", "DROP OWNED BY phone_verify_reader", "DROP ROLE phone_verify_reader")


def test_user_who_may_not_run_the_functions(alias: str) -> None:
    store = OrmStore(using=alias)
    cycle(store)
    execute(
        "DROP ROLE IF EXISTS phone_verify_reader",
        "CREATE ROLE phone_verify_reader",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO phone_verify_reader",
        *(f"REVOKE EXECUTE ON FUNCTION {name} FROM PUBLIC" for name in full_names()),
        "SET ROLE phone_verify_reader",
    )
    try:
        assert cycle(store) is AttemptResult.RIGHT
        with statements() as noted:
            assert cycle(OrmStore(using=alias)) is AttemptResult.RIGHT
        assert set(noted) == {"text"}
    finally:
        execute("RESET ROLE", "DROP OWNED BY phone_verify_reader", "DROP ROLE phone_verify_reader")
        drop()


PLANTED = {
    "body": ("BEGIN RETURN QUERY", "BEGIN RAISE 'planted'; RETURN QUERY"),
    "setting": ("SET enable_seqscan TO 'off'", "SET search_path TO 'pg_catalog'"),
    "rights": ("LANGUAGE plpgsql", "LANGUAGE plpgsql SECURITY DEFINER"),
    "owner": ("", ""),
}


@pytest.mark.parametrize("what", PLANTED)
def test_planted_function_is_not_called(alias: str, what: str) -> None:
    """A user who may create functions in the schema could replace the store's by one that the site then runs."""
    old, new = PLANTED[what]
    cycle(OrmStore(using=alias))
    execute("DROP ROLE IF EXISTS phone_verify_other", "CREATE ROLE phone_verify_other")
    try:
        for name in full_names():
            with connections[alias].cursor() as cursor:
                cursor.execute("SELECT pg_get_functiondef(%s::regproc)", [name])
                (definition,) = cursor.fetchone()
            assert old in definition
            execute(definition.replace(old, new, 1))
            if what == "owner":
                execute(f"ALTER FUNCTION {name} OWNER TO phone_verify_other")
        store = OrmStore(using=alias)
        with statements() as noted:
            assert cycle(store) is AttemptResult.RIGHT
        assert set(noted) == {"text"}
        functions.make_functions(alias)
        with statements() as noted:
            assert cycle(OrmStore(using=alias)) is AttemptResult.RIGHT
        assert "attach" in noted
    finally:
        execute("DROP OWNED BY phone_verify_other", "DROP ROLE phone_verify_other")


def test_functions_of_a_member_of_the_owner_are_called(alias: str) -> None:
    """As where `migrate` runs as a user with the rights of the role that owns the tables."""
    owner, member = "phone_verify_owner", "phone_verify_member"
    owned = [f'ALTER TABLE "{model._meta.db_table}" OWNER TO' for model in tables()]
    drop()
    execute(
        f"DROP ROLE IF EXISTS {owner}, {member}",
        f"CREATE ROLE {owner}",
        f"CREATE ROLE {member} IN ROLE {owner}",
        f"GRANT CREATE ON SCHEMA public TO {member}",
        *(f"{change} {owner}" for change in owned),
    )
    try:
        execute(f"SET ROLE {member}")
        functions.make_functions(alias)
        execute("RESET ROLE")
        with statements() as noted:
            assert cycle(OrmStore(using=alias)) is AttemptResult.RIGHT
        assert "attach" in noted
    finally:
        execute("RESET ROLE", *(f"{change} CURRENT_USER" for change in owned))
        execute(f"DROP OWNED BY {owner}, {member}", f"DROP ROLE {owner}, {member}")


def test_function_whose_types_fit_better_is_not_called(alias: str) -> None:
    store = OrmStore(using=alias)
    cycle(store)
    for name in full_names():
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT pg_get_function_arguments(%s::regproc)", [name])
            (types,) = cursor.fetchone()
        body = "RETURNS integer LANGUAGE plpgsql AS 'BEGIN RAISE ''planted''; END'"
        execute(f"CREATE FUNCTION {name}({types.replace('bigint', 'integer')}) {body}")
    with statements() as noted:
        assert cycle(store, WRONG) is AttemptResult.WRONG
    assert noted == ["count", "start", "attach", "spend"]
    functions.make_functions(alias)
    drop()


def test_column_of_another_type(alias: str) -> None:
    """As between a migration of the next version and its functions."""
    store = OrmStore(using=alias)
    cycle(store)
    execute('ALTER TABLE "phone_verify_django_counterrow" ALTER COLUMN "name" TYPE text')
    with statements() as noted:
        assert cycle(store) is AttemptResult.RIGHT
        assert cycle(store) is AttemptResult.RIGHT
    assert noted == ["count", *["text"] * 8]
    execute('ALTER TABLE "phone_verify_django_counterrow" ALTER COLUMN "name" TYPE varchar(100)')


def test_right_that_a_step_lacks_does_not_end_the_functions(alias: str) -> None:
    """An error within a function, as of a policy of row-level security, is the step's alone."""
    store = OrmStore(using=alias)
    cycle(store)
    execute(
        "DROP ROLE IF EXISTS phone_verify_reader", "CREATE ROLE phone_verify_reader", "SET ROLE phone_verify_reader"
    )
    try:
        with pytest.raises(StoreError, match="permission denied"):
            run(store.count([Quota("total", 99)], None))
    finally:
        execute("RESET ROLE", "DROP ROLE phone_verify_reader")
    with statements() as noted:
        assert cycle(store) is AttemptResult.RIGHT
    assert noted == ["text", "count", "start", "attach", "spend"], "it looks once more"


def test_function_on_which_a_view_depends_is_renamed(alias: str) -> None:
    """Any user may make such a view, if only a temporary one: it must not keep a stale function in use."""
    old = f"phone_verify_spend_{'0' * 16}"
    execute(f"CREATE FUNCTION {old}() RETURNS integer LANGUAGE sql AS 'SELECT 1'")
    execute(f"CREATE VIEW of_the_site AS SELECT {old}() AS one")
    functions.make_functions(alias)
    assert names() == EVERY
    execute("DROP VIEW of_the_site", f"DROP FUNCTION {renamed()[0]}")


def renamed() -> list[str]:
    with connections["own"].cursor() as cursor:
        cursor.execute("SELECT proname FROM pg_proc WHERE proname ~ '^phone_verify_dropped_[0-9]+$'")
        return [name for (name,) in cursor.fetchall()]


def test_view_keeps_no_functions_of_several_schemas(django_db_blocker: Any) -> None:
    with servers.database("postgresql") as url, registered("own", settings_of(url), django_db_blocker) as alias:
        make_tables(alias)
        store = OrmStore(using=alias)
        execute("CREATE SCHEMA two", "SET search_path TO two, public")
        cycle(store)
        execute("CREATE SCHEMA views")
        with connections[alias].cursor() as cursor:
            cursor.execute(
                "SELECT proname, oidvectortypes(proargtypes) FROM pg_proc WHERE proname = ANY(%s)", [list(full_names())]
            )
            for name, types in cursor.fetchall():
                values = ", ".join(f"NULL::{kind}" for kind in types.split(", "))
                cursor.execute(f"CREATE VIEW views.{name} AS SELECT * FROM public.{name}({values})")
            cursor.execute("SET search_path TO two")
        make_tables(alias)
        execute("SET search_path TO two, public")
        assert (names(), len(renamed())) == ([], len(EVERY))
        assert cycle(store) is AttemptResult.RIGHT
        execute("SET search_path TO two")
        assert VerificationRow.objects.using(alias).count() == 1


def test_user_who_may_not_read_the_catalogue(alias: str, monkeypatch: pytest.MonkeyPatch) -> None:
    execute("DROP ROLE IF EXISTS phone_verify_reader", "CREATE ROLE phone_verify_reader")
    execute("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO phone_verify_reader")
    execute("REVOKE SELECT ON pg_proc FROM PUBLIC", "SET ROLE phone_verify_reader")
    try:
        assert [cycle(OrmStore(using=alias)) for _ in range(2)] == [AttemptResult.RIGHT] * 2
        monkeypatch.setattr(verbs, "Mode", always_locked())
        assert cycle(OrmStore(using=alias)) is AttemptResult.RIGHT
    finally:
        execute("RESET ROLE", "GRANT SELECT ON pg_proc TO PUBLIC")
        execute("DROP OWNED BY phone_verify_reader", "DROP ROLE phone_verify_reader")


def test_server_that_takes_no_writes_from_a_call(alias: str) -> None:
    """As behind a proxy that sends every text beginning with SELECT to a replica."""
    store = OrmStore(using=alias)
    cycle(store)

    def send(execute: Any, sql: str, params: Any, many: Any, context: Any) -> Any:
        if not CALL.match(sql):
            return execute(sql, params, many, context)
        execute("SET default_transaction_read_only = on", None, False, context)
        try:
            return execute(sql, params, many, context)
        finally:
            execute("SET default_transaction_read_only = off", None, False, context)

    with statements() as noted, connections[alias].execute_wrapper(send):
        assert cycle(store, WRONG) is AttemptResult.WRONG
        assert cycle(store) is AttemptResult.RIGHT
    assert [each for each in noted if each != "text"] == ["count"]
    assert CounterRow.objects.using(alias).get(name="total").count == 3


def test_migrate_does_not_wait_for_another_user_s_lock(
    alias: str, database: str, django_db_blocker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(functions, "_WAIT", "50ms")
    drop()
    with registered("another", settings_of(database), django_db_blocker), connections["another"].cursor() as other:
        other.execute("SELECT pg_advisory_lock(%s)", [functions._LOCK])
        said = io.StringIO()
        functions.make_functions(alias, stdout=said)
    assert "gets no functions for phone_verify_django (timed out)" in said.getvalue()
    functions.make_functions(alias)
    assert names() == EVERY


def test_migrations_at_once_make_them_and_say_nothing(alias: str, capsys: pytest.CaptureFixture[str]) -> None:
    drop()
    together(6, lambda _: functions.make_functions(alias), lambda: connections[alias].close())
    assert names() == EVERY
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("path", ["{}, public", "public, {}"])
def test_tables_in_several_schemas_have_no_functions(path: str, django_db_blocker: Any) -> None:
    """A session would keep plans for each of them; and go on with the tables of one after another's were created."""
    tenants = ["one", "two"]
    with servers.database("postgresql") as url, registered("own", settings_of(url), django_db_blocker) as alias:
        make_tables(alias)
        store = OrmStore(using=alias)
        cycle(store)
        assert names() == EVERY
        execute("CREATE SCHEMA one", "CREATE SCHEMA two", f"SET search_path TO {path.format('one')}")
        cycle(store)
        for tenant in tenants:
            execute(f"SET search_path TO {tenant}")
            make_tables(alias)
        assert names() == []
        for tenant in tenants * 3:
            execute(f"SET search_path TO {tenant}, public")
            assert cycle(store) is AttemptResult.RIGHT
        for tenant, expected in [("one", 3), ("two", 3), ("public", 2)]:
            execute(f"SET search_path TO {tenant}")
            assert VerificationRow.objects.using(alias).count() == expected


@contextmanager
def table_of_another_owner(*more: str) -> Iterator[None]:
    """Another role's table with the name of ours, and what else that role makes; and a schema `backup` of ours."""
    execute(
        "DROP ROLE IF EXISTS phone_verify_other",
        "CREATE ROLE phone_verify_other",
        "CREATE SCHEMA of_other AUTHORIZATION phone_verify_other",
        "SET ROLE phone_verify_other",
        "CREATE TABLE of_other.phone_verify_django_verificationrow ()",
        *more,
        "RESET ROLE",
        "CREATE SCHEMA backup",
    )
    try:
        yield
    finally:
        execute("DROP SCHEMA backup CASCADE", "DROP OWNED BY phone_verify_other", "DROP ROLE phone_verify_other")


def test_tables_of_others_with_the_same_name_do_not_count(alias: str) -> None:
    """A user of the database may create temporary tables, and some have a copy in a schema of their own."""
    with table_of_another_owner():
        execute("CREATE UNLOGGED TABLE backup.phone_verify_django_verificationrow ()")
        functions.make_functions(alias)
        assert names() == EVERY


def test_functions_beside_tables_of_another_owner_stay(alias: str) -> None:
    """A superuser migrates one of two sites in a database, which has a copy of its tables."""
    theirs = f"phone_verify_spend_{'0' * 16}"
    with table_of_another_owner(f"CREATE FUNCTION of_other.{theirs}() RETURNS integer LANGUAGE sql AS 'SELECT 1'"):
        execute("CREATE TABLE backup.phone_verify_django_verificationrow ()")
        functions.make_functions(alias)
        assert full_names() == {theirs}


def test_another_alias_of_the_database_drops_no_functions(alias: str, database: str, django_db_blocker: Any) -> None:
    """As of a database of an older application, whose router lets no migration create our tables."""
    other = {**settings_of(database), "OPTIONS": {"options": "-c search_path=of_another"}}
    with registered("another", other, django_db_blocker):
        functions.make_functions("another")
    assert names() == EVERY


def test_value_that_is_too_long_is_refused(alias: str) -> None:
    """PostgreSQL cuts a value that is passed as a type with a length."""
    order = opening()
    order = replace(order, request=replace(order.request, locale="x" * 70))
    run(OrmStore(using=alias).count([Quota("total", 99)], None))
    with statements() as noted, pytest.raises(StoreError):
        run(OrmStore(using=alias).open(order, [], LIMITS, None))
    assert "start" in noted


def test_functions_are_in_the_schema_of_the_tables(django_db_blocker: Any) -> None:
    with servers.database("postgresql") as url, registered("own", settings_of(url), django_db_blocker) as alias:
        execute('CREATE SCHEMA "The site"', 'SET search_path TO "The site", public')
        make_tables(alias)
        execute("CREATE SCHEMA app", 'SET search_path TO app, "The site"')
        functions.make_functions(alias)
        with statements() as noted:
            cycle(OrmStore(using=alias))
        assert "attach" in noted


def test_connection_calls_functions_after_some_statements(alias: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before, their plans would cost more than they save: a site may open a connection for each request."""
    monkeypatch.setattr(functions, "_USES", 20)
    store = OrmStore(using=alias)
    run(store.count([Quota("total", 99)], None))
    with statements() as noted:
        for _ in range(12):
            cycle(store)
            connections[alias].close()
    assert set(noted) == {"text"}
    with statements() as noted:
        for _ in range(8):
            cycle(store)
    assert noted[:20] == ["text"] * 20
    assert noted[-4:] == ["count", "start", "attach", "spend"]


@pytest.fixture
def pooled(request: pytest.FixtureRequest, alias: str, database: str, django_db_blocker: Any) -> Iterator[str]:
    """The same database behind PgBouncer in transaction mode, with the settings of the test."""
    with servers.pooled(database, **request.param) as pooler:
        given = {**settings_of(pooler.url), "DISABLE_SERVER_SIDE_CURSORS": True}
        with registered("pooled", given, django_db_blocker) as through:
            yield through


def session(alias: str) -> int:
    """Return the process of the server that ran this statement."""
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


@pytest.mark.parametrize("pooled", [{"server_lifetime": 0}], indirect=True)
def test_new_session_of_a_pooler_for_each_call(pooled: str) -> None:
    """PgBouncer closes a connection to the server after one transaction, so each call runs on another."""
    store = OrmStore(using=pooled)
    cycle(store)
    with statements(pooled) as noted:
        assert cycle(store, WRONG) is AttemptResult.WRONG
        assert cycle(store) is AttemptResult.RIGHT
    assert noted == ["count", "start", "attach", "spend"] * 2
    assert len({session(pooled) for _ in range(4)}) == 4
    with transaction.atomic(using=pooled), statements(pooled) as noted:
        assert cycle(store) is AttemptResult.RIGHT
        transaction.set_rollback(True, using=pooled)
    assert [each for each in noted if each != "text"] == ["count", "start", "attach", "spend"]
    assert CounterRow.objects.using(pooled).get(name="total").count == 4
    assert VerificationRow.objects.using(pooled).filter(status="verified").count() == 3


@pytest.mark.parametrize("pooled", [{"default_pool_size": 2}], indirect=True)
def test_limits_hold_in_the_shared_sessions_of_a_pooler(pooled: str) -> None:
    """Four threads share two connections to the server, which keep the functions' plans."""
    store = OrmStore(using=pooled)
    cycle(store)
    attacked = opening()
    assert isinstance(run(store.open(attacked, [], LIMITS, None)), Verification)

    def work(_: int) -> tuple[list[str], list[bool], list[AttemptResult]]:
        counted, answers = list[bool](), list[AttemptResult]()
        with statements(pooled) as noted:
            for _n in range(4):
                counted.append(not isinstance(run(store.count([Quota("total", 10)], None)), Denied))
                spent = run(store.spend(attacked.id, BINDING, [WRONG], 6, LIMITS, NOBODY, None))
                if isinstance(spent, Spent):
                    answers.append(spent.answer)
        return noted, counted, answers

    found = together(4, work, lambda: connections[pooled].close())
    assert sum(sum(counted) for _, counted, _ in found) == 9, "one of ten was counted before"
    assert [answer for *_, answers in found for answer in answers] == [AttemptResult.WRONG] * 5
    # A step that meets another thread's, or is refused, runs texts after its call.
    assert all(noted.count("count") >= 4 <= noted.count("spend") for noted, *_ in found)
    assert CounterRow.objects.using(pooled).get(name="total").count == 10
    assert VerificationRow.objects.using(pooled).get(id=attacked.id).attempts_left == 0


def test_other_databases_get_none(db: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert connections["default"].vendor == "sqlite"
    functions.make_functions("default")
    assert not functions.cannot_be_made("default")
    assert capsys.readouterr().out == ""
