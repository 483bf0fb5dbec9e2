"""Settings: refusals at startup, masking, and the findings of the checks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from pprint import pformat
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.test import RequestFactory
from django.views.debug import ExceptionReporter, SafeExceptionReporterFilter

from phone_verify.errors import StoreError
from phone_verify.testing.clock import ManualClock
from phone_verify_django import app_settings
from phone_verify_django import site as django_site
from phone_verify_django.site import _set_up_connection, current_site
from phone_verify_django.testing import override
from tests import forks

from .settings import SECRET_KEY

ROOT = Path(__file__).parents[2]
Configure = Callable[..., None]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"smss": "console://"}, "PHONE_VERIFY['smss']"),
        ({"SMS": "console://"}, "lower case"),
        ({"ttl": 5}, "PHONE_VERIFY['ttl']"),
        ({"sms": "nobody://x@default"}, "PHONE_VERIFY['sms']"),
        ({"channels": "voice"}, "PHONE_VERIFY['voice']"),
        ({"secret_keys": "short"}, "PHONE_VERIFY['secret_keys']"),
        ({"store": "orm:elsewhere"}, "'elsewhere'"),
        ({"store": "shelf:"}, "orm:"),
    ],
)
def test_invalid_setting_is_refused_by_its_name(configure: Configure, values: dict[str, object], said: str) -> None:
    configure(**values)
    with pytest.raises(ImproperlyConfigured) as refused:
        current_site()
    assert said in str(refused.value)


def test_non_dict_settings_are_refused(settings: Any) -> None:
    settings.PHONE_VERIFY = "console://"
    with pytest.raises(ImproperlyConfigured, match="dict"):
        current_site()


def test_wrong_setting_stops_the_start(tmp_path: Path) -> None:
    """`django.setup()` raises, not the first request; and no credential is in the message."""
    program = (
        "import django; from django.conf import settings\n"
        f"settings.configure(SECRET_KEY={SECRET_KEY!r}, INSTALLED_APPS=['django.contrib.auth',"
        " 'django.contrib.contenttypes', 'phone_verify_django'],"
        " PHONE_VERIFY={'sms': 'amoot://FAKE-CREDENTIAL@default?colour=red'})\n"
        "django.setup()"
    )
    done = forks.run([sys.executable, "-c", program], cwd=ROOT)
    assert "ImproperlyConfigured: PHONE_VERIFY['sms']" in done.stderr
    assert "colour" in done.stderr
    assert "FAKE-CREDENTIAL" not in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("{'accounts': 'nowhere.Accounts'}", "PHONE_VERIFY['accounts']: Cannot import 'nowhere.Accounts'"),
        (
            "{'shared_phones': True, 'recycled_numbers': 'newest'}",
            "PHONE_VERIFY['recycled_numbers']: Shared numbers cannot",
        ),
    ],
)
def test_wrong_account_setting_stops_the_start(given: str, says: str) -> None:
    program = (
        "import django; from django.conf import settings\n"
        f"settings.configure(SECRET_KEY={SECRET_KEY!r}, INSTALLED_APPS=['django.contrib.auth',"
        f" 'django.contrib.contenttypes', 'phone_verify_django'], PHONE_VERIFY={given})\n"
        "django.setup()"
    )
    done = forks.run([sys.executable, "-c", program], cwd=ROOT)
    assert f"ImproperlyConfigured: {says}" in done.stderr


INSECURE = f"django-insecure-{SECRET_KEY}"


@pytest.mark.parametrize(
    ("debug", "ends"),
    [(False, "ImproperlyConfigured: SECRET_KEY: a key that begins with django-insecure- is"), (True, "")],
)
def test_startproject_key_is_refused_outside_debug(debug: bool, ends: str) -> None:
    """The key of a DEBUG site stays valid where Django's test runner disables DEBUG after the start."""
    program = (
        "import django; from django.conf import settings\n"
        f"settings.configure(DEBUG={debug}, SECRET_KEY={INSECURE!r}, INSTALLED_APPS=['django.contrib.auth',"
        " 'django.contrib.contenttypes', 'phone_verify_django'], PHONE_VERIFY={'sms': 'console://'})\n"
        "django.setup()\n"
        "from django.test import override_settings; from django.test.utils import setup_test_environment\n"
        "from phone_verify_django.site import current_site\n"
        "setup_test_environment(debug=False)\n"
        "assert not settings.DEBUG\n"
        "with override_settings(PHONE_VERIFY={'sms': 'console://', 'ttl': 60}): current_site()\n"
        "with override_settings(INSTALLED_APPS=[*settings.INSTALLED_APPS, 'django.contrib.sessions']): current_site()\n"
        "with override_settings(PHONE_VERIFY={'sms': 'console://', 'ttl': 60}): current_site()\n"
    )
    done = forks.run([sys.executable, "-c", program], cwd=ROOT)
    assert ends in done.stderr
    assert (done.returncode == 0) is debug
    assert INSECURE not in done.stderr


