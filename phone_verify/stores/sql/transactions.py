"""Execution of steps: connections, transactions, retries, and what a fork must not share."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import cache
from typing import TypeVar

import sqlalchemy as sa

from ...errors import StoreError
from ...limits import Denied
from ..rows.transactions import ConcurrentUpdate, Mode, StartCache, Transaction, run_with_fallback
from .engine import BEGIN_POOLED, DEADLOCKS, WAIT, code_of, name_of
from .statements import EngineReads

T = TypeVar("T")


_BEGIN = {"sqlite": "BEGIN IMMEDIATE", "postgresql": "BEGIN ISOLATION LEVEL READ COMMITTED"}


class EngineTransactionRunner:
    """Runs steps on the connections of one engine; `prepare` is called before the first.

    `makes_tables` is the command to name if tables are missing.
    """

    def __init__(self, engine: sa.Engine, prepare: Callable[[], None], makes_tables: str = "") -> None:
        self.engine = engine
        self._makes_tables = makes_tables
        self.server = engine.dialect.name != "sqlite"
        self._reads, self._memory = EngineReads(engine.dialect), StartCache()
        self._begin = _BEGIN.get(engine.dialect.name, "START TRANSACTION")
        self._prepare: Callable[[], None] | None = prepare
        # Threads queue here for SQLite's one writer; SQLite itself would poll with pauses.
        self._gate = threading.Lock()
        self._shut = False
        self._pid = os.getpid()
        _all.add(self)
        _watch_forks()

    def run(
        self,
        step: Callable[[Transaction], T],
        now: datetime | None,
        mode: Mode = Mode.LOCKED,
        *,
        from_cache: bool = False,
    ) -> T:
        """See `TransactionRunner`."""
        if self._pid != os.getpid():
            # A server in C, like uWSGI, forks without calling Python's hooks.
            self.after_fork_in_child()
        try:
            if self.server:
                return run_with_fallback(
                    lambda alone, from_cache: self._at_most_twice(step, now, mode, alone, from_cache),
                    mode,
                    from_cache=from_cache,
                )
            if not self._gate.acquire(timeout=WAIT):
                raise StoreError("The SQLite store is too busy: other threads did not finish their steps in time")
            try:
                return self._once(step, now, mode, mode is Mode.READ_ONLY)
            finally:
                self._gate.release()
        except (sa.exc.SQLAlchemyError, self.engine.dialect.loaded_dbapi.Error) as error:
            # The error's own text may contain values of the statement.
            raise StoreError(f"The SQL store failed: {name_of(error, makes_tables=self._makes_tables)}") from None

    def _at_most_twice(
        self, step: Callable[[Transaction], T], now: datetime | None, mode: Mode, alone: bool, from_cache: bool
    ) -> T:
        begun = time.monotonic()
        try:
            return self._once(step, now, mode, alone, from_cache)
        except _NotDone as failure:
            if time.monotonic() - begun < WAIT / 2:
                with suppress(_NotDone):
                    return self._once(step, now, mode, alone, from_cache)
            raise failure.error from None

    def _once(
        self, step: Callable[[Transaction], T], now: datetime | None, mode: Mode, alone: bool, from_cache: bool = False
    ) -> T:
        if self._prepare is not None:
            self._prepare()
            self._prepare = None
        connection = self.engine.raw_connection()
        pooled = getattr(connection.dbapi_connection, "pooled", False)
        if pooled and mode is not Mode.READ_ONLY:
            # Behind a pooler the server's time limits hold for one transaction only.
            if from_cache:
                connection.close()
                raise ConcurrentUpdate
            alone = False
        tx = Transaction(
            connection.cursor(), self._reads, self._memory, now, server=self.server, alone=alone, from_cache=from_cache
        )
        try:
            if not alone:
                tx.cursor.execute(BEGIN_POOLED if pooled else self._begin)
            result = step(tx)
            if not alone:
                if isinstance(result, Denied) and not tx.wrote:
                    connection.rollback()  # a commit would wait for the disk only to release locks
                else:
                    tx.unclear = True
                    connection.commit()
            tx.cursor.close()
        except ConcurrentUpdate:
            raise
        except BaseException as error:
            if self._undone(connection, error, tx):
                raise _NotDone(error) from None
            raise
        finally:
            connection.close()
        return result

    def _undone(self, connection: sa.PoolProxiedConnection, error: BaseException, tx: Transaction) -> bool:
        """Roll back; return True if certainly nothing was done and an immediate retry may succeed."""
        dialect = self.engine.dialect
        if isinstance(error, dialect.loaded_dbapi.Error):
            if dialect.is_disconnect(error, connection.dbapi_connection, None):
                connection.invalidate(error)
                self.engine.dispose()  # the server is gone for all of them
                return not tx.unclear
            if code_of(error) in DEADLOCKS:
                connection.rollback()
                return True
        try:
            connection.rollback()
        except dialect.loaded_dbapi.Error as lost:
            connection.invalidate(lost)
        return False

    # Forks.

    def before_fork(self) -> None:
        # SQLite's locks do not survive a fork, not even those of an unused
        # connection.
        if not self.server:
            self._shut = self._gate.acquire(timeout=WAIT)
            self.engine.dispose()

    def after_fork_in_parent(self) -> None:
        if self._shut:
            self._shut = False
            self._gate.release()

    def after_fork_in_child(self) -> None:
        self._shut, self._gate = False, threading.Lock()
        # Connections inherited from a server's own way of forking stay open: closing one would end
        # it for the parent.
        _inherited.append(self.engine.pool)
        self.engine.dispose(close=False)
        self._pid = os.getpid()


class _NotDone(Exception):  # noqa: N818 - it references the error
    """Certainly nothing was done, and it may be tried again."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


_all: weakref.WeakSet[EngineTransactionRunner] = weakref.WeakSet()
_inherited: list[sa.Pool] = []


def _each(act: Callable[[EngineTransactionRunner], None]) -> Callable[[], None]:
    def act_on_each() -> None:
        for transactions in list(_all):
            act(transactions)

    return act_on_each


@cache
def _watch_forks() -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=_each(EngineTransactionRunner.before_fork),
            after_in_parent=_each(EngineTransactionRunner.after_fork_in_parent),
            after_in_child=_each(EngineTransactionRunner.after_fork_in_child),
        )
