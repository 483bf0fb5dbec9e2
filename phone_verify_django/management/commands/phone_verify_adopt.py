"""`manage.py phone_verify_adopt`."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from phone_verify.adoption.duplicates import Duplicates
from phone_verify.adoption.report import Report, written_to
from phone_verify.adoption.spellings import regions_of
from phone_verify.cli.progress import progress
from phone_verify.errors import ConfigurationError

from ... import adoption, app_settings


class Command(BaseCommand):
    """Adopt the numbers that the site's users have in a field of the user model."""

    help = (
        "Adopt the numbers that your users have in a field of the user model. Without --trust it only reports. With "
        "--trust every number that is one user's alone counts as verified from now on, signs this user in, and is "
        "written in E.164 (a username too). Numbers of several users, unreadable ones and those that another user has "
        "verified are reported and stay as they are. It can be run again, and while the site is running."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the field, what to do, and the report."""
        parser.add_argument("--field", help="Field of the user model. Default: the setting phone_field.")
        parser.add_argument("--region", help="Region of national numbers, like IR. Default: the setting region.")
        parser.add_argument("--trust", action="store_true", help="Count the numbers as verified, and normalise them.")
        parser.add_argument("--dry-run", action="store_true", help="Change nothing, also with --trust.")
        parser.add_argument(
            "--report",
            metavar="FILE",
            help="Write the numbers that need a decision as CSV. It contains full numbers: only you can read the file "
            "(mode 0600). - is standard output. Without it the terminal shows some of them, masked.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Read all users twice: to find numbers of several users, and to adopt or report each."""
        field, limits = self._field(options["field"]), app_settings.read().policy
        try:
            regions = regions_of(options["region"] or limits.region, limits.allowed_regions)
        except ConfigurationError as error:
            raise CommandError(f"--region: {error}") from None
        trusts = options["trust"] and not options["dry_run"]
        duplicates = Duplicates()
        try:
            total = adoption.count(field)
            with progress("Reading numbers", total) as advance:
                for page in adoption.entries(field, regions):
                    duplicates.add((entry.user_id, entry.phone) for entry in page if entry.phone)
                    advance(len(page))
            with (
                written_to(options["report"]) as file,
                progress("Adopting" if trusts else "Checking", total) as advance,
            ):
                report = Report(file)
                for page in adoption.entries(field, regions):
                    decided = adoption.adopt(field, page, duplicates) if trusts else adoption.decide(page, duplicates)
                    for entry, result in decided:
                        report.add(result, entry.user_id, entry.text, entry.phone)
                    advance(len(page))
        except DatabaseError as error:
            # The type only: the text of a database error can hold values.
            raise CommandError(
                f"the database refused a step ({type(error).__name__}); run it again, it continues where it ended"
            ) from None
        except OSError as error:
            raise CommandError(f"--report: {error.strerror}") from None
        finally:
            duplicates.close()
        # The CSV may be on standard output.
        out = self.stderr if options["report"] == "-" else self.stdout
        for line in report.summary(trusts=trusts):
            out.write(line, style_func=str)

    def _field(self, named: str | None) -> str:
        name = named or app_settings.account_settings().phone_field_name()
        if name is None or not app_settings.is_text_field(name):
            model = get_user_model()._meta.label
            raise CommandError(f"{model} has no text field {name!r}; name one with --field" if name else
                               f"{model} has no field for a number; name it with --field")  # fmt: skip
        return name
