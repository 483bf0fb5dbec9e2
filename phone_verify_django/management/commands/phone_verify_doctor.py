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
    """The doctor, for this site. It runs also where the site does not start."""

    help = (
        "Say what is wrong with the configuration, and what to write. Asks the store, and those providers that can be "
        "asked without sending anything. Ends with an error if there is one."
    )
    # It says what they say, and more.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Those of `phone-verify doctor`."""
        parser.add_argument("--offline", action="store_true", help="Ask neither the store nor any provider.")
        parser.add_argument(
            "--show-webhook-urls", action="store_true", help="Show webhook addresses with the secret in them."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Show every finding, what matters most first."""
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
            raise CommandError("the site cannot work as it is configured")

    def _say(self, text: str) -> None:
        self.stderr.write(text, style_func=str)  # standard error is red in Django, and this is none


def _finding(message: checks.CheckMessage) -> Finding:
    return Finding(Level.ERROR if message.is_serious() else Level.WARNING, "", message.msg, message.hint or "")
