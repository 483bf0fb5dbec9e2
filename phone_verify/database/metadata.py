"""The tables' common metadata and column types."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql

from ..ledger.amounts import amount_of, units

#: The tables, for a site's own migrations.
metadata = sa.MetaData()


def exact_text(length: int) -> sa.String:
    """Return a text column that is compared and sorted by bytes on every database."""
    exact = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    by_bytes = postgresql.VARCHAR(length, collation="C")
    return sa.String(length).with_variant(exact, "mysql", "mariadb").with_variant(by_bytes, "postgresql")


class Money(sa.types.TypeDecorator[Decimal]):
    """An amount of money as whole millionths, so that every database adds and compares it exactly.

    SQLite has no decimal numbers: its sums of `Numeric` are off by fractions of a cent.
    """

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: sa.Dialect) -> int | None:
        """Return the amount in millionths."""
        return None if value is None else units(value)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Decimal | None:
        """Return the amount, also of a sum, which some databases return as a decimal number."""
        return None if value is None else amount_of(value)


#: An amount of money, with six digits after the point: providers charge fractions of a cent.
MONEY = Money()
