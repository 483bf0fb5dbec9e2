"""The findings of `manage.py check`: those of the doctor, phrased for Django settings, and some additional ones."""

from __future__ import annotations

import os
import subprocess
import sys
from ast import literal_eval
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks

from phone_verify.config.settings import KNOWN
from phone_verify.doctor import examine
from phone_verify.doctor.rules import RULES
from phone_verify_django import app_settings, checks
from phone_verify_django.site import site_config
from tests import forks
from tests.cases import in_one_test

from .custom_accounts import Own
from .settings import SECRET_KEY

ROOT = Path(__file__).parents[2]
Configure = Callable[..., None]
SMS = "amoot://FAKE-CREDENTIAL@default"

OWN_ACCOUNTS = "tests.django_adapter.custom_accounts.Own"

#: A site without findings in `check --deploy`.
SOUND = {"sms": SMS, "public_url": "https://site.example", "allowed_regions": "IR"}


def found(*, deploy: bool = False) -> dict[str | None, tuple[str, str]]:
    messages = run_checks(tags=["phone_verify"], include_deployment_checks=deploy)
    return {message.id: (message.msg, message.hint or "") for message in messages}


@pytest.mark.slow
@pytest.mark.parametrize("value", ["amoot://HUNTER2x@default", object()])
def test_check_survives_any_value_and_shows_no_credential(configure: Configure, value: Any) -> None:
    configure(**{**SOUND, "store": f"orm:{value}"})
    assert "hunter2" not in str(found(deploy=True)).lower()
    for name in (*KNOWN, *app_settings.NAMES, "HUNTER2x=", "amoot://HUNTER2x@default"):
        configure(**{**SOUND, name: value})
        messages = str(found(deploy=True)) if name != "site_name" else ""
        assert "hunter2" not in messages.lower(), (name, messages)


def test_sound_site_has_no_findings(configure: Configure) -> None:
    configure(**SOUND)
    assert found(deploy=True) == {}


@in_one_test
@pytest.mark.parametrize(
    ("id", "change", "says", "hint"),
    [
        ("E003", {"smss": "console://"}, "PHONE_VERIFY['smss']", "Did you mean PHONE_VERIFY['sms']?"),
        ("E003", {"ttl": 5}, "PHONE_VERIFY['ttl']: Must be from 30", ""),
        ("E003", {"sms": "nobody://x@default"}, "PHONE_VERIFY['sms']", "phone-verify drivers"),
        ("E003", {"secret_keys": "short"}, "32 characters", "token_urlsafe"),
        ("E003", {"secret_keys": "x" * 40}, "different characters", "token_urlsafe"),
        ("E003", {"webhook_secret": "short"}, "22 characters", ""),
        ("E011", {"channels": "sms,voice"}, "no driver is configured for it", "Set PHONE_VERIFY['voice']"),
        ("W011", {"sms": None}, "No channel is configured", "PHONE_VERIFY['sms'] = 'console://'"),
        ("W012", {"sms": "console://"}, "reach no phone", "the DSN of a provider"),
        ("W012", {"sms": "sandbox://127.0.0.1:8025"}, "reach no phone", "the DSN of a provider"),
        ("W013", {"store": "memory:"}, "one process", "PHONE_VERIFY['store'] = 'orm:'"),
        ("E013", {"store": "orm:elsewhere"}, "'elsewhere'", ""),
        (
            "W014",
            {"secret_keys": ["x-key-for-tests-0123456789abcdef", "y-key-for-tests-0123456789abcdef"]},
            "PHONE_VERIFY['tag_key']",
            "the last of the secret keys",
        ),
        ("E003", {"shared_phone": True}, "PHONE_VERIFY['shared_phone']", "Did you mean PHONE_VERIFY['shared_phones']?"),
        (
            "E005",
            {"accounts": "nowhere.Accounts"},
            "PHONE_VERIFY['accounts']: Cannot import",
            "phone_verify_django.accounts",
        ),
        (
            "E005",
            {"accounts": "django.forms.Form"},
            "PHONE_VERIFY['accounts']: 'django.forms.Form' is no",
            "a subclass of",
        ),
        ("E005", {"accounts": 7}, "PHONE_VERIFY['accounts']: 7 is no", "a subclass of"),
        (
            "E005",
            {"signup_form": "shop.forms.Missing"},
            "PHONE_VERIFY['signup_form']: Cannot import",
            "of a form class",
        ),
        ("E005", {"signup_form": OWN_ACCOUNTS}, "PHONE_VERIFY['signup_form']: ", "of a form class"),
        ("E005", {"signup_form": "noform"}, "PHONE_VERIFY['signup_form']: ", "of a form class"),
        ("E005", {"shared_phones": "yes"}, "PHONE_VERIFY['shared_phones']: The value is neither", "True or False"),
        ("E005", {"recycled_numbers": "mine"}, "PHONE_VERIFY['recycled_numbers']: Invalid value 'mine'", "'newest'"),
        ("E005", {"recycled_numbers": ["keep"]}, "PHONE_VERIFY['recycled_numbers']", "'keep' or 'newest'"),
        ("E005", {"phone_field": "phone"}, "auth.User has no text field 'phone'", "a CharField of auth.User"),
        ("E005", {"phone_field": "groups"}, "auth.User has no text field 'groups'", "'' for none"),
        ("E005", {"phone_field": 7}, "auth.User has no text field 7", "'' for none"),
        (
            "E005",
            {"connection_setup": "nowhere.setup"},
            "PHONE_VERIFY['connection_setup']: Cannot import",
            "a function",
        ),
        ("E005", {"connection_setup": 7}, "PHONE_VERIFY['connection_setup']: 7 is not a function", "dotted path"),
        (
            "E005",
            {"shared_phones": True, "recycled_numbers": "newest"},
            "cannot be transferred",
            "Remove it or shared_phones",
        ),
    ],
)
def test_finding_is_reported_on_every_run(
    configure: Configure, id: str, change: dict[str, Any], says: str, hint: str
) -> None:
    configure(**{name: value for name, value in {**SOUND, **change}.items() if value is not None})
    message = found()[f"phone_verify.{id}"]
    assert says in message[0]
    assert hint in message[1]
    assert "PHONE_VERIFY_" not in " ".join(message)
    assert "FAKE-CREDENTIAL" not in " ".join(message)


