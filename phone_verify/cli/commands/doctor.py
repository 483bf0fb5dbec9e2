"""`phone-verify doctor`."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

import click

from ...doctor import Finding, Level, count, examine
from ...transports.blocking import BlockingTransport
from ..site_loader import SiteTarget, of_a_site

_COLOURS = {Level.ERROR: "red", Level.WARNING: "yellow", Level.NOTE: "blue", Level.OK: "green"}
_WIDEST = 100


@click.command()
@of_a_site
@click.option("--offline", is_flag=True, help="Don't contact the store or providers.")
@click.option("--show-webhook-urls", is_flag=True, help="Show webhook URLs including their secret.")
def doctor(site: SiteTarget, offline: bool, show_webhook_urls: bool) -> None:
    """Check a site's configuration and suggest fixes.

    Queries the store, and the providers that can be queried without sending anything. Exits with
    status 1 if there are errors.
    """
    findings = list(site.faults)
    if site.given is not None:
        transport = None if offline else BlockingTransport()
        findings += examine(site.given, transport=transport, say=_say, show_webhook_urls=show_webhook_urls)
    width = min(shutil.get_terminal_size().columns, _WIDEST)
    for finding in findings:
        level, _, rest = finding.text(width).partition(" ")
        click.echo(f"{click.style(level, fg=_COLOURS[finding.level], bold=True)} {rest}")
    click.echo(f"\n{count(findings)}")
    sys.exit(1 if _bad(findings) else 0)


def _say(text: str) -> None:
    click.echo(text, err=True)


def _bad(findings: Sequence[Finding]) -> bool:
    return any(finding.level is Level.ERROR for finding in findings)
