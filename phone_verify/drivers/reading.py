"""Parsing provider responses, and making their texts safe for logs."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from ..errors import FailureKind, InvalidPhoneError, ProviderError
from ..exchange import HttpResponse
from ..model import Order
from ..phone import PhoneNumber

_DETAIL_LONGEST = 200
_SPOKEN = re.compile(r"[^\w .,:;()!?'…/-]", re.UNICODE)
#: Three digits or more, also in groups, as in phone numbers.
_DIGIT_RUNS = re.compile(r"\d(?:[ ().-]*\d){2,}")
_REFERENCE = re.compile(r"[!-~]{1,64}")
_AMOUNT = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,9})?")


def scrubbed(text: str) -> str:
    """Return a text safe for logs: one short line, with at most two digits in a row."""
    return _DIGIT_RUNS.sub("…", _SPOKEN.sub(" ", text)).strip()[:_DETAIL_LONGEST].rstrip()


def our_code(order: Order) -> str:
    """Return the code of an order whose code is ours."""
    if order.code is None:
        raise ValueError(f"the order for {order.channel} lacks our code")
    return order.code


def number_of(text: str) -> PhoneNumber | None:
    """Parse a number that a provider reports, or return None if it is invalid."""
    try:
        return PhoneNumber.parse(text)
    except InvalidPhoneError:
        return None


def line_of(text: str) -> PhoneNumber | None:
    """Parse the number that a provider wants displayed: it may be toll-free or virtual, so only its
    country must exist.
    """
    from phonenumbers import NumberParseException, parse

    try:
        parse(text)
    except NumberParseException:
        return None
    return PhoneNumber(text)


def reference_of(value: object) -> str | None:
    """Return a provider's reference as text, or None if it is missing or unsuitable for a store."""
    text = str(value) if type(value) is int else value
    return text if isinstance(text, str) and _REFERENCE.fullmatch(text) else None


def amount_of(value: object) -> Decimal | None:
    """Parse an amount of money given as a number or a numeric text, or return None if it is
    invalid.
    """
    text = str(value) if isinstance(value, int | float) else value.strip() if isinstance(value, str) else ""
    return Decimal(text) if _AMOUNT.fullmatch(text) else None


def price_of(value: object) -> Decimal | None:
    """Parse a price, like an amount; None if it is negative."""
    price = amount_of(value)
    return price if price is not None and price >= 0 else None


def priced(price: Decimal | None, currency: str | None) -> dict[str, Any]:
    """Return the fields `price` and `currency` of a receipt or a report; none without a price."""
    return {} if price is None else {"price": price, "currency": currency}


def trouble_of_status(response: HttpResponse, said: str = "") -> ProviderError:
    """Return the error for an HTTP status outside 2xx whose body adds nothing except `said`, which
    is safe for logs.
    """
    match response.status:
        case 401 | 403:
            trouble = FailureKind.CONFIGURATION
        case 402:
            trouble = FailureKind.BALANCE
        case 429:
            trouble = FailureKind.RATE
        case status if status >= 500:
            trouble = FailureKind.TRANSIENT
        case _:
            trouble = FailureKind.UNKNOWN
    return ProviderError(trouble, f"HTTP {response.status}: {said}" if said else f"HTTP {response.status}")
