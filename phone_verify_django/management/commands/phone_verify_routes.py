"""`manage.py phone_verify_routes`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from phone_verify import PhoneNumber
from phone_verify.cli import route_list
from phone_verify.cli.plain import in_columns
from phone_verify.routing.explanation import ChannelRoute

from ..explaining import ExplainCommand


class Command(ExplainCommand):
    """Explain which driver carries orders to a number."""

    help = (
        "Explain which drivers carry orders to a number, by which rule, in which shares, and why others do not. "
        "Nothing is sent."
    )
    explanation = route_list.ROUTES

    def lines(self, phone: PhoneNumber, found: Sequence[ChannelRoute]) -> Iterator[str]:
        """Return the drivers of each channel."""
        yield f"{phone.hint} ({phone.region or 'no region'})"
        for route in found:
            yield f"\n{route_list.title(route)}"
            if route.drivers:
                yield in_columns(route_list.rows(route))
            yield from route_list.notes(route)
