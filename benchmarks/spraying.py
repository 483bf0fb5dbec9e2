"""Password spraying over many phones: accounts lost in a day, and honest users refused.

A simulation of the load with the real verifier and store and a manual clock: an attacker starts 800 sign-ins an hour
(what the default total leaves to browsers that are not trusted devices), each for another phone and from another
address, and spends every attempt; the workers of the site take turns. Accounts lost are expected values: each compared
guess counts with its probability of being right. Honest users sign in through the day, 60 % of them on trusted devices;
one in seven mistypes first, one in fifty gives up after a wrong code.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from phone_verify.codes import Keyring
from phone_verify.drivers.base import Ability
from phone_verify.exchange import Exchange, HttpRequest
from phone_verify.model import Channel, CodeSource, Order, Reason, Receipt, Started
from phone_verify.parts import Components
from phone_verify.phone import PhoneNumber
from phone_verify.policy import Policy
from phone_verify.routing import Router
from phone_verify.spray_guard import RightAnswers
from phone_verify.stores.memory import MemoryStore
from phone_verify.testing.clock import ManualClock
from phone_verify.testing.transport import FakeTransport
from phone_verify.verifier.blocking import Verifier

from .measure import Figure

_DAYS = 1
_STARTS_PER_HOUR = 800
_HONEST_PER_DAY = 10_000
_STEPS_PER_HOUR = 60
_KEY = "8Qm2vTzR5wXkLc7NdYpJ4hGsB9fEaU3o"


def figures() -> Iterator[Figure]:
    """Return the expected accounts lost in a day by code length, and the effect of one address on others."""
    logging.getLogger("phone_verify").setLevel(logging.ERROR)  # each worker logs the spray
    for length, honest, workers in itertools.product((4, 6), (0, _HONEST_PER_DAY), (1, 4, 12)):
        site = _Site(workers, length)
        site.run(_Spray(site), honest)
        name = f"{length} digits, {workers} workers, {honest} honest sign-ins a day"
        yield Figure(f"accounts lost a day: {name}", round(site.lost / _DAYS, 6), "accounts", 0.02 if honest else 0.01)
        if honest:
            yield Figure(f"honest users refused: {name}", 100 * site.refused / (honest * _DAYS), "%", 0.1)
    site = _Site(1, 4)
    site.run(_OneAddress(site), _HONEST_PER_DAY)
    yield Figure(
        "honest users refused while one address guesses", 100 * site.refused / (_HONEST_PER_DAY * _DAYS), "%", 0
    )


@dataclass
class _Driver:
    """A driver that delivers every code to `last`."""

    name: str
    abilities: Mapping[Channel, Ability]
    timeout: timedelta = timedelta(seconds=10)
    last: str = field(default="", repr=False)

    def reaches(self, phone: PhoneNumber) -> bool:
        return True

    def start(self, order: Order) -> Exchange[Receipt]:
        self.last = order.code or ""
        return Receipt()
        yield HttpRequest.get("")  # never reached: makes this a generator, like all exchanges


def _code_alone(_: Channel, code: str, *__: object) -> str:
    return code


class _Site:
    """Workers over one store, and the results of its users."""

    def __init__(self, workers: int, length: int) -> None:
        self.clock, self.lost, self.refused = ManualClock(), 0.0, 0
        short = _Driver("short", {Channel.FLASH_CALL: Ability(CodeSource.LOCAL, shortest=4, longest=4)})
        long = _Driver("long", {Channel.SMS: Ability(CodeSource.LOCAL, shortest=4, longest=8)})
        self._drivers = [short, long] if length == 4 else [long]
        self._codes = {Channel.FLASH_CALL: short, Channel.SMS: long}
        self.channel = Channel.FLASH_CALL if length == 4 else Channel.SMS
        store, routes = MemoryStore(), {c: [d] for d in self._drivers for c in d.abilities}
        self.workers = [
            Verifier(
                Components(
                    policy=Policy(sends_per_hour_total=0, sends_per_hour_per_prefix=0),
                    keyring=Keyring([_KEY], _KEY),
                    store=store,
                    transport=FakeTransport(),
                    router=Router(routes, ticks=lambda: 0.0),
                    texts=_code_alone,
                    clock=self.clock,
                    rights=RightAnswers(),
                )
            )
            for _ in range(workers)
        ]
        self._turn, self._numbers, self._honest = itertools.cycle(self.workers), itertools.count(), 0

    def worker(self) -> Verifier:
        return next(self._turn)

    def phone(self) -> PhoneNumber:
        number = next(self._numbers)
        return PhoneNumber(f"+98{9000000000 + number}")

    def code(self, started: Started) -> str:
        return self._codes[started.verification.channel].last

    def run(self, attack: _Spray | _OneAddress, honest: int) -> None:
        """Let this many honest users sign in each day during the attack."""
        due = 0.0
        for _ in range(_DAYS * 24 * _STEPS_PER_HOUR):
            attack.go_on()
            due += honest / 24 / _STEPS_PER_HOUR
            while due >= 1:
                due -= 1
                self.sign_in()
            self.clock.move(3600 / _STEPS_PER_HOUR)

    def sign_in(self) -> None:
        """Let an honest user sign in, from an address that a few share."""
        self._honest += 1
        phone, number = self.phone(), self._honest
        device = self.worker().remember_device("", phone) if number % 5 < 3 else ""
        address = f"198.51.{number % 100}.{number % 250}"
        started = self.worker().start(phone, address=address, trusted_device=device, by_client=True)
        if not isinstance(started, Started):
            self.refused += 1
            return
        right = self.code(started)
        answers: Sequence[str] = [right]
        if number % 7 == 0:
            answers = [_other(right), right]
        elif number % 50 == 0:
            answers = [_other(right)]
        for typed in answers:
            checked = self.worker().check(started.verification.id, started.secret, typed, address=address)
            if checked.reason is Reason.TOO_MANY_REQUESTS:
                self.refused += 1
                return

    def guess(self, started: Started, address: str) -> None:
        """Spend the attempts of a verification; each compared one may have been right."""
        record = started.verification
        for _ in range(record.attempts_left):
            typed = _other(self.code(started))
            checked = self.worker().check(record.id, started.secret, typed, address=address)
            if checked.reason is not Reason.WRONG_CODE:
                break
            self.lost += 10 ** -len(typed)


class _Spray:
    """An attack with another phone and address for each verification: all started first, then guessed."""

    def __init__(self, site: _Site) -> None:
        self._site, self._address = site, itertools.count()

    def go_on(self) -> None:
        opened = []
        for _ in range(_STARTS_PER_HOUR // _STEPS_PER_HOUR):
            number = next(self._address)
            address = f"2001:db8:{number >> 16 & 0xFFFF:x}:{number & 0xFFFF:x}::"
            started = self._site.worker().start(
                self._site.phone(), channel=self._site.channel, address=address, by_client=True
            )
            if isinstance(started, Started):
                opened.append((started, address))
        for started, address in opened:
            self._site.guess(started, address)


class _OneAddress:
    """An attack with as many guesses as one address has."""

    def __init__(self, site: _Site) -> None:
        self._site = site

    def go_on(self) -> None:
        for _ in range(3):
            started = self._site.worker().start(
                self._site.phone(), channel=self._site.channel, address="192.0.2.1", by_client=True
            )
            if isinstance(started, Started):
                self._site.guess(started, "192.0.2.1")


def _other(code: str) -> str:
    return str((int(code) + 1) % 10 ** len(code)).zfill(len(code))
