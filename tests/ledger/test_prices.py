"""Amounts in other currencies, and the fields of a price table."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from phone_verify.ledger.prices import Prices, Rate
from phone_verify.ledger.reading import read_prices

DAY = date(2030, 1, 1)


def in_euros(amount: str, rate: str) -> Decimal | None:
    return Prices("EUR", rates=[Rate("IRR", Decimal(rate))]).convert(Decimal(amount), "IRR", "EUR", DAY)


def test_amount_that_rounds_to_nothing_is_not_free() -> None:
    assert in_euros("0.01", "0.00002") == Decimal("0.000001")
    assert in_euros("0", "0.00002") == 0


def test_amount_that_no_column_can_hold_is_unknown() -> None:
    assert in_euros("999999999", "999999999") is None
    tiny = Prices("EUR", rates=[Rate("IRR", Decimal("0." + "0" * 25 + "1"))])
    assert tiny.convert(Decimal("5"), "EUR", "IRR", DAY) is None


@pytest.mark.parametrize("prefix", ["98", "+", "+٩٨", "+98 9", "+98912000000"])
def test_prefix_is_the_beginning_of_a_number(prefix: str) -> None:
    with pytest.raises(ValueError, match="the beginning of a number"):
        read_prices({"currency": "EUR", "prices": [{"price": "0.05", "prefix": prefix}]})
