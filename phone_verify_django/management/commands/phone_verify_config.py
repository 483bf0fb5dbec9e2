"""`manage.py phone_verify_config`."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from phone_verify.cli.settings_list import as_rows, in_force
from phone_verify.errors import ConfigurationError

from ...site import site_config


class Command(BaseCommand):
    """Show the settings in force."""

    help = (
        "Show the settings in force, and whether each comes from the site, the environment or a default. "
        "Keys, test numbers and the credentials in DSNs and URLs are masked."
    )
    # Invalid settings are listed as such.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the arguments of `phone-verify config`."""
        parser.add_argument("--json", action="store_true", dest="as_json", help="Output JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Show every setting, those that were set first."""
        try:
            values = in_force(site_config())
        except ConfigurationError as error:
            raise CommandError(str(error)) from None
        if options["as_json"]:
            self.stdout.write(json.dumps([value.document() for value in values], indent=2, ensure_ascii=False))
            return
        rows = as_rows(values)
        width = max(len(name) for name, _, _ in rows)
        for name, value, origin in rows:
            self.stdout.write(f"{name:{width}}  {value.replace(chr(10), ' ')}  ({origin})")
