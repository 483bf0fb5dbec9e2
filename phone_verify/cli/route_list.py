"""The routes of orders to one phone, as `phone-verify routes` shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..config.site import SiteConfig
from ..errors import ConfigurationError
from ..phone import PhoneNumber
from ..routing.explanation import ChannelRoute, RoutedDriver
from ..verifier.blocking import Verifier
from .explaining import Explanation

#: The columns of a table; those after the second are shown only if the rule has such values.
HEADINGS = ("DRIVER", "FIRST", "PRICE", "SENT", "VERIFIED", "RATE", "COST PER USER")


def find(given: SiteConfig, verifier: Verifier, phone: PhoneNumber) -> Sequence[ChannelRoute]:
    """Return the routes of orders to a phone. Raises `ConfigurationError` and `StoreError`."""
    routes = verifier.explain_routes(phone)
    if not routes:
        raise ConfigurationError("no channel is configured, so nothing can be sent")
    return routes


def document(phone: PhoneNumber, routes: Sequence[ChannelRoute]) -> Mapping[str, Any]:
    """Return the routes for JSON. Prices are decimal numbers as text."""
    return {
        "phone": phone.hint,
        "region": phone.region,
        "channels": [
            {
                "channel": route.channel.value,
                "rule": None if route.rule is None else {"number": route.rule.number, "text": str(route.rule)},
                "currency": route.rule.currency or None if route.rule is not None else None,
                "drivers": [_entry(driver) for driver in route.drivers],
                "left_out": dict(route.left_out),
            }
            for route in routes
        ],
    }


def title(route: ChannelRoute) -> str:
    """Return the line above the table of a channel."""
    if route.rule is None:
        return f"{route.channel}: no rule, the configured order"
    return f"{route.channel}: rule {route.rule.number} ({route.rule})"


def rows(route: ChannelRoute) -> Sequence[Sequence[str]]:
    """Return the head and the rows of the table of a channel, without columns that have no values."""
    currency = route.rule.currency if route.rule is not None else ""
    lines = [HEADINGS, *(_row(driver, currency) for driver in route.drivers)]
    kept = [n for n in range(len(HEADINGS)) if any(line[n] for line in lines[1:])]
    return [[line[n] for n in kept] for line in lines]


def notes(route: ChannelRoute) -> Sequence[str]:
    """Return the lines below the table of a channel."""
    none = [] if route.drivers else ["no driver may carry an order to this number"]
    poor = [
        f"{driver.name}: explorations only, too few of its users are verified"
        for driver in route.drivers
        if driver.below_quality
    ]
    return [*none, *poor, *(f"not used: {name} ({why})" for name, why in route.left_out.items())]


def _row(driver: RoutedDriver, currency: str) -> tuple[str, ...]:
    return (
        driver.name,
        f"{driver.share:.0%}" if driver.share else "failover",
        f"{driver.price} {currency}" if driver.price is not None else "",
        "" if driver.sent is None else f"{driver.sent:.1f}",
        "" if driver.verified is None else f"{driver.verified:.1f}",
        "" if driver.rate is None else f"{driver.rate:.0%}",
        "" if driver.cost is None else f"{driver.cost:.4f} {currency}",
    )


def _entry(driver: RoutedDriver) -> Mapping[str, Any]:
    return {
        "driver": driver.name,
        "share": driver.share,
        "price": None if driver.price is None else str(driver.price),
        "sent": _rounded(driver.sent),
        "verified": _rounded(driver.verified),
        "rate": _rounded(driver.rate),
        "cost_per_verified": _rounded(driver.cost),
        "below_quality": driver.below_quality,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


ROUTES = Explanation(find, document)
