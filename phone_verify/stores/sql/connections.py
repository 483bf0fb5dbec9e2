"""The connections of one process to a database: begins of transactions, and what a fork must not share."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import sqlalchemy as sa

from ...errors import StoreError
from .engine import WAIT

_BEGIN = {"sqlite": "BEGIN IMMEDIATE", "postgresql": "BEGIN ISOLATION LEVEL READ COMMITTED"}
#: For one transaction behind a pooler, which keeps no settings of a session and no plans.
BEGIN_POOLED = (
    f"BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = '{WAIT}s'; "
    f"SET LOCAL statement_timeout = '{WAIT}s'; SET LOCAL jit = off"
)


class Connections:
    """The connections of an engine, which forked processes do not share."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self.server = engine.dialect.name != "sqlite"
        self._begin = _BEGIN.get(engine.dialect.name, "START TRANSACTION")
        # Threads queue here for SQLite's one writer; SQLite itself would poll with pauses.
        self._gate = threading.Lock()
        self._shut = False
        self._pid = os.getpid()
        _all.add(self)
        _watch_forks()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Admit one thread at a time to an SQLite file, and any number to a server. Raises `StoreError`."""
        if self._pid != os.getpid():
            # A server in C, like uWSGI, forks without calling Python's hooks.
            self.after_fork_in_child()
        gate = self._gate
        if not self.server and not gate.acquire(timeout=WAIT):
            raise StoreError("The SQLite file is too busy: other threads did not finish their steps in time")
        try:
            yield
        finally:
            if not self.server:
                gate.release()

    def begin(self, connection: object) -> str:
        """Return the statement that begins a transaction on this connection of the driver."""
        return BEGIN_POOLED if is_pooled(connection) else self._begin

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


def is_pooled(connection: object) -> bool:
    """Return whether a pooler may give each transaction of this connection another session of the server."""
    return getattr(connection, "pooled", False)


_all: weakref.WeakSet[Connections] = weakref.WeakSet()
_inherited: list[sa.Pool] = []


def _each(act: Callable[[Connections], None]) -> Callable[[], None]:
    def act_on_each() -> None:
        for connections in list(_all):
            act(connections)

    return act_on_each


@cache
def _watch_forks() -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=_each(Connections.before_fork),
            after_in_parent=_each(Connections.after_fork_in_parent),
            after_in_child=_each(Connections.after_fork_in_child),
        )
