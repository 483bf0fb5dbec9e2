"""Sites with a read replica that lags: decisions read the database that is written."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import connections, models, router
from django.test import RequestFactory

from phone_verify_django import accounts, phones, second_factor, sessions
from phone_verify_django.models import SessionGeneration, VerificationRow, VerifiedPhone
from phone_verify_django.otp.models import PhoneDevice
from phone_verify_django.site import orm_alias
from tests import forks
from tests.clients import Browser

from .conftest import PHONE, Network, verified
from .databases import registered
from .factories import proof, request_of, somebody

ROOT = Path(__file__).parents[2]
OTHER = "+989120000001"
#: In seconds.
DAY = 24 * 3600.0


class Replica:
    """Reads from the replica, writes to the default database, as in Django's documentation."""

    def db_for_read(self, model: type[models.Model], **hints: Any) -> str:
        return "replica"

    def db_for_write(self, model: type[models.Model], **hints: Any) -> str:
        return "default"

    def allow_relation(self, one: models.Model, other: models.Model, **hints: Any) -> bool:
        return True


@pytest.fixture
def replica(db: None, settings: Any, tmp_path: Path, django_db_blocker: Any) -> Iterator[list[str]]:
    """A replica that is empty until `catch_up`. Yields the statements that it receives."""
    given = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "replica.sqlite3")}
    with registered("replica", given, django_db_blocker):
        with connections["replica"].constraint_checks_disabled(), connections["replica"].schema_editor() as editor:
            for model in apps.get_models():
                editor.create_model(model)
        settings.DATABASE_ROUTERS = [f"{__name__}.{Replica.__name__}"]
        statements: list[str] = []

        def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            statements.append(sql)
            return execute(sql, params, many, context)

        with connections["replica"].execute_wrapper(note):
            yield statements


def catch_up(statements: list[str], *kinds: type[models.Model]) -> None:
    """Copy these tables to the replica."""
    for model in kinds:
        rows = list(model._base_manager.using("default").all())
        model._base_manager.using("replica").all().delete()
        model._base_manager.using("replica").bulk_create(rows)
    statements.clear()


def signed_in(browser: Browser) -> Any:
    return browser.call("GET", "v1/session")


def sign_in(browser: Browser, network: Network, phone: str = PHONE, purpose: str = "login") -> Any:
    document = verified(browser, network, phone, purpose=purpose)
    return browser.call("POST", "v1/session", {"proof": document["proof"]})


def test_new_user_is_signed_in_before_the_copy(replica: list[str], visitor: Browser, network: Network) -> None:
    answer = sign_in(visitor, network)
    assert (answer.status, answer.json()["created"]) == (200, True), answer.text
    assert signed_in(visitor).json()["user"]["phone"] == PHONE
    assert visitor.get("/").text == PHONE, "the site's own view has the user as well"
    again = Browser(type(visitor._carrier)())
    network.clock.move(DAY)
    answer = sign_in(again, network)
    assert (answer.status, answer.json()["created"]) == (200, False), answer.text
    assert replica == []


def test_number_given_up_does_not_return_to_its_user(replica: list[str], visitor: Browser, network: Network) -> None:
    user = User.objects.create_user("first")
    phones.assign(user, proof(PHONE))
    catch_up(replica, User, VerifiedPhone)
    phones.assign(user, proof(OTHER, minutes=1), replace_existing=True)
    answer = sign_in(visitor, network)
    assert (answer.status, answer.json()["created"]) == (200, True), answer.text
    assert phones.phones_of(user) == [OTHER]
    other = Browser(type(visitor._carrier)())
    assert sign_in(other, network, OTHER).json()["user"]["id"] == str(user.pk)
    assert replica == []


def test_change_of_number_reads_no_replica(replica: list[str], visitor: Browser, network: Network) -> None:
    assert sign_in(visitor, network).status == 200
    network.clock.move(120)
    document = verified(visitor, network, OTHER, purpose="change_phone")
    answer = visitor.call("PUT", "v1/session/phone", {"proof": document["proof"]})
    assert (answer.status, answer.json()["user"]["phone"]) == (200, OTHER), answer.text
    assert OTHER[-2:] in visitor.get("/phone/verify/").text
    assert visitor.call("DELETE", "v1/session").status == 204
    assert replica == []


@pytest.mark.parametrize("changed", [{"is_active": False}, {"is_staff": True}])
def test_user_is_read_where_it_is_written(replica: list[str], changed: dict[str, bool]) -> None:
    user = somebody("first")
    phones.assign(user, proof(PHONE))
    catch_up(replica, User, VerifiedPhone)
    User.objects.using("default").filter(pk=user.pk).update(**changed)
    assert accounts.sign_in(request_of(), proof(PHONE)) is None


def test_staff_rule_reads_where_rights_are_written(replica: list[str]) -> None:
    user = somebody("first")
    catch_up(replica, User)
    User.objects.using("default").filter(pk=user.pk).update(is_staff=True)
    with pytest.raises(accounts.StaffPhoneError):
        accounts.set_phone(request_of(User.objects.get(pk=user.pk)), proof(PHONE, "confirm", by_test_number=True))


