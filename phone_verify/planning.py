"""The effective limits of one driver on one channel: code length, attempts and lifetime."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from .codes import Keyring
from .drivers.base import Starts
from .model import Channel, CodeSource
from .phone import PhoneNumber
from .policy import HARD_LIFE, LONG_CODE, SHORT_ATTEMPTS, SHORT_BELOW, SHORT_LIFE, Policy
from .purposes import CodeLimits
from .test_numbers import TestNumber


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
