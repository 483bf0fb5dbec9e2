"""The ledger in an SQL database."""

from __future__ import annotations

from datetime import datetime

from ..ledger.rows.ledger import RowLedger
from ..webhooks_out.endpoints import Endpoints, no_endpoints
from ..webhooks_out.messages import Change
from .connection import Database
from .outbox import enqueue, forget
from .statements import ConnectionTransaction, DatabaseSteps


class SqlLedger(RowLedger):
    """A blocking ledger in an SQL database that other processes may use as well.

    On PostgreSQL the row of an attempt that begins is committed asynchronously, so that asking the
    provider does not wait for the disk; the provider's response is written to the disk, and with it
    everything before. A power failure in between can lose the last half second of attempts that had no
    response, and what they counted; the death of any process loses nothing.
    """

    def __init__(self, database: Database, endpoints: Endpoints = no_endpoints) -> None:
        self.database = database

        def tells(tx: ConnectionTransaction, change: Change, now: datetime) -> int:
            return enqueue(tx.connection, endpoints(change.service), change, now)

        def forgets(tx: ConnectionTransaction, tag: str) -> int:
            return forget(tx.connection, tag)

        super().__init__(DatabaseSteps(database), tells, forgets)

    def __repr__(self) -> str:
        return f"<SqlLedger on {self.database!r}>"
