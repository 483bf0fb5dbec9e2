"""Each mistake of a site's owner, made once: `check`, the doctor and the log say what to write, before a message is
paid.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.apps import apps
from django.conf.urls.i18n import i18n_patterns
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import URLPattern, URLResolver, include, path

from phone_verify_django import site_requirements
from phone_verify_django.site import current_site
from tests import forks

from .conftest import PHONE, Network
from .settings import MIDDLEWARE, TEMPLATES
from .test_checks import SMS, SOUND

ROOT = Path(__file__).parents[2]
Configure = Callable[..., None]

SESSION = "django.contrib.sessions.middleware.SessionMiddleware"
AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"
US = "phone_verify_django.urls"
URLS: dict[str, list[URLPattern | URLResolver]] = {
    "none": [],
    "no_slash": [path("phone", include(US))],
    "language": [*i18n_patterns(path("phone/", include(US)))],
    "root": [path("", include(US))],
    "split": [
        path("phone/", include("phone_verify_django.api_urls")),
        *i18n_patterns(path("phone/", include("phone_verify_django.page_urls"))),
    ],
    "api": [path("phone/", include("phone_verify_django.api_urls"))],
}


def without(*names: str) -> list[str]:
    return [name for name in MIDDLEWARE if name not in names]


@pytest.fixture
def mounted(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Use one of `URLS`."""

    def use(name: str) -> None:
        module: Any = ModuleType(f"urls_{name}")
        module.urlpatterns = URLS[name]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        settings.ROOT_URLCONF = module.__name__

    return use


def checked(*, deploy: bool = False) -> dict[str, str]:
    """Return the findings of `manage.py check` by id: message and hint."""
    found = run_checks(tags=["phone_verify"], include_deployment_checks=deploy)
    return {(message.id or "").removeprefix("phone_verify."): f"{message.msg} {message.hint}" for message in found}


def examined() -> str:
    """Return what `manage.py phone_verify_doctor` says, on one line."""
    said = StringIO()
    with suppress(CommandError):
        call_command("phone_verify_doctor", "--offline", stdout=said, stderr=StringIO())
    return " ".join(said.getvalue().split())


def reported(id: str, *words: str) -> None:
    """Assert that `check` has this finding with these words, and that the doctor has them too."""
    by_check, by_doctor = checked(), examined()
    assert id in by_check
    for word in words:
        assert word in by_check[id]
        assert word in by_doctor


@pytest.mark.parametrize(
    ("urls", "id", "words"),
    [
        ("none", "W002", ["no pages and no API", "path('phone/', include('phone_verify_django.urls'))"]),
        ("no_slash", "W051", ["/phonelogin/", "path('phone/', include('phone_verify_django.urls'))"]),
        (
            "language",
            "W052",
            ["within i18n_patterns", "Add path('phone/', include('phone_verify_django.api_urls')) outside of"],
        ),
    ],
)
def test_unusable_urls_are_reported(
    configure: Configure, mounted: Callable[[str], None], urls: str, id: str, words: list[str]
) -> None:
    configure(sms=SMS, allowed_regions="IR")
    mounted(urls)
    reported(id, *words)


@pytest.mark.parametrize("urls", ["root", "split", "api", ""])
def test_sound_urls_are_not_reported(configure: Configure, mounted: Callable[[str], None], urls: str) -> None:
    configure(sms=SMS, allowed_regions="IR")
    if urls:
        mounted(urls)
    assert checked() == {}


@pytest.mark.parametrize(
    ("change", "id", "words"),
    [
        ({"MIDDLEWARE": without(SESSION)}, "W053", [f"Add '{SESSION}' to MIDDLEWARE, before '{AUTHENTICATION}'"]),
        ({"MIDDLEWARE": without(AUTHENTICATION)}, "W054", [f"Add '{AUTHENTICATION}' to MIDDLEWARE, after '{SESSION}'"]),
        ({"TEMPLATES": []}, "W055", ["phone_verify/login.html", "Set 'APP_DIRS': True"]),
        ({"TEMPLATES": [{**TEMPLATES[0], "APP_DIRS": False}]}, "W055", ["Set 'APP_DIRS': True"]),
        ({"AUTHENTICATION_BACKENDS": []}, "E001", ["Add 'phone_verify_django.backends.PhoneBackend'"]),
    ],
)
def test_missing_part_of_django_is_reported_and_logged(
    configure: Configure,
    settings: Any,
    caplog: pytest.LogCaptureFixture,
    change: dict[str, Any],
    id: str,
    words: list[str],
) -> None:
    configure(**SOUND)
    for name, value in change.items():
        setattr(settings, name, value)
    reported(id, *words)
    site_requirements.log_complaints()
    assert all(word in caplog.text for word in words)


