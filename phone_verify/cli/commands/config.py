"""`phone-verify config`."""

from __future__ import annotations

import json

import click

from ..output import examples
from ..settings_list import in_force, show
from ..site_loader import SiteTarget, of_a_site, reported


@click.command(
    short_help="Show the settings in force.",
    epilog=examples("phone-verify config", "phone-verify config --django shop.settings --json"),
)
@of_a_site
@click.option("--json", "as_json", is_flag=True, help="Output JSON.")
def config(site: SiteTarget, as_json: bool) -> None:
    """Show the settings in force, and whether each comes from the site, the environment or a default.

    Keys, test numbers and the credentials in DSNs and URLs are masked.
    """
    with reported():
        values = in_force(site.config())
    if as_json:
        click.echo(json.dumps([value.document() for value in values], indent=2, ensure_ascii=False))
    else:
        show(values)
