"""What `manage.py check` finds: the doctor's findings, said as settings are written in Django, and a few of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks

from phone_verify.doctor import examine
from phone_verify.doctor.rules import RULES
from phone_verify_django import checks, conf

from .settings import SECRET_KEY

ROOT = Path(__file__).parents[2]
Configure = Callable[..., None]
SMS = "amoot://FAKE-CREDENTIAL@default"

#: A site of which `check --deploy` says nothing.
SOUND = {"sms": SMS, "public_url": "https://site.example", "allowed_regions": "IR"}


def found(*, deploy: bool = False) -> dict[str | None, tuple[str, str]]:
    messages = run_checks(tags=["phone_verify"], include_deployment_checks=deploy)
    return {message.id: (message.msg, message.hint or "") for message in messages}


def test_of_a_sound_site_nothing_is_said(configure: Configure) -> None:
    configure(**SOUND)
    assert found(deploy=True) == {}


@pytest.mark.parametrize(
    ("id", "change", "says", "hint"),
    [
        ("E003", {"smss": "console://"}, "PHONE_VERIFY['smss']", "Did you mean PHONE_VERIFY['sms']?"),
        ("E003", {"ttl": 5}, "PHONE_VERIFY['ttl']: Must be from 30", ""),
        ("E003", {"sms": "nobody://x@default"}, "PHONE_VERIFY['sms']", "phone-verify drivers"),
        ("E003", {"secret_keys": "short"}, "32 characters", "token_urlsafe"),
        ("E011", {"channels": "sms,voice"}, "no driver carries it", "PHONE_VERIFY['voice'] ="),
        ("W011", {"sms": None}, "No channel is configured", "PHONE_VERIFY['sms'] = 'console://'"),
        ("W012", {"sms": "console://"}, "reaches no phone", "the DSN of a provider"),
        ("W012", {"sms": "sandbox://127.0.0.1:8025"}, "reaches no phone", "the DSN of a provider"),
        ("W013", {"store": "memory:"}, "one process", "PHONE_VERIFY['store'] = 'orm:'"),
        ("E013", {"store": "orm:elsewhere"}, "'elsewhere'", ""),
        ("W014", {"secret_keys": ["x" * 40, "y" * 40]}, "PHONE_VERIFY['tag_key']", "the last of the secret keys"),
    ],
)
def test_what_is_always_said(configure: Configure, id: str, change: dict[str, Any], says: str, hint: str) -> None:
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
        ("W022", {"inbound_call": "ssms://KEY@default", "webhook_secret": "short"}, "token_urlsafe"),
        ("W023", {"allowed_regions": None}, "PHONE_VERIFY['allowed_regions'] = 'IR'"),
        ("W024", {"sends_per_hour_total": 0}, "PHONE_VERIFY['sends_per_hour_total'] = 1000"),
    ],
)
def test_what_is_said_of_a_site_that_meets_its_visitors(
    configure: Configure, id: str, change: dict[str, Any], hint: str
) -> None:
    configure(**{name: value for name, value in {**SOUND, **change}.items() if value is not None})
    assert found() == {}
    assert hint.lower() in found(deploy=True)[f"phone_verify.{id}"][1].lower()


@pytest.mark.parametrize(
    ("id", "settings_", "hint"),
    [
        ("W030", {"SESSION_ENGINE": "django.contrib.sessions.backends.signed_cookies"}, "SESSION_ENGINE = "),
        ("W031", {"SESSION_ENGINE": "django.contrib.sessions.backends.cache"}, "CACHES['default']"),
    ],
)
def test_sessions(configure: Configure, settings: Any, id: str, settings_: dict[str, str], hint: str) -> None:
    configure(**SOUND)
    for name, value in settings_.items():
        setattr(settings, name, value)
    assert found() == {}
    said = found(deploy=True)
    assert list(said) == [f"phone_verify.{id}"]
    assert hint in said[f"phone_verify.{id}"][1]


def test_a_cache_that_all_workers_share_may_keep_sessions(configure: Configure, settings: Any) -> None:
    configure(**SOUND)
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.cache"
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://h"}}
    assert found(deploy=True) == {}


def test_a_setting_of_the_environment_is_named_as_there(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(sms=SMS)
    monkeypatch.setenv("PHONE_VERIFY_STORE", "memory:")
    monkeypatch.setenv("PHONE_VERIFY_TTLL", "300")
    said = found()
    assert said["phone_verify.W013"][1] == "Write PHONE_VERIFY_STORE=orm:"
    assert said["phone_verify.W010"][0].startswith("PHONE_VERIFY_TTLL")


def test_settings_of_another_form_are_an_error(settings: Any) -> None:
    settings.PHONE_VERIFY = "console://"
    assert "must be a dict" in found()["phone_verify.E003"][0]
    settings.PHONE_VERIFY = {"SMS": "console://"}
    assert "lower case" in found()["phone_verify.E003"][0]


def test_no_backend_at_all_is_an_error(configure: Configure, settings: Any) -> None:
    configure(**SOUND)
    settings.AUTHENTICATION_BACKENDS = []
    assert "phone_verify.E001" in found()


def test_every_rule_of_the_doctor_has_a_number() -> None:
    """But those that never warn."""
    names = {rule.__name__.strip("_") for rule in RULES} | {"settings", "store", "refused"}
    assert names - {"proxies"} == {*checks.ALWAYS, *checks.DEPLOYED}
    numbers = [*checks.ALWAYS.values(), *checks.DEPLOYED.values()]
    assert len(numbers) == len(set(numbers))


def test_the_doctor_says_which_rule_it_was(configure: Configure) -> None:
    configure(**SOUND)
    assert all(finding.rule for finding in examine(conf.given()))


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
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)


def test_check_says_everything_where_nothing_else_starts() -> None:
    done = manage("check")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for words in ("PHONE_VERIFY['sms']", "PHONE_VERIFY['ttl']", "Did you mean PHONE_VERIFY['ttl']?"):
        assert words in done.stderr
    done = manage("phone_verify_purge")
    assert "ImproperlyConfigured" in done.stderr
