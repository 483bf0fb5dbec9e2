"""The setting `routes`: rules of routing, in the settings or in a YAML file."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from ..errors import ConfigurationError, quoted
from ..model import Channel
from ..phone import is_region
from ..routing.rules import Rule
from .files import document_in

_SETTING = "PHONE_VERIFY_ROUTES"
_PREFIX = re.compile(r"\+[1-9][0-9]{0,9}", re.ASCII)
_PRICE = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
#: So that all weights of a rule have a finite sum.
_LARGEST_WEIGHT = 1_000_000
_FIELDS = (
    "prefixes", "regions", "channels", "drivers", "weights", "trial", "prices", "currency", "ceiling", "by_outcome",
)  # fmt: skip

#: Shown for a value that is no list of rules.
_EXAMPLE = "Example: [{'regions': ['IR'], 'drivers': ['amoot', 'melipayamak'], 'trial': {'melipayamak': 5}}]"

T = TypeVar("T")


def read_routes(value: object) -> Sequence[Rule]:
    """Return the rules of the setting, or of the YAML file that it names. Raises `ConfigurationError`."""
    if isinstance(value, str | Path) and str(value).strip():
        value = document_in(Path(value), _SETTING)
    if value is None or value == "":
        return ()
    if not isinstance(value, list | tuple):
        raise ConfigurationError(f"{_SETTING} must be a list of rules, or the path of a YAML file with one", _EXAMPLE)
    rules = [_Reader(number, rule).rule() for number, rule in enumerate(value, 1)]
    seen: dict[object, int] = {}
    for rule in rules:
        matcher = (frozenset(rule.prefixes), frozenset(rule.regions), frozenset(rule.channels))
        first = seen.setdefault(matcher, rule.number)
        if first != rule.number and not any((rules[first - 1].drivers, rule.drivers)):
            _wrong(rule.number, f"has the same prefixes, regions and channels as rule {first}; remove one of them")
    return tuple(rules)


def check_routes(rules: Sequence[Rule], carriers: Mapping[Channel, Sequence[str]]) -> None:
    """Check the rules against the names of the configured drivers by channel. Raises `ConfigurationError`."""
    known = sorted({name for names in carriers.values() for name in names})
    for rule in rules:
        for name in dict.fromkeys([*rule.drivers, *rule.weights, *rule.trial, *rule.prices]):
            if name not in known:
                listed = ", ".join(known) or "none"
                _wrong(rule.number, f"no driver is named {quoted(name)}; the site has: {listed}")
        channels = rule.channels or [channel for channel in carriers if rule.applies_to(channel, carriers[channel])]
        for channel in channels:
            used = [name for name in carriers.get(channel, ()) if not rule.named or name in rule.named]
            if not used:
                _wrong(rule.number, f"channels: none of its drivers carries {channel}; leave {channel} out")
            if all(rule.why_left_out(name) for name in used):
                _wrong(rule.number, f"ceiling: no driver of {channel} has a price up to {rule.ceiling}; raise it")
            unpriced = [name for name in used if name not in rule.prices and name not in rule.trial]
            if rule.by_outcome and rule.prices and rule.ceiling is None and unpriced:
                _wrong(rule.number, f"prices: by_outcome compares prices; add that of {unpriced[0]}, or remove all")


def _wrong(number: int, fault: str) -> NoReturn:
    raise ConfigurationError(f"{_SETTING}: rule {number}: {fault}")


class _Reader:
    """Reads one rule; every fault names the rule and the field."""

    def __init__(self, number: int, value: object) -> None:
        self._number = number
        if not isinstance(value, Mapping):
            _wrong(number, "must map fields to values, like {'regions': ['IR'], 'drivers': ['amoot']}")
        for name, given in value.items():
            if name not in _FIELDS:
                near = get_close_matches(str(name), _FIELDS, n=1)
                advice = f"did you mean {near[0]}?" if near else f"use {', '.join(_FIELDS)}"
                _wrong(number, f"unknown field {quoted(name)}; {advice}")
            # Else a list whose entries are all commented out would widen the rule to every number.
            if given is None or given in ([], (), {}):
                self._fail(name, "is empty; leave it out")
        self._value: Mapping[str, Any] = value

    def rule(self) -> Rule:
        """Return the rule."""
        rule = Rule(
            number=self._number,
            prefixes=self._words("prefixes", _prefix, "write each as the beginning of a number, like '+98912'"),
            regions=self._words("regions", _region, "write each as two quoted capitals, like 'IR'"),
            channels=self._words("channels", Channel, f"use {', '.join(Channel)}"),
            drivers=self._words("drivers", _text, "write names of drivers; `phone-verify doctor` lists them"),
            weights=self._by_driver(
                "weights", _weight, f"write a number above 0, up to {_LARGEST_WEIGHT}, for each driver"
            ),
            trial=self._by_driver("trial", _percent, "write a percentage above 0 and below 100 for each driver"),
            prices=self._by_driver("prices", _price, "write the price of one order as a quoted decimal, like '0.012'"),
            currency=self._one("currency", _currency, "write its three capitals, like EUR") or "",
            ceiling=self._one("ceiling", _price, "write it as a quoted decimal, like '0.05'"),
            by_outcome=self._one("by_outcome", _flag, "write true or false") or False,
        )
        self._check(rule)
        return rule

    def _check(self, rule: Rule) -> None:
        if rule.prices and not rule.currency:
            self._fail("currency", "is missing; all prices of a rule are in one, like EUR")
        if rule.ceiling is not None and not rule.prices:
            self._fail("ceiling", "needs prices")
        if rule.by_outcome and rule.weights:
            self._fail("by_outcome", "divides the orders by itself; remove weights")
        if sum(rule.trial.values()) >= 100:
            self._fail("trial", "the percentages must be below 100 together")
        if both := [name for name in rule.trial if name in rule.weights]:
            self._fail("trial", f"{quoted(both[0])} has a weight too; remove one of them")
        for name in ("weights", "prices") if rule.drivers else ():
            if other := [each for each in getattr(rule, name) if each not in rule.named]:
                self._fail(name, f"{quoted(other[0])} is not among the drivers of the rule; add it or leave it out")

    def _fail(self, field: str, fault: str) -> NoReturn:
        _wrong(self._number, f"{field}: {fault}")

    def _one(self, field: str, read: Callable[[object], T | None], advice: str) -> T | None:
        value = self._value.get(field)
        if value is None:
            return None
        made = read(value)
        return self._fail(field, advice) if made is None else made

    def _words(self, field: str, read: Callable[[Any], T | None], advice: str) -> tuple[T, ...]:
        value = self._value.get(field)
        words = [value] if isinstance(value, str) else () if value is None else value
        if not isinstance(words, list | tuple):
            self._fail(field, f"must be a list; {advice}")
        made = tuple(self._made(field, f"entry {n}", word, read, advice) for n, word in enumerate(words, 1))
        if len(set(made)) < len(made):
            self._fail(field, "names one of them twice")
        return made

    def _by_driver(self, field: str, read: Callable[[object], T | None], advice: str) -> Mapping[str, T]:
        value = self._value.get(field)
        if value is None:
            return {}
        if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
            self._fail(field, f"must map drivers to values; {advice}")
        return {name: self._made(field, quoted(name), each, read, advice) for name, each in value.items()}

    def _made(self, field: str, place: str, value: Any, read: Callable[[Any], T | None], advice: str) -> T:
        try:
            made = read(value)
        except ValueError:
            made = None
        return self._fail(field, f"{place}: {advice}") if made is None else made


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _prefix(value: object) -> str | None:
    return value if isinstance(value, str) and _PREFIX.fullmatch(value) else None


def _region(value: object) -> str | None:
    return value if isinstance(value, str) and is_region(value) else None


def _weight(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _LARGEST_WEIGHT:
        return None
    return float(value)


def _percent(value: object) -> float | None:
    number = _weight(value)
    return number if number is not None and number < 100 else None


def _price(value: object) -> Decimal | None:
    return Decimal(value) if isinstance(value, str) and _PRICE.fullmatch(value) else None


def _currency(value: object) -> str | None:
    return value if isinstance(value, str) and _CURRENCY.fullmatch(value) else None


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None
