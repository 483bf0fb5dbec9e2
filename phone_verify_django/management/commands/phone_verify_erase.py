"""`manage.py phone_verify_erase NUMBER`."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError
from django.db import models

from phone_verify import InvalidPhoneError, PhoneNumber, StoreError
from phone_verify.adoption.user_names import user_name

from ... import app_settings, users
from ...models import VerificationRow, VerifiedPhone
from ...site import current_site, orm_alias


class Command(BaseCommand):
    """Erase everything that we keep of one number. The users stay: their other data belongs to the site."""

    help = (
        "Erase all data of one number: its verifications and counters, its rows as a verified number, its devices of "
        "django-otp. Users stay, without the number. Shows what exists, and erases it only with --yes."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the number and the confirmation."""
        parser.add_argument("number")
        parser.add_argument("--region", help="Region of a national number, like IR. Default: the setting region.")
        parser.add_argument("--yes", action="store_true", help="Erase it. This cannot be undone.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Count the rows; with --yes erase them."""
        try:
            phone = PhoneNumber.lookup(options["number"], options["region"] or app_settings.read().policy.region)
        except InvalidPhoneError as error:
            raise CommandError(str(error)) from None
        rows, alias, verifier = _rows_of(phone), orm_alias(), current_site().verifier
        kept = alias and VerificationRow.objects.using(alias).filter(tag=verifier.tag(phone)).count()
        self.stdout.write(f"verifications and their counters: {'those in the store' if kept is None else kept}")
        for name, found in rows.items():
            self.stdout.write(f"{name}: {found.count()}")
        if options["yes"]:
            try:
                verifier.erase(phone)
            except StoreError as error:
                raise CommandError(f"nothing was erased, the store is unavailable: {error}") from None
            for found in rows.values():
                found.delete()
            self.stdout.write(self.style.SUCCESS(f"{phone.hint} is erased."))
        else:
            self.stdout.write(f"Nothing was erased. To erase the data of {phone.hint}, add --yes.")
        named = users.everyone().filter(**{f"{get_user_model().USERNAME_FIELD}__in": phone.forms})
        for key in named.values_list("pk", flat=True):
            name = user_name(key, phone)
            self.stdout.write(
                self.style.WARNING(f"The username of {name} is this number. Change it, or delete the user.")
            )


def _rows_of(phone: PhoneNumber) -> dict[str, models.QuerySet[Any]]:
    """Return the rows of this number in our tables, also those under its number before a renumbering."""
    rows: dict[str, models.QuerySet[Any]] = {"verified numbers": VerifiedPhone.objects.filter(phone__in=phone.forms)}
    if apps.is_installed("phone_verify_django.otp"):
        devices = apps.get_model("phone_verify_otp", "PhoneDevice")._default_manager
        rows["devices"] = devices.filter(phone__in=phone.forms)
    if apps.is_installed("phone_verify_django.allauth"):
        claims = apps.get_app_config("phone_verify_allauth").get_model("ClaimedPhone")._default_manager
        rows["numbers entered and not verified"] = claims.filter(phone__in=phone.forms)
    return rows
