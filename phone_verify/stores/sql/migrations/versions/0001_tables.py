"""The three tables, as they were before revisions were introduced."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql, postgresql

revision = "0001"
down_revision = None


def _text(length: int) -> sa.String:
    exact = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    by_bytes = postgresql.VARCHAR(length, collation="C")
    return sa.String(length).with_variant(exact, "mysql", "mariadb").with_variant(by_bytes, "postgresql")


def upgrade() -> None:
    op.create_table(
        "phone_verify_verification",
        sa.Column("id", _text(44), primary_key=True),
        sa.Column("phone", _text(20), nullable=False),
        sa.Column("purpose", _text(32), nullable=False),
        sa.Column("service", _text(32), nullable=False),
        sa.Column("binding", sa.LargeBinary(32), nullable=False),
        sa.Column("channel", _text(16), nullable=False),
        sa.Column("driver", _text(64), nullable=False),
        sa.Column("code_source", _text(16), nullable=False),
        sa.Column("status", _text(16), nullable=False),
        sa.Column("key_id", _text(16), nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("code_digest", sa.LargeBinary(32)),
        sa.Column("code_length", sa.Integer),
        sa.Column("short", sa.SmallInteger, nullable=False),
        sa.Column("attempts_left", sa.Integer, nullable=False),
        sa.Column("sends", sa.Integer, nullable=False),
        sa.Column("locale", _text(64)),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False, index=True),
        sa.Column("resend_at", sa.BigInteger, nullable=False),
        sa.Column("reference", _text(255)),
        sa.Column("line", _text(20)),
        sa.Column("caller_hint", _text(20)),
        sa.Column("closed_at", sa.BigInteger),
        sa.Column("redeemed", sa.SmallInteger, nullable=False),
        sa.Column("polled_at", sa.BigInteger),
        sa.Column("acked_send", sa.Integer, nullable=False),
        sa.Column("released_lines", _text(512), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "phone_verify_phone",
        sa.Column("tag", _text(22), primary_key=True),
        sa.Column("windows", sa.Text, nullable=False),
        sa.Column("failures", sa.Text, nullable=False),
        sa.Column("ends_at", sa.BigInteger, nullable=False, index=True),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "phone_verify_counter",
        sa.Column("name", _text(100), primary_key=True),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("ends_at", sa.BigInteger, nullable=False, index=True),
        sqlite_with_rowid=False,
    )
