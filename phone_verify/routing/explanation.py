"""Explains the route of orders to one phone: the rule, the drivers and why, and their conversions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from ..conversions import Conversion, route_key
from ..model import Channel
from ..phone import PhoneNumber
from ..stores.base import Store
from .choice import below_quality, rate_of, shares
from .router import Router
from .rules import Rule


@dataclass(frozen=True, slots=True)
class RoutedDriver:
    """A driver that may carry the orders.

    `share` is the part of orders for which it comes first: with a trial, weights or conversions an
    estimate. The counts are weighted; `rate` is the expected conversion rate, also if nothing was
    counted. They are None if the rule does not use conversions.
    """

    name: str
    share: float
    price: Decimal | None = None
    sent: float | None = None
    verified: float | None = None
    rate: float | None = None
    #: Whether it gets explorations only, because its conversion rate is far below the best.
    below_quality: bool = False

    @property
    def cost(self) -> float | None:
        """The cost per verified user, if price and rate are known."""
        return float(self.price) / self.rate if self.price is not None and self.rate else None


@dataclass(frozen=True, slots=True)
class ChannelRoute:
    """The route of orders to one phone on one channel. `rule` is None if the configured order applies."""

    channel: Channel
    rule: Rule | None
    drivers: Sequence[RoutedDriver]
    #: The other drivers of the channel, and why they are not used.
    left_out: Mapping[str, str] = field(default_factory=dict)


async def explain(router: Router, store: Store, phone: PhoneNumber, now: datetime | None) -> Sequence[ChannelRoute]:
    """Return the routes of orders to this phone on every channel in use. Raises `StoreError`."""
    found = []
    for channel in router.channels:
        rule = router.rule(channel, phone)
        names = [driver.name for driver in router.route(channel, phone)]
        known: Mapping[str, Conversion] | None = None
        if rule is not None and rule.by_outcome and names:
            keys = [route_key(name, phone.region, channel) for name in names]
            known = dict(zip(names, await store.conversions(keys, now), strict=True))
        drivers = _explained(rule, names, known) if names else ()
        found.append(ChannelRoute(channel, rule, drivers, router.left_out(channel, phone)))
    return found


def _explained(
    rule: Rule | None, names: Sequence[str], known: Mapping[str, Conversion] | None
) -> Sequence[RoutedDriver]:
    if rule is None:
        return [RoutedDriver(name, float(name == names[0])) for name in names]
    poor = below_quality([name for name in names if name not in rule.trial], known) if known is not None else ()
    parts = shares(rule, names, known)
    return [_driver(name, parts[name], rule, known, below_quality=name in poor) for name in names]


def _driver(
    name: str, share: float, rule: Rule, known: Mapping[str, Conversion] | None, *, below_quality: bool
) -> RoutedDriver:
    price = rule.prices.get(name)
    if known is None:
        return RoutedDriver(name, share, price)
    counts = known[name]
    return RoutedDriver(name, share, price, counts.sent, counts.verified, rate_of(counts), below_quality)
