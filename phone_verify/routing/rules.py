"""Rules of routing: which drivers carry the orders to some numbers, in which order and shares."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from ..drivers.base import Starts
from ..model import Channel
from ..phone import PhoneNumber


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. An empty field does not restrict or change anything.

    `number` is its position in the setting, from 1. `prefixes` are beginnings of numbers in E.164.
    """

    number: int
    prefixes: Sequence[str] = ()
    regions: Sequence[str] = ()
    channels: Sequence[Channel] = ()
    #: The drivers in order; none for all drivers of the channel in the configured order.
    drivers: Sequence[str] = ()
    #: By which orders are divided among drivers. A driver without a weight is used for failover only.
    weights: Mapping[str, float] = field(default_factory=dict)
    #: The percentage of orders for which a driver comes first; for all others it comes last.
    trial: Mapping[str, float] = field(default_factory=dict)
    #: What one order costs, in the `currency`.
    prices: Mapping[str, Decimal] = field(default_factory=dict)
    currency: str = ""
    #: Drivers with a higher price, or without a price, are not used.
    ceiling: Decimal | None = None
    #: Whether the conversions of the drivers decide.
    by_outcome: bool = False

    def __str__(self) -> str:
        """Return the rule in words, for lists of settings."""
        parts = [
            *(
                f"{name} {' '.join(getattr(self, name))}"
                for name in ("prefixes", "regions", "channels", "drivers")
                if getattr(self, name)
            ),
            *(
                f"{name} {' '.join(f'{driver}={value:g}' for driver, value in getattr(self, name).items())}"
                for name in ("weights", "trial")
                if getattr(self, name)
            ),
            *([f"ceiling {self.ceiling} {self.currency}"] if self.ceiling is not None else []),
            *(["by outcome"] if self.by_outcome else []),
        ]
        return "; ".join(parts) or "every number"

    @property
    def named(self) -> Sequence[str]:
        """The drivers that the rule uses, those on trial last; empty for all drivers of the channel."""
        ranked = [name for name in self.drivers if name not in self.trial]
        return [*ranked, *self.trial] if self.drivers else ()

    def specificity(self, phone: PhoneNumber) -> tuple[int, bool] | None:
        """Return how closely the rule matches this phone, for comparison; None if it does not match."""
        if self.regions and phone.region not in self.regions:
            return None
        matching = [len(prefix) for prefix in self.prefixes if phone.e164.startswith(prefix)]
        if self.prefixes and not matching:
            return None
        return max(matching, default=0), bool(self.regions)

    def applies_to(self, channel: Channel, carriers: Collection[str]) -> bool:
        """Return whether the rule is for this channel, which these drivers carry."""
        if self.channels and channel not in self.channels:
            return False
        return not self.named or any(name in carriers for name in self.named)

    def why_left_out(self, name: str) -> str:
        """Return why the rule does not use this driver; empty if it does."""
        if self.named and name not in self.named:
            return "not named in the rule"
        if self.ceiling is None:
            return ""
        price = self.prices.get(name)
        if price is None:
            return "no price, but the rule has a ceiling"
        return f"its price {price} is above the ceiling {self.ceiling}" if price > self.ceiling else ""

    def selected(self, carriers: Sequence[Starts]) -> list[Starts]:
        """Return those of these drivers that the rule uses, in its order."""
        used = [driver for driver in carriers if not self.why_left_out(driver.name)]
        order = {name: place for place, name in enumerate(self.named)}
        if order:
            return sorted(used, key=lambda driver: order[driver.name])
        return sorted(used, key=lambda driver: driver.name in self.trial)


def matching(rules: Sequence[Rule], channel: Channel, phone: PhoneNumber, carriers: Collection[str]) -> Rule | None:
    """Return the rule for a phone on a channel that these drivers carry, or None.

    The longest prefix wins, then a region; of equals the first.
    """
    best, found = None, None
    for rule in rules:
        if not rule.applies_to(channel, carriers):
            continue
        specificity = rule.specificity(phone)
        if specificity is not None and (best is None or specificity > best):
            best, found = specificity, rule
    return found
