"""The tables of services, access keys, the ledger and outgoing webhooks, a module each."""

from __future__ import annotations

from .aggregates import Quarter
from .keys import AccessKeyRow
from .ledger import Account, Attempt, CapCounter, Payment, RaisedAlarm
from .outbox import OutboxEndpoint, OutboxMessage
from .service import ChangeRow, ServiceRow
from .work import JobRow, SendRow

__all__ = [
    "AccessKeyRow",
    "Account",
    "Attempt",
    "CapCounter",
    "ChangeRow",
    "JobRow",
    "OutboxEndpoint",
    "OutboxMessage",
    "Payment",
    "Quarter",
    "RaisedAlarm",
    "SendRow",
    "ServiceRow",
]
