"""`manage.py phone_verify_unlock NUMBER`."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from phone_verify import InvalidPhoneError, PhoneNumber, StoreError

from ... import app_settings
from ...site import current_site


class Command(BaseCommand):
    """Remove the locks of one number."""

    help = (
        "Reset the wrong answers counted for a number and remove its locks, for a user whose identity "
        "support has checked. Send quotas are not changed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the number and its region."""
        parser.add_argument("number")
        parser.add_argument("--region", help="Region of a national number, like IR. Default: the setting region.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Unlock the number, and report whether it had wrong answers or locks."""
        try:
            phone = PhoneNumber.lookup(options["number"], options["region"] or app_settings.read().policy.region)
        except InvalidPhoneError as error:
            raise CommandError(str(error)) from None
        try:
            unlocked = current_site().verifier.unlock(phone)
        except StoreError as error:
            raise CommandError(f"nothing was unlocked, the store is unavailable: {error}") from None
        if unlocked:
            self.stdout.write(self.style.SUCCESS(f"{phone.hint} is unlocked."))
        else:
            self.stdout.write(f"{phone.hint} had no wrong answers and no lock.")
