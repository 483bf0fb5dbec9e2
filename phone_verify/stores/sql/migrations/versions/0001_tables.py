"""The tables."""

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
        "phone_verify_conversion",
        sa.Column("route", _text(100), primary_key=True),
        sa.Column("sent", sa.Double(), nullable=False),
        sa.Column("verified", sa.Double(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "phone_verify_counter",
        sa.Column("name", _text(100), primary_key=True),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("ends_at", sa.BigInteger(), nullable=False, index=True),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "phone_verify_phone",
        sa.Column("tag", _text(22), primary_key=True),
        sa.Column("windows", sa.Text(), nullable=False),
        sa.Column("failures", sa.Text(), nullable=False),
        sa.Column("ends_at", sa.BigInteger(), nullable=False, index=True),
        sa.Column("version", sa.BigInteger(), server_default="0", nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "phone_verify_response",
        sa.Column("name", _text(44), primary_key=True),
        sa.Column("holder", _text(22), nullable=False),
        sa.Column("request", _text(22), nullable=False),
        sa.Column("tag", _text(22), nullable=False),
        sa.Column("response", sa.Text(), nullable=True),
        sa.Column("ends_at", sa.BigInteger(), nullable=False, index=True),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "phone_verify_verification",
        sa.Column("id", _text(44), primary_key=True),
        sa.Column("phone", _text(20), nullable=False),
        sa.Column("purpose", _text(32), nullable=False),
        sa.Column("service", _text(32), nullable=False),
        sa.Column("binding", sa.LargeBinary(length=32), nullable=False),
        sa.Column("channel", _text(16), nullable=False),
        sa.Column("driver", _text(64), nullable=False),
        sa.Column("code_source", _text(16), nullable=False),
        sa.Column("status", _text(16), nullable=False),
        sa.Column("key_id", _text(16), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("code_digest", sa.LargeBinary(length=32), nullable=True),
        sa.Column("code_length", sa.Integer(), nullable=True),
        sa.Column("short", sa.SmallInteger(), nullable=False),
        sa.Column("attempts_left", sa.Integer(), nullable=False),
        sa.Column("sends", sa.Integer(), nullable=False),
        sa.Column("locale", _text(64), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False, index=True),
        sa.Column("resend_at", sa.BigInteger(), nullable=False),
        sa.Column("reference", _text(255), nullable=True),
        sa.Column("line", _text(20), nullable=True),
        sa.Column("caller_hint", _text(20), nullable=True),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.Column("redeemed", sa.SmallInteger(), nullable=False),
        sa.Column("polled_at", sa.BigInteger(), nullable=True),
        sa.Column("acked_send", sa.Integer(), nullable=False),
        sa.Column("released_lines", _text(512), nullable=False),
        sa.Column("trusted", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("pending_checks", sa.Integer(), server_default="0", nullable=False),
        sa.Column("subject", _text(22), server_default="", nullable=False),
        sa.Column("budget", _text(16), server_default="", nullable=False),
        sa.Column("mistakes", sa.Integer(), server_default="0", nullable=False),
        sa.Column("tallied_short", sa.Integer(), server_default="0", nullable=False),
        sa.Column("tallied_long", sa.Integer(), server_default="0", nullable=False),
        sa.Column("by_pair", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("claim_driver", _text(64), server_default="", nullable=False),
        sa.Column("claim_reference", _text(255), nullable=True),
        sa.Column("claim_line", _text(20), nullable=True),
        sa.Column("claim_send", sa.Integer(), server_default="0", nullable=False),
        sa.Column("code_channel", _text(16), nullable=True),
        sa.Column("waits", _text(255), server_default="", nullable=False),
        sa.Column("by_call", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("proved_channels", _text(64), server_default="", nullable=False),
        sa.Column("access_key", _text(12), server_default="", nullable=False),
        sa.Column("channels", _text(64), server_default="", nullable=False),
        sa.Column("other_caller_at", sa.BigInteger(), nullable=True),
        sa.Column("attestation", _text(1), nullable=True),
        sqlite_with_rowid=False,
    )
