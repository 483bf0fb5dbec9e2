"""The functions of PostgreSQL that the store calls: made by `migrate`, missing, and dropped meanwhile."""

from __future__ import annotations

import io
import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import connections, transaction

from phone_verify.lifecycle import AttemptResult, Spent
from phone_verify.limits import Denied, Quota
from phone_verify.model import Verification
from phone_verify.stores.base import Store
from phone_verify.stores.rows import verbs
from phone_verify.testing.stores import BINDING, LIMITS, NOBODY, RIGHT, WRONG, attachment, opening, run, together
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


def drop(*, but: str = "") -> None:
    execute(*(f"DROP FUNCTION {name}" for name in full_names() if not but or f"_{but}_" not in name))


@contextmanager
def statements() -> Iterator[list[str]]:
    """Note what is called: a verb for a function, "text" for anything else."""
    noted: list[str] = []

    def note(execute: Any, sql: str, params: Any, many: Any, context: Any) -> Any:
        found = CALL.match(sql)
        noted.append(found[1] if found else "text")
        return execute(sql, params, many, context)

    with connections["own"].execute_wrapper(note):
        yield noted


def cycle(store: Store, digest: bytes = RIGHT, total: int = 99) -> AttemptResult:
    """Start, attach and answer; return the result."""
    order = opening()
    counted = run(store.count_and_open([Quota("total", total)], order, [Quota("own", 99)], LIMITS, None))  # type: ignore[attr-defined]
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
        assert len(noted) == 3, "it looks, and changes nothing"
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
    """The setting holds until the statement's transaction ends, so also after the function has returned."""
    store, kept = OrmStore(using=alias), dict[str, str]()

    def note(execute: Any, sql: str, params: Any, many: Any, context: Any) -> Any:
        found, raw = CALL.match(sql), context["cursor"].cursor
        if found is None:
            return execute(sql, params, many, context)
        raw.execute("BEGIN")
        result = execute(f"WITH called AS MATERIALIZED ({sql}) SELECT * FROM called", params, many, context)
        rows = raw.fetchall()
        raw.execute("SHOW synchronous_commit")
        kept[found[1]] = raw.fetchone()[0]
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


def test_functions_dropped_while_the_process_runs(alias: str, caplog: pytest.LogCaptureFixture) -> None:
    """As when `migrate` of the next version drops them: each step is done, once, and later ones run the texts."""
    store = OrmStore(using=alias)
    cycle(store)
    drop()
    with caplog.at_level(logging.INFO, "phone_verify"), statements() as noted:
        assert cycle(store, WRONG) is AttemptResult.WRONG
        assert cycle(store, total=3) is AttemptResult.RIGHT
    assert noted == ["count", *["text"] * 8], "one failed call"
    assert CounterRow.objects.using(alias).get(name="total").count == 3
    assert caplog.messages == ["The database 'own' has no functions of this version for the store: run migrate"]


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
    assert (spent.record.attempts_left, spent.record.failures.count) == (4, 1)  # type: ignore[union-attr]
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
        assert "run migrate" in caplog.text
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


def test_function_with_another_body_is_not_called(alias: str) -> None:
    """Whoever may create functions in the schema could put one in the place of ours, to be run by the site."""
    cycle(OrmStore(using=alias))
    for name in full_names():
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT pg_get_functiondef(%s::regproc)", [name])
            (definition,) = cursor.fetchone()
        execute(definition.replace("BEGIN RETURN QUERY", "BEGIN RAISE 'planted'; RETURN QUERY"))
    store = OrmStore(using=alias)
    with statements() as noted:
        assert cycle(store) is AttemptResult.RIGHT
    assert set(noted) == {"text"}
    functions.make_functions(alias)
    with statements() as noted:
        assert cycle(OrmStore(using=alias)) is AttemptResult.RIGHT
    assert "attach" in noted


@pytest.mark.parametrize("shared", [False, True], ids=["functions of each schema", "functions of one schema"])
def test_schemas_of_tenants(shared: bool, django_db_blocker: Any) -> None:
    """Steps in turn on one connection: each uses the tables of the search path of its request."""
    tenants = ["one", "two"]
    with servers.database("postgresql") as url, registered("own", settings_of(url), django_db_blocker) as alias:

        def choose(tenant: str) -> None:
            execute(f"SET search_path TO {tenant}, public")

        if shared:
            make_tables(alias)
        for tenant in tenants:
            execute(f"CREATE SCHEMA {tenant}")
            choose(tenant)
            make_tables(alias, functions=not shared)
        store = OrmStore(using=alias)
        for _ in range(8):  # beyond the five plans for given values
            for tenant in tenants:
                choose(tenant)
                cycle(store)
        with statements() as noted:
            cycle(store)
        assert set(noted) == {"count", "start", "attach", "spend"}
        for tenant, expected in zip(tenants, [8, 9], strict=True):
            choose(tenant)
            assert VerificationRow.objects.using(alias).count() == expected


def test_tenant_without_functions(django_db_blocker: Any) -> None:
    with servers.database("postgresql") as url, registered("own", settings_of(url), django_db_blocker) as alias:
        store = OrmStore(using=alias)
        for tenant in ("one", "two"):
            execute(f"CREATE SCHEMA {tenant}", f"SET search_path TO {tenant}")
            make_tables(alias, functions=tenant == "one")
        for tenant in ("one", "two", "one"):
            execute(f"SET search_path TO {tenant}")
            assert cycle(store) is AttemptResult.RIGHT


def test_other_databases_get_none(db: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert connections["default"].vendor == "sqlite"
    functions.make_functions("default")
    assert not functions.cannot_be_made("default")
    assert capsys.readouterr().out == ""
