"""`manage.py phone_verify_report`."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

import click
from django.core.management.base import BaseCommand, CommandError

from phone_verify.cli.commands.report import report
from phone_verify.cli.site_loader import SiteTarget, for_this_site

from ...site import site_config

_run, _params = for_this_site(report, lambda: SiteTarget(site_config()))
_REPORT = click.Command("report", params=[*_params], callback=_run)
_OPTIONS = [param for param in _params if isinstance(param, click.Option)]


class Command(BaseCommand):
    """Report what was sent, verified and spent."""

    help = "Report what was sent, delivered, verified and spent, as a table, CSV, JSON or an Excel file."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options of `phone-verify report`, which reads their values itself."""
        for option in _OPTIONS:
            kind: dict[str, Any] = {"action": "store_true"} if option.is_flag else {"metavar": "VALUE"}
            parser.add_argument(*option.opts, dest=option.name, help=option.help, **kind)

    def handle(self, *args: Any, **options: Any) -> None:
        """Write the report."""
        words: list[str] = []
        for option in _OPTIONS:
            value = options[option.name or ""]
            if value not in (None, False):
                words += [option.opts[0]] if option.is_flag else [option.opts[0], value]
        try:
            _REPORT.main(args=words, prog_name="phone_verify_report", standalone_mode=False)
        except click.ClickException as error:
            raise CommandError(error.format_message()) from None
