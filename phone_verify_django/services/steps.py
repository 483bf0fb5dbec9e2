"""Steps in the database of `PHONE_VERIFY_LEDGER=orm:`: with the caller's transaction, or kept without it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from django.db import Error, InterfaceError, OperationalError, connections, transaction

from phone_verify.errors import StoreError
from phone_verify.ledger.rows.statements import Statement, Statements, TableNames
from phone_verify.stores.rows.transactions import Transaction

from ..store.second_connection import Setup
from ..store.transactions import ConnectionTransactionRunner, name_of
from .models import ledger as models

T = TypeVar("T")

_MAX_REPEATS = 2
#: Seconds. PostgreSQL needs one to notice a deadlock.
_REPEATS_WITHIN = 2.5

_NAMES = TableNames(
    attempt=models.Attempt._meta.db_table,
    counter=models.CapCounter._meta.db_table,
    alarm=models.RaisedAlarm._meta.db_table,
    account=models.Account._meta.db_table,
    payment=models.Payment._meta.db_table,
)


def read(using: str, query: Callable[[], T]) -> T:
    """Return the result of a query in the database with this alias, without a transaction.

    It runs a second time if the connection was lost: servers end idle ones. Raises `StoreError`.
    """
    connection = connections[using]
    with _translate_errors():
        try:
            return query()
        except (InterfaceError, OperationalError):
            if not connection.autocommit:  # what the caller has done without a commit is lost with the connection
                raise
            connection.close_if_unusable_or_obsolete()
            if connection.connection is not None:
                raise
        return query()


def run(using: str, step: Callable[[], T]) -> T:
    """Return the result of a step in a transaction on this thread's connection to this database.

    Outside a transaction of the caller it is repeated if it failed before its commit: the server had
    closed an idle connection, or ended the step to resolve a deadlock. Raises `StoreError`.
    """
    connection = connections[using]
    started = time.monotonic()
    with _translate_errors():
        # A repetition can take its row before the other step of the deadlock wakes, and end in another one.
        repeats = _MAX_REPEATS if connection.get_autocommit() and connection.vendor != "sqlite" else 0
        while True:
            unclear = False
            try:
                with transaction.atomic(using=using):
                    result = step()
                    unclear = True
                return result
            except (InterfaceError, OperationalError):
                if unclear or not repeats or time.monotonic() - started > _REPEATS_WITHIN:
                    raise
                repeats -= 1
                connection.close_if_unusable_or_obsolete()


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except Error as error:
        # The text of the error may hold values of the statement.
        raise StoreError(f"The database of PHONE_VERIFY_LEDGER failed: {name_of(error)}") from None


class CursorTransaction:
    """A step's transaction on one of Django's cursors."""

    def __init__(self, cursor: Any, statements: Statements) -> None:
        self.cursor, self.statements = cursor, statements

    def rows(self, text: Statement, values: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        """See `Transaction`."""
        self.cursor.execute(text.pyformat, dict(values))
        rows: Sequence[Sequence[Any]] = self.cursor.fetchall()
        return rows

    def change(self, text: Statement, values: Mapping[str, Any]) -> int:
        """See `Transaction`."""
        self.cursor.execute(text.pyformat, dict(values))
        return int(self.cursor.rowcount)

    def insert(self, text: Statement, values: Mapping[str, Any]) -> int | None:
        """See `Transaction`."""
        self.cursor.execute(text.pyformat, dict(values))
        if self.cursor.description:
            row = self.cursor.fetchone()
            return None if row is None else int(row[0])
        return int(self.cursor.lastrowid) if self.cursor.rowcount > 0 else None


class ConnectionSteps:
    """Runs steps on this thread's connection to one database, or on a second one inside a block.

    They are kept even if the caller's transaction is rolled back. `setup` is as in `OrmStore`.
    """

    def __init__(self, using: str, setup: Setup | None = None) -> None:
        self._using, self._runner = using, ConnectionTransactionRunner(using, setup)
        self._statements: Statements | None = None

    def run(self, step: Callable[[CursorTransaction], T], *, durable: bool = True) -> T:
        """See `TransactionRunner`."""
        if self._statements is None:
            self._statements = Statements(connections[self._using].vendor, _NAMES)
        statements = self._statements

        def within(tx: Transaction) -> T:
            if not durable and tx.cursor.db.vendor == "postgresql":
                tx.cursor.execute("SET LOCAL synchronous_commit = off")
            return step(CursorTransaction(tx.cursor, statements))

        return self._runner.run(within, None)

    def rows(self, text: Statement, values: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        """See `Reader`."""

        def query() -> Sequence[Sequence[Any]]:
            with connections[self._using].cursor() as cursor:
                cursor.execute(text.pyformat, dict(values))
                rows: Sequence[Sequence[Any]] = cursor.fetchall()
                return rows

        return read(self._using, query)
