"""Add to a verification who started it, its failure budget, its tallied answers, and how a call
proved it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql, postgresql

revision = "0004"
down_revision = "0003"


def _text(length: int) -> sa.String:
    exact = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    by_bytes = postgresql.VARCHAR(length, collation="C")
    return sa.String(length).with_variant(exact, "mysql", "mariadb").with_variant(by_bytes, "postgresql")


def upgrade() -> None:
    table = "phone_verify_verification"
    for name, length in (("subject", 22), ("budget", 16)):
        op.add_column(table, sa.Column(name, _text(length), nullable=False, server_default=""))
    for name in ("mistakes", "tallied_short", "tallied_long"):
        op.add_column(table, sa.Column(name, sa.Integer, nullable=False, server_default=sa.text("0")))
    op.add_column(table, sa.Column("by_pair", sa.SmallInteger, nullable=False, server_default=sa.text("0")))
