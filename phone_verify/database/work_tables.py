"""The tables of work that waits: orders to send, and the leases of repeated jobs."""

from __future__ import annotations

import sqlalchemy as sa

from .metadata import exact_text, metadata

#: An order that a worker is to send. `next_at` is when it is due, or when the lease of its worker ends; NULL
#: once it is finished. `takes` identifies the lease, `asked` counts the drivers that were asked.
SEND = sa.Table(
    "phone_verify_send",
    metadata,
    sa.Column("position", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("verification", exact_text(44), nullable=False),
    sa.Column("send", sa.Integer, nullable=False),
    sa.Column("service", exact_text(32), nullable=False),
    sa.Column("channel", exact_text(16), nullable=False),
    sa.Column("drivers", sa.Text, nullable=False),
    sa.Column("long_codes", sa.SmallInteger, nullable=False),
    sa.Column("access_key", exact_text(12), nullable=False),
    sa.Column("page_host", exact_text(255), nullable=False),
    sa.Column("top_host", exact_text(255), nullable=False),
    sa.Column("counted", sa.Text, nullable=False),
    sa.Column("provider", exact_text(64), nullable=False),
    sa.Column("queued_at", sa.BigInteger, nullable=False),
    sa.Column("next_at", sa.BigInteger),
    sa.Column("takes", sa.Integer, nullable=False),
    sa.Column("asked", sa.Integer, nullable=False),
    sa.Column("state", exact_text(12), nullable=False),
    sa.Column("cause", exact_text(12), nullable=False),
    sa.UniqueConstraint("verification", "send", name="phone_verify_send_once"),
    sa.Index("phone_verify_send_due", "next_at"),
    sa.Index("phone_verify_send_queued", "queued_at"),
)

#: A repeated job: when it is due or its lease ends, and its last run.
JOB = sa.Table(
    "phone_verify_job",
    metadata,
    sa.Column("name", exact_text(32), primary_key=True),
    sa.Column("next_at", sa.BigInteger, nullable=False),
    sa.Column("takes", sa.Integer, nullable=False),
    sa.Column("started_at", sa.BigInteger),
    sa.Column("finished_at", sa.BigInteger),
    sa.Column("amount", sa.BigInteger, nullable=False),
    sa.Column("problem", sa.Unicode(200), nullable=False),
)
