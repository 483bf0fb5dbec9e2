"""The SQL store: each verb is one transaction, which holds one phone's row."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import cycle
from typing import Any, TypeVar

import sqlalchemy as sa

from ... import lifecycle
from ...codes import TAG_LENGTH
from ...errors import StoreError
from ...lifecycle import Attachment, Failures, Limits, Opening, Quota, Refusal, Refused, Spent, Window
from ...model import Event, Status, Verification
from ..base import KEPT, SWEPT_PER_START, checked_keep
from .engine import DEADLOCKS, WAIT, code_of, engine_of, name_of
from .rows import NO_PHONE, READ_AT, Phone, micros, record_of, time_of
from .statements import Old, Statements
from .tables import metadata

T = TypeVar("T")


class SqlStore:
    """A store in an SQL database that other processes may use as well. `from_url` makes the engine it needs.

    The tables are made at the first step, unless `create_tables` is false. Records are kept for `keep` after
    their life.

    SQLite runs with `synchronous=NORMAL`: a step that has ended survives the death of any process. A power cut may
    take back the last few steps, together and without damage; forcing each to the disk would cost every visitor
    several disk writes to deny a few more guesses to somebody who can cut the power.
    """

    def __init__(self, engine: sa.Engine, *, keep: timedelta = KEPT, create_tables: bool = True) -> None:
        self._engine = engine
        self._keep = checked_keep(keep)
        self._embedded = engine.dialect.name == "sqlite"
        self._statements = Statements(engine.dialect)
        self._ready = not create_tables
        # Threads queue here for SQLite's one writer; its own waiting is a poll with pauses.
        self._gate = threading.Lock()
        self._held = False
        self._turn = cycle((self._statements.old_phones, self._statements.old_counters))
        _stores.add(self)
        _watch_forks()

    @classmethod
    def from_url(cls, url: str, *, keep: timedelta = KEPT, create_tables: bool = True) -> SqlStore:
        """Return a store for `sqlite:///relative`, `sqlite:////absolute`, `postgresql://…` or `mysql://…`.

        Raises `ConfigurationError` for any other, for SQLite without a file, and for a missing package.
        """
        engine = engine_of(url)
        store = cls(engine, keep=keep, create_tables=create_tables)
        # The engine is the store's own, and so are its connections: they are closed with it.
        weakref.finalize(store, engine.dispose)
        return store

    def __repr__(self) -> str:
        return f"<SqlStore on {self._engine.dialect.name}>"

    def create_tables(self) -> None:
        """Make the tables that are missing. Any number of processes may do so at once."""
        name = self._engine.dialect.name
        with self._engine.connect() as connection:
            # "IF NOT EXISTS" alone still fails on PostgreSQL where two come at the same moment.
            if name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            elif name == "postgresql":
                connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7046293817)")
            else:
                connection.exec_driver_sql(f"SELECT GET_LOCK('phone_verify tables', {WAIT})")
            try:
                metadata.create_all(connection)
            finally:
                if name in ("mysql", "mariadb"):
                    connection.exec_driver_sql("SELECT RELEASE_LOCK('phone_verify tables')")
            connection.commit()
        self._ready = True

    async def count(self, quotas: Sequence[Quota], now: datetime | None) -> Sequence[datetime] | Refused:
        if not quotas:
            return []

        def step(cursor: Any) -> Sequence[datetime] | Refused:
            # Each in the order of their names, so that no two steps wait for each other.
            names = sorted({quota.key for quota in quotas})
            hold, read, write = self._statements.counters(len(names))
            if not self._embedded:
                hold(cursor, **{f"name{n}": name for n, name in enumerate(names)})
            rows = read(cursor, **{f"name{n}": name for n, name in enumerate(names)}).fetchall()
            at = self._time(now, rows[0][3] if rows else None)
            counts = {name: Window(count, time_of(ends_at)) for name, count, ends_at, _ in rows}
            windows = []
            for quota in quotas:
                window = lifecycle.counted(counts.get(quota.key), quota, at)
                if isinstance(window, Refused):
                    return window
                windows.append(window)
            values: dict[str, Any] = {}
            by_name = {quota.key: window for quota, window in zip(quotas, windows, strict=True)}
            for n, name in enumerate(names):
                window = by_name[name]
                values |= {f"name{n}": name, f"count{n}": window.count, f"ends_at{n}": micros(window.ends_at)}
            write(cursor, **values)
            return [window.ends_at for window in windows]

        return self._transact(step)

    async def uncount(self, quotas: Sequence[Quota], windows: Sequence[datetime], now: datetime | None) -> None:
        def step(cursor: Any) -> None:
            for name, ends_at in sorted((q.key, micros(end)) for q, end in zip(quotas, windows, strict=True)):
                self._statements.uncount(cursor, this=name, then=ends_at)

        self._transact(step)

    async def open(
        self, opening: Opening, quotas: Sequence[Quota], limits: Limits, now: datetime | None
    ) -> Verification | Refused:
        sql = self._statements

        def step(cursor: Any) -> Verification | Refused:
            if not self._embedded:
                sql.hold_phone(cursor, tag=opening.tag, windows="{}", failures="{}", ends_at=0)
            windows, failures, ends_at, server_time = sql.phone(cursor, this=opening.tag).fetchone() or NO_PHONE
            at = self._time(now, server_time)
            phone = Phone(windows, failures, ends_at)
            opened = lifecycle.opened(
                opening,
                self._siblings(cursor, opening.tag, at) if opening.shown else (),
                [(quota, phone.window(quota.key)) for quota in quotas],
                phone.failures_of(opening.purpose),
                limits,
                at,
            )
            if isinstance(opened, Refused):
                return opened
            record = opened.record
            for ended in opened.ended:
                sql.close(cursor, ended)
            phone.count(quotas, opened.windows)
            phone.last_until(record.expires_at)
            sql.save_phone(cursor, tag=record.tag, **phone.row(at))
            sql.insert(cursor, record)
            self._drop(cursor, sql.old_records, SWEPT_PER_START, at)
            self._drop(cursor, next(self._turn), 4 * SWEPT_PER_START, at)
            return record

        return self._transact(step)

    async def attach(self, id: str, attachment: Attachment, now: datetime | None) -> Verification | Refused:
        def step(cursor: Any) -> Verification | Refused:
            record, _, at = self._hold(cursor, id, now)
            if record is None:
                return Refused(Refusal.CLOSED)
            by_line = attachment.line is not None
            siblings = self._siblings(cursor, record.tag, at - lifecycle.LINE_REST) if by_line else ()
            attached = lifecycle.attached(record, attachment, siblings, at)
            if not isinstance(attached, Refused):
                self._statements.attach(cursor, attached)
            elif attached.why is Refusal.LINE_TAKEN and attached.record is not None:
                self._statements.close(cursor, attached.record)
            return attached

        return self._transact(step)

    async def spend(
        self, id: str, binding: bytes, digests: Sequence[bytes], length: int, limits: Limits, now: datetime | None
    ) -> Spent | Refused:
        def step(cursor: Any) -> Spent | Refused:
            record, phone, at = self._hold(cursor, id, now)
            failures = phone.failures_of(record.purpose) if record is not None else None
            spent = lifecycle.spent(record, binding, digests, length, failures, limits, at)
            if isinstance(spent, Spent):
                self._statements.spend(cursor, spent.record)
                self._fail(cursor, phone, spent.record, spent.failures, at)
            return spent

        return self._transact(step)

    async def reopen(
        self,
        id: str,
        binding: bytes,
        short: bool,
        quotas: Sequence[Quota],
        limits: Limits,
        resend_after: timedelta,
        now: datetime | None,
    ) -> Verification | Refused:
        sql = self._statements

        def step(cursor: Any) -> Verification | Refused:
            record, phone, at = self._hold(cursor, id, now)
            windows = [(quota, phone.window(quota.key)) for quota in quotas]
            failures = phone.failures_of(record.purpose) if record is not None else None
            reopened = lifecycle.reopened(record, binding, short, windows, failures, limits, resend_after, at)
            if isinstance(reopened, Refused):
                return reopened
            record, counts = reopened
            phone.count(quotas, counts)
            sql.save_phone(cursor, tag=record.tag, **phone.row(at))
            sql.reopen(cursor, record)
            return record

        return self._transact(step)

    async def settle(self, id: str, status: Status, now: datetime | None, generation: int | None = None) -> bool:
        def step(cursor: Any) -> bool:
            record, phone, at = self._hold(cursor, id, now)
            settled = lifecycle.settled(record, status, at, generation)
            if settled is not None:
                self._close(cursor, phone, settled, at)
            return settled is not None

        return self._transact(step)

    async def forgive(self, id: str, now: datetime | None) -> None:
        def step(cursor: Any) -> None:
            record, phone, at = self._hold(cursor, id, now)
            if record is not None:
                forgiven = lifecycle.forgiven(phone.failures_of(record.purpose))
                self._fail(cursor, phone, record, forgiven, at)

        self._transact(step)

    async def claim(self, driver: str, tag: str, event: Event, now: datetime | None) -> Verification | None:
        def step(cursor: Any) -> Verification | None:
            phone, at = self._hold_phone(cursor, tag, now)
            claimed = lifecycle.claimed(self._siblings(cursor, tag, at), driver, event, at)
            if claimed is not None:
                self._close(cursor, phone, claimed, at)
            return claimed

        return self._transact(step)

    async def find(self, driver: str, tag: str, reference: str, now: datetime | None) -> Verification | None:
        def step(cursor: Any) -> Verification | None:
            row = self._statements.phone(cursor, this=tag).fetchone()
            if row is None:
                return None
            at = self._time(now, row[3])
            return lifecycle.found(self._siblings(cursor, tag, at), driver, reference, at)

        return self._transact(step, write=False)

    async def get(self, id: str, now: datetime | None) -> Verification | None:
        return self._transact(lambda cursor: self._read(cursor, id, now)[0], write=False)

    async def may_poll(self, id: str, binding: bytes | None, now: datetime | None) -> bool:
        def step(cursor: Any) -> bool:
            record, _, at = self._hold(cursor, id, now)
            due = lifecycle.poll_due(record, binding, at)
            if due is not None:
                self._statements.poll(cursor, due[1])
            return due is not None and due[0]

        return self._transact(step)

    async def redeem(self, id: str, binding: bytes, now: datetime | None) -> Verification | None:
        def step(cursor: Any) -> Verification | None:
            record, _, at = self._hold(cursor, id, now)
            due = lifecycle.proof_due(record, binding, at)
            if due is not None:
                self._statements.redeem(cursor, due)
            return due

        return self._transact(step)

    async def purge(self, limit: int, now: datetime | None) -> int:
        sql = self._statements

        def step(cursor: Any) -> int:
            at = self._time(now, None if self._embedded else sql.time(cursor).fetchone()[0])
            gone = 0
            for old in (sql.old_records, sql.old_phones, sql.old_counters):
                gone += self._drop(cursor, old, limit - gone, at)
            return gone

        return self._transact(step)

    # The parts of a step.

    def _hold(self, cursor: Any, id: str, now: datetime | None) -> tuple[Verification | None, Phone, datetime]:
        """Hold the phone of this record still, and read both."""
        if not self._embedded:
            self._statements.lock(cursor, this=id[:TAG_LENGTH]).fetchone()
        return self._read(cursor, id, now)

    def _read(self, cursor: Any, id: str, now: datetime | None) -> tuple[Verification | None, Phone, datetime]:
        row = self._statements.record(cursor, this=id, tag=id[:TAG_LENGTH]).fetchone()
        if row is None:
            # What has no record needs no exact time.
            return None, Phone("{}", "{}", 0), now or datetime.now(UTC)
        *values, windows, failures, ends_at = row
        at = self._time(now, values[READ_AT])
        record, phone = record_of(values, at), Phone(windows, failures, ends_at)
        return lifecycle.read(record, phone.failures_of(record.purpose), at), phone, at

    def _hold_phone(self, cursor: Any, tag: str, now: datetime | None) -> tuple[Phone, datetime]:
        if not self._embedded:
            self._statements.lock(cursor, this=tag).fetchone()
        windows, failures, ends_at, server_time = self._statements.phone(cursor, this=tag).fetchone() or NO_PHONE
        return Phone(windows, failures, ends_at), self._time(now, server_time)

    def _siblings(self, cursor: Any, tag: str, since: datetime) -> list[Verification]:
        """Read the records of a phone whose life was not over at `since`."""
        # "~" comes after every letter of an id.
        rows = self._statements.siblings(cursor, this=tag, beyond=f"{tag}~", since=micros(since))
        return [record_of(row, since) for row in rows]

    def _close(self, cursor: Any, phone: Phone, record: Verification, at: datetime) -> None:
        self._statements.close(cursor, record)
        if record.status is Status.VERIFIED:
            self._fail(cursor, phone, record, None, at)

    def _fail(self, cursor: Any, phone: Phone, record: Verification, failures: Failures | None, at: datetime) -> None:
        if phone.fail(record.purpose, failures):
            self._statements.save_phone(cursor, tag=record.tag, **phone.row(at))

    def _drop(self, cursor: Any, old: Old, limit: int, at: datetime) -> int:
        keys = old.read(cursor, before=micros(at - self._keep), most=limit).fetchall()
        for (key,) in keys:
            old.drop(cursor, this=key)
        return len(keys)

    def _time(self, now: datetime | None, server_time: int | None) -> datetime:
        if now is not None:
            return now
        return datetime.now(UTC) if self._embedded or server_time is None else time_of(server_time)

    # Transactions.

    def _transact(self, step: Callable[[Any], T], *, write: bool = True) -> T:
        """Run a step in a transaction of its own.

        It is run once more where a connection turned out to be dead, or the server chose it to end a deadlock: if
        it had not come to its commit, then surely nothing of it was done.
        """
        begun = time.monotonic()
        try:
            if not self._embedded:
                return self._attempt(step, write, again=True, begun=begun)
            if not self._gate.acquire(timeout=WAIT):
                raise StoreError("The SQLite store is too busy: other threads did not finish their steps in time")
            try:
                return self._attempt(step, write, again=False, begun=begun)
            finally:
                self._gate.release()
        except (sa.exc.SQLAlchemyError, self._engine.dialect.loaded_dbapi.Error) as error:
            # The error's own text may hold values of the statement.
            raise StoreError(f"The SQL store could not do the step: {name_of(error)}") from None

    def _attempt(self, step: Callable[[Any], T], write: bool, *, again: bool, begun: float) -> T:
        if not self._ready:
            self.create_tables()
        connection = self._engine.raw_connection()
        committing = False
        try:
            cursor = connection.cursor()
            if self._embedded and write:
                cursor.execute("BEGIN IMMEDIATE")
            result = step(cursor)
            committing = True
            connection.commit()
            cursor.close()
        except BaseException as error:
            undone = self._undo(connection, error)
            if undone and again and not committing and time.monotonic() - begun < WAIT / 2:
                return self._attempt(step, write, again=False, begun=begun)
            raise
        finally:
            connection.close()
        return result

    def _undo(self, connection: Any, error: BaseException) -> bool:
        """Roll back; True if the step may succeed when it is run again at once."""
        dialect = self._engine.dialect
        dbapi_connection = connection.dbapi_connection
        if isinstance(error, dialect.loaded_dbapi.Error):
            if dialect.is_disconnect(error, dbapi_connection, None):
                connection.invalidate(error)
                self._engine.dispose()  # the server has gone away for all of them
                return True
            if code_of(error) in DEADLOCKS:
                connection.rollback()
                return True
        try:
            connection.rollback()
        except dialect.loaded_dbapi.Error as lost:
            connection.invalidate(lost)
        return False

    # Forks.

    def _before_fork(self) -> None:
        # SQLite's locks do not survive a fork, not even those of a connection that nobody uses again.
        if self._embedded:
            self._held = self._gate.acquire(timeout=WAIT)
            self._engine.dispose()

    def _after_fork_in_parent(self) -> None:
        if self._held:
            self._held = False
            self._gate.release()

    def _after_fork_in_child(self) -> None:
        self._held, self._gate = False, threading.Lock()
        # Connections that a server's own way of forking left open stay so: closing one would end it for the parent.
        _inherited.append(self._engine.pool)
        self._engine.dispose(close=False)


_stores: weakref.WeakSet[SqlStore] = weakref.WeakSet()
_inherited: list[sa.Pool] = []


def _each(act: Callable[[SqlStore], None]) -> Callable[[], None]:
    def act_on_each() -> None:
        for store in list(_stores):
            act(store)

    return act_on_each


@cache
def _watch_forks() -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=_each(SqlStore._before_fork),
            after_in_parent=_each(SqlStore._after_fork_in_parent),
            after_in_child=_each(SqlStore._after_fork_in_child),
        )
