"""The races of test_phones.py on the database named by the argument, run in a separate process."""

from __future__ import annotations

import sys
from typing import Any

import django
from django.conf import settings
from django.core.management import call_command

from tests.django_adapter import settings as chosen
from tests.django_adapter.databases import settings_of

settings.configure(
    SECRET_KEY=chosen.SECRET_KEY,
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "phone_verify_django",
    ],
    AUTHENTICATION_BACKENDS=chosen.AUTHENTICATION_BACKENDS,
    DATABASES={"default": settings_of(sys.argv[1])},
    USE_TZ=True,
)
django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.core.signals import setting_changed  # noqa: E402

from tests.django_adapter import test_phones as races  # noqa: E402


def configure(**values: Any) -> None:
    settings.PHONE_VERIFY = values
    setting_changed.send(sender=None, setting="PHONE_VERIFY", value=values, enter=True)


def anew() -> None:
    User.objects.all().delete()
    configure(sms="console://")


def race() -> None:
    for shared in (False, True):
        anew()
        races.test_concurrent_verifiers_of_a_number_leave_one_owner(configure, shared)
    for change in ({}, {"shared_phones": True}, {"recycled_numbers": "newest"}):
        for purpose in ("login", "signup"):
            anew()
            races.test_concurrent_signups_create_one_user(configure, change, purpose)
    anew()
    races.test_concurrent_numbers_of_a_user_have_one_primary(configure)
    anew()
    races.test_concurrent_transfers_leave_one_owner(configure)
    for _ in range(5):
        anew()
        races.test_concurrent_proofs_of_a_renumbered_number_find_one_user(configure)


if __name__ == "__main__":
    call_command("migrate", verbosity=0)
    race()
