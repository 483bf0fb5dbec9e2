"""Every table of the database: importing this module completes its metadata."""

from __future__ import annotations

from .aggregates_tables import QUARTER
from .keys import ACCESS_KEY
from .ledger_tables import ACCOUNT, ALARM, ATTEMPT, CAP_COUNTER, PAYMENT
from .metadata import metadata
from .outbox_tables import ENDPOINT, MESSAGE
from .services import CHANGE, SERVICE
from .work_tables import JOB, SEND

for _table in metadata.tables.values():
    # The database's own character set may be an older one, and titles, names and notes are in any script.
    _table.dialect_kwargs["mysql_charset"] = "utf8mb4"

__all__ = [
    "ACCESS_KEY",
    "ACCOUNT",
    "ALARM",
    "ATTEMPT",
    "CAP_COUNTER",
    "CHANGE",
    "ENDPOINT",
    "JOB",
    "MESSAGE",
    "PAYMENT",
    "QUARTER",
    "SEND",
    "SERVICE",
    "metadata",
]
