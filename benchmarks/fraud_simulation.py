"""Money lost to SMS pumping with and without the fraud guard, honest users refused, and the cost of three channels.

    python -m benchmarks.fraud_simulation                      a month, some minutes
    python -m benchmarks.fraud_simulation --users 10000        a smaller site
    python -m benchmarks.fraud_simulation --attacks fast costs

A month of an ordinary site and an attack are replayed through the real verifier over the memory store and a manual
clock. Numbers are drawn from ranges of real operators, and nothing is sent.

Honest users: five countries, from 75 to 95 % of the first messages are answered; the others ask for another message,
come again or give up. One user in 20 mistypes the number first. Four in ten come from a home, some of them after
others of the household with a neighbouring number; half come from a mobile operator, of whose users some hundreds
share an address; the rest come from offices of which thirty register in an hour. Traffic follows the hours of the
day, and three advertisements bring six times as many users for two hours.

Attacks: 50 addresses over the range of one operator, as fast as the site's quotas allow for two days (`fast`), at 40
orders an hour for the whole month (`slow`), and over three ranges for five days (`spread`). `botnet` has 3,000
addresses, and shows where the guard ends; it has no mark.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from phone_verify.codes import Keyring
from phone_verify.drivers.base import Ability
from phone_verify.exchange import Exchange, HttpRequest, WebhookRequest
from phone_verify.fraud.guard import FraudGuard
from phone_verify.fraud.rules import FraudRules
from phone_verify.model import Channel, CodeSource, IncomingCall, Order, Reason, Receipt, Started, Verification
from phone_verify.parts import Components
from phone_verify.phone import PhoneKind, PhoneNumber
from phone_verify.policy import Policy
from phone_verify.routing import Router
from phone_verify.stores.memory import MemoryStore
from phone_verify.testing.clock import ManualClock
from phone_verify.testing.transport import FakeTransport
from phone_verify.verifier.blocking import Verifier

SEED = 20_260
USERS = 100_000
DAYS = 30
#: The most that an attack may cost with the guard, of what it costs without; and the honest users refused.
MOST_LOST, MOST_REFUSED = 0.02, 0.001
_HOUR, _DAY = 3600.0, 86_400.0
_KEY = "8Qm2vTzR5wXkLc7NdYpJ4hGsB9fEaU3o"
_GUARD = FraudRules(record_only=False)


@dataclass(frozen=True, slots=True)
class Country:
    """A country: its part of the users, the part of first messages that are answered, ranges, and prices."""

    share: float
    answered: float
    #: Beginnings of numbers in E.164, each of one operator, and how many digits follow.
    ranges: Sequence[str]
    digits: int
    #: The price of one SMS in USD.
    price: float


#: Prices of Twilio as public summaries state them: USA in April 2026; Germany, India and the Emirates in 2025. Russia:
#: 2.24 RUB, the public price of an SMS to MTS at a reseller in December 2020, at 80 RUB for a dollar.
COUNTRIES: Mapping[str, Country] = {
    "US": Country(0.30, 0.92, ("+1212", "+1310", "+1415", "+1646", "+1713"), 7, 0.0083),
    "DE": Country(0.20, 0.95, ("+49151", "+49160", "+49170", "+49171"), 8, 0.0637),
    "RU": Country(0.25, 0.88, ("+7903", "+7916", "+7921", "+7925"), 7, 0.028),
    "IN": Country(0.15, 0.75, ("+9198", "+9199", "+9197"), 8, 0.0262),
    "AE": Country(0.10, 0.80, ("+97150", "+97152", "+97155"), 7, 0.0587),
}
_DIGITS = {start: country.digits for country in COUNTRIES.values() for start in country.ranges}
_PRICES = {start: country.price for country in COUNTRIES.values() for start in country.ranges}
#: The hours of a day by their part of the users.
_HOURS = (1, 1, 1, 1, 1, 1, 2, 3, 4, 5, 5, 5, 6, 6, 5, 5, 5, 6, 7, 8, 8, 7, 4, 2)
_ADVERTISED = ((6, 19), (13, 12), (22, 20))


@dataclass(frozen=True, slots=True)
class Attack:
    """An attack: ranges, addresses, orders an hour, and the hours in which it runs."""

    ranges: Sequence[str]
    addresses: int
    per_hour: float
    begins: float
    ends: float


ATTACKS: Mapping[str, Attack] = {
    "fast": Attack(("+97150",), 50, 1500, 10 * 24, 12 * 24),
    "slow": Attack(("+97150",), 50, 40, 0, DAYS * 24),
    "spread": Attack(("+97150", "+49151", "+9198"), 50, 300, 10 * 24, 15 * 24),
    "botnet": Attack(("+97150",), 3000, 1500, 10 * 24, 12 * 24),
}
#: Those with marks.
MARKED = ("fast", "slow", "spread")


@dataclass
class Result:
    """What one month cost and whom it refused."""

    users: int = 0
    verified: int = 0
    #: Honest users who were refused once or more by the guard, and by a quota.
    refused: int = 0
    throttled: int = 0
    #: Of those the guard refused, users who were never verified.
    lost_users: int = 0
    attacked: int = 0
    money_lost: float = 0.0
    money_spent: float = 0.0


@dataclass
class Texts:
    """A driver that keeps the last code."""

    name: str = "sms"
    abilities: Mapping[Channel, Ability] = field(default_factory=lambda: {Channel.SMS: Ability(CodeSource.LOCAL)})
    timeout: timedelta = timedelta(seconds=10)
    last: str = field(default="", repr=False)

    def reaches(self, phone: PhoneNumber) -> bool:
        return True

    def start(self, order: Order) -> Exchange[Receipt]:
        self.last = order.code or ""
        return Receipt()
        yield HttpRequest.get("")  # never reached: makes this a generator, like all exchanges


class FlashCalls(Texts):
    """A driver of flash calls."""

    def __init__(self) -> None:
        super().__init__("flash", {Channel.FLASH_CALL: Ability(CodeSource.LOCAL, shortest=4, longest=4)})


class Lines(Texts):
    """A driver with a line to call."""

    line = PhoneNumber("+74950000001")

    def __init__(self) -> None:
        super().__init__("calls", {Channel.INBOUND_CALL: Ability(CodeSource.NONE)})

    def start(self, order: Order) -> Exchange[Receipt]:
        return Receipt(line=self.line)
        yield HttpRequest.get("")

    def parse_webhook(self, request: WebhookRequest) -> IncomingCall | None:
        return IncomingCall(None, self.line, PhoneNumber(request.once("caller") or ""))


class Site:
    """A verifier over the memory store, whose time moves from event to event."""

    def __init__(self, *drivers: Texts, rules: FraudRules | None = None) -> None:
        self.clock, self.now = ManualClock(), 0.0
        keyring = Keyring([_KEY], _KEY)
        by_channel = {channel: [driver] for driver in drivers for channel in driver.abilities}
        drawn = random.Random(SEED)
        self.drivers = drivers
        self.verifier = Verifier(
            Components(
                # Twice the busiest hour, as docs/costs.md advises.
                policy=Policy(sends_per_hour_total=2000),
                keyring=keyring,
                store=MemoryStore(),
                transport=FakeTransport(),
                router=Router(by_channel, ticks=lambda: self.now),
                texts=lambda channel, code, *_: code,
                clock=self.clock,
                ticks=lambda: self.now,
                random_bytes=drawn.randbytes,
                fraud=None if rules is None else FraudGuard(rules, keyring),
            )
        )
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def at(self, when: float, event: Callable[[], None]) -> None:
        """Run an event at a time in seconds."""
        self._count += 1
        heapq.heappush(self._events, (max(when, self.now), self._count, event))

    def run(self, days: float, progress: Callable[[float], None]) -> None:
        """Run all events of these days."""
        told = 0.0
        while self._events:
            when, _, event = heapq.heappop(self._events)
            if when > days * _DAY:
                break
            self.clock.move(when - self.now)
            self.now = when
            event()
            if when - told >= _DAY:
                told = when
                progress(when / _DAY / days)


@dataclass
class User:
    """An honest user."""

    phone: PhoneNumber
    typed: PhoneNumber
    address: str
    answered: float
    price: float
    refused: bool = False
    throttled: bool = False
    verified: bool = False
    orders: int = 0


class Month:
    """One month of a site, with an attack or without."""

    def __init__(
        self, users: int, attack: Attack | None, rules: FraudRules | None, days: float = DAYS, seed: int = SEED
    ) -> None:
        self._luck, self._attack_luck = random.Random(seed), random.Random(seed + 1)
        self._days, self._attack = days, attack
        self._texts = Texts()
        self._site = Site(self._texts, rules=rules)
        self.result = Result(users=users)
        self._people: list[User] = []
        self._plan(users)
        if attack is not None:
            self._site.at(attack.begins * _HOUR, self._pump)

    def run(self, progress: Callable[[float], None] = lambda part: None) -> Result:
        """Return the result of the month."""
        self._site.run(self._days, progress)
        result = self.result
        result.verified = sum(user.verified for user in self._people)
        result.refused = sum(user.refused for user in self._people)
        result.throttled = sum(user.throttled for user in self._people)
        result.lost_users = sum(user.refused and not user.verified for user in self._people)
        return result

    # Honest users.

    def _plan(self, users: int) -> None:
        luck, planned = self._luck, 0
        names, shares = list(COUNTRIES), [country.share for country in COUNTRIES.values()]
        pools = {name: [f"10.{n}.0.{k}" for k in range(max(users // 2000, 2))] for n, name in enumerate(names)}
        while planned < users:
            name = luck.choices(names, shares)[0]
            when, kind = self._when(), luck.random()
            if kind < 0.40:
                size = luck.choices((1, 2, 3), (70, 20, 10))[0]
                spread, address = 36 * _HOUR, f"home-{planned}"
            elif kind < 0.90:
                size, spread, address = 1, 0.0, luck.choice(pools[name])
            else:
                size, spread, address = (30 if luck.random() < 0.01 else 1), _HOUR, f"office-{planned}"
            phone = self._number(COUNTRIES[name])
            for n in range(min(size, users - planned)):
                self._come(name, phone if n == 0 else _neighbour(phone, n), address, when + luck.random() * spread)
                planned += 1

    def _when(self) -> float:
        day = self._luck.randrange(math.ceil(self._days))
        advertised = [each for each in _ADVERTISED if each[0] < self._days]
        if advertised and self._luck.random() < 0.04 * len(advertised):
            day, hour = self._luck.choice(advertised)
            return (day * 24 + hour + 2 * self._luck.random()) * _HOUR
        hour = self._luck.choices(range(24), _HOURS)[0]
        return (day * 24 + hour + self._luck.random()) * _HOUR

    def _number(self, country: Country) -> PhoneNumber:
        while True:
            phone = _drawn(self._luck, self._luck.choice(country.ranges))
            if phone.kind is PhoneKind.MOBILE:
                return phone

    def _come(self, name: str, phone: PhoneNumber, address: str, when: float) -> None:
        luck, country = self._luck, COUNTRIES[name]
        typed = phone
        if luck.random() < 0.05:
            digits = phone.e164
            place = luck.randrange(len(digits) - 5, len(digits))
            typed = PhoneNumber(digits[:place] + str((int(digits[place]) + 1) % 10) + digits[place + 1 :])
        user = User(phone, typed, address, country.answered, country.price)
        self._people.append(user)
        self._site.at(when, lambda: self._visit(user))

    def _visit(self, user: User) -> None:
        typed, user.typed = user.typed, user.phone
        started = self._start(typed, user.address)
        user.orders += 1
        if not isinstance(started, Started):
            user.refused |= started is Reason.SEND_REFUSED
            user.throttled |= started is Reason.TOO_MANY_REQUESTS
            if self._luck.random() < 0.5 and user.orders < 4:
                self._site.at(self._site.now + 6 * _HOUR * self._luck.random(), lambda: self._visit(user))
            return
        self.result.money_spent += user.price
        self._wait(user, started, self._texts.last, answered=user.answered if typed == user.phone else 0.0)

    def _wait(self, user: User, started: Started, code: str, *, answered: float) -> None:
        now, luck = self._site.now, self._luck
        if luck.random() < answered:
            self._site.at(now + luck.lognormvariate(3.2, 0.6), lambda: self._type(user, started, code))
            return
        choice = luck.random()
        if user.orders >= 4 or choice < 0.25:
            return
        if not answered or choice < 0.35:  # the wrong number is seen, or the page is opened again
            self._site.at(now + 70 + 60 * luck.random(), lambda: self._visit(user))
        elif choice < 0.85:
            self._site.at(now + 65 * user.orders + 60 * luck.random(), lambda: self._resend(user, started))
        else:
            self._site.at(now + _DAY * (0.5 + luck.random()), lambda: self._visit(user))

    def _resend(self, user: User, started: Started) -> None:
        user.orders += 1
        record = started.verification
        outcome = self._site.verifier.resend(record.id, started.secret, address=user.address, by_client=True)
        if outcome.ok:
            self.result.money_spent += user.price
            self._wait(user, started, self._texts.last, answered=0.6)
            return
        user.refused |= outcome.reason is Reason.SEND_REFUSED
        user.throttled |= outcome.reason is Reason.TOO_MANY_REQUESTS

    def _type(self, user: User, started: Started, code: str) -> None:
        checked = self._site.verifier.check(started.verification.id, started.secret, code, address=user.address)
        user.verified |= checked.ok

    def _start(self, phone: PhoneNumber, address: str) -> Started | Reason | None:
        started = self._site.verifier.start(phone, address=address, by_client=True)
        return started if isinstance(started, Started) else started.reason

    # The attack.

    def _pump(self) -> None:
        attack, luck = self._attack, self._attack_luck
        assert attack is not None
        start = luck.choice(attack.ranges)
        phone = _drawn(luck, start)
        if phone.kind is PhoneKind.MOBILE:
            started = self._start(phone, f"203.0.113.{luck.randrange(attack.addresses)}")
            if isinstance(started, Started):
                self.result.attacked += 1
                self.result.money_lost += _PRICES[start]
        following = self._site.now + luck.expovariate(attack.per_hour) * _HOUR
        if following < attack.ends * _HOUR:
            self._site.at(following, self._pump)


def _drawn(luck: random.Random, start: str) -> PhoneNumber:
    digits = _DIGITS[start]
    return PhoneNumber(f"{start}{luck.randrange(2 * 10 ** (digits - 1), 10**digits):0{digits}}")


def _neighbour(phone: PhoneNumber, distance: int) -> PhoneNumber:
    near = PhoneNumber(f"+{int(phone.e164[1:]) + distance}")
    return near if near.kind is PhoneKind.MOBILE else phone


# What one verified user costs.


@dataclass(frozen=True, slots=True)
class ChannelCost:
    """A channel in Russia: the price in roubles, whether only calls that arrive are billed, and who succeeds."""

    price: float
    answered: float
    #: Whether an attempt that fails is free.
    by_success: bool = False


#: SMS: as in `COUNTRIES`. Flash call: 0.40 RUB, sms.ru/api/code_call, read in 2026. Inbound call: the page of a
#: provider says five times cheaper than SMS (ssms.su, read in 2026), 2.24 / 5; only calls that arrive are billed. The
#: parts of users are assumptions: operators block some flash calls, and not every user calls.
ROUBLES: Mapping[Channel, ChannelCost] = {
    Channel.SMS: ChannelCost(2.24, 0.88),
    Channel.FLASH_CALL: ChannelCost(0.40, 0.75),
    Channel.INBOUND_CALL: ChannelCost(2.24 / 5, 0.80, by_success=True),
}


def cost_per_verified(first: Channel, users: int, seed: int = SEED) -> float:
    """Return what one verified user costs in roubles, if this channel comes first and SMS when it fails."""
    luck, texts, flash, lines = random.Random(seed), Texts(), FlashCalls(), Lines()
    site, spent, verified = Site(texts, flash, lines), 0.0, 0
    codes: Mapping[Channel, Texts] = {Channel.SMS: texts, Channel.FLASH_CALL: flash}
    for n in range(users):
        site.clock.move(90)
        site.now += 90
        phone = _drawn(luck, luck.choice(COUNTRIES["RU"].ranges))
        if phone.kind is not PhoneKind.MOBILE:
            continue
        started = site.verifier.start(phone, channel=first, address=f"198.51.{n % 256}.{n // 256 % 256}")
        assert isinstance(started, Started)
        record, channel = started.verification, first
        for _ in range(3):
            cost = ROUBLES[channel]
            arrives = luck.random() < cost.answered
            spent += cost.price if arrives or not cost.by_success else 0.0
            if arrives:
                verified += _answer(site, record, started.secret, channel, codes)
                break
            if luck.random() < 0.25:
                break
            site.clock.move(61)
            site.now += 61
            channel = Channel.SMS
            if not site.verifier.resend(record.id, started.secret, channel=channel).ok:
                break
    return spent / verified


def _answer(site: Site, record: Verification, secret: str, channel: Channel, codes: Mapping[Channel, Texts]) -> bool:
    if channel is not Channel.INBOUND_CALL:
        return site.verifier.check(record.id, secret, codes[channel].last).ok
    call = WebhookRequest("GET", [("caller", record.phone.e164)], {}, b"")
    return site.verifier.receive("calls", call).verified


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fraud_simulation", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--users", type=int, default=USERS)
    parser.add_argument("--attacks", nargs="*", default=["none", *ATTACKS, "costs"], help="none, costs, or an attack")
    chosen = parser.parse_args()
    for name in chosen.attacks:
        for line in _costs(chosen.users) if name == "costs" else _compared(name, chosen.users):
            print(line, flush=True)


def _compared(name: str, users: int) -> Iterator[str]:
    attack = ATTACKS.get(name)
    guarded = Month(users, attack, _GUARD).run(_progress(f"{name}, with the guard"))
    yield f"{name}: {_of_users(guarded)}"
    if attack is None:
        return
    without = Month(users, attack, None).run(_progress(f"{name}, without"))
    part = guarded.money_lost / without.money_lost
    yield (
        f"{name}: lost {without.money_lost:,.2f} USD ({without.attacked:,} SMS) without the guard, "
        f"{guarded.money_lost:,.2f} USD ({guarded.attacked:,} SMS) with it: {part:.2%} (mark: {MOST_LOST:.0%}); "
        f"without it the quotas refused {without.throttled:,} honest users"
    )


def _of_users(result: Result) -> str:
    return (
        f"{result.users:,} honest users, {result.verified / result.users:.1%} verified, {result.refused} refused by "
        f"the guard ({result.refused / result.users:.3%}, mark: {MOST_REFUSED:.1%}; {result.lost_users} of them never "
        f"verified), {result.throttled} by quotas, {result.money_spent:,.2f} USD for their messages"
    )


def _costs(users: int) -> Iterator[str]:
    first = {
        "SMS only": Channel.SMS,
        "flash call first, then SMS": Channel.FLASH_CALL,
        "inbound call first, then SMS": Channel.INBOUND_CALL,
    }
    costs = {name: cost_per_verified(channel, users // 5) for name, channel in first.items()}
    for name, cost in costs.items():
        times = costs["SMS only"] / cost
        yield f"cost per verified user, {name}: {cost:.2f} RUB; SMS only is {times:.1f} times as much"


def _progress(name: str) -> Callable[[float], None]:
    def show(part: float) -> None:
        print(f"\r{name}: {part:.0%} ", end="\n" if part > 0.999 else "", file=sys.stderr, flush=True)

    return show


if __name__ == "__main__":
    main()