@pytest.mark.parametrize(
    ("id", "change", "hint"),
    [
        ("W020", {"sms": None, "flash_call": "ferzz://KEY@default"}, "add a channel"),
        ("W020", {"code_length": 4}, "PHONE_VERIFY['code_length'] = 6"),
        ("W021", {"public_url": None}, "PHONE_VERIFY['public_url'] = 'https://your.site'"),
        ("E021", {"public_url": "http://site.example"}, "PHONE_VERIFY['public_url'] = 'https://site.example'"),
        ("W022", {"inbound_call": "ssms://KEY@default"}, "token_urlsafe"),
        ("W023", {"allowed_regions": None}, "PHONE_VERIFY['allowed_regions'] = 'IR'"),
        ("W024", {"sends_per_hour_total": 0}, "PHONE_VERIFY['sends_per_hour_total'] = 1000"),
    ],
)
def test_finding_is_reported_on_deployed_sites(
    configure: Configure, id: str, change: dict[str, Any], hint: str
) -> None:
    configure(**{name: value for name, value in {**SOUND, **change}.items() if value is not None})
    assert list(found()) == ([f"phone_verify.W{id[1:]}"] if id.startswith("E") else [])
    assert hint.lower() in found(deploy=True)[f"phone_verify.{id}"][1].lower()


@pytest.mark.parametrize(
    ("id", "settings_", "hint"),
    [
        ("W030", {"SESSION_ENGINE": "django.contrib.sessions.backends.signed_cookies"}, "SESSION_ENGINE = "),
        ("W031", {"SESSION_ENGINE": "django.contrib.sessions.backends.cache"}, "CACHES['default']"),
        ("W031", {"SESSION_ENGINE": "django.contrib.sessions.backends.cached_db"}, "CACHES['default']"),
    ],
)
def test_session_engine_finding_is_reported_on_deploy(
    configure: Configure, settings: Any, id: str, settings_: dict[str, str], hint: str
) -> None:
    configure(**SOUND)
    for name, value in settings_.items():
        setattr(settings, name, value)
    assert found() == {}
    said = found(deploy=True)
    assert list(said) == [f"phone_verify.{id}"]
    assert hint in said[f"phone_verify.{id}"][1]


@pytest.mark.parametrize("engine", ["cache", "cached_db"])
def test_shared_cache_may_store_sessions(configure: Configure, settings: Any, engine: str) -> None:
    configure(**SOUND)
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://h"}}
    assert found(deploy=True) == {}


