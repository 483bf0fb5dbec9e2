"""The tables of the ledger: attempts, counters of caps, accounts and payments."""

from __future__ import annotations

import sqlalchemy as sa

from .metadata import MONEY, exact_text, metadata

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")

#: One row for each attempt to send or call. `dirty` is 1 while the aggregates hold something else of it
#: than `folded` says.
ATTEMPT = sa.Table(
    "phone_verify_attempt",
    metadata,
    sa.Column("id", _ID, primary_key=True, autoincrement=True),
    sa.Column("verification", exact_text(44), nullable=False),
    sa.Column("send", sa.Integer, nullable=False),
    sa.Column("driver", exact_text(64), nullable=False),
    sa.Column("service", exact_text(32), nullable=False),
    sa.Column("purpose", exact_text(32), nullable=False),
    sa.Column("channel", exact_text(16), nullable=False),
    sa.Column("started_at", sa.BigInteger, nullable=False),
    sa.Column("access_key", exact_text(12), nullable=False),
    sa.Column("region", exact_text(2), nullable=False),
    sa.Column("operator", exact_text(64), nullable=False),
    sa.Column("tag", exact_text(22), nullable=False),
    sa.Column("hint", exact_text(24), nullable=False),
    sa.Column("sent_at", sa.BigInteger),
    sa.Column("outcome", exact_text(12), nullable=False),
    sa.Column("delivery", exact_text(12), nullable=False),
    sa.Column("refusal", exact_text(16), nullable=False),
    sa.Column("provider_ms", sa.Integer),
    sa.Column("closed_at", sa.BigInteger),
    sa.Column("verify_ms", sa.BigInteger),
    sa.Column("parts", sa.Integer),
    sa.Column("list_price", MONEY),
    sa.Column("price", MONEY),
    sa.Column("cost", MONEY),
    sa.Column("currency", exact_text(3), nullable=False),
    sa.Column("cost_source", exact_text(8), nullable=False),
    sa.Column("charged", MONEY, nullable=False),
    sa.Column("reserved", MONEY, nullable=False),
    sa.Column("account_currency", exact_text(3), nullable=False),
    sa.Column("charged_for", exact_text(12), nullable=False),
    sa.Column("counted", sa.SmallInteger, nullable=False),
    sa.Column("reference", exact_text(22)),
    sa.Column("sealed", sa.Text),
    sa.Column("look_up_at", sa.BigInteger),
    sa.Column("dirty", sa.SmallInteger, nullable=False),
    sa.Column("folded", sa.Text),
    sa.UniqueConstraint("verification", "send", "driver", name="phone_verify_attempt_once"),
    sa.Index("phone_verify_attempt_started", "started_at"),
    sa.Index("phone_verify_attempt_open", "closed_at", "started_at"),
    sa.Index("phone_verify_attempt_dirty", "dirty", "id"),
    sa.Index("phone_verify_attempt_tag", "tag"),
    sa.Index("phone_verify_attempt_reference", "reference"),
    sa.Index("phone_verify_attempt_look_up", "look_up_at"),
)

#: What was used in one window of a cap, or the level of an alarm; and the limits of the cap at its last alarm.
CAP_COUNTER = sa.Table(
    "phone_verify_cap_counter",
    metadata,
    sa.Column("name", exact_text(100), primary_key=True),
    sa.Column("used", sa.BigInteger, nullable=False),
    sa.Column("spent", MONEY, nullable=False),
    sa.Column("alarmed", sa.SmallInteger, nullable=False),
    sa.Column("alarm_count", sa.BigInteger),
    sa.Column("alarm_money", MONEY),
    sa.Column("ends_at", sa.BigInteger, nullable=False, index=True),
)

#: An alarm that was raised and not told yet, as JSON.
ALARM = sa.Table(
    "phone_verify_alarm",
    metadata,
    sa.Column("alarm_key", exact_text(16), primary_key=True),
    sa.Column("alarm", sa.Text, nullable=False),
    sa.Column("raised_at", sa.BigInteger, nullable=False, index=True),
)

#: The account of a service. Its balance is the sum of its payments less what its attempts were charged.
ACCOUNT = sa.Table(
    "phone_verify_account",
    metadata,
    sa.Column("service", exact_text(32), primary_key=True),
    sa.Column("currency", exact_text(3), nullable=False),
    sa.Column("balance", MONEY, nullable=False),
    sa.Column("reserved", MONEY, nullable=False),
    sa.Column("alarm_base", MONEY, nullable=False),
    sa.Column("alarmed", sa.SmallInteger, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
)

#: Rows are added and never changed.
PAYMENT = sa.Table(
    "phone_verify_payment",
    metadata,
    sa.Column("id", _ID, primary_key=True, autoincrement=True),
    sa.Column("service", exact_text(32), nullable=False),
    sa.Column("amount", MONEY, nullable=False),
    sa.Column("currency", exact_text(3), nullable=False),
    sa.Column("payment_key", exact_text(64), nullable=False),
    sa.Column("kind", exact_text(16), nullable=False),
    sa.Column("note", sa.Unicode(255), nullable=False),
    sa.Column("made_by", sa.Unicode(150), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("service", "payment_key", name="phone_verify_payment_once"),
)
