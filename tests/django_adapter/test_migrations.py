"""The initial migrations: what they create, also in a database with another package's history."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.db import IntegrityError, connections
from django.db.migrations.recorder import MigrationRecorder

from phone_verify.lifecycle import AttemptResult, Opening, Spent
from phone_verify.limits import Denied, Quota
from phone_verify.model import Verification
from phone_verify.stores.sql import SqlStore, metadata
from phone_verify.testing.stores import BINDING, LIMITS, NOBODY, RIGHT, WRONG, attachment, opening, run
from phone_verify_django.models import VerifiedPhone
from phone_verify_django.store import OrmStore
from tests.stores import servers

from .databases import WRITE_AHEAD, registered, settings_of
from .factories import NOON

ROOT = Path(__file__).parents[2]
ONE, TWO = "+989120000001", "+989120000002"
#: The history of django-phone-verify 3: its app's label, its migrations and its table.
LABEL = "phone_verify"
HISTORY = ("0001_initial", "0002_auto_20190817_1753", "0003_smsverification_failed_attempts")
TABLE = "sms_verification"


@pytest.fixture(params=["sqlite", *servers.PARAMETERS])
def alias(request: pytest.FixtureRequest, tmp_path: Any, django_db_blocker: Any) -> Iterator[str]:
    """A separate empty database of each kind."""
    if request.param == "sqlite":
        given = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "site.sqlite3"), "OPTIONS": WRITE_AHEAD}
        with registered("old", given, django_db_blocker) as alias:
            yield alias
        return
    with (
        servers.database(request.param) as url,
        registered("old", settings_of(url), django_db_blocker) as alias,
        django_db_blocker.unblock(),
    ):
        yield alias


def migrate(alias: str) -> None:
    call_command("migrate", database=alias, verbosity=0)


def ours() -> set[str]:
    """The tables of our apps."""
    models = [
        model
        for label in ("phone_verify_django", "phone_verify_otp")
        for model in apps.get_app_config(label).get_models()
    ]
    return {model._meta.db_table for model in models}


def test_constraints_hold_in_a_migrated_database(alias: str) -> None:
    migrate(alias)
    first, second = (User.objects.using(alias).create(username=name) for name in "ab")
    rows = VerifiedPhone.objects.using(alias)
    for user, phone in ((first, ONE), (second, TWO)):
        VerifiedPhone(user=user, phone=phone, verified_at=NOON).save(using=alias)
    free = {"user_id": first.pk, "phone": "+989120000003", "is_primary": None, "login_phone": None}
    for wrong in (
        {"user_id": first.pk, "phone": TWO, "login_phone": TWO},
        {"user_id": first.pk, "phone": ONE},
        {"is_primary": True},
        {"is_primary": False},
        {"login_phone": "+989120000005"},
    ):
        with pytest.raises(IntegrityError):
            rows.bulk_create([VerifiedPhone(verified_at=NOON, **(free | wrong))])
    rows.bulk_create([VerifiedPhone(verified_at=NOON, **free)])


def test_migrate_works_after_django_phone_verify(alias: str) -> None:
    """That package has the label `phone_verify`, and an initial migration of the usual name."""
    connection = connections[alias]
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {TABLE} (id VARCHAR(36) PRIMARY KEY, phone_number VARCHAR(128))")
        cursor.execute(f"INSERT INTO {TABLE} VALUES ('x', '{ONE}')")
    for name in HISTORY:
        MigrationRecorder(connection).record_applied(LABEL, name)
    migrate(alias)
    assert ours() <= set(connection.introspection.table_names())
    applied = MigrationRecorder(connection).applied_migrations()
    assert {(LABEL, name) for name in HISTORY} <= applied.keys()
    assert ("phone_verify_django", "0001_initial") in applied
    permissions = Permission.objects.using(alias).filter(content_type__app_label="phone_verify_django")
    assert permissions.filter(codename="view_verifiedphone").exists()
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT phone_number FROM {TABLE}")
        assert list(cursor.fetchall()) == [(ONE,)]
    call_command("migrate", "phone_verify_django", "zero", database=alias, verbosity=0)
    assert TABLE in connection.introspection.table_names()


def test_no_table_has_a_name_of_django_phone_verify() -> None:
    assert all(table.startswith(("phone_verify_django_", "phone_verify_otp_")) for table in ours())
    assert LABEL not in {config.label for config in apps.get_app_configs()}


@contextmanager
def sql_store(url: str) -> Iterator[SqlStore]:
    """A store of the SQL adapter that creates its tables with its first step."""
    store = SqlStore.from_url(url)
    try:
        assert run(store.get(opening().id, None)) is None
        yield store
    finally:
        store._transactions.engine.dispose()


def cycle(store: SqlStore | OrmStore, order: Opening, attempts: int) -> None:
    """Start, fail `attempts` times and succeed; a quota of one start counts in the store's rows only."""
    quotas = [Quota("total", 1)]
    assert isinstance(run(store.count_and_open(quotas, order, [Quota("own", 1)], LIMITS, None)), tuple)
    denied = run(store.count(quotas, None))
    assert isinstance(denied, Denied)
    assert isinstance(run(store.attach(order.id, attachment(order), None)), Verification)
    for digest in [WRONG] * attempts + [RIGHT]:
        spent = run(store.spend(order.id, BINDING, [digest], 6, LIMITS, NOBODY, None))
        assert isinstance(spent, Spent)
        assert spent.answer is (AttemptResult.WRONG if digest == WRONG else AttemptResult.RIGHT)


