"""Amounts of money: decimal numbers, and whole millionths in a database, which adds those exactly."""

from __future__ import annotations

import re
from decimal import Decimal

#: The smallest amount: a millionth of the unit. Providers charge fractions of a cent.
SMALLEST = Decimal("0.000001")
#: Amounts are below it, so every sum of them fits the 64 bits of a column.
LARGEST = Decimal(10**9)

_AMOUNT = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?", re.ASCII)
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)


def units(amount: Decimal) -> int:
    """Return an amount in millionths."""
    return int(amount.quantize(SMALLEST).scaleb(6))


def amount_of(units: int) -> Decimal:
    """Return the amount of this many millionths."""
    return Decimal(int(units)).scaleb(-6)


def read_amount(value: object) -> Decimal | None:
    """Return the amount that a text or a whole number writes; None for any other value.

    A float is refused: `0.1` is not a tenth.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        return None
    text = str(value)
    return Decimal(text) if _AMOUNT.fullmatch(text) else None


def is_amount(value: Decimal) -> bool:
    """Return whether a column of money can hold this amount, and it is not negative."""
    return value.is_finite() and 0 <= value < LARGEST


def is_currency(value: object) -> bool:
    """Return whether a value has the form of a currency's code (ISO 4217)."""
    return isinstance(value, str) and bool(_CURRENCY.fullmatch(value))