@pytest.mark.parametrize("engine", ["django_tenants.postgresql_backend", "tenant_schemas.postgresql_backend"])
def test_tenants_without_connection_setup_are_reported(
    configure: Configure, settings: Any, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    configure(**SOUND)
    monkeypatch.setitem(settings.DATABASES, "default", {"ENGINE": engine, "NAME": "site"})
    message, hint = found()["phone_verify.W033"]
    assert "second connection" in message
    assert "PHONE_VERIFY['connection_setup']" in hint
    configure(**SOUND, connection_setup=print)
    assert "phone_verify.W033" not in found()
    configure(**SOUND, store="memory:")
    assert "phone_verify.W033" not in found()


@pytest.mark.parametrize("engine", ["postgresql", "mysql"])
def test_database_without_timeouts_is_reported(
    configure: Configure, settings: Any, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(**SOUND)
    database = {"ENGINE": f"django.db.backends.{engine}", "NAME": "site"}
    monkeypatch.setitem(settings.DATABASES, "default", database)
    message, hint = found(deploy=True)["phone_verify.W032"]
    assert "connect_timeout" in message
    options = literal_eval(hint.partition("'OPTIONS': ")[2])
    monkeypatch.setitem(settings.DATABASES, "default", {**database, "OPTIONS": options})
    assert found(deploy=True) == {}
    monkeypatch.setitem(settings.DATABASES, "default", database)
    configure(**SOUND, store="redis://127.0.0.1:6379")
    assert "phone_verify.W032" not in found(deploy=True)


def test_environment_setting_is_named_as_the_variable(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(sms=SMS)
    monkeypatch.setenv("PHONE_VERIFY_STORE", "memory:")
    monkeypatch.setenv("PHONE_VERIFY_TTLL", "300")
    said = found()
    assert said["phone_verify.W013"][1] == "Set PHONE_VERIFY_STORE=orm:"
    assert said["phone_verify.W010"][0].startswith("PHONE_VERIFY_TTLL")


def test_malformed_settings_are_an_error(settings: Any) -> None:
    settings.PHONE_VERIFY = "console://"
    assert "must be a dict" in found()["phone_verify.E003"][0]
    settings.PHONE_VERIFY = {"SMS": "console://"}
    assert "lower case" in found()["phone_verify.E003"][0]


@pytest.mark.parametrize(
    "change",
    [
        {"accounts": OWN_ACCOUNTS},
        {"accounts": Own},
        {"signup_form": "tests.django_adapter.custom_accounts.NameForm"},
        {"signup_form": "tests.django_adapter.custom_accounts.UserForm"},
        {"shared_phones": True, "recycled_numbers": "keep"},
        {"recycled_numbers": "newest"},
        {"phone_field": "first_name"},
        {"phone_field": ""},
        {"accounts": None, "shared_phones": None, "recycled_numbers": None, "signup_form": None, "phone_field": None},
    ],
)
def test_sound_account_settings_have_no_findings(configure: Configure, change: dict[str, Any]) -> None:
    configure(**SOUND, **change)
    assert found(deploy=True) == {}


def test_every_account_settings_mistake_is_reported(configure: Configure) -> None:
    configure(**SOUND, accounts="nowhere.At", signup_form="nowhere.At", shared_phones=1)
    messages = run_checks(tags=["phone_verify"])
    assert [message.id for message in messages] == ["phone_verify.E005"] * 3


def test_environment_variable_for_a_code_setting_is_ignored(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(**SOUND)
    monkeypatch.setenv("PHONE_VERIFY_SHARED_PHONES", "1")
    assert "PHONE_VERIFY_SHARED_PHONES" in found()["phone_verify.W010"][0]
    assert not app_settings.account_settings().shared_phones


def test_no_backend_at_all_is_an_error(configure: Configure, settings: Any) -> None:
    configure(**SOUND)
    settings.AUTHENTICATION_BACKENDS = []
    assert "phone_verify.E001" in found()


def test_every_rule_of_the_doctor_has_a_number() -> None:
    """Except those that never warn."""
    names = {rule.__name__.strip("_") for rule in RULES} | {"settings", "store", "refused", "ledger", "services"}
    assert names - {"proxies"} == {*checks.ALWAYS, *checks.DEPLOYED}
    numbers = [*checks.ALWAYS.values(), *checks.DEPLOYED.values()]
    assert len(numbers) == len(set(numbers))


def test_doctor_names_the_rule(configure: Configure) -> None:
    configure(**SOUND)
    assert all(finding.rule for finding in examine(site_config()))


MANAGE = f"""
import sys
from django.conf import settings
settings.configure(SECRET_KEY={SECRET_KEY!r}, INSTALLED_APPS=['django.contrib.auth', 'django.contrib.contenttypes',
    'phone_verify_django'], AUTHENTICATION_BACKENDS=['phone_verify_django.backends.PhoneBackend'],
    PHONE_VERIFY={{'sms': 'nobody://x@default', 'ttll': 6, 'ttl': 5}}, USE_TZ=True)
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""


def manage(*words: str) -> subprocess.CompletedProcess[str]:
    program = ROOT / "manage.py"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PHONE_VERIFY_")}
    command = [sys.executable, "-c", MANAGE.replace("sys.argv)", f"[{str(program)!r}, *sys.argv[1:]])"), *words]
    return forks.run(command, cwd=ROOT, env=environ)


def test_check_reports_everything_when_startup_fails() -> None:
    done = manage("check")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for words in ("PHONE_VERIFY['sms']", "PHONE_VERIFY['ttl']", "Did you mean PHONE_VERIFY['ttl']?"):
        assert words in done.stderr
    done = manage("phone_verify_purge")
    assert "ImproperlyConfigured" in done.stderr
