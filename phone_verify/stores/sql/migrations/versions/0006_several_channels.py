"""Add to a verification the channels proved before it, and when another phone called its line."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql, postgresql

revision = "0006"
down_revision = "0005"


def _text(length: int) -> sa.String:
    exact = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    by_bytes = postgresql.VARCHAR(length, collation="C")
    return sa.String(length).with_variant(exact, "mysql", "mariadb").with_variant(by_bytes, "postgresql")


def upgrade() -> None:
    table = "phone_verify_verification"
    op.add_column(table, sa.Column("proved_channels", _text(64), nullable=False, server_default=""))
    op.add_column(table, sa.Column("other_caller_at", sa.BigInteger))
