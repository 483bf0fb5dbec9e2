"""Test numbers: phones with a fixed code and an end date, for people who review the site's app and hold no such phone.

Nothing is sent to them; regions, quotas and limits are those of every number, so that no answer reveals one. Their
wrong answers count over all purposes, are never forgotten, and close them for good. A code that does not change opens
an account: an application in production refuses to start with one that is not named there twice, and users with
rights over others cannot sign in by one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import ClassVar

from .drivers.base import Ability, Starts
from .errors import ConfigurationError, InvalidPhoneError
from .exchange import Exchange, HttpRequest
from .model import Channel, Order, Receipt
from .phone import PhoneNumber
from .policy import SHORT_BELOW

#: Stands in a record where its driver's name stands otherwise; no DSN can give a driver this name.
BY_TEST_NUMBER = "(fixed code)"

#: A review lasts weeks. What is forgotten must end by itself.
LONGEST = timedelta(days=366)

_FORM = "+12025550123=482193@2027-01-31: the number, its code of 6 to 8 digits and the last day (UTC)"
_ENTRY = re.compile(rf"(\+[0-9]{{7,15}})=([0-9]{{{SHORT_BELOW},8}})@([0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})", re.ASCII)


@dataclass(frozen=True, slots=True)
class TestNumber:
    """A test number. It stands in the place of a driver: takes every order with a code, and carries nothing."""

    #: Its name begins as pytest's test classes do.
    __test__: ClassVar[bool] = False

    phone: PhoneNumber
    code: str = field(repr=False)
    last_day: date
    name: str = BY_TEST_NUMBER
    timeout: timedelta = timedelta(seconds=1)
    #: What the driver that it stands for can do: lengths and lives are the same as for every other number.
    abilities: Mapping[Channel, Ability] = field(default_factory=dict, repr=False)

    def standing_for(self, driver: Starts) -> TestNumber:
        """Return this test number in the place of that driver."""
        return replace(self, abilities=driver.abilities)

    def reaches(self, phone: PhoneNumber) -> bool:
        """Whether this is the number."""
        return phone == self.phone

    def start(self, order: Order) -> Exchange[Receipt]:
        """Send nothing."""
        return Receipt()
        yield HttpRequest.get("")  # never reached: this is what makes it a generator, as all exchanges are


def load_test_numbers(
    entries: Sequence[str], named_for_production: Collection[str], *, production: bool, today: date
) -> Mapping[PhoneNumber, TestNumber]:
    """The test numbers of the settings, by phone; those whose last day is over are ordinary numbers again.

    Raises `ConfigurationError` for what cannot be read, ends too late, and for every number that is not named again
    where the site is in production.
    """
    setting = "PHONE_VERIFY_TEST_PASSCODES"
    named = {_phone(text, f"{setting}_IN_PRODUCTION") for text in named_for_production}
    codes: dict[PhoneNumber, TestNumber] = {}
    for entry in entries:
        shape = _ENTRY.fullmatch(entry)
        if shape is None:
            raise ConfigurationError(f"{setting}: write {_FORM}")
        phone, code, last_day = _phone(shape[1], setting), shape[2], _day(shape[3])
        if phone in codes:
            raise ConfigurationError(f"{setting}: {phone.hint} is there twice")
        if last_day > today + LONGEST:
            raise ConfigurationError(f"{setting}: {phone.hint}: choose a last day within {LONGEST.days} days from now")
        if production and phone not in named:
            raise ConfigurationError(
                f"{setting}: {phone.hint} has a fixed code. Remove it, or, where a reviewer needs it on the real site, "
                f"write its number in {setting}_IN_PRODUCTION too"
            )
        codes[phone] = TestNumber(phone, code, last_day)
    return {phone: fixed for phone, fixed in codes.items() if today <= fixed.last_day}


def _phone(text: str, setting: str) -> PhoneNumber:
    try:
        return PhoneNumber.parse(text)
    except InvalidPhoneError:
        raise ConfigurationError(f"{setting}: one of the numbers is not valid; write it in E.164") from None


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"PHONE_VERIFY_TEST_PASSCODES: there is no such day; write {_FORM}") from None
