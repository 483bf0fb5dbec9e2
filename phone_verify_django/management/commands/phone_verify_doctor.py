"""`manage.py phone_verify_doctor`."""

from __future__ import annotations

import json
import shutil
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from phone_verify.doctor import Finding, Level, Report, examine, read_ids
from phone_verify.errors import ConfigurationError
from phone_verify.transports.blocking import BlockingTransport

from ...checks import as_finding, examined_by_us
from ...model_checks import check_model, unverified_rows


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
        parser.add_argument("--strict", action="store_true", help="Fail if there are warnings, too.")
        parser.add_argument(
            "--ignore", metavar="ID", action="append", default=[], help="Leave this finding out, unless it is an error."
        )
        parser.add_argument("--json", action="store_true", dest="as_json", help="Output JSON.")
        parser.add_argument("--show-webhook-urls", action="store_true", help="Show webhook URLs with their secrets.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Show all findings, most severe first."""
        try:
            ignore = read_ids(options["ignore"])
        except ConfigurationError as error:
            raise CommandError(f"--ignore: {error}") from None
        report = Report.of(self._findings(options), ignore)
        if options["as_json"]:
            self.stdout.write(json.dumps(report.document(), indent=2, ensure_ascii=False))
        else:
            self._show(report)
        if report.failed():
            raise CommandError("the configuration has errors")
        if report.failed(strict=options["strict"]):
            raise CommandError("the configuration has warnings")

    def _findings(self, options: dict[str, Any]) -> list[Finding]:
        try:
            given, complaints = examined_by_us()
        except ConfigurationError as error:
            return [Finding(Level.ERROR, "", str(error), id="PV105")]
        transport = None if options["offline"] else BlockingTransport()
        found = examine(given, transport=transport, say=self._say, show_webhook_urls=options["show_webhook_urls"])
        rows = [] if options["offline"] else unverified_rows()
        return [*map(as_finding, [*complaints, *check_model(), *rows]), *found]

    def _show(self, report: Report) -> None:
        styles = {
            Level.ERROR: self.style.ERROR,
            Level.WARNING: self.style.WARNING,
            Level.NOTE: self.style.NOTICE,
            Level.OK: self.style.SUCCESS,
        }
        for line in report.lines(shutil.get_terminal_size().columns):
            self.stdout.write((styles[line.level](line.head) if line.level else line.head) + line.text)

    def _say(self, text: str) -> None:
        self.stderr.write(text, style_func=str)  # Django prints standard error in red, and this is not an error
