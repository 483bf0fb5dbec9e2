"""`phone-verify drivers`."""

from __future__ import annotations

import json

import click

from ...drivers.dsn import unknown_driver
from ..driver_list import entries, show, show_one
from ..output import examples


@click.command(
    short_help="List drivers, their features and DSN format.",
    epilog=examples("phone-verify drivers", "phone-verify drivers telefon-ip", "phone-verify drivers --json"),
)
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Output JSON.")
def drivers(name: str | None, as_json: bool) -> None:
    """List drivers, their features and DSN format; or show everything about the driver NAME."""
    found = [entry for entry in entries() if name in (None, entry.scheme)]
    if name is not None and not found:
        raise click.BadParameter(unknown_driver(name), param_hint="NAME")
    if as_json:
        click.echo(json.dumps([entry.document() for entry in found], indent=2))
    elif name is None:
        show(found)
    else:
        show_one(found[0])
