"""Steps of statements as texts, on SQLAlchemy's connections."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa

from ..ledger.rows.statements import Statement, Statements, TableNames
from .connection import Database

T = TypeVar("T")


class ConnectionTransaction:
    """A step's transaction on a connection of SQLAlchemy."""

    def __init__(self, connection: sa.Connection, statements: Statements) -> None:
        self.connection, self.statements = connection, statements
        self._named = connection.dialect.name == "sqlite"

    def rows(self, text: Statement, values: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        """See `Transaction`."""
        return self._execute(text, values).fetchall()

    def change(self, text: Statement, values: Mapping[str, Any]) -> int:
        """See `Transaction`."""
        return self._execute(text, values).rowcount

    def insert(self, text: Statement, values: Mapping[str, Any]) -> int | None:
        """See `Transaction`."""
        result = self._execute(text, values)
        if result.returns_rows:
            row = result.fetchone()
            return None if row is None else int(row[0])
        return int(result.lastrowid) if result.rowcount else None

    def _execute(self, text: Statement, values: Mapping[str, Any]) -> sa.CursorResult[Any]:
        return self.connection.exec_driver_sql(text.named if self._named else text.pyformat, dict(values))


class DatabaseSteps:
    """Runs steps of statements as texts in a database."""

    def __init__(self, database: Database) -> None:
        self._database, self._statements = database, Statements(database.kind, TableNames())

    def run(self, step: Callable[[ConnectionTransaction], T], *, durable: bool = True) -> T:
        """See `TransactionRunner`."""
        return self._database.run(self._on(step), durable=durable)

    def rows(self, text: Statement, values: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        """See `Reader`."""
        return self._database.read(self._on(lambda tx: tx.rows(text, values)))

    def _on(self, step: Callable[[ConnectionTransaction], T]) -> Callable[[sa.Connection], T]:
        return lambda connection: step(ConnectionTransaction(connection, self._statements))
