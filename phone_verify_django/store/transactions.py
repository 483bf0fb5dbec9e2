"""Running steps on Django's connections: transactions, blocks of the caller, and retries."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from datetime import datetime
from functools import cached_property, partial
from types import SimpleNamespace
from typing import Any, TypeVar
from weakref import WeakSet

from django.db import Error, InterfaceError, OperationalError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from phone_verify.errors import StoreError
from phone_verify.limits import Denied
from phone_verify.stores.rows.failures import DEADLOCKS, OUTDATED, in_words
from phone_verify.stores.rows.reads import ReadStatements
from phone_verify.stores.rows.texts import Tables
from phone_verify.stores.rows.transactions import (
    ConcurrentUpdate,
    Mode,
    OutOfSyncError,
    Run,
    StartCache,
    Transaction,
    run_with_fallback,
)

from ..models import PhoneRow
from .functions import FunctionMissing, Functions, code_of_cause
from .second_connection import SecondConnection, Setup, configure, was_closed
from .tables import row_tables

T = TypeVar("T")

#: Timeout of a thread in the queue for SQLite, in seconds.
_WAIT = 5.0
#: Only a step that failed within this time is retried, in seconds: a slow one has used up its time.
_RETRY_WITHIN = 2.0
_MAX_RETRIES = 4

_BEGIN = {
    "sqlite": "BEGIN IMMEDIATE",
    "postgresql": "BEGIN ISOLATION LEVEL READ COMMITTED",
    "mysql": "START TRANSACTION",
}
#: The command that creates our tables.
MIGRATE = "python manage.py migrate"

_INSIDE_A_BLOCK = (
    "Called inside transaction.atomic() on SQLite, which allows no other writer while that block is open, and writes "
    "inside the block would be lost if it were rolled back. Call this outside the block, or mark the view with "
    "transaction.non_atomic_requests."
)

#: In place of a connection that an earlier step has lost.
_LOST = object()

_joins: ContextVar[bool] = ContextVar("phone_verify_django.store.joins", default=False)
_worker: ContextVar[bool] = ContextVar("phone_verify_django.store.worker", default=False)


@contextmanager
def _stated(statement: ContextVar[bool]) -> Iterator[None]:
    token = statement.set(True)
    try:
        yield
    finally:
        statement.reset(token)


def in_worker() -> AbstractContextManager[None]:
    """State that this thread is not the request's: its connections have nothing that the site sets for a request."""
    return _stated(_worker)


def is_worker() -> bool:
    """Return whether this thread is not the request's, as `in_worker` states."""
    return _worker.get()


def joining_on_sqlite() -> AbstractContextManager[None]:
    """Let a step on SQLite join the caller's transaction within the block, since SQLite allows no second writer.

    For callers that commit their transaction even if the step fails.
    """
    return _stated(_joins)


