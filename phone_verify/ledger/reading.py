"""Reads caps, terms and price tables from mappings, as settings and rows of services have them.

Each function raises `ValueError` with the path of the field and what to write there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, NoReturn, TypeVar

from ..errors import FieldFault, PlacedFault, quoted
from ..model import Channel
from ..phone import is_region
from .amounts import is_currency, read_amount
from .caps import EVERY_REGION, Cap, Window
from .prices import Price, Prices, Rate
from .values import ZERO, ChargedFor, Terms

T = TypeVar("T")

_LARGEST_COUNT = 10**9
_PREFIX = re.compile(r"\+[0-9]{1,10}", re.ASCII)
_WINDOWS = {window.value: window for window in Window if window is not Window.REGION}
_CAP_FIELDS = ("count", "money", "record_only")
_PRICE_FIELDS = ("price", "currency", "charged_for", "channel", "driver", "region", "prefix", "from")
_AMOUNT = FieldFault("write it as a quoted decimal number with six digits after the point at most, like '0.012'")


def read_caps(value: object) -> tuple[Cap, ...]:
    """Return the caps of a mapping like `{"hour": {"count": 500, "money": "20"}, "record_only": True}`."""
    given = _mapping("", value, (*_WINDOWS, "regions", "record_only"))
    enforced = not _flag("record_only", given.get("record_only", False))
    caps = [_cap(name, given[name], window, enforced) for name, window in _WINDOWS.items() if name in given]
    regions = given.get("regions", {})
    if not isinstance(regions, Mapping):
        _fail("regions", FieldFault("map regions to caps, like {{'IR': {{'money': '50'}}, '*': {{'money': '10'}}}}"))
    for region, cap in regions.items():
        if region != EVERY_REGION and not (isinstance(region, str) and is_region(region)):
            _fail(
                "regions",
                FieldFault("{word}: use two capitals, like IR, or * for every other region", word=quoted(region)),
            )
        caps.append(_cap(f"regions.{region}", cap, Window.REGION, enforced, region))
    if not caps:
        _fail("", FieldFault("limits nothing; write one of {words}", words=", ".join((*_WINDOWS, "regions"))))
    return tuple(caps)


def read_terms(value: object, currency: str) -> Terms:
    """Return the terms of a mapping like `{"credit_limit": "100", "trial": "5"}`, in this currency by default."""
    given = _mapping("", value, ("currency", "credit_limit", "trial", "record_only"))
    named = given.get("currency", currency)
    if named and not is_currency(named):
        _fail("currency", FieldFault("write its three capitals, like EUR"))
    return Terms(
        currency=named,
        credit_limit=_amount("credit_limit", given.get("credit_limit", "0")),
        trial=_amount("trial", given.get("trial", "0")),
        enforced=not _flag("record_only", given.get("record_only", False)),
    )


def read_prices(value: object) -> Prices:
    """Return the table of a mapping with `currency`, `prices` and `rates`."""
    given = _mapping("", value, ("currency", "prices", "rates"))
    currency = given.get("currency")
    if not is_currency(currency):
        _fail("currency", "write the three capitals of the currency of caps and accounts, like EUR")
    prices = _each("prices", given.get("prices", ()), lambda path, entry: _price(path, entry, str(currency)))
    rates = _each("rates", given.get("rates", ()), _rate)
    table = Prices(str(currency), prices, rates)
    known = {table.currency, *(rate.currency for rate in rates)}
    for number, price in enumerate(prices, 1):
        if price.currency not in known:
            _fail(f"prices: entry {number}", f"there is no rate of {price.currency}; add it to rates")
    return table


def _cap(path: str, value: object, window: Window, enforced: bool, region: str = "") -> Cap:
    given = _mapping(path, value, _CAP_FIELDS)
    count, money = given.get("count"), given.get("money")
    if count is None and money is None:
        _fail(path, FieldFault("needs count, money or both"))
    if count is not None and (isinstance(count, bool) or not isinstance(count, int) or not 0 <= count < _LARGEST_COUNT):
        _fail(f"{path}.count", FieldFault("write a whole number, like 500"))
    own = "record_only" not in given
    return Cap(
        window,
        count,
        None if money is None else _amount(f"{path}.money", money),
        enforced if own else not _flag(f"{path}.record_only", given["record_only"]),
        region,
    )


def _price(path: str, value: object, currency: str) -> Price:
    given = _mapping(path, value, _PRICE_FIELDS)
    if "price" not in given:
        _fail(path, "needs price")
    named, prefix, region = given.get("currency", currency), given.get("prefix", ""), given.get("region", "")
    if not is_currency(named):
        _fail(f"{path}.currency", "write its three capitals, like EUR")
    if prefix and not (isinstance(prefix, str) and _PREFIX.fullmatch(prefix)):
        _fail(f"{path}.prefix", "write the beginning of a number, like '+98912'")
    if region and not (isinstance(region, str) and is_region(region)):
        _fail(f"{path}.region", "write two quoted capitals, like 'IR'")
    driver = given.get("driver", "")
    if not isinstance(driver, str):
        _fail(f"{path}.driver", "write the name of a driver; `phone-verify doctor` lists them")
    channel = given.get("channel")
    return Price(
        amount=_amount(f"{path}.price", given["price"]),
        currency=named,
        charged_for=_word(f"{path}.charged_for", given.get("charged_for", "sent"), ChargedFor),
        channel=None if channel is None else _word(f"{path}.channel", channel, Channel),
        driver=driver,
        region=region,
        prefix=prefix,
        since=_day(f"{path}.from", given.get("from")),
    )


def _rate(path: str, value: object) -> Rate:
    given = _mapping(path, value, ("currency", "rate", "from"))
    if not is_currency(given.get("currency")):
        _fail(f"{path}.currency", "write its three capitals, like USD")
    text = given.get("rate")
    rate = Decimal(text) if isinstance(text, str) and text.replace(".", "", 1).isascii() and _is_decimal(text) else ZERO
    if not 0 < rate < _LARGEST_COUNT:
        _fail(f"{path}.rate", "write what one unit is in the table's currency, as a quoted decimal, like '0.92'")
    return Rate(given["currency"], rate, _day(f"{path}.from", given.get("from")))


def _is_decimal(text: str) -> bool:
    whole, _, part = text.partition(".")
    return whole.isdecimal() and (not part or part.isdecimal()) and len(text) <= 30 and not text.endswith(".")


def _mapping(path: str, value: object, fields: Collection[str]) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        _fail(path, FieldFault("use a mapping with {words}", words=", ".join(fields)))
    for name, given in value.items():
        if name not in fields:
            near = get_close_matches(str(name), fields, n=1)
            _fail(
                path,
                FieldFault("unknown field {word}; did you mean {near}?", word=quoted(name), near=near[0])
                if near
                else FieldFault("unknown field {word}; use {words}", word=quoted(name), words=", ".join(fields)),
            )
        if given is None:
            _fail(_join(path, str(name)), FieldFault("is empty; leave it out"))
    return value


def _each(path: str, value: object, read: Callable[[str, object], T]) -> Sequence[T]:
    if not isinstance(value, list | tuple):
        _fail(path, "must be a list")
    return tuple(read(f"{path}: entry {number}", entry) for number, entry in enumerate(value, 1))


def _amount(path: str, value: object) -> Decimal:
    amount = read_amount(value)
    return _fail(path, _AMOUNT) if amount is None else amount


def _flag(path: str, value: object) -> bool:
    return value if isinstance(value, bool) else _fail(path, FieldFault("write true or false"))


def _word(path: str, value: object, words: Callable[[Any], T]) -> T:
    try:
        return words(value)
    except ValueError:
        return _fail(path, f"unknown value {quoted(value)}; use {', '.join(words)}")  # type: ignore[arg-type]


def _day(path: str, value: object) -> date:
    if value is None:
        return date.min
    if isinstance(value, datetime):
        return _fail(path, "write a day, like 2026-01-31")
    try:
        return value if isinstance(value, date) else date.fromisoformat(str(value))
    except ValueError:
        return _fail(path, "write a day, like 2026-01-31")


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _fail(path: str, fault: str) -> NoReturn:
    raise ValueError(PlacedFault(path, fault) if path else fault)
