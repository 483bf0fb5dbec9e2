"""Every table of the database: importing this module completes its metadata."""

from __future__ import annotations

from .aggregates_tables import QUARTER
from .keys import ACCESS_KEY
from .ledger_tables import ACCOUNT, ALARM, ATTEMPT, CAP_COUNTER, PAYMENT
from .metadata import metadata
from .outbox_tables import ENDPOINT, MESSAGE
from .services import CHANGE, SERVICE
from .work_tables import JOB, SEND

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
