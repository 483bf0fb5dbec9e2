"""`phone-verify drivers`."""

from __future__ import annotations

import json

import click

from ..driver_list import entries, table


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Output JSON.")
def drivers(as_json: bool) -> None:
    """List drivers, their features and DSN format."""
    found = entries()
    click.echo(json.dumps([entry.document() for entry in found], indent=2) if as_json else table(found))
