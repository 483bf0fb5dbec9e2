"""Add to a verification the claim next to its code, its waits by channel, and whether a call closed it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql, postgresql

revision = "0005"
down_revision = "0004"


def _text(length: int) -> sa.String:
    exact = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    by_bytes = postgresql.VARCHAR(length, collation="C")
    return sa.String(length).with_variant(exact, "mysql", "mariadb").with_variant(by_bytes, "postgresql")


def upgrade() -> None:
    table = "phone_verify_verification"
    for name, length in (("claim_driver", 64), ("waits", 255)):
        op.add_column(table, sa.Column(name, _text(length), nullable=False, server_default=""))
    for name, length in (("claim_reference", 255), ("claim_line", 20), ("code_channel", 16)):
        op.add_column(table, sa.Column(name, _text(length)))
    op.add_column(table, sa.Column("claim_send", sa.Integer, nullable=False, server_default=sa.text("0")))
    op.add_column(table, sa.Column("by_call", sa.SmallInteger, nullable=False, server_default=sa.text("0")))
