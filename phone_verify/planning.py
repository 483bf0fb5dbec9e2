"""The effective limits of one driver on one channel: code length, attempts and lifetime; and the code of one order."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta

from .codes import Keyring
from .drivers.base import Starts
from .model import Channel, CodeSource, Receipt, Request, Verification, value_class
from .phone import PhoneNumber
from .policy import HARD_LIFE, LONG_CODE, SHORT_ATTEMPTS, SHORT_BELOW, SHORT_LIFE, Policy
from .purposes import CodeLimits
from .test_numbers import TestNumber

#: Codes that providers generate and return have three to eight digits (fact sheet); other values
#: cannot be typed.
_RETURNED_CODE = re.compile(r"[0-9]{3,8}\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Plan:
    """The effective limits of one driver on one channel."""

    code_source: CodeSource
    code_length: int | None
    short: bool
    attempts: int
    ttl: timedelta

    def fits(self, code: str) -> bool:
        """Return whether a test number's code can replace the codes of this plan."""
        return self.code_source is CodeSource.LOCAL and self.code_length == len(code)


@value_class
class Code:
    """The code of one order: the previous one if it can be repeated, else of a new generation.

    Without `text` it is not ours.
    """

    plan: Plan
    key_id: str
    generation: int
    text: str | None = field(default=None, repr=False)
    digest: bytes | None = field(default=None, repr=False)


def plan(
    policy: Policy,
    code_source: CodeSource,
    *,
    longest: int | None = None,
    shortest: int | None = None,
    fixed_length: int | None = None,
    cap: timedelta | None = None,
    long: bool = False,
) -> Plan:
    """Return the limits that apply to a code of this kind.

    `longest` and `shortest` are the lengths that a driver can carry of our codes; `fixed_length` is the
    length of a provider's code if it is fixed (an unknown one counts as short); `cap` is the
    provider's own lifetime. `long` requests `LONG_CODE` digits if the driver carries them.
    """
    length = fixed_length
    if code_source is CodeSource.LOCAL:
        wished = max(policy.code_length, LONG_CODE) if long else policy.code_length
        length = max(min(wished, longest or wished), shortest or 0)
    short = code_source is not CodeSource.NONE and (length is None or length < SHORT_BELOW)
    life = min(policy.ttl, HARD_LIFE, cap or HARD_LIFE, SHORT_LIFE if short else HARD_LIFE)
    attempts = min(policy.max_attempts, SHORT_ATTEMPTS) if short else policy.max_attempts
    return Plan(code_source, length, short, attempts, life)


class Planner:
    """Plans the codes of drivers under one policy by purpose, and derives those that this library generates."""

    def __init__(self, policy: Policy, keyring: Keyring) -> None:
        self._policy, self._keyring = policy, keyring
        self._plans: dict[tuple[str, Channel, CodeLimits | None, bool], Plan] = {}

    def plan(self, driver: Starts, channel: Channel, purpose: str, *, long: bool = False) -> Plan:
        """Return the limits of this driver's codes on this channel for this purpose.

        `long` requests `LONG_CODE` digits.
        """
        if isinstance(driver, TestNumber):  # all test numbers share one name
            return self._planned(driver, channel, purpose, long)
        # Server code may name any number of purposes; few have their own limits.
        key = driver.name, channel, self._policy.limits_for(purpose), long
        cached = self._plans.get(key)
        if cached is None:
            cached = self._plans[key] = self._planned(driver, channel, purpose, long)
        return cached

    def code(
        self, driver: Starts, key_id: str, id: str, phone: PhoneNumber, purpose: str, generation: int, length: int
    ) -> str:
        """Return the code that this driver carries: derived, or the code of a test number."""
        if isinstance(driver, TestNumber):
            return driver.code
        return self._keyring.derive(key_id, id, phone, purpose, generation, length)

    def first_code(self, request: Request, driver: Starts, planned: Plan) -> Code:
        """Return the code of the first order of a new verification, by this driver."""
        key_id, length = self._keyring.key_id, planned.code_length
        if planned.code_source is not CodeSource.LOCAL or length is None:
            return Code(planned, key_id, 1)
        text = self.code(driver, key_id, request.id, request.phone, request.purpose, 1, length)
        return Code(planned, key_id, 1, text, self._keyring.digest(request.id, text))

    def order_code(self, record: Verification, channel: Channel, driver: Starts, *, again: bool, long: bool) -> Code:
        """Return the code of an order by this driver: that of the record if it may be repeated, or a new one."""
        planned, keyring = self.plan(driver, channel, record.purpose, long=long), self._keyring
        repeated = (
            planned.code_source is CodeSource.LOCAL
            and record.code_source is CodeSource.LOCAL
            and record.channel_of_code is channel
            and record.code_length == planned.code_length
            and keyring.has_key(record.key_id)
            and not (again and self._is_replaced(record, driver))
        )
        first = not again and planned.code_source is record.code_source and planned.code_source is not CodeSource.LOCAL
        key_id = record.key_id if repeated else keyring.key_id
        # By the number of the send: a concurrent order of another channel never gets the same one.
        generation = record.generation if repeated or first else record.sends + 1
        if planned.code_source is not CodeSource.LOCAL or planned.code_length is None:
            return Code(planned, key_id, generation)
        text = self.code(driver, key_id, record.id, record.phone, record.purpose, generation, planned.code_length)
        # The digest on the record is kept, so that a key rotation in between changes nothing.
        digest = record.code_digest if repeated else keyring.digest(record.id, text)
        return Code(planned, key_id, generation, text, digest)

    def _is_replaced(self, record: Verification, driver: Starts) -> bool:
        """Return whether the provider sent another code than ours, which cannot be sent again."""
        ours = self.code(
            driver, record.key_id, record.id, record.phone, record.purpose, record.generation, record.code_length or 0
        )
        return record.code_digest not in self._keyring.digests(record.id, ours)

    def _planned(self, driver: Starts, channel: Channel, purpose: str, long: bool) -> Plan:
        ability = driver.abilities[channel]
        return plan(
            self._policy.for_purpose(purpose),
            ability.code_source,
            longest=ability.longest,
            shortest=ability.shortest,
            fixed_length=ability.fixed_length,
            cap=ability.cap,
            long=long,
        )


def proves(receipt: Receipt, code_source: CodeSource) -> bool:
    """Return whether the user can verify the phone by what this receipt says."""
    if receipt.code is not None or code_source is CodeSource.PROVIDER:
        return receipt.code is not None and _RETURNED_CODE.match(receipt.code) is not None
    return code_source is not CodeSource.NONE or receipt.line is not None
