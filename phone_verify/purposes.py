"""Purposes of verifications: who may start them, and under which failure budget they count."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from itertools import combinations
from typing import TypeVar

from .errors import ConfigurationError

#: A proof of these purposes signs a user in.
SIGN_IN_PURPOSES = ("login", "signup")
#: A proof of these purposes gives the signed-in user a number.
PHONE_PURPOSES = ("change_phone", "confirm")
#: A client may name any purpose of a group for the same effect, so the rules of one hold for the others.
_SAME_EFFECT = (SIGN_IN_PURPOSES, PHONE_PURPOSES)
#: The service of a site that has no others.
DEFAULT_SERVICE = "default"
#: Started by server code only, after another factor.
SECOND_FACTOR = "second_factor"

_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}\Z", re.ASCII)
_OPEN = "open"
_NUMBER = re.compile(r"[0-9]{1,4}\Z", re.ASCII)
_REQUIRE = "require="
_SETTING = "PHONE_VERIFY_PURPOSES"

T = TypeVar("T")


class Budget(StrEnum):
    """The budgets under which consecutive wrong answers of a phone are counted."""

    SIGN_IN = "sign_in"
    SIGNED_IN = "signed_in"
    SECOND_FACTOR = SECOND_FACTOR
    #: One budget for all purposes, which neither a success nor a trusted device clears.
    TEST_NUMBER = "test_number"
    #: Those of purposes that require several channels: a proof of fewer must not clear them.
    SIGN_IN_ALL = "sign_in_all"
    SIGNED_IN_ALL = "signed_in_all"
    #: The same two, for verifications after which a channel is left: their success clears nothing.
    SIGN_IN_PART = "sign_in_part"
    SIGNED_IN_PART = "signed_in_part"

    @property
    def whole(self) -> Budget:
        """The budget under which failures are kept."""
        return _WHOLE.get(self, self)

    @property
    def is_of_sign_in(self) -> bool:
        """Whether the site-wide limits of sign-in apply."""
        return self.whole in (Budget.SIGN_IN, Budget.SIGN_IN_ALL)

    @property
    def is_cleared(self) -> bool:
        """Whether a success clears its failures."""
        return self is not Budget.TEST_NUMBER and self not in _WHOLE


_WHOLE = {Budget.SIGN_IN_PART: Budget.SIGN_IN_ALL, Budget.SIGNED_IN_PART: Budget.SIGNED_IN_ALL}


#: By name: to call `Budget` with a name takes twenty times as long.
BUDGETS: Mapping[str, Budget] = {budget.value: budget for budget in Budget}


def budget_of(purpose: str, *, signed_in: bool) -> Budget:
    """Return the budget for this purpose; `signed_in` is whether a signed-in user started it.

    All sign-in purposes share one budget: a second one would double the guesses at an account.
    """
    if purpose == SECOND_FACTOR:
        return Budget.SECOND_FACTOR
    if purpose in SIGN_IN_PURPOSES or not signed_in:
        return Budget.SIGN_IN
    return Budget.SIGNED_IN


def failure_key(budget: Budget, *, trusted: bool, service: str = DEFAULT_SERVICE) -> str:
    """Return the name under which a store counts failures; trusted devices have separate budgets.

    So has each service: the wrong answers at one must not lock a phone out of the others. The code of a
    test number is the same at all of them.
    """
    name = str(_WHOLE.get(budget, budget))  # `value` of an enumeration takes as long as the rest
    if budget is Budget.TEST_NUMBER:
        return name
    of_service = "" if service == DEFAULT_SERVICE else f"{service}/"
    return f"{of_service}{name}+trusted" if trusted else of_service + name


def rules_for(rules: Mapping[str, T], purpose: str) -> Sequence[T]:
    """Return the rules that hold for this purpose: its own, then those of purposes with the same effect."""
    if not rules:  # the usual site, and every start asks several times
        return ()
    same = next((group for group in _SAME_EFFECT if purpose in group), ())
    return [rules[name] for name in dict.fromkeys([purpose, *same]) if name in rules]


@dataclass(frozen=True, slots=True)
class CodeLimits:
    """The code length and the lifetime of one purpose, in place of the site's; None keeps the site's."""

    code_length: int | None = None
    ttl: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Purposes:
    """The purposes that a client may name: ours, and those of the setting `PHONE_VERIFY_PURPOSES`.

    `own` maps each purpose of the site to whether it may be started without signing in. `limits`
    holds the purposes, built-in ones included, that have a code length or lifetime of their own, and
    `required` the names of the channels of those that must be verified by each of several channels.
    """

    own: Mapping[str, bool] = field(default_factory=dict)
    limits: Mapping[str, CodeLimits] = field(default_factory=dict)
    required: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def names(self) -> Sequence[str]:
        """The purposes that a client may name."""
        return (*SIGN_IN_PURPOSES, *PHONE_PURPOSES, *self.own)

    def known(self, purpose: str) -> bool:
        """Return whether a client may name this purpose."""
        return purpose in self.names

    def needs_user(self, purpose: str) -> bool:
        """Return whether only a signed-in user may start this purpose and redeem its proof."""
        return purpose not in SIGN_IN_PURPOSES and not self.own.get(purpose, False)


def read_purposes(entries: Sequence[str]) -> Purposes:
    """Parse the setting's entries: `name`, or `name:` and rules separated by semicolons.

    The rules are `open`, `length=`, `ttl=` and `require=`. The policy checks the ranges of the
    numbers, and the caller the names of the channels. Raises `ConfigurationError`.
    """
    own: dict[str, bool] = {}
    limits: dict[str, CodeLimits] = {}
    required: dict[str, Sequence[str]] = {}
    for entry in entries:
        name, colon, text = entry.partition(":")
        words = text.split(";") if colon else []
        if not _NAME.match(name):
            raise _malformed()
        if name in own or name in limits or name in required:
            raise ConfigurationError(f"{_SETTING}: {name} is listed twice")
        channels = _required(name, [word for word in words if word.startswith(_REQUIRE)])
        numbers = _numbers([word for word in words if word != _OPEN and not word.startswith(_REQUIRE)])
        if name in (*SIGN_IN_PURPOSES, *PHONE_PURPOSES, SECOND_FACTOR):
            if _OPEN in words or not (numbers or channels):
                raise ConfigurationError(
                    f"{_SETTING}: {name} is built in; remove it, or set only its length, ttl or require"
                )
        else:
            own[name] = _OPEN in words
        if numbers:
            ttl = timedelta(seconds=numbers["ttl"]) if "ttl" in numbers else None
            limits[name] = CodeLimits(numbers.get("length"), ttl)
        if channels:
            required[name] = channels
    _check_same_effect(required)
    return Purposes(own, limits, required)


def _required(name: str, rules: Sequence[str]) -> Sequence[str]:
    """Return the channels that a purpose requires; empty if any one channel is sufficient."""
    if not rules:
        return ()
    channels = rules[0].removeprefix(_REQUIRE).split("+")
    if len(rules) > 1 or "" in channels:
        raise _malformed()
    if len(set(channels)) < len(channels):
        raise ConfigurationError(f"{_SETTING}: {name} requires a channel twice; name each channel once")
    if name == SECOND_FACTOR:
        raise ConfigurationError(
            f"{_SETTING}: {name} cannot require channels: its forms have one code; remove require= from it"
        )
    return channels


def _check_same_effect(required: Mapping[str, Sequence[str]]) -> None:
    for group in _SAME_EFFECT:
        for one, other in combinations([name for name in group if name in required], 2):
            if set(required[one]) != set(required[other]):
                raise ConfigurationError(
                    f"{_SETTING}: {one} and {other} have the same effect but require different channels; write the "
                    "same require= for both, or for one of them only"
                )


def _numbers(words: Sequence[str]) -> Mapping[str, int]:
    numbers: dict[str, int] = {}
    for word in words:
        name, _, number = word.partition("=")
        if name not in ("length", "ttl") or name in numbers or not _NUMBER.match(number):
            raise _malformed()
        numbers[name] = int(number)
    return numbers


def _malformed() -> ConfigurationError:
    return ConfigurationError(
        f"{_SETTING}: use names of lower-case letters, digits and _, separated by commas; add :open if visitors may "
        "start one without signing in, length= or ttl= for its codes, and require= for channels that are all needed, "
        "like checkout,guest_checkout:open,payout:length=8;ttl=120,wire_transfer:require=sms+inbound_call"
    )
