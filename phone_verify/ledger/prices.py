"""Price tables: what an order costs by channel, driver and destination, and from when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal

from ..model import Channel
from ..phone import PhoneNumber
from .amounts import LARGEST, SMALLEST
from .values import ZERO, ChargedFor


@dataclass(frozen=True, slots=True)
class Price:
    """The price of one order, and of one segment of an SMS. Empty fields match everything."""

    amount: Decimal
    currency: str
    charged_for: ChargedFor = ChargedFor.SENT
    channel: Channel | None = None
    driver: str = ""
    region: str = ""
    prefix: str = ""
    since: date = date.min

    @property
    def rank(self) -> tuple[int, bool, bool, bool, date]:
        """What decides between two prices that match: the more specific one, and then the newer one."""
        return len(self.prefix), bool(self.region), bool(self.driver), self.channel is not None, self.since

    def matches(self, channel: Channel, driver: str, phone: PhoneNumber, day: date) -> bool:
        """Return whether it is the price of such an order on that day, unless another is more specific."""
        return (
            self.since <= day
            and self.channel in (None, channel)
            and self.driver in ("", driver)
            and self.region in ("", phone.region)
            and phone.e164.startswith(self.prefix)
        )


@dataclass(frozen=True, slots=True)
class Rate:
    """What one unit of a currency is in the currency of the table, from a day on."""

    currency: str
    rate: Decimal
    since: date = date.min


@dataclass(frozen=True, slots=True)
class Prices:
    """A table of prices and of exchange rates to its currency."""

    currency: str = ""
    entries: Sequence[Price] = field(default=(), repr=False)
    rates: Sequence[Rate] = field(default=(), repr=False)

    def find(self, channel: Channel, driver: str, phone: PhoneNumber, day: date) -> Price | None:
        """Return the price of an order on that day; None if the table has none."""
        matching = [price for price in self.entries if price.matches(channel, driver, phone, day)]
        return max(matching, key=lambda price: price.rank, default=None)

    def convert(self, amount: Decimal, given: str, wanted: str, day: date) -> Decimal | None:
        """Return an amount in another currency, rounded to a millionth, but not to none.

        None without a rate, and for more than a column of money can hold.
        """
        if given == wanted:
            return amount
        from_rate, to_rate = self._rate(given, day), self._rate(wanted, day)
        if from_rate is None or to_rate is None:
            return None
        converted = amount * from_rate / to_rate
        if converted >= LARGEST:
            return None
        # What rounds to nothing would be free, and a balance of nothing would pay for it.
        return max(converted.quantize(SMALLEST, ROUND_HALF_EVEN), SMALLEST) if amount else ZERO

    def _rate(self, currency: str, day: date) -> Decimal | None:
        if currency == self.currency:
            return Decimal(1)
        known = [rate for rate in self.rates if rate.currency == currency and rate.since <= day]
        return max(known, key=lambda rate: rate.since).rate if known else None
