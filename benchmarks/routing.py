"""Cost per verified user and time to recover, of three ways to choose a provider.

A simulation with the real verifier and store and a manual clock. Three providers serve two regions for two days; on the
second day at noon the cheapest one goes bad in one region: it accepts and bills every order, and one code in ten
arrives. Four workers share a store. The user who waits for a code is the same in each run: whether the code of a
provider arrives depends on the order's number only. Users whose code does not arrive give up.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal

from phone_verify.codes import Keyring
from phone_verify.drivers.base import Ability
from phone_verify.exchange import Exchange, HttpRequest
from phone_verify.model import Channel, CodeSource, Order, Receipt, Started
from phone_verify.parts import Components
from phone_verify.phone import PhoneNumber
from phone_verify.policy import Policy
from phone_verify.routing import Router
from phone_verify.routing.rules import Rule
from phone_verify.stores.memory import MemoryStore
from phone_verify.testing.clock import ManualClock
from phone_verify.testing.transport import FakeTransport
from phone_verify.verifier.blocking import Verifier

from .measure import Figure

SEED = 20_260
ORDERS_PER_HOUR = 100
_DAYS = 2
_NOON = 36
_WORKERS = 4
#: How long a user takes to type the code, in seconds.
_TYPING = 20.0
_KEY = "8Qm2vTzR5wXkLc7NdYpJ4hGsB9fEaU3o"
#: The price of an order in euros.
PRICES = {"cheap": Decimal("0.008"), "local": Decimal("0.012"), "global": Decimal("0.030")}
#: How many codes arrive and are typed.
RATES = {
    "IR": {"cheap": 0.88, "local": 0.92, "global": 0.94},
    "RU": {"cheap": 0.55, "local": 0.90, "global": 0.93},
}
_BAD, _BAD_REGION, _BAD_RATE = "cheap", "IR", 0.10
#: Recovered: of this many orders less than this part goes to the provider that went bad.
_WINDOW, _RECOVERED = 100, 0.2
STRATEGIES = {
    "fixed order": Rule(1, drivers=tuple(PRICES)),
    "round robin": Rule(1, weights=dict.fromkeys(PRICES, 1.0)),
    "by outcome": Rule(1, by_outcome=True, prices=PRICES, currency="EUR"),
}


def figures(orders_per_hour: int = ORDERS_PER_HOUR) -> Iterator[Figure]:
    """Return the cost per verified user and the time to recover of each strategy."""
    for name, rule in STRATEGIES.items():
        result = simulate(rule, orders_per_hour)
        yield Figure(f"cost per 1000 verified users, before the failure: {name}", 1000 * result.cost_before, "EUR")
        yield Figure(f"cost per 1000 verified users, 12 hours after it: {name}", 1000 * result.cost_after, "EUR")
        yield Figure(f"users verified in its region, 12 hours after it: {name}", 100 * result.verified_after, "%")
        hours = result.recovered_after
        yield Figure(f"time to recover (12: not at all): {name}", 12.0 if hours is None else hours, "hours")


@dataclass(frozen=True, slots=True)
class _Sent:
    """One order: when, where and by whom it was sent, and whether its user was verified."""

    hour: float
    region: str
    driver: str
    verified: bool


@dataclass(frozen=True, slots=True)
class Result:
    """The orders of one run."""

    orders: Sequence[_Sent]

    @property
    def cost_before(self) -> float:
        """Cost per verified user from the second hour to the failure."""
        return _cost([order for order in self.orders if 2 <= order.hour < _NOON])

    @property
    def cost_after(self) -> float:
        """Cost per verified user in the region of the failure, from the failure on."""
        return _cost(self._failing())

    @property
    def verified_after(self) -> float:
        """Part of the users that were verified in the region of the failure, from the failure on."""
        orders = self._failing()
        return sum(order.verified for order in orders) / len(orders)

    @property
    def recovered_after(self) -> float | None:
        """Hours from the failure until few of the next orders go to the provider; None if never."""
        orders = self._failing()
        for n in range(len(orders) - _WINDOW):
            if sum(order.driver == _BAD for order in orders[n : n + _WINDOW]) < _RECOVERED * _WINDOW:
                return orders[n].hour - _NOON
        return None

    def _failing(self) -> Sequence[_Sent]:
        return [order for order in self.orders if order.hour >= _NOON and order.region == _BAD_REGION]


def simulate(rule: Rule, orders_per_hour: int = ORDERS_PER_HOUR, seed: int = SEED) -> Result:
    """Return the orders of two days under one rule."""
    site, luck = _Site(rule, seed), random.Random(seed)
    waiting: deque[tuple[float, _Pending]] = deque()
    orders: list[_Sent] = []
    for n in range(_DAYS * 24 * orders_per_hour):
        at = n * 3600 / orders_per_hour
        for region in RATES:
            while waiting and waiting[0][0] <= at:
                typed_at, pending = waiting.popleft()
                site.move(typed_at)
                site.type_code(pending)
            site.move(at)
            pending = site.start(region, n)
            bad = (pending.driver, region) == (_BAD, _BAD_REGION) and at >= _NOON * 3600
            verified = luck.random() < (_BAD_RATE if bad else RATES[region][pending.driver])
            orders.append(_Sent(at / 3600, region, pending.driver, verified))
            if verified:
                waiting.append((at + _TYPING, pending))
    return Result(orders)


def _cost(orders: Sequence[_Sent]) -> float:
    return sum(float(PRICES[order.driver]) for order in orders) / max(sum(order.verified for order in orders), 1)


@dataclass(frozen=True, slots=True)
class _Pending:
    """A verification whose user waits for the code, or types it."""

    started: Started
    driver: str
    code: str = field(repr=False)


@dataclass
class _Driver:
    """A driver that keeps the last code."""

    name: str
    abilities: Mapping[Channel, Ability] = field(default_factory=lambda: {Channel.SMS: Ability(CodeSource.LOCAL)})
    timeout: timedelta = timedelta(seconds=10)
    last: str = field(default="", repr=False)

    def reaches(self, phone: PhoneNumber) -> bool:
        return True

    def start(self, order: Order) -> Exchange[Receipt]:
        self.last = order.code or ""
        return Receipt()
        yield HttpRequest.get("")  # never reached: makes this a generator, like all exchanges


class _Site:
    """Workers over one store."""

    def __init__(self, rule: Rule, seed: int) -> None:
        self._clock, self._now = ManualClock(), 0.0
        self._drivers = {name: _Driver(name) for name in PRICES}
        store = MemoryStore()
        self._workers = [
            Verifier(
                Components(
                    policy=Policy(sends_per_hour_total=0, sends_per_hour_per_prefix=0),
                    keyring=Keyring([_KEY], _KEY),
                    store=store,
                    transport=FakeTransport(),
                    router=Router(
                        {Channel.SMS: list(self._drivers.values())},
                        ticks=lambda: self._now,
                        rules=[rule],
                        draw=random.Random(seed + worker).random,
                    ),
                    texts=lambda channel, code, *_: code,
                    clock=self._clock,
                    ticks=lambda: self._now,
                )
            )
            for worker in range(_WORKERS)
        ]

    def move(self, to: float) -> None:
        self._clock.move(to - self._now)
        self._now = to

    def start(self, region: str, number: int) -> _Pending:
        start = "+98912" if region == "IR" else "+7916"
        phone = PhoneNumber(f"{start}{number:07}")
        started = self._workers[number % _WORKERS].start(phone)
        if not isinstance(started, Started):
            raise TypeError(f"the start was refused: {started.reason}")
        driver = started.verification.driver
        return _Pending(started, driver, self._drivers[driver].last)

    def type_code(self, pending: _Pending) -> None:
        record = pending.started.verification
        worker = self._workers[record.created_at.second % _WORKERS]
        if not worker.check(record.id, pending.started.secret, pending.code).ok:
            raise ValueError("the code was refused")