def test_own_find_reads_where_it_is_written(replica: list[str], settings: Any) -> None:
    user = somebody("first")
    catch_up(replica, User)
    User.objects.using("default").filter(pk=user.pk).update(is_active=False)
    settings.PHONE_VERIFY = {"sms": "console://", "accounts": f"{__name__}.FindsByReplica"}
    assert accounts.sign_in(request_of(), proof(PHONE)) is None
    settings.PHONE_VERIFY = {"sms": "console://", "accounts": f"{__name__}.FindsByManager"}
    assert accounts.sign_in(request_of(), proof(PHONE)) is None
    User.objects.using("default").filter(pk=user.pk).update(is_active=True)
    User.objects.using("replica").all().delete()
    found = accounts.sign_in(request_of(), proof(PHONE))
    assert found is not None
    assert not found.created


class FindsByReplica(accounts.Accounts):
    def find(self, redeemed: Any) -> Any:
        return User.objects.using("replica").get(username="first")


class FindsByManager(accounts.Accounts):
    def find(self, redeemed: Any) -> Any:
        return User.objects.filter(username="first").first()


def test_session_of_another_backend_is_read_again(replica: list[str], rf: RequestFactory) -> None:
    user = somebody("first")
    catch_up(replica, User)
    request = request_of(User.objects.get(pk=user.pk))
    assert cast("Any", request.user)._state.db == "replica"
    assert sessions.user_of(request) == user
    assert request.user._state.db == "default"
    for change in ({"is_active": False}, None):
        request = request_of(User.objects.get(pk=user.pk))
        rows = User.objects.using("default").filter(pk=user.pk)
        rows.update(**change) if change else rows.delete()
        assert sessions.user_of(request) is None


def test_ended_session_stays_ended(replica: list[str]) -> None:
    user = somebody("first")
    catch_up(replica, User)
    sessions.end_all(user.pk)
    assert SessionGeneration.objects.get(pk=user.pk).generation == 1
    assert sessions.user_of(request_of(user)) is None
    assert replica == []


def test_second_factor_is_read_where_it_is_written(replica: list[str]) -> None:
    user = somebody("first")
    phones.assign(user, proof(PHONE))
    assert not second_factor.is_set_up(user)
    PhoneDevice.objects.create(user=user, phone=OTHER, confirmed=True)
    assert second_factor.is_set_up(user)
    with pytest.raises(accounts.MfaRequiredError):
        accounts.sign_in(request_of(), proof(PHONE), session=False)
    assert replica == []


def test_primary_number_is_passed_on_without_the_replica(replica: list[str]) -> None:
    user = somebody("first")
    phones.assign(user, proof(PHONE))
    phones.assign(user, proof(OTHER, minutes=1))
    VerifiedPhone.objects.get(phone=PHONE).delete()
    assert phones.phone_of(user) == OTHER
    assert VerifiedPhone.objects.get(phone=OTHER).is_primary
    assert VerifiedPhone(user=user, phone=PHONE, verified_at=datetime.now(UTC)).save() is None
    assert phones.phones_of(user) == [OTHER, PHONE]
    assert replica == []


