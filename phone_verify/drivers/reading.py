"""Reading provider responses, and making their texts safe for logs."""

from __future__ import annotations

import re
from decimal import Decimal

from ..errors import FailureKind, InvalidPhoneError, ProviderError
from ..exchange import HttpResponse
from ..model import Order
from ..phone import PhoneNumber

_DETAIL_LONGEST = 200


_SPOKEN = re.compile(r"[^\w .,:;()!?'…/-]", re.UNICODE)


#: Three digits or more, also where they stand in groups, as phone numbers do.
_DIGIT_RUNS = re.compile(r"\d(?:[ ().-]*\d){2,}")


_REFERENCE = re.compile(r"[!-~]{1,64}")


_AMOUNT = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,9})?")


def scrubbed(text: str) -> str:
    """A text fit for a log: one short line, and no more than two digits in a row."""
    return _DIGIT_RUNS.sub("…", _SPOKEN.sub(" ", text)).strip()[:_DETAIL_LONGEST].rstrip()


def our_code(order: Order) -> str:
    """The code of an order whose code is ours."""
    if order.code is None:
        raise ValueError(f"an order for {order.channel} came without our code")
    return order.code


def number_of(text: str) -> PhoneNumber | None:
    """The number that a provider reports of somebody, or None for what is none."""
    try:
        return PhoneNumber.parse(text)
    except InvalidPhoneError:
        return None


def line_of(text: str) -> PhoneNumber | None:
    """The number that a provider asks us to show: it may be toll-free or virtual, so only its country must exist."""
    from phonenumbers import NumberParseException

    line = PhoneNumber(text)
    try:
        return line if line.calling_code else None
    except NumberParseException:
        return None


def reference_of(value: object) -> str | None:
    """A provider's reference as text, or None where it is absent or nothing a store could keep and find again."""
    text = str(value) if type(value) is int else value
    return text if isinstance(text, str) and _REFERENCE.fullmatch(text) else None


def amount_of(value: object) -> Decimal | None:
    """A sum of money given as a number or a numeric text, or None for what is none."""
    text = str(value) if isinstance(value, int | float) else value.strip() if isinstance(value, str) else ""
    return Decimal(text) if _AMOUNT.fullmatch(text) else None


def trouble_of_status(response: HttpResponse, said: str = "") -> ProviderError:
    """What an HTTP status outside 2xx means where the provider says no more than `said`, which is fit for a log."""
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
