"""docs/migrating.md works as described: its files form a site, whose commands are run.

The other packages are not installed. What the commands read of them is written here with the same
names: a user model with `mobile`, an app `phonenumber` with `PhoneDevice`, an export of Firebase.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests import forks

from . import projects

DOC = (projects.ROOT / "docs" / "migrating.md").read_text("utf-8")
FILES = projects.files(DOC)

SETTINGS = """
INSTALLED_APPS += [
    "people", "shop", "phonenumber", "rest_framework", "rest_framework.authtoken", "allauth", "allauth.account",
    "django_otp", "phone_verify_django", "phone_verify_django.otp",
]
MIDDLEWARE += [
    "phone_verify_django.middleware.PhoneSessionMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "phone_verify_django.otp.middleware.PhoneFactorMiddleware",
    "allauth.account.middleware.AccountMiddleware",
]
AUTH_USER_MODEL = "people.User"
AUTHENTICATION_BACKENDS = ["phone_verify_django.backends.PhoneBackend"]
ALLOWED_HOSTS = ["testserver"]
PHONE_VERIFY = {"sms": "console://", "region": "IR", "allowed_regions": ["IR"]}
"""
URLS = """
from django.urls import include
urlpatterns += [path("accounts/", include("allauth.urls"))]
"""
PEOPLE = """
from django.contrib.auth.models import AbstractUser
from django.db import models


class User(AbstractUser):
    mobile = models.CharField(max_length=20, unique=True, null=True, blank=True)
    mobile_verified = models.BooleanField(default=False)
"""
DEVICES = """
from django.db import models
from django_otp.models import Device


class PhoneDevice(Device):
    number = models.CharField(max_length=20)
"""
ADAPTER = """
from allauth.account.adapter import DefaultAccountAdapter


class PhoneAdapter(DefaultAccountAdapter):
    def get_phone(self, user):
        return (user.last_name, user.first_name == "verified") if user.last_name else None
"""

#: Users before the move: what each package knows about them.
USERS = """
from django.contrib.auth import get_user_model
from phonenumber.models import PhoneDevice

create = get_user_model().objects.create
verified = create(username="verified", mobile="09120000001", mobile_verified=True)
get_user_model().objects.create_user(username="firebase-squatted", password="of an attacker")
create(username="typed", mobile="+989120000002")
create(username="unreadable", mobile="12", mobile_verified=True)
create(username="allauth", first_name="verified", last_name="+989120000004")
create(username="allauth-typed", last_name="+989120000005")
PhoneDevice.objects.create(user=verified, name="default", number="+989120000001")
PhoneDevice.objects.create(user=verified, name="backup", number="+989120000006", confirmed=False)
"""
EXPORT = [
    {"localId": "one", "phoneNumber": "+989120000007", "createdAt": "1700000000000", "disabled": False},
    {"localId": "two", "phoneNumber": "+989120000008", "lastSignedInAt": "1700000000000", "disabled": True},
    {"localId": "mail", "email": "mina@shop.example"},
    {"localId": "taken", "phoneNumber": "+989120000001"},
    {"localId": "squatted", "phoneNumber": "+989120000009"},
]
COMMANDS: Sequence[Sequence[str]] = (
    ["record_mobile_numbers"],
    ["copy_phone_devices"],
    ["import_firebase_users", "users.json"],
    ["record_allauth_numbers"],
)

#: Runs the commands twice and prints the result as JSON.
MOVE = f"""
import io, json
from django.contrib.auth import get_user_model
from django.core.management import call_command
from phone_verify_django.accounts import phones_of

said = []
for run in range(2):
    for words in {COMMANDS!r}:
        call_command(*words, stdout=(out := io.StringIO()))
        said += out.getvalue().splitlines()
users = get_user_model().objects.all()
print(json.dumps([
    sorted(set(said)),
    {{user.username: phones_of(user) for user in users if phones_of(user)}},
    {{user.username: [d.phone for d in user.phone_verify_devices.all()]
      for user in users if user.phone_verify_devices.all()}},
    {{user.username: [user.is_active, user.has_usable_password()] for user in users if "firebase" in user.username}},
]))
"""
#: Signs in with a number that was typed nationally, and exchanges the proof for the token that the client had before.
TOKEN = """
import contextlib, io, re
from django.contrib.auth import get_user_model
from django.test import Client
from rest_framework.authtoken.models import Token

user = get_user_model().objects.get(username="allauth")
token = Token.objects.create(user=user)
screen = io.StringIO()
client, kind = Client(), "application/json"
with contextlib.redirect_stderr(screen):
    start = client.post("/phone/v1/verifications", {"phone": "0912 000 0004"}, content_type=kind).json()
code = re.search(r"(\\d{6}) is your", screen.getvalue()).group(1)
check = client.post(f"/phone/v1/verifications/{start['id']}/check", {"code": code}, content_type=kind).json()
headers = {"Verification-Secret": start["secret"]}
answer = client.post("/auth/phone/token/", {"proof": check["proof"]}, content_type=kind, headers=headers)
assert answer.status_code == 200, answer.content
assert (answer.json()["token"], answer.json()["created"]) == (token.key, False), answer.json()
print("the same token")
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's files in a new project, next to the users of the old packages."""
    folder = tmp_path_factory.mktemp("shop")
    projects.start(folder)
    for name in (
        "people/__init__",
        "phonenumber/__init__",
        "shop/management/__init__",
        "shop/management/commands/__init__",
    ):
        projects.write(folder, f"{name}.py", "")
    ours = [("people/models.py", PEOPLE), ("phonenumber/models.py", DEVICES), ("shop/adapter.py", ADAPTER)]
    for name, text in [*ours, ("shop/settings.py", SETTINGS), ("shop/urls.py", URLS), *FILES]:
        projects.write(folder, name, text)
    (folder / "users.json").write_text(json.dumps({"users": EXPORT}))
    manage(folder, "makemigrations", "people", "phonenumber")
    manage(folder, "migrate")
    shell(folder, USERS)
    return folder


def manage(folder: Path, *words: str, given: str = "") -> str:
    command = [sys.executable, "manage.py", *words, "-v0"]
    done = forks.run(command, cwd=folder, input=given, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def shell(folder: Path, program: str) -> str:
    (folder / "program.py").write_text(program)
    return manage(folder, "shell", "-c", "exec(open('program.py').read(), globals())")


def test_page_has_a_command_for_each_package() -> None:
    names = [name for name, _ in FILES if "/commands/" in name]
    assert [Path(name).stem for name in names] == [words[0] for words in COMMANDS]
    assert len({name for name, _ in FILES}) == len(FILES)


def test_verified_numbers_move_and_others_do_not(shop: Path) -> None:
    said, phones, devices, firebase = json.loads(shell(shop, MOVE).splitlines()[-1])
    assert phones == {
        "verified": ["+989120000001"],
        "allauth": ["+989120000004"],
        "firebase-one": ["+989120000007"],
        "firebase-two": ["+989120000008"],
    }
    assert devices == {"verified": ["+989120000001"]}
    assert firebase == {
        "firebase-one": [True, False],
        "firebase-two": [False, False],
        "firebase-taken": [True, False],
        "firebase-squatted": [True, True],
    }
    reasons = {"not a phone number", "another user has this number", "not created by this command"}
    assert sorted(line.partition(": ")[2] for line in said) == sorted(reasons)
    assert "912" not in str(said)
    assert shell(shop, TOKEN).splitlines()[-1] == "the same token"


def test_device_stays_apart_from_another_package_s(shop: Path) -> None:
    """django-two-factor-auth has a model of the same name, which refers to the user as well."""
    manage(shop, "check")
