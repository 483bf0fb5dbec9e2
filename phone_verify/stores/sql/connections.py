"""The connections of one process to a database: begins of transactions, and what a fork must not share."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import sqlalchemy as sa

from ...errors import StoreError
from ..rows.transactions import OutOfSyncError
from .engine import IDLE, KEPT, MOST, WAIT

_BEGIN = {"sqlite": "BEGIN IMMEDIATE", "postgresql": "BEGIN ISOLATION LEVEL READ COMMITTED"}
#: For one transaction behind a pooler, which keeps no settings of a session and no plans.
BEGIN_POOLED = (
    f"BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = '{WAIT}s'; "
    f"SET LOCAL statement_timeout = '{WAIT}s'; SET LOCAL idle_in_transaction_session_timeout = '{IDLE}s'; "
    "SET LOCAL jit = off"
)

#: The name of the losses before a connection was made, among what is kept with it.
_LOSSES = "phone_verify_losses"
#: Seconds that the end of a store waits for the step of another thread.
_WAIT_TO_CLOSE = 1.0
#: Admits one thread of a forked process, which exchanges the inherited connections.
_in_child = threading.Lock()


class Connections:
    """The connections of an engine, which forked processes do not share.

    As a context manager it admits one thread at a time to an SQLite file, and any number to a server.
    """

    #: Whether the store has the engine for itself. Otherwise another user may need all of its connections.
    _owned = False

    def __init__(self, engine: sa.Engine) -> None:
        self.engine, self._losses = engine, 0
        # Not in the engine's pool, which takes as long as a statement of SQLite.
        self._idle: list[sa.PoolProxiedConnection] = []
        self.server = engine.dialect.name != "sqlite"
        self._psycopg: Any = None
        if engine.dialect.name == "postgresql":
            from . import postgresql

            self._psycopg = postgresql
        self._begin = _BEGIN.get(engine.dialect.name, "START TRANSACTION")
        # Threads queue here for SQLite's one writer; SQLite itself would poll with pauses.
        self._gate, self._entered = threading.Lock(), threading.local()
        self._shut: threading.Lock | None = None
        self._pid = os.getpid()
        _all.add(self)
        _watch_forks()

    def __enter__(self) -> None:
        self._notice_fork()
        if not self.server:
            gate = self._gate
            if not gate.acquire(timeout=WAIT):
                # An interruption may have left it closed. SQLite's own lock still protects the file.
                if self._gate is gate:
                    self._gate = threading.Lock()
                raise StoreError("The SQLite file is too busy: other threads did not finish their steps in time")
            self._entered.gate = gate

    def __exit__(self, *_: object) -> None:
        if not self.server:
            self._entered.gate.release()

    def _notice_fork(self) -> None:
        """Call the hook if it was not called: a server in C, like uWSGI, forks without calling Python's hooks."""
        if self._pid != os.getpid():
            with _in_child:
                if self._pid != os.getpid():
                    self.after_fork_in_child()

    def take(self) -> sa.PoolProxiedConnection:
        """Return a connection that nothing else uses until it is given back."""
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:  # another thread was first
                break
            if self._psycopg is None or not self._psycopg.is_lost(connection.dbapi_connection):
                return connection
            connection.invalidate()
        connection = self.engine.raw_connection()
        if self._owned and not self.server:
            connection.detach()  # the pool may give out another
        return connection

    def give_back(self, connection: sa.PoolProxiedConnection) -> None:
        """Keep a connection for the next step, unless a thread may wait for it at the engine's pool."""
        if self._owned and connection.is_valid and not self._has_enough():
            self._idle.append(connection)
        else:
            connection.close()

    def _has_enough(self) -> bool:
        pool: Any = self.engine.pool  # of our own engine; another may have a pool that does not count
        return self.server and (len(self._idle) >= KEPT or pool.checkedout() >= MOST)

    def cursor(self, connection: sa.PoolProxiedConnection) -> Any:
        """Return a cursor of the driver; on PostgreSQL it is kept with the connection."""
        return connection.cursor() if self._psycopg is None else self._psycopg.kept_cursor(connection)

    def finish(self, cursor: Any) -> None:
        """Close a cursor that is not kept, which ends what it still reads of an SQLite file."""
        if self._psycopg is None:
            cursor.close()

    def may_be_out_of_sync(self, error: BaseException) -> bool:
        """Return whether a connection may have an unread answer after this error, like the time limit of a task queue.

        psycopg knows the state of its connections, and SQLite sends no answers.
        """
        known = (self.engine.dialect.loaded_dbapi.Error, sa.exc.SQLAlchemyError, StoreError)
        unknown = self.server and self._psycopg is None and not isinstance(error, known)
        return unknown or isinstance(error, OutOfSyncError)

    def forget(self, lost: sa.PoolProxiedConnection, error: BaseException) -> None:
        """Close a lost connection and all idle ones: the server is gone for all of them.

        Our own pool stays: threads wait at it, and a second one would not count the connections of the first.
        """
        lost.invalidate(error)
        if not self._owned:
            self.engine.dispose()
        self._losses += 1
        self._close_idle()

    def _renew(self, _: object, record: Any, __: object) -> None:
        """Let the pool replace a connection that it has had since before a loss, as SQLAlchemy's event `checkout`."""
        losses = self._losses
        if record.info.setdefault(_LOSSES, losses) < losses:
            raise sa.exc.DisconnectionError

    def own(self) -> Callable[[], None]:
        """Keep connections, since the store has the engine for itself; return what closes all of them."""
        self._owned = True
        sa.event.listen(self.engine, "checkout", self._renew)
        return self.close

    def close(self) -> None:
        """Close the connections that are not in use.

        That to an SQLite file stays open while a step of another thread lasts, as it may at the end of a process.
        Inherited ones stay open for the parent.
        """
        self._notice_fork()
        gate = self._gate
        if gate.acquire(timeout=_WAIT_TO_CLOSE):
            try:
                self._close_idle()
                self.engine.dispose()
            finally:
                gate.release()

    def _close_idle(self) -> None:
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.detach()  # its pool may not be the engine's any more
            connection.close()

    def begin(self, connection: object) -> str:
        """Return the statement that begins a transaction on this connection of the driver."""
        return BEGIN_POOLED if is_pooled(connection) else self._begin

    def before_fork(self) -> None:
        # SQLite's locks do not survive a fork, not even those of an unused connection.
        if not self.server:
            gate = self._gate
            self._shut = gate if gate.acquire(timeout=WAIT) else None
            if self._shut is not None:
                self._close_idle()
                self.engine.dispose()

    def after_fork_in_parent(self) -> None:
        if self._shut is not None:
            self._shut.release()
            self._shut = None

    def after_fork_in_child(self) -> None:
        self._shut, self._gate = None, threading.Lock()
        # Connections inherited from a server's own way of forking stay open: closing one would end it for the parent.
        _inherited.append((self.engine.pool, self._idle))
        self._idle = []
        self.engine.dispose(close=False)
        self._pid = os.getpid()


def is_pooled(connection: object) -> bool:
    """Return whether a pooler may give each transaction of this connection another session of the server."""
    return getattr(connection, "pooled", False)


_all: weakref.WeakSet[Connections] = weakref.WeakSet()
_inherited: list[object] = []


def _on_each(act: Callable[[Connections], None]) -> None:
    for connections in list(_all):
        act(connections)


@cache
def _watch_forks() -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=partial(_on_each, Connections.before_fork),
            after_in_parent=partial(_on_each, Connections.after_fork_in_parent),
            after_in_child=partial(_on_each, Connections.after_fork_in_child),
        )
