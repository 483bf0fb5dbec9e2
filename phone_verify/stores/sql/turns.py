"""How steps take their turns: connections, transactions, what is tried again, and what a fork must not share.

On a server most steps are tried *alone* first: they read, decide, and write in one statement that does nothing if
another step came between. Then they are run in a transaction that holds the phone's row: there nobody comes between.
On SQLite, which has one writer, `BEGIN IMMEDIATE` holds everything.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from typing import Any, TypeVar

import sqlalchemy as sa

from ... import lifecycle
from ...codes import TAG_LENGTH
from ...errors import StoreError
from ...lifecycle import Refused
from ...model import Verification
from .engine import DEADLOCKS, WAIT, code_of, name_of
from .rows import READ_AT, Phone, micros, record_of, time_of
from .statements import Reads

T = TypeVar("T")


class Overtaken(Exception):  # noqa: N818 - nothing is wrong
    """Another step came between reading and writing; nothing was written."""


class Turn:
    """One try of a step: its cursor, its time, and what it may read."""

    def __init__(self, cursor: Any, reads: Reads, now: datetime | None, *, server: bool, alone: bool) -> None:
        self.cursor = cursor
        self.alone = alone
        #: Whether something was sent that may have been done even if no answer comes.
        self.unclear = False
        self.wrote = False
        self._reads, self._now, self._server = reads, now, server
        self._holds = server and not alone

    def time(self, server_time: int | None) -> datetime:
        """The time of the step: the one given, the server's, or this process's own where there is no server."""
        if self._now is not None:
            return self._now
        return time_of(server_time) if self._server and server_time is not None else datetime.now(UTC)

    def server_time(self) -> datetime:
        """The time of the step, asked for by itself."""
        if self._now is not None or not self._server:
            return self.time(None)
        return self.time(self._reads.time(self.cursor).fetchone()[0])

    def record(self, id: str) -> tuple[Verification | None, Phone, datetime]:
        """Read a record and its phone, and the time; in a transaction both are held."""
        row = self._record(id)
        if row is None:
            # What has no record needs no exact time.
            return None, Phone(id[:TAG_LENGTH]), self.time(None)
        *values, windows, failures, ends_at, version = row
        at = self.time(values[READ_AT])
        record, phone = record_of(values, at), Phone(id[:TAG_LENGTH], (windows, failures, ends_at, version))
        return lifecycle.read(record, phone.failures_of(record.budget), at), phone, at

    def _record(self, id: str) -> Sequence[Any] | None:
        tag = id[:TAG_LENGTH]
        row: Sequence[Any] | None = None
        if self._holds:
            row = self._reads.held_record(self.cursor, this=id, of_phone=tag).fetchone()
        if row is None:
            row = self._reads.record(self.cursor, this=id, of_phone=tag).fetchone()
            if row is not None and self._holds:
                # Its phone has no row, and cannot be held without one.
                self._hold(tag)
                row = self._reads.record(self.cursor, this=id, of_phone=tag).fetchone()
        return row

    def phone(self, tag: str) -> tuple[Phone, datetime]:
        """Read a phone, and the time; in a transaction it is held."""
        if self._holds:
            self._hold(tag)
        server_time, *row = self._reads.phone(self.cursor, this=tag).fetchone()
        return Phone(tag, row), self.time(server_time)

    def _hold(self, tag: str) -> None:
        version = time.time_ns() // 1000
        self._reads.hold(self.cursor, tag=tag, windows="{}", failures="{}", ends_at=0, version=version)

    def siblings(self, tag: str, since: datetime) -> list[Verification]:
        """Read the records of a phone whose life was not over at `since`."""
        # "~" comes after every letter of an id.
        rows = self._reads.siblings(self.cursor, this=tag, beyond=f"{tag}~", since=micros(since))
        return [record_of(row, since) for row in rows]

    def write(self, write: Callable[..., bool], *values: Any) -> None:
        """Write what the step has decided. Raises `Overtaken`."""
        self.wrote = True
        self.unclear = self.alone  # then this is the commit, too
        if not write(self.cursor, *values):
            raise Overtaken


#: The ways a step is tried, in order: alone, or in a transaction.
READING = (True,)
GUARDED = (True, False)
HELD = (False,)

_BEGIN = {"sqlite": "BEGIN IMMEDIATE", "postgresql": "BEGIN ISOLATION LEVEL READ COMMITTED"}


class Turns:
    """Gives steps their turns on the connections of one engine; `prepare` is called before the first."""

    def __init__(self, engine: sa.Engine, prepare: Callable[[], None]) -> None:
        self.engine = engine
        self.server = engine.dialect.name != "sqlite"
        self._reads = Reads(engine.dialect)
        self._begin = _BEGIN.get(engine.dialect.name, "START TRANSACTION")
        self._prepare: Callable[[], None] | None = prepare
        # Threads queue here for SQLite's one writer; its own waiting is a poll with pauses.
        self._gate = threading.Lock()
        self._shut = False
        _all.add(self)
        _watch_forks()

    def take(self, step: Callable[[Turn], T], now: datetime | None, ways: Sequence[bool] = HELD) -> T:
        """Run a step, in these ways until it is not overtaken.

        Raises `StoreError`, and then either the whole step was done or nothing of it.
        """
        try:
            if self.server:
                for alone in ways[:-1]:
                    with suppress(Overtaken):
                        return self._at_most_twice(step, now, alone)
                return self._at_most_twice(step, now, ways[-1])
            if not self._gate.acquire(timeout=WAIT):
                raise StoreError("The SQLite store is too busy: other threads did not finish their steps in time")
            try:
                return self._once(step, now, ways is READING)
            finally:
                self._gate.release()
        except (sa.exc.SQLAlchemyError, self.engine.dialect.loaded_dbapi.Error) as error:
            # The error's own text may hold values of the statement.
            raise StoreError(f"The SQL store could not do the step: {name_of(error)}") from None

    def _at_most_twice(self, step: Callable[[Turn], T], now: datetime | None, alone: bool) -> T:
        begun = time.monotonic()
        try:
            return self._once(step, now, alone)
        except _NotDone as failure:
            if time.monotonic() - begun < WAIT / 2:
                with suppress(_NotDone):
                    return self._once(step, now, alone)
            raise failure.error from None

    def _once(self, step: Callable[[Turn], T], now: datetime | None, alone: bool) -> T:
        if self._prepare is not None:
            self._prepare()
            self._prepare = None
        connection = self.engine.raw_connection()
        turn = Turn(connection.cursor(), self._reads, now, server=self.server, alone=alone)
        try:
            if not alone:
                turn.cursor.execute(self._begin)
            result = step(turn)
            if not alone:
                if isinstance(result, Refused) and not turn.wrote:
                    connection.rollback()  # a commit would wait for the disk, for the sake of locks
                else:
                    turn.unclear = True
                    connection.commit()
            turn.cursor.close()
        except Overtaken:
            raise
        except BaseException as error:
            if self._undone(connection, error, turn):
                raise _NotDone(error) from None
            raise
        finally:
            connection.close()
        return result

    def _undone(self, connection: sa.PoolProxiedConnection, error: BaseException, turn: Turn) -> bool:
        """Roll back; True if surely nothing was done, and it may succeed when it is run again at once."""
        dialect = self.engine.dialect
        if isinstance(error, dialect.loaded_dbapi.Error):
            if dialect.is_disconnect(error, connection.dbapi_connection, None):
                connection.invalidate(error)
                self.engine.dispose()  # the server has gone away for all of them
                return not turn.unclear
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
        # SQLite's locks do not survive a fork, not even those of a connection that nobody uses again.
        if not self.server:
            self._shut = self._gate.acquire(timeout=WAIT)
            self.engine.dispose()

    def after_fork_in_parent(self) -> None:
        if self._shut:
            self._shut = False
            self._gate.release()

    def after_fork_in_child(self) -> None:
        self._shut, self._gate = False, threading.Lock()
        # Connections that a server's own way of forking left open stay so: closing one would end it for the parent.
        _inherited.append(self.engine.pool)
        self.engine.dispose(close=False)


class _NotDone(Exception):  # noqa: N818 - it holds the error
    """Surely nothing was done, and it may be tried again."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


_all: weakref.WeakSet[Turns] = weakref.WeakSet()
_inherited: list[sa.Pool] = []


def _each(act: Callable[[Turns], None]) -> Callable[[], None]:
    def act_on_each() -> None:
        for turns in list(_all):
            act(turns)

    return act_on_each


@cache
def _watch_forks() -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=_each(Turns.before_fork),
            after_in_parent=_each(Turns.after_fork_in_parent),
            after_in_child=_each(Turns.after_fork_in_child),
        )
