"""The ledger in Django's database."""

from __future__ import annotations

from datetime import datetime

from phone_verify.ledger.rows.ledger import RowLedger
from phone_verify.webhooks_out.endpoints import Endpoints, no_endpoints
from phone_verify.webhooks_out.messages import Change

from ..store.second_connection import Setup
from .outbox_store import enqueue, forget
from .steps import ConnectionSteps, CursorTransaction


class OrmLedger(RowLedger):
    """A blocking ledger in the database with this alias.

    Its steps are kept even if the caller's transaction is rolled back, like those of `OrmStore`.
    `connection_setup` is as in `OrmStore`.
    """

    def __init__(
        self, using: str = "default", endpoints: Endpoints = no_endpoints, *, connection_setup: Setup | None = None
    ) -> None:
        self._using = using

        def tells(tx: CursorTransaction, change: Change, now: datetime) -> int:
            return enqueue(tx.cursor, endpoints(change.service), change, now)

        def forgets(tx: CursorTransaction, tag: str) -> int:
            return forget(tx.cursor, tag)

        super().__init__(ConnectionSteps(using, connection_setup), tells, forgets)

    def __repr__(self) -> str:
        return f"<OrmLedger on {self._using!r}>"