class ConnectionTransactionRunner:
    """Runs steps on this thread's connection to one database, or on a second one inside a block."""

    def __init__(self, using: str, setup: Setup | None = None) -> None:
        self._using, self._setup = using, setup
        self._seconds = threading.local()
        self._pid, self._gate = os.getpid(), threading.Lock()
        self._memory = StartCache()
        #: Connections that a failed step has left closed, and no step has configured since.
        self._lost = WeakSet[BaseDatabaseWrapper]()

    @cached_property
    def tables(self) -> Tables:
        """See `TransactionRunner`. At the first step, since they depend on the server's version."""
        connection = connections[self._using]
        try:
            return row_tables(connection, Functions(connection).statement)
        except Error as error:
            raise StoreError(f"The database failed: {name_of(error)}") from None

    @cached_property
    def _reads(self) -> ReadStatements:
        return ReadStatements(self.tables)

    def run(self, step: Callable[[Transaction], T], now: datetime | None, mode: Mode = Mode.LOCKED) -> T:
        """See `TransactionRunner`."""
        outer, second = connections[self._using], None
        raw = _LOST if outer in self._lost else outer.connection
        try:
            with self._queue(outer):
                _connect(outer)
                second = None if _is_free(outer) else self._second_of(outer)
                connection = second.connection if second else outer
                if connection.in_atomic_block:
                    with transaction.atomic(using=self._using):
                        return self._in_a_block(step, now, connection, reads=mode is Mode.READ_ONLY)
                prepare = second.prepare if second else partial(self._prepare_first, outer, raw)
                return run_with_fallback(
                    lambda run: self._until_done(step, now, connection, prepare, run), _mode_on(connection, mode)
                )
        except Error as error:
            # The text of the error may hold values of the statement.
            inside = second is not None and outer.vendor == "sqlite"
            raise StoreError(_INSIDE_A_BLOCK if inside else f"The database failed: {name_of(error)}") from None
        finally:
            if self._setup is not None and raw is not None and outer.connection is None:
                self._lost.add(outer)

    def _second_of(self, first: BaseDatabaseWrapper) -> SecondConnection:
        """Return the second connection of this thread, not yet connected if it is new."""
        second: SecondConnection | None = getattr(self._seconds, "kept", None)
        if second is None or not second.belongs_to(first):
            second = self._seconds.kept = SecondConnection(first, self._setup)
        return second

    def _prepare_first(self, connection: BaseDatabaseWrapper, raw: Any) -> None:
        """Connect again after an error, and configure a connection of a worker, or one that replaces the lost `raw`."""
        if connection.connection is None:
            _connect(connection)
        replaced = raw is not None and connection.connection is not raw
        if self._setup is not None and (replaced or _worker.get()):
            configure(connection, self._setup)
            self._lost.discard(connection)

    def _queue(self, connection: BaseDatabaseWrapper) -> AbstractContextManager[None]:
        """Queue threads for SQLite's write lock, which SQLite itself polls with pauses until its timeout.

        The queue only saves waiting time; SQLite's lock is what excludes other writers. A thread inside
        a block does not queue, since it may hold that lock.
        """
        if connection.vendor != "sqlite" or connection.in_atomic_block:
            return nullcontext()
        if self._pid != os.getpid():
            self._gate, self._pid = threading.Lock(), os.getpid()  # last: with it another thread takes the gate
        return self._admitted()

    @contextmanager
    def _admitted(self) -> Iterator[None]:
        gate = self._gate
        if not gate.acquire(timeout=_WAIT):
            # An interruption may have left it closed. SQLite's own lock still protects the file.
            if self._gate is gate:
                self._gate = threading.Lock()
            raise StoreError("The database is busy: other threads did not finish their steps in time")
        try:
            yield
        finally:
            gate.release()

    def _in_a_block(
        self, step: Callable[[Transaction], T], now: datetime | None, connection: BaseDatabaseWrapper, *, reads: bool
    ) -> T:
        with connection.cursor() as cursor:
            if connection.vendor == "sqlite" and not reads:
                # The block may have no write lock yet: two steps would both read, and then both write.
                table = connection.ops.quote_name(PhoneRow._meta.db_table)
                cursor.execute(f"UPDATE {table} SET ends_at = ends_at WHERE tag = ''")  # noqa: S608 - our own table's
            return step(Transaction(cursor, self._reads, self._memory, now, Run.LOCKED))

    def _until_done(
        self,
        step: Callable[[Transaction], T],
        now: datetime | None,
        connection: BaseDatabaseWrapper,
        prepare: Callable[[], None],
        run: Run,
    ) -> T:
        """Run a step in a separate transaction.

        After an error of the server the step is retried a few times, without a pause: an idle connection
        may have been closed, or the step was aborted to resolve a deadlock. A step that failed before
        its commit has not been applied. So has none that called a function which has been dropped.
        """
        retries = _MAX_RETRIES if connection.vendor != "sqlite" else 0
        started, missed = time.monotonic(), False
        while True:
            unclear = False
            try:
                prepare()
                with connection.cursor() as cursor:
                    tx = Transaction(cursor, self._reads, self._memory, now, run)
                    try:
                        return step(tx) if tx.alone else _in_a_transaction(step, tx, connection)
                    finally:
                        unclear = tx.unclear
            except FunctionMissing:
                if missed:
                    raise
                missed = True
            except Error as error:
                code = code_of_cause(error)
                if unclear and run is not Run.LOCKED and code in DEADLOCKS:
                    raise ConcurrentUpdate from None
                if code in OUTDATED:
                    connection.close()
                elif isinstance(error, InterfaceError | OperationalError):
                    connection.close_if_unusable_or_obsolete()
                else:
                    raise
                if (unclear and code not in OUTDATED) or not retries or time.monotonic() - started > _RETRY_WITHIN:
                    raise
                retries -= 1
            except BaseException as error:
                # After an interruption an answer may be unread, and the next statement would take it for its own.
                known = isinstance(error, StoreError) and not isinstance(error, OutOfSyncError)
                if not known and connection.vendor != "sqlite":
                    connection.close()
                raise


