"""Sites with other user models: each runs in a separate process, since a model cannot be replaced."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests import forks

from .settings import SECRET_KEY

ROOT = Path(__file__).parents[2]

#: The files of a custom site; `MODEL` is its user model, `TRIAL` the code that runs there.
PROGRAM = """
import logging, sys, django
from datetime import UTC, datetime, timedelta
from django.conf import settings
from tests.django_adapter.databases import settings_of
usual = dict(
    SECRET_KEY={key!r},
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions",
                    "phone_verify_django", "shop", *{apps!r}],
    AUTH_USER_MODEL="shop.Customer",
    AUTHENTICATION_BACKENDS=["phone_verify_django.backends.PhoneBackend"],
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware",
                "django.contrib.auth.middleware.AuthenticationMiddleware"],
    ROOT_URLCONF="tests.django_adapter.urls",
    ALLOWED_HOSTS=["testserver"],
    DATABASES={{"default": {database}}},
    SESSION_ENGINE="django.contrib.sessions.backends.cache",
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    PHONE_VERIFY={given!r},
    MIGRATION_MODULES={unmigrated!r},
)
settings.configure(**{{**usual, **{settings!r}}})
django.setup()
from django.core.checks import run_checks
from django.core.management import call_command
from phone_verify_django.accounts import *
from phone_verify_django.models import VerifiedPhone
from tests.django_adapter.factories import proof, request_of
from shop.models import Customer

if {url!r}:  # servers check the foreign keys of a new table, so its migration must depend on others
    call_command("makemigrations", "shop", verbosity=0)
call_command("migrate", run_syncdb=True, verbosity=0)
ONE, TWO, THREE = (f"+98912000000{{n}}" for n in (1, 2, 3))

def entered(phone, purpose="login", minutes=0):
    return sign_in(request_of(), proof(phone, purpose, minutes=minutes))

def names():
    return list(Customer.objects.order_by("pk").values_list(FIELD, flat=True))

FIELD = {field!r}
{trial}
print("done")
"""


def run_on_a_site(
    folder: Path,
    model: str,
    field: str,
    trial: str,
    *,
    url: str = "",
    apps: Sequence[str] = (),
    settings: Mapping[str, object] | None = None,
    **given: object,
) -> str:
    """Run the trial in a separate process, where Customer is this model; return its log.

    `url` is the store URL of a database; without it the site has SQLite in memory.
    """
    (folder / "shop").mkdir(exist_ok=True)
    (folder / "shop" / "__init__.py").touch()
    (folder / "shop" / "models.py").write_text(f"{IMPORTS}{model}")
    program = f"import sys; sys.path[:0] = [{str(folder)!r}, {str(ROOT)!r}]\n"
    database = f"settings_of({url!r})" if url else repr(IN_MEMORY)
    filled = {"key": SECRET_KEY, "given": given, "field": field, "trial": trial, "database": database, "url": url}
    # Their tables without their migrations, whose fifteen steps take a third of the program.
    unmigrated = {} if url else dict.fromkeys(("auth", "contenttypes", "sessions"))
    program += PROGRAM.format(**filled, apps=list(apps), settings=dict(settings or {}), unmigrated=unmigrated)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PHONE_VERIFY_")}
    command = [sys.executable, "-W", "error", "-c", program]
    done = forks.run(command, cwd=folder, env=environ)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["done"]
    return done.stderr


IN_MEMORY = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
IMPORTS = """
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import AbstractUser
from django.db import models
"""
