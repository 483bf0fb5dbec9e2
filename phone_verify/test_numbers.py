"""Test numbers: phones with a fixed code and an end date, for reviewers of the site's app.

Nothing is sent to them. Regions, quotas and limits are the same as for every number, so that no
response reveals a test number. Their wrong answers count over all purposes, are never dropped, and
close them permanently. A fixed code opens an account: an application in production refuses to start
with a test number that is not listed twice in the settings, and users with rights over others
cannot sign in with one.
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

#: Stored in a record in place of the driver's name; no DSN can give a driver this name.
BY_TEST_NUMBER = "(fixed code)"

#: A review takes weeks. A forgotten test number must expire by itself.
LONGEST = timedelta(days=366)

_FORM = "+12025550123=482193@2027-01-31: the number, its code of 6 to 8 digits and the last day (UTC)"
_ENTRY = re.compile(rf"(\+[0-9]{{7,15}})=([0-9]{{{SHORT_BELOW},8}})@([0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})", re.ASCII)


@dataclass(frozen=True, slots=True)
class TestNumber:
    """A test number. It replaces a driver: it accepts every order with a code and sends nothing."""

    #: Its name starts like pytest's test classes.
    __test__: ClassVar[bool] = False

    phone: PhoneNumber
    code: str = field(repr=False)
    last_day: date
    name: str = BY_TEST_NUMBER
    timeout: timedelta = timedelta(seconds=1)
    #: The abilities of the driver that it replaces: lengths and lifetimes are the same as for every
    #: other number.
    abilities: Mapping[Channel, Ability] = field(default_factory=dict, repr=False)

    def standing_for(self, driver: Starts) -> TestNumber:
        """Return this test number as a replacement for that driver."""
        return replace(self, abilities=driver.abilities)

    def reaches(self, phone: PhoneNumber) -> bool:
        """Return whether this is the number."""
        return phone == self.phone

    def start(self, order: Order) -> Exchange[Receipt]:
        """Send nothing."""
        return Receipt()
        yield HttpRequest.get("")  # unreachable: makes this a generator, as all exchanges are


def load_test_numbers(
    entries: Sequence[str], named_for_production: Collection[str], *, production: bool, today: date
) -> Mapping[PhoneNumber, TestNumber]:
    """Return the test numbers of the settings by phone.

    After its last day a number is an ordinary one again. Raises `ConfigurationError` for entries
    that are malformed or end too late, and in production for every number that is not listed again
    in the second setting.
    """
    setting = "PHONE_VERIFY_TEST_PASSCODES"
    named = {_phone(text, f"{setting}_IN_PRODUCTION") for text in named_for_production}
    codes: dict[PhoneNumber, TestNumber] = {}
    for entry in entries:
        shape = _ENTRY.fullmatch(entry)
        if shape is None:
            raise ConfigurationError(f"{setting}: use the form {_FORM}")
        phone, code, last_day = _phone(shape[1], setting), shape[2], _day(shape[3])
        if phone in codes:
            raise ConfigurationError(f"{setting}: {phone.hint} is listed twice")
        if last_day > today + LONGEST:
            raise ConfigurationError(f"{setting}: {phone.hint}: choose a last day within {LONGEST.days} days from now")
        if production and phone not in named:
            raise ConfigurationError(
                f"{setting}: {phone.hint} has a fixed code. Remove it, or, if a reviewer needs it on the real site, "
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
        raise ConfigurationError(f"PHONE_VERIFY_TEST_PASSCODES: invalid date; use the form {_FORM}") from None
