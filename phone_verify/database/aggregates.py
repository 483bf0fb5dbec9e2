"""Aggregates in an SQL database."""

from __future__ import annotations

from ..reports.rows import RowAggregates
from ..reports.statements import Statements
from .aggregates_tables import QUARTER
from .connection import Database
from .ledger_tables import ATTEMPT
from .statements import DatabaseSteps


class SqlAggregates(RowAggregates):
    """Blocking aggregates in the database of the ledger.

    They read without locks, so an order never waits for a report.
    """

    def __init__(self, database: Database) -> None:
        self.database, steps = database, DatabaseSteps(database)
        statements = Statements(database.kind, ATTEMPT.name, QUARTER.name)
        super().__init__(steps, steps, lambda: statements)

    def __repr__(self) -> str:
        return f"<SqlAggregates on {self.database!r}>"
