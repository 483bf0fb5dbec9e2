"""`phone-verify drivers`."""

from __future__ import annotations

import json

import click

from ...drivers.dsn import unknown_driver
from ...model import Channel
from ..driver_list import entries, external_entries, show, show_one
from ..output import examples


@click.command(
    short_help="List drivers, their features and DSN format.",
    epilog=examples(
        "phone-verify drivers",
        "phone-verify drivers telefon-ip",
        "phone-verify drivers --channel voice --search twilio",
        "phone-verify drivers --json",
    ),
)
@click.argument("name", required=False)
@click.option("--channel", type=click.Choice([channel.value for channel in Channel]), help="Only drivers of a channel.")
@click.option("--search", metavar="TEXT", help="Only drivers with this text in their or the provider's name.")
@click.option("--json", "as_json", is_flag=True, help="Output JSON.")
def drivers(name: str | None, channel: str | None, search: str | None, as_json: bool) -> None:
    """List drivers, their features and DSN format; or show everything about the driver NAME."""
    if name is not None and (channel or search):
        raise click.UsageError("--channel and --search select from the list: leave out NAME, or them")
    found = [entry for entry in (*entries(), *external_entries()) if name in (None, entry.scheme)]
    if name is not None and not found:
        raise click.BadParameter(unknown_driver(name), param_hint="NAME")
    if channel is not None:
        found = [entry.on(Channel(channel)) for entry in found if channel in entry.abilities]
    if search is not None:
        found = [entry for entry in found if entry.matches(search)]
    if not found:
        raise click.ClickException("no driver matches; `phone-verify drivers` lists all of them")
    if as_json:
        click.echo(json.dumps([entry.document() for entry in found], indent=2))
    elif name is None:
        show(found)
    else:
        show_one(found[0])
