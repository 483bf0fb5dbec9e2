"""The table of aggregates: what the attempts of a quarter of an hour add up to."""

from __future__ import annotations

import sqlalchemy as sa

from ..reports.figures import DIMENSIONS, LARGE_MEASURES, MEASURES
from .metadata import exact_text, metadata

_LENGTHS = {"service": 32, "access_key": 12, "channel": 16, "driver": 64, "region": 2, "purpose": 32, "refusal": 16,
            "currency": 3, "account_currency": 3}  # fmt: skip

#: Money is in millionths. Rows are kept when attempts are deleted: nothing in them is of a person.
QUARTER = sa.Table(
    "phone_verify_quarter",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("quarter", sa.BigInteger, nullable=False),
    *(sa.Column(name, exact_text(_LENGTHS[name]), nullable=False) for name in DIMENSIONS),
    # PostgreSQL adds up integers of 32 bits much faster.
    *(sa.Column(name, sa.BigInteger if name in LARGE_MEASURES else sa.Integer, nullable=False) for name in MEASURES),
    sa.UniqueConstraint("quarter", *DIMENSIONS, name="phone_verify_quarter_once"),
)
