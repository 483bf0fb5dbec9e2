"""`phone-verify doctor`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

import click

from ...doctor import Level, Report, examine, read_ids
from ...errors import ConfigurationError
from ...transports.blocking import BlockingTransport
from ..output import STYLES, Mark, console, examples, styled, working
from ..site_loader import SiteTarget, of_a_site

_MARKS = {Level.ERROR: Mark.ERROR, Level.WARNING: Mark.WARNING, Level.NOTE: Mark.NOTE, Level.OK: Mark.OK}


def _ids(context: click.Context, option: click.Parameter, value: Sequence[str]) -> Sequence[str]:
    try:
        return read_ids(value)
    except ConfigurationError as error:
        raise click.BadParameter(str(error)) from None


@click.command(
    short_help="Check a site's configuration.",
    epilog=examples(
        "phone-verify doctor",
        "phone-verify doctor --django shop.settings --strict --ignore PV409",
        "phone-verify doctor --flask app:create_app --offline --json",
    ),
)
@of_a_site
@click.option("--offline", is_flag=True, help="Don't contact the store or providers.")
@click.option("--strict", is_flag=True, help="Exit with status 1 if there are warnings, too.")
@click.option("--ignore", metavar="ID", multiple=True, callback=_ids, help="Leave this finding out, unless it is an "
              "error. Repeatable; separate several by commas.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Output JSON.")
@click.option("--show-webhook-urls", is_flag=True, help="Show webhook URLs including their secret.")
def doctor(
    site: SiteTarget, offline: bool, strict: bool, ignore: Sequence[str], as_json: bool, show_webhook_urls: bool
) -> None:
    """Check a site's configuration and suggest fixes.

    Queries the store, and the providers that can be queried without sending anything. Exits with
    status 1 if there are errors.
    """
    findings = list(site.faults)
    if site.given is not None:
        transport = None if offline else BlockingTransport()
        with working() as say:
            findings += examine(site.given, transport=transport, say=say, show_webhook_urls=show_webhook_urls)
            findings += () if offline else site.users()
    report = Report.of(findings, ignore)
    if as_json:
        click.echo(json.dumps(report.document(), indent=2, ensure_ascii=False))
    else:
        _show(report)
    sys.exit(1 if report.failed(strict=strict) else 0)


def _show(report: Report) -> None:
    screen = console()
    for line in report.lines(screen.width):
        style = f"bold {STYLES[_MARKS[line.level]]}" if line.level else ""
        screen.print(styled(line.head, style, line.text), soft_wrap=True)
