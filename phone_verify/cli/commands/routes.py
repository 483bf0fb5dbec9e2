"""`phone-verify routes`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from ...phone import PhoneNumber
from ...routing.explanation import ChannelRoute
from .. import route_list
from ..output import console, examples, say, table
from ..route_list import ROUTES


@click.command(
    short_help="Explain which driver carries orders to a number.",
    epilog=examples(
        "phone-verify routes +989120000000",
        "phone-verify routes 09120000000 --region IR --flask app:create_app --json",
    ),
)
@ROUTES.command
def routes(phone: PhoneNumber, found: Sequence[ChannelRoute]) -> None:
    """Explain which drivers carry orders to NUMBER, by which rule, in which shares, and why others do not.

    Nothing is sent. Reads the store if a rule uses conversions.
    """
    say(f"{phone.hint} ({phone.region or 'no region'})")
    for route in found:
        say(f"\n{route_list.title(route)}")
        if route.drivers:
            head, *rows = route_list.rows(route)
            listed = table(*head)
            for row in rows:
                listed.add_row(*row)
            console().print(listed)
        for note in route_list.notes(route):
            say(note)
