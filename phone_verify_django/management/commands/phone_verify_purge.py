"""`manage.py phone_verify_purge`."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from phone_verify import StoreError

from ...site import current_site

_BATCH = 1000


class Command(BaseCommand):
    """Delete expired rows in bounded batches."""

    help = (
        "Delete expired verifications and counters. Every start deletes two of them, so this is for sites that were "
        "busier before, or that keep their tables small."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        """Purge until no expired row is left."""
        deleted = 0
        try:
            while count := current_site().verifier.purge(_BATCH):
                deleted += count
        except StoreError as error:
            raise CommandError(f"{deleted} were deleted, then the store became unavailable: {error}") from None
        if options["verbosity"]:
            self.stdout.write(f"{deleted} verifications and counters were deleted.")