def test_erase_finds_rows_before_the_copy(replica: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    phones.assign(somebody(PHONE), proof(PHONE))
    call_command("phone_verify_erase", PHONE, yes=True)
    printed = capsys.readouterr().out
    assert "verified numbers: 1" in printed
    assert "The username of user" in printed
    assert replica == []


class Silent:
    """Says where everything is read, and what is written to `default` by saying nothing."""

    def db_for_read(self, model: type[models.Model], **hints: Any) -> str:
        return "replica"


class OnlyReads(Silent):
    """The same; content types stand for the tables of a legacy database, which nothing writes."""

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return app_label != "contenttypes"


class RefusesWrites(Replica):
    def db_for_write(self, model: type[models.Model], **hints: Any) -> str:
        if model is ContentType:
            raise PermissionError("read only")
        return "default"


class Unmanaged(Silent):
    pass


class AsksLegacy(accounts.Accounts):
    """Decides by a table that only the replica has."""

    def may_sign_up(self, redeemed: Any, request: Any) -> bool:
        return ContentType.objects.filter(app_label="legacy").exists()


@pytest.mark.parametrize("kind", [OnlyReads, RefusesWrites, Unmanaged])
def test_table_that_is_only_read_is_read_where_the_site_says(
    replica: list[str], settings: Any, monkeypatch: pytest.MonkeyPatch, kind: type
) -> None:
    settings.DATABASE_ROUTERS = [f"{__name__}.{kind.__name__}"]
    settings.PHONE_VERIFY = {"sms": "console://", "accounts": f"{__name__}.AsksLegacy"}
    monkeypatch.setattr(ContentType._meta, "managed", kind is not Unmanaged)
    ContentType.objects.using("replica").create(app_label="legacy", model="customer")
    found = accounts.sign_in(request_of(), proof(PHONE))
    assert found is not None
    assert found.created


def test_router_without_writes_means_the_default_database(replica: list[str], settings: Any) -> None:
    settings.DATABASE_ROUTERS = [f"{__name__}.Silent"]
    phones.assign(somebody("first"), proof(PHONE))
    found = accounts.sign_in(request_of(), proof(PHONE))
    assert found is not None
    assert not found.created
    assert replica == []


# Routers.


class Parted(Replica):
    """Sends what `PLACES` names elsewhere."""

    places: dict[str, str] = {}  # noqa: RUF012
    unmade: set[str] = set()  # noqa: RUF012

    def db_for_read(self, model: type[models.Model], **hints: Any) -> str:
        return self.places.get(f"read {model._meta.label}") or self.db_for_write(model)

    def db_for_write(self, model: type[models.Model], **hints: Any) -> str:
        return self.places.get(model._meta.label) or self.places.get(model._meta.app_label, "default")

    def allow_migrate(self, db: str, app_label: str, model_name: str | None = None, **hints: Any) -> bool:
        return model_name not in self.unmade


@pytest.fixture
def parted(settings: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Places by app label or model; the databases `second` and `third` exist, and are not opened."""
    for alias in ("second", "third"):
        given = {"ENGINE": "django.db.backends.sqlite3", "NAME": f"/nowhere/{alias}"}
        monkeypatch.setitem(settings.DATABASES, alias, given)
        configured = connections.configure_settings({"default": {}, alias: given})[alias]
        monkeypatch.setitem(connections.settings, alias, configured)
    places: dict[str, str] = {}
    monkeypatch.setattr(Parted, "places", places)
    monkeypatch.setattr(Parted, "unmade", set())
    settings.DATABASE_ROUTERS = [f"{__name__}.{Parted.__name__}"]
    settings.PHONE_VERIFY = {"sms": "console://"}
    return places


def found() -> dict[str | None, str]:
    return {each.id: f"{each.msg} {each.hint}" for each in run_checks(tags=["phone_verify"])}


STORE = [VerificationRow._meta.label, *(apps.get_model(VerificationRow._meta.app_label, name)._meta.label
                                       for name in ("PhoneRow", "CounterRow"))]  # fmt: skip


def test_store_follows_the_router(parted: dict[str, str]) -> None:
    parted.update(dict.fromkeys(STORE, "second"))
    assert router.db_for_write(VerificationRow) == orm_alias() == "second"
    message = found()["phone_verify.I042"]
    assert "'second'" in message
    assert "committed separately" in message


def test_named_store_keeps_its_alias(parted: dict[str, str], settings: Any) -> None:
    parted.update(dict.fromkeys(STORE, "second"))
    settings.PHONE_VERIFY = {"sms": "console://", "store": "orm:third"}
    assert orm_alias() == "third"


def test_numbers_apart_from_users_are_an_error(parted: dict[str, str]) -> None:
    parted[VerificationRow._meta.app_label] = "second"
    message = found()["phone_verify.E040"]
    assert "'second'" in message
    assert "auth.User" in message
    assert "joined" in message


def test_table_that_is_not_created_is_an_error(parted: dict[str, str]) -> None:
    Parted.unmade = {"counterrow"}
    assert "CounterRow" in found()["phone_verify.E041"]
    Parted.unmade = {"verifiedphone"}
    assert "VerifiedPhone" in found()["phone_verify.E041"]


def test_sessions_on_a_replica_are_reported(parted: dict[str, str], settings: Any) -> None:
    parted["read sessions.Session"] = "second"
    assert "'sessions'" in found()["phone_verify.W043"]
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.cache"
    assert "phone_verify.W043" not in found()


def test_one_database_with_two_aliases_is_accepted(
    parted: dict[str, str], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(settings.DATABASES, "third", settings.DATABASES["second"])
    parted.update({"auth": "second", VerificationRow._meta.app_label: "third", "phone_verify_otp": "second"})
    assert {id for id in found() if str(id).startswith("phone_verify.E04")} == set()
    assert "phone_verify.I042" not in found()


def test_site_without_routers_has_no_findings(settings: Any) -> None:
    settings.PHONE_VERIFY = {"sms": "console://"}
    assert not [id for id in found() if str(id)[13:16] in ("E04", "I04", "W04")]


def run_without_default(folder: Path, *routers: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "tests.django_adapter.routed_site", str(folder), *routers]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PHONE_VERIFY_")}
    return forks.run(command, cwd=ROOT, env=environ, timeout=120)


def test_empty_default_database_works(tmp_path: Path) -> None:
    done = run_without_default(tmp_path, "tests.django_adapter.routed_site.Router")
    assert done.returncode == 0, done.stderr[-3000:]


def test_empty_default_without_a_router_is_refused(tmp_path: Path) -> None:
    done = run_without_default(tmp_path)
    assert "ImproperlyConfigured: PHONE_VERIFY['store']: DATABASES['default'] is empty" in done.stderr
    assert "orm:alias" in done.stderr