def _mode_on(connection: BaseDatabaseWrapper, mode: Mode) -> Mode:
    """Return the mode for this database: only PostgreSQL has optimistic statements, under READ COMMITTED."""
    if mode is Mode.READ_ONLY or (connection.vendor == "postgresql" and not _chosen_isolation(connection)):
        return mode
    return Mode.LOCKED


def _chosen_isolation(connection: BaseDatabaseWrapper) -> bool:
    return "isolation_level" in connection.settings_dict["OPTIONS"]


def _in_a_transaction(step: Callable[[Transaction], T], tx: Transaction, connection: BaseDatabaseWrapper) -> T:
    try:
        if connection.vendor == "mysql" and _chosen_isolation(connection):
            # With a higher level, concurrent steps would fail instead of waiting for each other.
            tx.cursor.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        # An interruption may come when it has begun, as after a wait for SQLite's lock.
        tx.cursor.execute(_BEGIN[connection.vendor])
        result = step(tx)
        if isinstance(result, Denied) and not tx.wrote:
            tx.cursor.execute("ROLLBACK")  # a commit would wait for the disk, only to release locks
        else:
            tx.unclear = True
            tx.cursor.execute("COMMIT")
    except BaseException:
        raw = connection.connection
        if raw is None or (connection.vendor == "sqlite" and not raw.in_transaction):
            raise
        try:
            tx.cursor.execute("ROLLBACK")
        except BaseException as lost:
            # Also if an interruption came here: the next step would commit what this one wrote.
            connection.close()
            if not isinstance(lost, Error):
                raise
        raise
    return result


def _is_free(outer: BaseDatabaseWrapper) -> bool:
    """Return whether a step can run on this connection: the caller has no open transaction on it."""
    blocks = outer.atomic_blocks
    if _joins.get() and outer.vendor == "sqlite":
        return True
    # A test case's block spans the whole test, and cannot see the writes of another connection.
    return bool(getattr(blocks[0], "_from_testcase", False) if blocks else outer.get_autocommit())


def _connect(connection: BaseDatabaseWrapper) -> None:
    """Connect if not connected, and wait for Django's pool no longer than the store's timeout.

    A check is one statement, which is not repeated if the connection is lost: idle connections that the server
    has closed are replaced before, also those of the pool. Not within a transaction of the site, which would go on
    in another one.
    """
    deadline = time.monotonic() + _RETRY_WITHIN
    _open(connection)
    while was_closed(connection) and time.monotonic() < deadline:
        connection.close()
        _open(connection)


def _open(connection: BaseDatabaseWrapper) -> None:
    pool = getattr(connection, "pool", None) if connection.connection is None else None
    if pool is None:
        connection.ensure_connection()
        return
    # In place of the pool's own timeout, which applies to the site's pages, and which other threads read.
    getconn = partial(pool.getconn, timeout=min(_WAIT, pool.timeout))
    vars(connection)["_connection_pools"] = {connection.alias: SimpleNamespace(open=pool.open, getconn=getconn)}
    try:
        connection.ensure_connection()
    finally:
        del vars(connection)["_connection_pools"]


def name_of(error: Error) -> str:
    """Describe an error of Django's database by `in_words`."""
    return in_words(error, code_of_cause(error), makes_tables=MIGRATE)
