"""`manage.py phone_verify_doctor`."""

from __future__ import annotations

import shutil
from argparse import ArgumentParser
from typing import Any

from django.core import checks
from django.core.management.base import BaseCommand, CommandError

from phone_verify.doctor import Finding, Level, count, examine
from phone_verify.errors import ConfigurationError
from phone_verify.transports.blocking import BlockingTransport

from ...checks import examined_by_us

_WIDEST = 100


class Command(BaseCommand):
    """Run the doctor for this site, also if the site does not start."""

    help = (
        "Check the configuration and suggest fixes. Contacts the store, and providers that can be queried without "
        "sending anything. Exits with an error if it finds one."
    )
    # Its findings include theirs.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the arguments of `phone-verify doctor`."""
        parser.add_argument("--offline", action="store_true", help="Don't contact the store or providers.")
        parser.add_argument("--show-webhook-urls", action="store_true", help="Show webhook URLs with their secrets.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Show all findings, most severe first."""
        try:
            given, complaints = examined_by_us()
        except ConfigurationError as error:
            findings = [Finding(Level.ERROR, "", str(error))]
        else:
            transport = None if options["offline"] else BlockingTransport()
            webhooks = options["show_webhook_urls"]
            findings = [
                *map(_finding, complaints),
                *examine(given, transport=transport, say=self._say, show_webhook_urls=webhooks),
            ]
        styles = {
            Level.ERROR: self.style.ERROR,
            Level.WARNING: self.style.WARNING,
            Level.NOTE: self.style.NOTICE,
            Level.OK: self.style.SUCCESS,
        }
        width = min(shutil.get_terminal_size().columns, _WIDEST)
        for finding in findings:
            level, _, rest = finding.text(width).partition(" ")
            self.stdout.write(f"{styles[finding.level](level)} {rest}")
        self.stdout.write(f"\n{count(findings)}")
        if any(finding.level is Level.ERROR for finding in findings):
            raise CommandError("the configuration has errors")

    def _say(self, text: str) -> None:
        self.stderr.write(text, style_func=str)  # Django prints standard error in red, and this is not an error


def _finding(message: checks.CheckMessage) -> Finding:
    return Finding(Level.ERROR if message.is_serious() else Level.WARNING, "", message.msg, message.hint or "")
