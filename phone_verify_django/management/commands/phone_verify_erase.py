"""`manage.py phone_verify_erase NUMBER`."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError
from django.db import models

from phone_verify import InvalidPhoneError, PhoneNumber, StoreError

from ... import app_settings
from ...models import VerificationRow, VerifiedPhone
from ...site import current_site


class Command(BaseCommand):
    """Everything that we keep of one number, gone. The users stay: whatever else the site knows of them is its own."""

    help = (
        "Erase all that is kept of one number: its verifications and counters, its place as a verified number, its "
        "devices of django-otp. Users stay, without the number. Says what there is, and erases it only with --yes."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The number, and the word."""
        parser.add_argument("number")
        parser.add_argument("--region", help="Of a number in national form, like IR; the setting region if not named.")
        parser.add_argument("--yes", action="store_true", help="Erase it. There is no way back.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Count; with --yes erase."""
        try:
            phone = PhoneNumber.parse(options["number"], options["region"] or app_settings.read().policy.region)
        except InvalidPhoneError as error:
            raise CommandError(str(error)) from None
        rows, alias, verifier = _rows_of(phone), app_settings.orm_alias(), current_site().verifier
        kept = alias and VerificationRow.objects.using(alias).filter(tag=verifier.tag(phone)).count()
        self.stdout.write(f"verifications and their counters: {'what the store has' if kept is None else kept}")
        for name, found in rows.items():
            self.stdout.write(f"{name}: {found.count()}")
        if options["yes"]:
            try:
                verifier.erase(phone)
            except StoreError as error:
                raise CommandError(f"nothing was erased, the store does not answer: {error}") from None
            for found in rows.values():
                found.delete()
            self.stdout.write(self.style.SUCCESS(f"{phone.hint} is erased."))
        else:
            self.stdout.write(f"Nothing was erased. To erase what is kept of {phone.hint}: add --yes")
        model = get_user_model()
        named = model._default_manager.filter(**{model.USERNAME_FIELD: phone.e164})
        for key in named.values_list("pk", flat=True):
            self.stdout.write(
                self.style.WARNING(f"The name of user {key} is this number: that is yours to change or delete.")
            )


def _rows_of(phone: PhoneNumber) -> dict[str, models.QuerySet[Any]]:
    """What our tables hold of this number."""
    rows: dict[str, models.QuerySet[Any]] = {"verified numbers": VerifiedPhone.objects.filter(phone=phone.e164)}
    if apps.is_installed("phone_verify_django.otp"):
        devices = apps.get_model("phone_verify_otp", "PhoneDevice")._default_manager
        rows["devices"] = devices.filter(phone=phone.e164)
    if apps.is_installed("phone_verify_django.allauth"):
        claims = apps.get_app_config("phone_verify_allauth").get_model("ClaimedPhone")._default_manager
        rows["numbers typed and not proven"] = claims.filter(phone=phone.e164)
    return rows
