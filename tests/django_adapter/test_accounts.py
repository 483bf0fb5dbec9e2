"""Whose number it is, on sites with a user model of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from .conftest import PHONE
from .settings import SECRET_KEY

ROOT = Path(__file__).parents[2]

MODELS = """
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import models

class Customer(AbstractBaseUser):
    phone = models.CharField(max_length=16, unique=True)
    USERNAME_FIELD = "phone"
"""

PROGRAM = f"""
import logging, sys, django
from datetime import UTC, datetime
from django.conf import settings
settings.configure(
    SECRET_KEY={SECRET_KEY!r},
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions",
                    "phone_verify_django", "shop"],
    AUTH_USER_MODEL="shop.Customer",
    AUTHENTICATION_BACKENDS=["phone_verify_django.backends.PhoneBackend"],
    DATABASES={{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}}},
    SESSION_ENGINE="django.contrib.sessions.backends.cache",
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)
django.setup()
from django.contrib.sessions.backends.cache import SessionStore
from django.core.management import call_command
from django.http import HttpRequest
from phone_verify.model import Assurance, Channel, Redeemed
from phone_verify.phone import PhoneNumber
from phone_verify_django.accounts import sign_in
from shop.models import Customer

call_command("migrate", run_syncdb=True, verbosity=0)
Customer.objects.create(phone="+989120000001")

def entered(phone):
    request = HttpRequest()
    request.session = SessionStore()
    return sign_in(request, Redeemed(
        PhoneNumber.parse(phone), "login", "default", Channel.SMS, Assurance.CODE, "id", datetime.now(UTC)))

first, again, stranger = entered({PHONE!r}), entered({PHONE!r}), entered("+989120000001")
print(first.created, again.created, first.user == again.user, stranger)
print(*Customer.objects.order_by("pk").values_list("phone", flat=True))
"""


def test_a_user_known_by_the_phone_is_known_by_it(tmp_path: Path) -> None:
    """And a customer whom the site made itself is not given to whoever proves the number."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").touch()
    (tmp_path / "shop" / "models.py").write_text(MODELS)
    program = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]\n{PROGRAM}"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first.split() == ["True", "False", "True", "None"]
    assert second.split() == ["+989120000001", PHONE]
    assert "no user can be made" in done.stderr
    assert "989120000001" not in done.stderr