def test_starting_up_opens_no_database_and_imports_no_urls() -> None:
    program = (
        "import sys, django; from django.conf import settings\n"
        f"settings.configure(SECRET_KEY={SECRET_KEY!r}, ROOT_URLCONF='missing', INSTALLED_APPS=['django.contrib.auth',"
        " 'django.contrib.contenttypes', 'phone_verify_django'], PHONE_VERIFY={'sms': 'console://'})\n"
        "django.setup()\n"
        "from phone_verify_django import site; assert site._site is not None\n"
        "print('phone_verify_django.urls' in sys.modules, 'sqlalchemy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_conflicting_package_is_refused(tmp_path: Path) -> None:
    """Another project installs a package of the same name; the files of both would mix."""
    found = tmp_path / "django_phone_verify-1.0.dist-info"
    found.mkdir()
    (found / "METADATA").write_text("Metadata-Version: 2.1\nName: django-phone-verify\nVersion: 1.0\n")
    program = f"import sys; sys.path.append({str(tmp_path)!r}); import phone_verify_django"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "ImproperlyConfigured" in done.stderr
    assert "pip uninstall django-phone-verify" in done.stderr


def test_environment_fills_what_the_settings_leave_out(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHONE_VERIFY_REGION", "IR")
    monkeypatch.setenv("PHONE_VERIFY_CODE_LENGTH", "8")
    configure(sms="console://", code_length=7)
    policy = current_site().verifier.policy
    assert (policy.region, policy.code_length) == ("IR", 7)


def test_site_is_built_once_and_rebuilt_after_a_change(configure: Configure) -> None:
    configure(sms="console://")
    first = current_site()
    assert current_site() is first
    configure(sms="console://")
    assert current_site() is not first


def test_django_keys_sign_with_their_fallbacks(settings: Any) -> None:
    before = current_site().webhook_secrets
    settings.SECRET_KEY = "the next key for tests only, of good length"
    settings.SECRET_KEY_FALLBACKS = [SECRET_KEY]
    after = current_site().webhook_secrets
    assert len(after) == 2
    assert list(after[1:]) == list(before)


def test_credentials_do_not_show_on_error_pages(settings: Any) -> None:
    credential = "FAKE-CREDENTIAL"
    settings.DEBUG = True
    settings.PHONE_VERIFY = {
        "sms": [f"amoot://{credential}@default"],
        "flash_call": f"ferzz://{credential}@default",
        "telegram": (f"telefon-ip://{credential}@default",),
        "store": f"sqlite:////{credential}.sqlite3",
    }
    current_site()
    shown = SafeExceptionReporterFilter().get_safe_settings()
    assert credential not in pformat(shown)
    assert credential not in repr(settings.PHONE_VERIFY)
    assert settings.PHONE_VERIFY["flash_call"] == f"ferzz://{credential}@default"
    request = RequestFactory().get("/")
    reporter = ExceptionReporter(request, StoreError, StoreError("down"), None)
    assert credential not in reporter.get_traceback_html()
    assert credential not in reporter.get_traceback_text()


def test_account_settings_are_reread_after_a_change(configure: Configure) -> None:
    configure(sms="console://", shared_phones=True)
    first = app_settings.account_settings()
    assert first.shared_phones
    assert app_settings.account_settings() is first
    configure(sms="console://")
    assert not app_settings.account_settings().shared_phones


def test_override_restores_the_previous_settings() -> None:
    before = current_site()
    clock = ManualClock()
    with override(clock=clock):
        assert current_site() is not before
        with override(transport=object()):
            assert django_site._overrides["clock"] is clock
    assert django_site._overrides == {}


def complaints() -> dict[str | None, str | None]:
    return {found.id: found.hint for found in run_checks(tags=["phone_verify"])}


def test_sound_configuration_has_no_findings(configure: Configure) -> None:
    configure(sms="amoot://FAKE-CREDENTIAL@default")
    assert complaints() == {}


@pytest.mark.parametrize(
    ("id", "values", "hint"),
    [
        ("phone_verify.W011", {}, "PHONE_VERIFY['sms'] = 'console://'"),
        ("phone_verify.W012", {"sms": "console://"}, "DSN of a provider"),
        ("phone_verify.W012", {"flash_call": "sandbox://127.0.0.1:8025"}, "DSN of a provider"),
        ("phone_verify.W013", {"sms": "amoot://FAKE@default", "store": "memory:"}, "orm:"),
        (
            "phone_verify.W014",
            {
                "sms": "amoot://FAKE@default",
                "secret_keys": ["x-key-for-tests-0123456789abcdef", "y-key-for-tests-0123456789abcdef"],
            },
            "the last of the secret keys",
        ),
    ],
)
def test_checks_tell_how_to_fix(configure: Configure, id: str, values: dict[str, object], hint: str) -> None:
    configure(**values)
    found = complaints()
    assert list(found) == [id]
    assert hint in (found[id] or "")


def test_check_reports_the_missing_backend(configure: Configure, settings: Any) -> None:
    configure(sms="amoot://FAKE-CREDENTIAL@default")
    settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
    found = complaints()
    assert list(found) == ["phone_verify.E001"]
    assert "phone_verify_django.backends.PhoneBackend" in (found["phone_verify.E001"] or "")


def test_check_reports_the_missing_urls(configure: Configure, settings: Any) -> None:
    configure(sms="amoot://FAKE-CREDENTIAL@default", public_url="https://site.example")
    assert complaints() == {}
    settings.ROOT_URLCONF = "tests.django_adapter.bare_urls"
    assert "include('phone_verify_django.urls')" in (complaints()["phone_verify.E002"] or "")


def test_debug_site_may_use_the_console(configure: Configure, settings: Any) -> None:
    settings.DEBUG = True
    configure(sms="console://")
    assert complaints() == {}


def test_invalid_account_settings_are_kept_as_given() -> None:
    """No default replaces them: only commands that report them run at all."""
    given = {"accounts": 7, "shared_phones": "yes", "phone_field": "nofield"}
    chosen = app_settings.AccountSettings.of(given)
    assert {name: getattr(chosen, name) for name in given} == given
    assert chosen.phone_field_name() == "nofield"


def test_connection_setup_is_imported_when_it_is_used(configure: Configure) -> None:
    configure(sms="console://", connection_setup="nowhere.setup")
    assert current_site().verifier.channels == ("sms",)
    with pytest.raises(ImportError, match="nowhere"):
        _set_up_connection(connection)
    seen: list[object] = []
    configure(sms="console://", connection_setup=seen.append)
    _set_up_connection(connection)
    assert seen == [connection]
