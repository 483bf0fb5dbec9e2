"""`manage.py phone_verify_renumber`."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ...renumbering import columns


class Command(BaseCommand):
    """Move stored numbers to the form that a change of their numbering plan gave them."""

    help = (
        "Move stored numbers of former numbering plans (Argentina, Benin, Brazil, Ivory Coast, Mexico) to today's: "
        "verified numbers, the user's own field, devices of django-otp. A number whose new form is stored too is "
        "reported and stays. Sends nothing and ends no session; it can be run again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the dry run."""
        parser.add_argument("--dry-run", action="store_true", help="Count and report, and change nothing.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Move the numbers of each column, and report those that stay."""
        dry_run, conflicts = options["dry_run"], 0
        for column in columns():
            for read in column.renumber(dry_run=dry_run):
                if options["verbosity"]:
                    self.stderr.write(f"{column.name}: {read} read", style_func=str)
            for key, hint in column.conflicts:
                self.stdout.write(self.style.WARNING(f"{column.name}: row {key} stays: {hint} and its new form exist"))
            self.stdout.write(f"{column.name}: {column.moved} {'would move' if dry_run else 'moved'}")
            conflicts += len(column.conflicts)
        if conflicts:
            raise CommandError(f"{conflicts} numbers stay: remove one of the two from its user, then run this again")
