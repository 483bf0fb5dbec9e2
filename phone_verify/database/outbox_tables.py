"""The tables of outgoing webhooks."""

from __future__ import annotations

import sqlalchemy as sa

from .metadata import exact_text, metadata

#: A message for one endpoint. `next_at` is when it is due, or when the lease of its sender ends; NULL once
#: it is delivered or has failed. `earlier` are the attempts before it was last sent again.
MESSAGE = sa.Table(
    "phone_verify_outbox",
    metadata,
    sa.Column("position", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("id", exact_text(40), nullable=False),
    sa.Column("endpoint", exact_text(32), nullable=False),
    sa.Column("service", exact_text(32), nullable=False),
    sa.Column("event", exact_text(32), nullable=False),
    sa.Column("verification", exact_text(44), nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("status", exact_text(16), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("earlier", sa.Integer, nullable=False),
    sa.Column("response", sa.Integer),
    sa.Column("problem", exact_text(200), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("attempted_at", sa.BigInteger),
    sa.Column("next_at", sa.BigInteger),
    sa.Column("delivered_at", sa.BigInteger),
    sa.UniqueConstraint("id", "service", "endpoint", name="phone_verify_outbox_once"),
    sa.Index("phone_verify_outbox_due", "next_at"),
    sa.Index("phone_verify_outbox_verification", "verification"),
    sa.Index("phone_verify_outbox_created", "created_at"),
    sa.Index("phone_verify_outbox_service", "service", "position"),
)

#: The endpoints that have failed, or were disabled.
ENDPOINT = sa.Table(
    "phone_verify_outbox_endpoint",
    metadata,
    sa.Column("service", exact_text(32), primary_key=True),
    sa.Column("endpoint", exact_text(32), primary_key=True),
    sa.Column("place", exact_text(22), nullable=False),
    sa.Column("failing_since", sa.BigInteger, nullable=False),
    sa.Column("disabled_at", sa.BigInteger),
)