def test_missing_session_app_is_reported_and_refused(
    configure: Configure, client: Client, network: Network, db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(sms="console://")
    installed = site_requirements.apps.is_installed
    monkeypatch.setattr(
        site_requirements.apps, "is_installed", lambda app: app != "django.contrib.sessions" and installed(app)
    )
    reported("W053", "Add 'django.contrib.sessions' to INSTALLED_APPS, and run: python manage.py migrate")
    with pytest.raises(ImproperlyConfigured, match=r"Add 'django\.contrib\.sessions' to INSTALLED_APPS"):
        client.post("/phone/login/", {"phone": PHONE})
    assert network.sent == 0


@pytest.mark.parametrize("missing", [[SESSION], [AUTHENTICATION], [SESSION, AUTHENTICATION]])
def test_nothing_is_sent_without_session_or_user(
    network: Network, client: Client, settings: Any, db: None, missing: list[str]
) -> None:
    settings.MIDDLEWARE = [name for name in without(*missing) if name.startswith("django.") and "messages" not in name]
    for method in (client.get, client.post):
        with pytest.raises(ImproperlyConfigured, match=r"MIDDLEWARE.*'django\.contrib\."):
            method("/phone/login/", {"phone": PHONE})
    assert network.sent == 0


def test_proof_is_kept_without_session(
    network: Network, client: Client, settings: Any, db: None, caplog: pytest.LogCaptureFixture
) -> None:
    begun = client.post("/phone/v1/verifications", {"phone": PHONE}, content_type="application/json").json()
    checked = f"/phone/v1/verifications/{begun['id']}/check"
    proof = client.post(checked, {"code": network.code}, content_type="application/json").json()["proof"]
    bare = Client(**{"wsgi.multiprocess": False})  # type: ignore[arg-type]
    bare.cookies = client.cookies
    settings.MIDDLEWARE = []
    refused = bare.post("/phone/v1/session", {"proof": proof}, content_type="application/json")
    assert (refused.status_code, refused.json()["code"]) == (500, "internal_error")
    assert f"Add '{SESSION}' to MIDDLEWARE" in caplog.text
    again = bare.post("/phone/v1/verifications", {"phone": "+989120000001"}, content_type="application/json")
    assert again.status_code == 201, "a site that issues tokens needs no session"
    # The middleware of this client is loaded already.
    assert client.post("/phone/v1/session", {"proof": proof}, content_type="application/json").status_code == 200


@pytest.mark.parametrize(
    ("values", "id", "words"),
    [
        ({"sms": ""}, "W011", ["(PHONE_VERIFY['sms'] is empty)", "Set PHONE_VERIFY['sms'] = 'console://'"]),
        ({"sms": []}, "W011", ["(PHONE_VERIFY['sms'] is empty)"]),
        ({"sms": "ferzz://KEY@default"}, "E003", [
            "ferzz:// does not carry sms; it carries flash_call",
            "Set PHONE_VERIFY['flash_call'] = 'ferzz://ACCESS_KEY@default'",
        ]),
        ({"sms": "telefon_ip://T@default"}, "E003", ["Did you mean 'telefon-ip'?"]),
        ({"sms": "amoot://T@default?name=a amoot://U@default?name=a"}, "E003", [
            "two drivers are named 'a'", "Name this one differently: amoot://…?name=a-2",
        ]),
        ({"sms": SMS, "sharedphones": True}, "E003", ["Did you mean PHONE_VERIFY['shared_phones']?"]),
        ({"PHONE_VERIFY_SMS": SMS}, "E003", ["not 'PHONE_VERIFY_SMS'", "Write 'sms'."]),
        ({"sms": SMS, "store": "orm:elsewhere"}, "E013", ["Set PHONE_VERIFY['store'] = 'orm:' for the database of"]),
    ],
)  # fmt: skip
def test_setting_is_named_as_it_is_written(
    configure: Configure, values: dict[str, Any], id: str, words: list[str]
) -> None:
    configure(**values)
    assert all(word in checked()[id] for word in words), checked()[id]
    assert all(word.lower() in examined().lower() for word in words), examined()
    if id.startswith("E"):
        with pytest.raises(ImproperlyConfigured) as refused:
            current_site()
        assert all(word in str(refused.value) for word in words)


def test_empty_region_list_is_not_set(configure: Configure) -> None:
    configure(**{**SOUND, "allowed_regions": []})
    assert "any country" in checked(deploy=True)["W023"]
    assert "any country" in examined()


def test_urls_without_apps_log_no_finding(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """`runserver` removes all apps after a start-up error, and loads the URLs."""
    monkeypatch.setattr(apps, "app_configs", {})
    site_requirements.log_complaints()
    assert caplog.text == ""


def test_site_without_channel_is_logged(configure: Configure, caplog: pytest.LogCaptureFixture) -> None:
    configure(sms=" ")
    current_site()
    assert "no channel is configured (PHONE_VERIFY['sms'] is empty)" in caplog.text
    assert "Set PHONE_VERIFY['sms'] = 'console://'" in caplog.text


def test_top_level_setting_is_reported(configure: Configure, settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    configure()
    settings.PHONE_VERIFY_SMS = SMS
    reported("W056", "PHONE_VERIFY_SMS in Django's settings is not read", "PHONE_VERIFY = {'sms': …}")
    site_requirements.log_names_outside()
    assert "PHONE_VERIFY_SMS in Django's settings is not read" in caplog.text
    assert "FAKE-CREDENTIAL" not in caplog.text + examined() + str(checked())
    configure(sms=settings.PHONE_VERIFY_SMS)
    assert "W056" not in checked()


def test_error_of_a_deployment_rule_is_reported_always(configure: Configure) -> None:
    configure(**SOUND, test_passcodes="+12025550123=482193")
    assert "PHONE_VERIFY['test_passcodes']" in checked()["E025"]
    assert [message.id for message in run_checks(tags=["phone_verify"], include_deployment_checks=True)].count(
        "phone_verify.E025"
    ) == 1


@pytest.mark.parametrize(("dsn", "reported"), [(SMS, False), ("ssms://KEY@default", True)])
def test_segments_are_counted_for_drivers_with_our_text(configure: Configure, dsn: str, reported: bool) -> None:
    configure(sms=dsn, allowed_regions="IR", site_name="A very long name " * 8)
    assert ("W026" in checked(deploy=True)) is reported


@pytest.mark.parametrize(("method", "returned"), [("find", "a text"), ("make", None), ("make", (1, True))])
def test_wrong_return_of_accounts_is_reported(
    network: Network,
    client: Client,
    configure: Configure,
    db: None,
    caplog: pytest.LogCaptureFixture,
    method: str,
    returned: object,
) -> None:
    from phone_verify_django.accounts import Accounts

    own = type("Own", (Accounts,), {method: lambda *_: returned})
    configure(sms="console://", accounts=own)
    begun = client.post("/phone/v1/verifications", {"phone": PHONE}, content_type="application/json").json()
    checked = f"/phone/v1/verifications/{begun['id']}/check"
    proof = client.post(checked, {"code": network.code}, content_type="application/json").json()["proof"]
    refused = client.post("/phone/v1/session", {"proof": proof}, content_type="application/json")
    assert refused.status_code == 500
    assert f"Own.{method} returned {type(returned).__name__}. Return an instance of auth.User" in caplog.text


def test_unknown_channel_names_those_that_exist(client: Client, db: None) -> None:
    fields = {"phone": PHONE, "channel": "SMS"}
    refused = client.post("/phone/v1/verifications", fields, content_type="application/json")
    assert (refused.status_code, refused.json()["fields"]) == (400, ["channel"])
    assert "sms, flash_call, inbound_call, voice" in refused.json()["detail"]


# Projects of their own: what happens while Django starts.

SETTINGS = """
SECRET_KEY = "k-key-for-tests-0123456789abcdef-and-16-more-char"
DEBUG, USE_TZ, ALLOWED_HOSTS = False, True, ["*"]
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions",
    "django.contrib.messages", "phone_verify_django"]
MIDDLEWARE = ["django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware", "phone_verify_django.middleware.PhoneSessionMiddleware"]
AUTHENTICATION_BACKENDS = ["phone_verify_django.backends.PhoneBackend"]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "site.sqlite3"}}
SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
ROOT_URLCONF = "routes"
PHONE_VERIFY = {"sms": "console://"}
"""
ROUTES = "from django.urls import include, path\nurlpatterns = [path('phone/', include('phone_verify_django.urls'))]\n"
#: Imports fail as they do without the package.
BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {package!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
"""
MANAGE = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "chosen"
from django.core.management import execute_from_command_line
execute_from_command_line(["manage.py", *sys.argv[1:]])
"""
DOCTOR = """
import sys
from phone_verify.cli.main import main
sys.argv[0] = "phone-verify"
main()
"""
VISIT = """
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "chosen"
import django
django.setup()
from django.test import Client
client = Client()
print(client.post("/phone/login/", {"phone": "+989120000000"}, follow=True).content.decode())
start = client.post("/phone/v1/verifications", {"phone": "+989120000000"}, content_type="application/json")
print(start.status_code)
"""


def project(folder: Path, program: str, *words: str, more: str = "", package: str = "") -> tuple[int, str]:
    """Run the program in a project with these settings, without `package`; return status and output."""
    (folder / "chosen.py").write_text(SETTINGS + more, "utf-8")
    (folder / "routes.py").write_text(ROUTES, "utf-8")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PHONE_VERIFY_", "DJANGO_"))}
    environ["PYTHONPATH"] = str(ROOT)
    if package:
        command = [sys.executable, "-c", BLOCKED.format(package=package) + program, *words]
        done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=60)
    else:
        command = [sys.executable, "-c", program, *words]
        done = forks.run(command, cwd=folder, env=environ, timeout=60)
    return done.returncode, done.stdout + done.stderr


def test_sound_project_has_no_mistakes(tmp_path: Path) -> None:
    status, said = project(tmp_path, MANAGE, "check")
    assert (status, "phone_verify.E" in said) == (0, False), said


def test_forgotten_migrate_is_named_in_the_log(tmp_path: Path) -> None:
    status, said = project(tmp_path, VISIT)
    assert status == 0, said
    assert "a table is missing; run: python manage.py migrate" in said
    assert "503" in said
    assert "went wrong on our side" in said
    assert "and nothing was sent" not in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("app", "package", "extra"),
    [("phone_verify_django.otp", "django_otp", "otp"), ("phone_verify_django.allauth", "allauth", "allauth")],
)
def test_missing_extra_of_an_app_is_named(tmp_path: Path, app: str, package: str, extra: str) -> None:
    more = f"INSTALLED_APPS += [{app!r}]\n"
    status, said = project(tmp_path, MANAGE, "check", more=more, package=package)
    assert status == 1
    assert said.strip().endswith(
        f"{app} cannot be loaded: No module named '{package}'. Run: pip install 'phone-verify[{extra}]'"
    )
    assert f"ModuleNotFoundError: No module named '{package}'" in said, "the cause is kept"
    status, said = project(tmp_path, DOCTOR, "doctor", "--django", "chosen", "--json", more=more, package=package)
    (finding,) = json.loads(said)["findings"]
    assert (finding["id"], finding["advice"]) == ("PV105", f"Run: pip install 'phone-verify[{extra}]'")


@pytest.mark.slow
def test_missing_rest_framework_is_named(tmp_path: Path) -> None:
    program = VISIT.partition("from django.test")[0] + "import phone_verify_django.drf\n"
    status, said = project(tmp_path, program, package="rest_framework")
    assert status == 1
    assert said.strip().endswith("Run: pip install 'phone-verify[drf]'")
    assert "ModuleNotFoundError: No module named 'rest_framework'" in said


def test_core_in_installed_apps_is_reported(tmp_path: Path) -> None:
    more = "INSTALLED_APPS[-1] = 'phone_verify'\n"
    status, said = project(tmp_path, MANAGE, "check", more=more)
    assert status == 1
    assert "'phone_verify' is not a Django app: write 'phone_verify_django' in INSTALLED_APPS instead" in said


def test_missing_auth_app_is_reported(tmp_path: Path) -> None:
    more = "INSTALLED_APPS = ['phone_verify_django']\n"
    words = "Add 'django.contrib.contenttypes' and 'django.contrib.auth' to INSTALLED_APPS."
    for program, arguments in ((MANAGE, ["check"]), (DOCTOR, ["doctor", "--django", "chosen"])):
        status, said = project(tmp_path, program, *arguments, more=more)
        assert status == 1
        assert words in " ".join(said.split())


def test_server_logs_what_is_missing_at_its_first_request(tmp_path: Path) -> None:
    more = "MIDDLEWARE = MIDDLEWARE[2:]\nAUTHENTICATION_BACKENDS = []\n"
    program = VISIT.replace("client = Client()", "client = Client(raise_request_exception=False)")
    _, said = project(tmp_path, program, more=more)
    for words in (SESSION, AUTHENTICATION, "phone_verify_django.backends.PhoneBackend"):
        assert f"Add '{words}'" in said


def test_command_warns_about_a_top_level_setting(tmp_path: Path) -> None:
    status, said = project(tmp_path, MANAGE, "phone_verify_purge", more="PHONE_VERIFY_TTL = 60\n")
    assert status == 1, "no tables"
    assert "PHONE_VERIFY_TTL in Django's settings is not read. Write PHONE_VERIFY = {'ttl': …}" in said
    assert "run: python manage.py migrate" in said
