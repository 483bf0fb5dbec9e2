"""Aggregates in Django's database."""

from __future__ import annotations

from django.db import connections

from phone_verify.reports.rows import RowAggregates
from phone_verify.reports.statements import Statements

from ..store.second_connection import Setup
from .models import Attempt, Quarter
from .steps import ConnectionSteps


class OrmAggregates(RowAggregates):
    """Blocking aggregates in the database with this alias. `connection_setup` is as in `OrmStore`."""

    def __init__(self, using: str = "default", *, connection_setup: Setup | None = None) -> None:
        self._using, steps = using, ConnectionSteps(using, connection_setup)

        def statements() -> Statements:
            return Statements(connections[using].vendor, Attempt._meta.db_table, Quarter._meta.db_table)

        super().__init__(steps, steps, statements)

    def __repr__(self) -> str:
        return f"<OrmAggregates on {self._using!r}>"
