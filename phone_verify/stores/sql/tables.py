"""The tables of the SQL store, for SQLAlchemy and migrations, and for the statements."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql

from ...codes import TAG_LENGTH
from ...errors import ConfigurationError
from ..rows.texts import KINDS, NUMBERED, Tables


def _text(length: int) -> sa.String:
    # Compared and sorted by bytes everywhere: the usual collations of MySQL treat `a` and `A` as
    # equal, and those of PostgreSQL do not keep the ids of one phone together.
    exact = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    by_bytes = postgresql.VARCHAR(length, collation="C")
    return sa.String(length).with_variant(exact, "mysql", "mariadb").with_variant(by_bytes, "postgresql")


#: The tables, for a site's own migrations; such a site passes `create_tables=False`.
metadata = sa.MetaData()

#: A phone's tag begins the ids of its records, so the primary key finds them: no extra index or column is needed.
VERIFICATION = sa.Table(
    "phone_verify_verification",
    metadata,
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
    sa.Column("trusted", sa.SmallInteger, nullable=False, server_default="0"),
    sa.Column("pending_checks", sa.Integer, nullable=False, server_default="0"),
    sa.Column("subject", _text(22), nullable=False, server_default=""),
    sa.Column("budget", _text(16), nullable=False, server_default=""),
    sa.Column("mistakes", sa.Integer, nullable=False, server_default="0"),
    sa.Column("tallied_short", sa.Integer, nullable=False, server_default="0"),
    sa.Column("tallied_long", sa.Integer, nullable=False, server_default="0"),
    sa.Column("by_pair", sa.SmallInteger, nullable=False, server_default="0"),
    sa.Column("claim_driver", _text(64), nullable=False, server_default=""),
    sa.Column("claim_reference", _text(255)),
    sa.Column("claim_line", _text(20)),
    sa.Column("claim_send", sa.Integer, nullable=False, server_default="0"),
    sa.Column("code_channel", _text(16)),
    sa.Column("waits", _text(255), nullable=False, server_default=""),
    sa.Column("by_call", sa.SmallInteger, nullable=False, server_default="0"),
    sa.Column("proved_channels", _text(64), nullable=False, server_default=""),
    sa.Column("access_key", _text(12), nullable=False, server_default=""),
    sa.Column("channels", _text(64), nullable=False, server_default=""),
    sa.Column("other_caller_at", sa.BigInteger),
    sa.Column("attestation", _text(1)),
    sqlite_with_rowid=False,
)

#: `windows` and `failures` are JSON, by quota and by failure key: counts, expiry times and
#: lockouts. On a server every step on the phone writes a new `version`.
PHONE = sa.Table(
    "phone_verify_phone",
    metadata,
    sa.Column("tag", _text(TAG_LENGTH), primary_key=True),
    sa.Column("windows", sa.Text, nullable=False),
    sa.Column("failures", sa.Text, nullable=False),
    sa.Column("ends_at", sa.BigInteger, nullable=False, index=True),
    sa.Column("version", sa.BigInteger, nullable=False, server_default="0"),
    sqlite_with_rowid=False,
)

#: The quotas that span phones, and the tally of wrong and right answers by the hour.
COUNTER = sa.Table(
    "phone_verify_counter",
    metadata,
    sa.Column("name", _text(100), primary_key=True),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("ends_at", sa.BigInteger, nullable=False, index=True),
    sqlite_with_rowid=False,
)

#: The conversions of routes. The last change is not indexed: the table is small, and PostgreSQL updates a
#: row cheaply (HOT) only if no indexed column changes.
CONVERSION = sa.Table(
    "phone_verify_conversion",
    metadata,
    sa.Column("route", _text(100), primary_key=True),
    sa.Column("sent", sa.Double, nullable=False),
    sa.Column("verified", sa.Double, nullable=False),
    sa.Column("changed_at", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

#: The responses to requests with an idempotency key, sealed; without one the place is reserved.
RESPONSE = sa.Table(
    "phone_verify_response",
    metadata,
    sa.Column("name", _text(44), primary_key=True),
    sa.Column("holder", _text(22), nullable=False),
    sa.Column("request", _text(22), nullable=False),
    sa.Column("tag", _text(TAG_LENGTH), nullable=False),
    sa.Column("response", sa.Text),
    sa.Column("ends_at", sa.BigInteger, nullable=False, index=True),
    sqlite_with_rowid=False,
)

#: What the drivers take in place of a value, by their `paramstyle`.
_PLACEHOLDERS = {"qmark": "?", "format": "%s", "pyformat": "%s"}


def row_tables(dialect: sa.Dialect) -> Tables:
    """Return the tables as the statements name them, in the database of a dialect.

    Raises `ConfigurationError` for a database or a driver for which there are no statements.
    """
    kind = "mysql" if dialect.name == "mariadb" else dialect.name
    if kind not in KINDS:
        raise ConfigurationError(f"The SQL store supports SQLite, PostgreSQL, MariaDB and MySQL, not {dialect.name}")
    if dialect.paramstyle not in _PLACEHOLDERS:
        raise ConfigurationError(
            "The SQL store supports drivers that take values as ?, %s or %(name)s; the paramstyle of this engine, "
            f"with {dialect.driver}, is {dialect.paramstyle!r}"
        )
    return Tables(
        kind,
        *[table.name for table in (VERIFICATION, PHONE, COUNTER, RESPONSE, CONVERSION)],
        placeholder=NUMBERED if kind == "postgresql" else _PLACEHOLDERS[dialect.paramstyle],
        numbered=True,
        tagged=False,
        skips_locked=kind != "sqlite",
    )
