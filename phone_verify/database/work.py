"""Work that waits in an SQL database: orders to send, and the leases of repeated jobs."""

from __future__ import annotations

from ..work.rows import RowLeases, RowSends, TableNames
from .connection import Database
from .statements import DatabaseSteps


def work_in(database: Database) -> tuple[RowSends, RowLeases]:
    """Return the queue of orders and the leases of jobs in this database."""
    steps = DatabaseSteps(database)

    def kind() -> str:
        return database.kind

    return RowSends(steps, kind, TableNames()), RowLeases(steps, kind, TableNames())
