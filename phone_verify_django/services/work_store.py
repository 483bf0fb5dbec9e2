"""Work that waits in Django's database: orders to send, and the leases of repeated jobs."""

from __future__ import annotations

from django.db import connections

from phone_verify.work.rows import RowLeases, RowSends, TableNames

from ..store.second_connection import Setup
from .models import JobRow, SendRow
from .steps import ConnectionSteps

_NAMES = TableNames(send=SendRow._meta.db_table, job=JobRow._meta.db_table)


def work_on(using: str = "default", *, connection_setup: Setup | None = None) -> tuple[RowSends, RowLeases]:
    """Return the queue of orders and the leases of jobs in the database with this alias.

    Their steps are kept even if the caller's transaction is rolled back. `connection_setup` is as in `OrmStore`.
    """
    steps = ConnectionSteps(using, connection_setup)

    def kind() -> str:
        return connections[using].vendor

    return RowSends(steps, kind, _NAMES), RowLeases(steps, kind, _NAMES)
