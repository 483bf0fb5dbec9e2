"""The field of an amount of money."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.db import models

from phone_verify.ledger.amounts import amount_of, units


class MoneyField(models.BigIntegerField):  # type: ignore[type-arg]
    """An amount of money as whole millionths, so that every database adds and compares it exactly.

    SQLite has no decimal numbers: its sums are off by fractions of a cent.
    """

    def from_db_value(self, value: Any, *_: object) -> Decimal | None:
        """Return the amount."""
        return None if value is None else amount_of(value)

    def get_prep_value(self, value: Any) -> int | None:
        """Return the amount in millionths."""
        return None if value is None else units(Decimal(value))

    def to_python(self, value: Any) -> Any:
        """Return the amount that a form or a fixture writes."""
        return value if value is None else Decimal(value)
