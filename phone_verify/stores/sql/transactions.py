"""Execution of steps: transactions and retries."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import sqlalchemy as sa

from ...errors import StoreError
from ...limits import Denied
from ..rows.failures import DEADLOCKS, OUTDATED, code_of
from ..rows.reads import ReadStatements
from ..rows.transactions import ConcurrentUpdate, Mode, Run, StartCache, Transaction, run_with_fallback
from .connections import Connections, is_pooled
from .engine import WAIT, name_of
from .tables import row_tables

T = TypeVar("T")


class EngineTransactionRunner:
    """Runs steps on the connections of one engine; `prepare` is called before the first.

    `makes_tables` is the command to name if tables are missing.
    """

    def __init__(self, engine: sa.Engine, prepare: Callable[[], None], makes_tables: str = "") -> None:
        self.engine = engine
        self._makes_tables = makes_tables
        self.connections = Connections(engine)
        self.tables = row_tables(engine.dialect)
        self._reads, self._memory = ReadStatements(self.tables), StartCache()
        self._prepare: Callable[[], None] | None = prepare

    def run(self, step: Callable[[Transaction], T], now: datetime | None, mode: Mode = Mode.LOCKED) -> T:
        """See `TransactionRunner`."""
        try:
            with self.connections:
                if self._prepare is not None:
                    self._prepare()
                    self._prepare = None
                if not self.connections.server:
                    return self._until_done(step, now, mode, mode.runs[-1])
                return run_with_fallback(lambda run: self._until_done(step, now, mode, run), mode)
        except (sa.exc.SQLAlchemyError, self.engine.dialect.loaded_dbapi.Error) as error:
            # The error's own text may contain values of the statement.
            raise StoreError(f"The SQL store failed: {name_of(error, makes_tables=self._makes_tables)}") from None

    def _until_done(self, step: Callable[[Transaction], T], now: datetime | None, mode: Mode, run: Run) -> T:
        """Run a step, and once more if it soon failed and was certainly not done."""
        begun, repeated = time.monotonic(), False
        while True:
            connection = self.connections.take()
            raw: Any = connection.dbapi_connection
            try:
                if is_pooled(raw) and mode is not Mode.READ_ONLY:
                    # Behind a pooler the server's time limits hold for one transaction only.
                    if run is Run.FROM_CACHE:
                        raise ConcurrentUpdate
                    run = Run.LOCKED
                tx = Transaction(self.connections.cursor(connection), self._reads, self._memory, now, run)
                try:
                    return self._perform(step, tx, raw)
                except BaseException as error:
                    if tx.alone and isinstance(error, ConcurrentUpdate):
                        raise
                    undone = self._undone(connection, error, tx)
                    if not undone or repeated or time.monotonic() - begun >= WAIT / 2:
                        raise
                    repeated = True
            finally:
                self.connections.give_back(connection)

    def _perform(self, step: Callable[[Transaction], T], tx: Transaction, raw: Any) -> T:
        if not tx.alone:
            tx.cursor.execute(self.connections.begin(raw))
        result = step(tx)
        if not tx.alone:
            if isinstance(result, Denied) and not tx.wrote:
                raw.rollback()  # a commit would wait for the disk only to release locks
            else:
                tx.unclear = True
                raw.commit()
        self.connections.finish(tx.cursor)
        return result

    def _undone(self, connection: sa.PoolProxiedConnection, error: BaseException, tx: Transaction) -> bool:
        """Roll back; return True if certainly nothing was done and an immediate retry may succeed."""
        dialect, failure = self.engine.dialect, self.engine.dialect.loaded_dbapi.Error
        if self.connections.may_be_out_of_sync(error):
            connection.invalidate(error)
            return False
        code = code_of(error) if isinstance(error, failure) else None
        is_lost = isinstance(error, failure) and dialect.is_disconnect(error, connection.dbapi_connection, None)
        if is_lost or code in OUTDATED:
            self.connections.forget(connection, error)
            return code in OUTDATED or not tx.unclear
        try:
            connection.rollback()
        except BaseException as lost:
            # Also if an interruption came here: the next step would commit what this one wrote.
            connection.invalidate(lost)
            if not isinstance(lost, failure):
                raise
        return code in DEADLOCKS