def content(url: str, tables: Iterable[str]) -> dict[str, list[str]]:
    """Return all rows of these tables."""
    return {table: sorted(map(repr, servers.execute(url, f"SELECT * FROM {table}"))) for table in tables}


@pytest.mark.parametrize("first", ["django", "sql"])
@pytest.mark.parametrize("kind", servers.PARAMETERS)
def test_stores_of_both_adapters_share_a_database(kind: str, first: str, django_db_blocker: Any) -> None:
    """On PostgreSQL the names of indexes and tables must differ from each other, too."""
    with (
        servers.database(kind) as url,
        registered("both", settings_of(url), django_db_blocker) as alias,
        ExitStack() as stack,
    ):
        if first == "django":
            migrate(alias)
        sql = stack.enter_context(sql_store(url))
        if first == "sql":
            migrate(alias)
        assert ours() | set(metadata.tables) <= set(connections[alias].introspection.table_names())
        # One verification of one id in each: neither store finds or changes that of the other.
        order, orm = opening(), OrmStore(using=alias)
        before = content(url, ours())
        cycle(sql, order, 1)
        assert content(url, ours()) == before
        assert run(orm.get(order.id, None)) is None
        before = content(url, metadata.tables)
        cycle(orm, order, 2)
        assert content(url, metadata.tables) == before
        found = [run(store.get(order.id, None)) for store in (sql, orm)]
        assert [record and record.attempts_left for record in found] == [3, 2], "each answer takes an attempt"


def test_code_and_pages_use_the_app_label() -> None:
    """Permissions, admin URLs, and models by name, wherever they are written."""
    old = re.compile(
        r"phone_verify\.(?:add|change|delete|view)_|admin[:/]phone_verify[_/](?!django|otp|allauth|services)|"
        r"\([\"']phone_verify[\"'], [\"']0|"
        r"(?:get_model|get_app_config|sqlmigrate|app_label\W+)\W*phone_verify\b(?!_)"
    )
    for folder in ("phone_verify", "phone_verify_django", "phone_verify_flask", "docs", "tests", "example_projects"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".py", ".md", ".html"} and path != Path(__file__):
                assert not (found := old.search(path.read_text("utf-8"))), f"{path.name}: {found}"


def test_each_app_has_one_migration_before_the_first_release() -> None:
    """`make migrations` writes them. Remove this test with the release of 0.1.0."""
    for folder in (ROOT / "phone_verify_django").rglob("migrations"):
        assert [path.name for path in folder.glob("0*.py")] == ["0001_initial.py"], folder
    assert [path.name for path in (ROOT / "phone_verify/stores/sql/migrations/versions").glob("0*.py")] == [
        "0001_tables.py"
    ]


@pytest.mark.django_db
def test_models_have_no_missing_migration() -> None:
    call_command("makemigrations", "phone_verify_django", "phone_verify_otp", check=True, dry_run=True, verbosity=0)
