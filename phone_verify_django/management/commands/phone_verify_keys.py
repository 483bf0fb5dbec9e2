"""`manage.py phone_verify_keys`."""

from __future__ import annotations

import argparse
from typing import Any

import click
from django.core.management.base import BaseCommand, CommandError

from phone_verify.cli.commands.keys import keys
from phone_verify.cli.site_loader import SiteTarget, group_for_this_site

from ...site import site_config


class Command(BaseCommand):
    """Create, list and revoke access keys, as `phone-verify keys`."""

    help = "Create, list and revoke access keys of other programs: create, list, revoke. See: create --help."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Leave all arguments to the commands of `phone-verify keys`."""
        parser.add_argument("words", nargs=argparse.REMAINDER, help="create NAME, list, or revoke ID, with options.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the command for this site."""
        group = group_for_this_site(keys, lambda: SiteTarget(site_config()))
        try:
            group.main(options["words"], prog_name="manage.py phone_verify_keys", standalone_mode=False)
        except click.ClickException as error:
            raise CommandError(error.format_message()) from None
