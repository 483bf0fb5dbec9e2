"""`manage.py phone_verify_purge`."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from phone_verify import StoreError

from ...site import current_site

_BATCH = 1000


class Command(BaseCommand):
    """Drops what is over, in bounded batches."""

    help = (
        "Drop verifications and counters that are over. Every start drops two of them, so this is for a site that was "
        "busier once than it is now, or that wants its tables small."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        """Purge until there is nothing left to drop."""
        gone = 0
        try:
            while dropped := current_site().verifier.purge(_BATCH):
                gone += dropped
        except StoreError as error:
            raise CommandError(f"{gone} were dropped, then the store did not answer: {error}") from None
        if options["verbosity"]:
            self.stdout.write(f"{gone} verifications and counters were dropped.")
