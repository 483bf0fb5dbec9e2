"""Migrations of existing tables: the resulting rows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connections
from django.db.migrations.executor import MigrationExecutor

from tests.stores import servers

from .databases import WRITE_AHEAD, registered, settings_of
from .factories import NOON

ONE, TWO, THREE = (f"+98912000000{n}" for n in (1, 2, 3))


@pytest.fixture(params=["sqlite", "postgresql", pytest.param("mysql", marks=pytest.mark.slow)])
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


def migrated(alias: str, *targets: tuple[str, str]) -> Any:
    """Return the models after these migrations."""
    executor = MigrationExecutor(connections[alias])
    executor.migrate(list(targets))
    return MigrationExecutor(connections[alias]).loader.project_state(list(targets)).apps


def test_existing_numbers_are_migrated(alias: str, django_db_blocker: Any) -> None:
    with django_db_blocker.unblock():
        apps = migrated(alias, ("auth", "0012_alter_user_first_name_max_length"), ("phone_verify", "0001_initial"))
        users = apps.get_model("auth", "User").objects.using(alias)
        rows = apps.get_model("phone_verify", "VerifiedPhone").objects.using(alias)
        first, second = users.create(username="a"), users.create(username="b")
        for user, phone, minutes in ((first, ONE, 0), (first, TWO, 5), (second, THREE, 1)):
            rows.create(user_id=user.pk, phone=phone, verified_at=NOON + timedelta(minutes=minutes))
        newest = ("phone_verify", "0004_primary_phone_constraints")
        apps = migrated(alias, newest)
        rows = apps.get_model("phone_verify", "VerifiedPhone").objects.using(alias)
        found = list(rows.order_by("phone").values_list("user__username", "phone", "is_primary", "login_phone"))
        assert found == [("a", ONE, None, ONE), ("a", TWO, True, TWO), ("b", THREE, True, THREE)]
        for wrong in (
            {"user_id": second.pk, "phone": TWO, "login_phone": TWO},
            {"user_id": first.pk, "phone": TWO},
            {"user_id": first.pk, "phone": "+989120000004", "is_primary": True},
            {"user_id": first.pk, "phone": "+989120000004", "is_primary": False},
            {"user_id": first.pk, "phone": "+989120000004", "login_phone": "+989120000005"},
        ):
            with pytest.raises(IntegrityError):
                rows.create(verified_at=NOON, **wrong)
        migrated(alias, ("phone_verify", "0001_initial"))
        migrated(alias, newest)
        assert rows.count() == 3


def test_device_secrets_are_removed_from_the_table(alias: str, django_db_blocker: Any) -> None:
    """A pending verification ends, and its user may request a code. Other devices keep their cool-down."""
    with django_db_blocker.unblock():
        oldest, newest = ("phone_verify_otp", "0001_initial"), ("phone_verify_otp", "0002_challenges")
        apps = migrated(alias, ("auth", "0012_alter_user_first_name_max_length"), oldest)
        user = apps.get_model("auth", "User").objects.using(alias).create(username="a")
        devices = apps.get_model("phone_verify_otp", "PhoneDevice").objects.using(alias)
        given = {"user_id": user.pk, "last_generated_timestamp": NOON, "throttling_failure_count": 3}
        devices.create(phone=ONE, verification_id="v" * 44, secret="s" * 22, **given)
        devices.create(phone=TWO, **given)
        devices = migrated(alias, newest).get_model("phone_verify_otp", "PhoneDevice").objects.using(alias)
        found = devices.order_by("phone").values_list(
            "phone", "challenges", "last_generated_timestamp", "throttling_failure_count"
        )
        assert list(found) == [(ONE, [], None, 3), (TWO, [], NOON, 3)]
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT * FROM phone_verify_otp_phonedevice")
            assert "s" * 22 not in str(cursor.fetchall())
            assert not {"secret", "verification_id"} & {column[0] for column in cursor.description}
        devices = migrated(alias, oldest).get_model("phone_verify_otp", "PhoneDevice").objects.using(alias)
        assert set(devices.values_list("verification_id", "secret")) == {("", "")}
        migrated(alias, newest)


@pytest.mark.django_db
def test_models_have_no_missing_migration() -> None:
    call_command("makemigrations", "phone_verify", check=True, dry_run=True, verbosity=0)
