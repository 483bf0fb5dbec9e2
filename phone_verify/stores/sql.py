"""Verifications in an SQL database: an SQLite file, PostgreSQL, MariaDB or MySQL.

One row per phone is what a step locks, and the phone's few counters ride in it: a step reads and writes one row
more than the record's own. On SQLite, which has one writer, `BEGIN IMMEDIATE` is the lock.

SQLAlchemy Core has the tables, the dialects and the connections. Its statements are compiled once and run on the
DBAPI cursor: on SQLite, where a statement takes five microseconds, executing it as a construct would take fifty.
Times are whole microseconds UTC, which every database keeps exactly.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import cycle
from typing import Any, TypeVar

from .. import lifecycle
from ..codes import TAG_LENGTH
from ..errors import ConfigurationError, StoreError
from ..lifecycle import Attachment, Failures, Limits, Opening, Quota, Refusal, Refused, Spent, Window
from ..model import Channel, Event, Holder, Status, Verification
from ..phone import PhoneNumber
from ..policy import FAILURE_MEMORY
from .base import KEPT, SWEPT_PER_START, checked_keep

try:
    import sqlalchemy as sa
    from sqlalchemy.dialects import mysql, postgresql, sqlite
except ImportError:
    raise ConfigurationError("An SQL store needs SQLAlchemy: pip install 'phone-verify[sql]'") from None

T = TypeVar("T")

#: A record's fields, in their order; `read_at` is not stored, the server's time is read in its place.
_FIELDS = tuple(field.name for field in fields(Verification) if field.name != "failures")

#: How long a step waits for a connection, for a lock and for an answer, in seconds.
WAIT = 5


def _text(length: int) -> sa.String:
    # Compared and sorted by bytes everywhere: the usual collations of MySQL take `a` and `A` for the same, and those
    # of PostgreSQL do not keep the ids of one phone together.
    exact = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    by_bytes = postgresql.VARCHAR(length, collation="C")
    return sa.String(length).with_variant(exact, "mysql", "mariadb").with_variant(by_bytes, "postgresql")


#: The tables, for a site's own migrations; such a site gives `create_tables=False`.
metadata = sa.MetaData()

#: A phone's tag begins the ids of its records, so the primary key finds them: no index, no column for it.
VERIFICATION = sa.Table(
    "phone_verify_verification",
    metadata,
    sa.Column("id", _text(44), primary_key=True),
    sa.Column("phone", _text(20), nullable=False),
    sa.Column("purpose", _text(32), nullable=False),
    sa.Column("service", _text(32), nullable=False),
    sa.Column("binding", sa.LargeBinary(32), nullable=False),
    sa.Column("channel", _text(16), nullable=False),
    sa.Column("driver", _text(64), nullable=False),
    sa.Column("holder", _text(16), nullable=False),
    sa.Column("status", _text(16), nullable=False),
    sa.Column("key_id", _text(16), nullable=False),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("code_digest", sa.LargeBinary(32)),
    sa.Column("code_length", sa.Integer),
    sa.Column("short", sa.SmallInteger, nullable=False),
    sa.Column("attempts_left", sa.Integer, nullable=False),
    sa.Column("sends", sa.Integer, nullable=False),
    sa.Column("locale", _text(64)),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False, index=True),
    sa.Column("resend_at", sa.BigInteger, nullable=False),
    sa.Column("reference", _text(255)),
    sa.Column("line", _text(20)),
    sa.Column("caller_hint", _text(20)),
    sa.Column("closed_at", sa.BigInteger),
    sa.Column("redeemed", sa.SmallInteger, nullable=False),
    sa.Column("polled_at", sa.BigInteger),
    sa.Column("answered", sa.Integer, nullable=False),
    sa.Column("freed", _text(512), nullable=False),
    sqlite_with_rowid=False,
)

#: `windows` and `failures` are JSON, by quota and by purpose: how many, and when they are forgotten.
PHONE = sa.Table(
    "phone_verify_phone",
    metadata,
    sa.Column("tag", _text(TAG_LENGTH), primary_key=True),
    sa.Column("windows", sa.Text, nullable=False),
    sa.Column("failures", sa.Text, nullable=False),
    sa.Column("ends_at", sa.BigInteger, nullable=False, index=True),
    sqlite_with_rowid=False,
)

#: The quotas that span phones.
COUNTER = sa.Table(
    "phone_verify_counter",
    metadata,
    sa.Column("name", _text(100), primary_key=True),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("ends_at", sa.BigInteger, nullable=False, index=True),
    sqlite_with_rowid=False,
)


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
        self._statements = _Statements(engine.dialect)
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
        return cls(_engine(url), keep=keep, create_tables=create_tables)

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
            counts = {name: Window(count, _time_of(ends_at)) for name, count, ends_at, _ in rows}
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
                values |= {f"name{n}": name, f"count{n}": window.count, f"ends_at{n}": _micros(window.ends_at)}
            write(cursor, **values)
            return [window.ends_at for window in windows]

        return self._transact(step)

    async def uncount(self, quotas: Sequence[Quota], windows: Sequence[datetime], now: datetime | None) -> None:
        def step(cursor: Any) -> None:
            for name, ends_at in sorted((q.key, _micros(end)) for q, end in zip(quotas, windows, strict=True)):
                self._statements.uncount(cursor, this=name, then=ends_at)

        self._transact(step)

    async def open(
        self, opening: Opening, quotas: Sequence[Quota], limits: Limits, now: datetime | None
    ) -> Verification | Refused:
        sql = self._statements

        def step(cursor: Any) -> Verification | Refused:
            if not self._embedded:
                sql.hold_phone(cursor, tag=opening.tag, windows="{}", failures="{}", ends_at=0)
            windows, failures, ends_at, server_time = sql.phone(cursor, this=opening.tag).fetchone() or _NO_PHONE
            at = self._time(now, server_time)
            phone = _Phone(windows, failures, ends_at)
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

    def _hold(self, cursor: Any, id: str, now: datetime | None) -> tuple[Verification | None, _Phone, datetime]:
        """Hold the phone of this record still, and read both."""
        if not self._embedded:
            self._statements.lock(cursor, this=id[:TAG_LENGTH]).fetchone()
        return self._read(cursor, id, now)

    def _read(self, cursor: Any, id: str, now: datetime | None) -> tuple[Verification | None, _Phone, datetime]:
        row = self._statements.record(cursor, this=id, tag=id[:TAG_LENGTH]).fetchone()
        if row is None:
            # What has no record needs no exact time.
            return None, _Phone("{}", "{}", 0), now or datetime.now(UTC)
        *values, windows, failures, ends_at = row
        at = self._time(now, values[_READ_AT])
        record, phone = _record(values, at), _Phone(windows, failures, ends_at)
        return lifecycle.read(record, phone.failures_of(record.purpose), at), phone, at

    def _hold_phone(self, cursor: Any, tag: str, now: datetime | None) -> tuple[_Phone, datetime]:
        if not self._embedded:
            self._statements.lock(cursor, this=tag).fetchone()
        windows, failures, ends_at, server_time = self._statements.phone(cursor, this=tag).fetchone() or _NO_PHONE
        return _Phone(windows, failures, ends_at), self._time(now, server_time)

    def _siblings(self, cursor: Any, tag: str, since: datetime) -> list[Verification]:
        """Read the records of a phone whose life was not over at `since`."""
        # "~" comes after every letter of an id.
        rows = self._statements.siblings(cursor, this=tag, beyond=f"{tag}~", since=_micros(since))
        return [_record(row, since) for row in rows]

    def _close(self, cursor: Any, phone: _Phone, record: Verification, at: datetime) -> None:
        self._statements.close(cursor, record)
        if record.status is Status.VERIFIED:
            self._fail(cursor, phone, record, None, at)

    def _fail(self, cursor: Any, phone: _Phone, record: Verification, failures: Failures | None, at: datetime) -> None:
        if phone.fail(record.purpose, failures):
            self._statements.save_phone(cursor, tag=record.tag, **phone.row(at))

    def _drop(self, cursor: Any, old: _Old, limit: int, at: datetime) -> int:
        keys = old.read(cursor, before=_micros(at - self._keep), most=limit).fetchall()
        for (key,) in keys:
            old.drop(cursor, this=key)
        return len(keys)

    def _time(self, now: datetime | None, server_time: int | None) -> datetime:
        if now is not None:
            return now
        return datetime.now(UTC) if self._embedded or server_time is None else _time_of(server_time)

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
            raise StoreError(f"The SQL store could not do the step: {_name(error)}") from None

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
            if _code(error) in _DEADLOCKS:
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


class _Phone:
    """A phone's row: what its quotas and its failures have counted."""

    def __init__(self, windows: str | None, failures: str | None, ends_at: int | None) -> None:
        self._windows: dict[str, list[int]] = json.loads(windows or "{}")
        self._failures: dict[str, list[int]] = json.loads(failures or "{}")
        self._ends_at = ends_at or 0

    def window(self, key: str) -> Window | None:
        counted = self._windows.get(key)
        return Window(counted[0], _time_of(counted[1])) if counted else None

    def failures_of(self, purpose: str) -> Failures | None:
        counted = self._failures.get(purpose)
        return Failures(counted[0], _time_of(counted[1]) - FAILURE_MEMORY) if counted else None

    def count(self, quotas: Sequence[Quota], windows: Sequence[Window]) -> None:
        for quota, window in zip(quotas, windows, strict=True):
            self._windows[quota.key] = [window.count, _micros(window.ends_at)]
            self.last_until(window.ends_at)

    def fail(self, purpose: str, failures: Failures | None) -> bool:
        """Put the count in its place; True if that changes anything."""
        if failures is None:
            return self._failures.pop(purpose, None) is not None
        ends_at = lifecycle.forgets_at(failures)
        self._failures[purpose] = [failures.count, _micros(ends_at)]
        self.last_until(ends_at)
        return True

    def last_until(self, time: datetime) -> None:
        self._ends_at = max(self._ends_at, _micros(time))

    def row(self, at: datetime) -> dict[str, Any]:
        now = _micros(at)
        return {
            "windows": _json({key: counted for key, counted in self._windows.items() if counted[1] > now}),
            "failures": _json({key: counted for key, counted in self._failures.items() if counted[1] > now}),
            "ends_at": self._ends_at,
        }


_NO_PHONE = (None, None, None, None)
_json = json.JSONEncoder(separators=(",", ":")).encode


class _Prepared:
    """A statement, compiled once, that runs on a DBAPI cursor and gives it back."""

    def __init__(self, statement: sa.ClauseElement, dialect: sa.Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        self._text = str(compiled)
        self._fixed = {name: value for name, value in compiled.params.items() if value is not None}
        self._order: Sequence[str] | None = getattr(compiled, "positiontup", None)

    def __call__(self, cursor: Any, **values: Any) -> Any:
        if self._fixed:
            values |= self._fixed
        cursor.execute(self._text, values if self._order is None else [values[name] for name in self._order])
        return cursor


class _Change:
    """A statement that writes these fields of a record."""

    def __init__(self, statement: sa.ClauseElement, names: Sequence[str], dialect: sa.Dialect) -> None:
        self._run = _Prepared(statement, dialect)
        self._names = names

    def __call__(self, cursor: Any, record: Verification) -> None:
        self._run(cursor, this=record.id, **{name: _stored(getattr(record, name)) for name in self._names})


class _Old:
    """Finds the rows of a table that are over, the oldest first, and drops one."""

    def __init__(self, column: sa.Column[Any], over: sa.Column[Any], dialect: sa.Dialect) -> None:
        # A row that another step holds is left to the next start: nobody waits in order to tidy up.
        rows = sa.select(column).where(over <= sa.bindparam("before")).order_by(over).limit(sa.bindparam("most"))
        self.read = _Prepared(rows.with_for_update(skip_locked=True), dialect)
        self.drop = _Prepared(sa.delete(column.table).where(column == sa.bindparam("this")), dialect)


class _Statements:
    """All statements of the store, in the words of one database."""

    def __init__(self, dialect: sa.Dialect) -> None:
        self._dialect = dialect
        now = _now(dialect.name)
        record, phone, counter = VERIFICATION.c, PHONE.c, COUNTER.c
        this: sa.BindParameter[str] = sa.bindparam("this")
        tag = sa.func.substr(record.id, sa.literal_column("1"), sa.literal_column(str(TAG_LENGTH)))
        elsewhere = {"tag": tag, "read_at": now}
        columns = [elsewhere[name] if name in elsewhere else record[name] for name in _FIELDS]
        stored = [name for name in _FIELDS if name not in elsewhere]

        def prepared(statement: sa.ClauseElement) -> _Prepared:
            return _Prepared(statement, dialect)

        def change(*names: str) -> _Change:
            values: dict[str, Any] = {name: sa.bindparam(name) for name in names}
            return _Change(sa.update(VERIFICATION).where(record.id == this).values(values), names, dialect)

        self.time = prepared(sa.select(now))
        self.lock = prepared(sa.select(phone.tag).where(phone.tag == this).with_for_update())
        self.record = prepared(
            sa.select(*columns, phone.windows, phone.failures, phone.ends_at)
            .select_from(VERIFICATION.outerjoin(PHONE, phone.tag == sa.bindparam("tag")))
            .where(record.id == this)
        )
        self.siblings = prepared(
            sa.select(*columns).where(
                record.id >= this, record.id < sa.bindparam("beyond"), record.expires_at > sa.bindparam("since")
            )
        )
        self.insert = _Change(sa.insert(VERIFICATION), stored, dialect)
        self.attach = change(
            "status",
            "channel",
            "driver",
            "holder",
            "key_id",
            "generation",
            "code_digest",
            "code_length",
            "short",
            "attempts_left",
            "expires_at",
            "reference",
            "line",
            "caller_hint",
            "answered",
            "freed",
        )
        self.close = change("status", "closed_at")
        self.spend = change("status", "closed_at", "attempts_left")
        self.reopen = change("sends", "resend_at")
        self.poll = change("polled_at")
        self.redeem = change("redeemed")
        self.phone = prepared(sa.select(phone.windows, phone.failures, phone.ends_at, now).where(phone.tag == this))
        row: list[dict[str, Any]] = [{column.name: sa.bindparam(column.name) for column in phone}]
        self.hold_phone = prepared(_upsert(dialect.name, PHONE, row, "tag"))
        self.save_phone = prepared(_upsert(dialect.name, PHONE, row, "windows", "failures", "ends_at"))
        self.uncount = prepared(
            sa.update(COUNTER)
            .where(counter.name == this, counter.ends_at == sa.bindparam("then"), counter["count"] > 0)
            .values(count=counter["count"] - 1)
        )
        self.old_records = _Old(record.id, record.expires_at, dialect)
        self.old_phones = _Old(phone.tag, phone.ends_at, dialect)
        self.old_counters = _Old(counter.name, counter.ends_at, dialect)
        self._counters: dict[int, tuple[_Prepared, _Prepared, _Prepared]] = {}

    def counters(self, count: int) -> tuple[_Prepared, _Prepared, _Prepared]:
        """The statements that hold, read and write this many counters."""
        if count not in self._counters:
            c = COUNTER.c
            names: list[sa.BindParameter[str]] = [sa.bindparam(f"name{n}") for n in range(count)]
            empty = [{"name": name, "count": sa.literal(0), "ends_at": sa.literal(0)} for name in names]
            full = [
                {"name": name, "count": sa.bindparam(f"count{n}"), "ends_at": sa.bindparam(f"ends_at{n}")}
                for n, name in enumerate(names)
            ]
            read = sa.select(c.name, c["count"], c.ends_at, _now(self._dialect.name))
            self._counters[count] = (
                _Prepared(_upsert(self._dialect.name, COUNTER, empty, "name"), self._dialect),
                _Prepared(read.where(sa.or_(*(c.name == name for name in names))), self._dialect),
                _Prepared(_upsert(self._dialect.name, COUNTER, full, "count", "ends_at"), self._dialect),
            )
        return self._counters[count]


def _now(dialect_name: str) -> sa.ColumnElement[Any]:
    """The server's time in microseconds; taken when the statement runs, not when its transaction began."""
    text = {
        "sqlite": "0",
        "postgresql": "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)",
    }
    return sa.literal_column(text.get(dialect_name, "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))"))


def _upsert(dialect_name: str, table: sa.Table, rows: Sequence[Mapping[str, Any]], *changed: str) -> sa.ClauseElement:
    """Insert rows, or change these columns of those that are there already; either way they are locked."""
    if dialect_name in ("mysql", "mariadb"):
        insert = mysql.insert(table).values(rows)
        return insert.on_duplicate_key_update({name: insert.inserted[name] for name in changed})
    module = sqlite if dialect_name == "sqlite" else postgresql
    upsert: sqlite.Insert | postgresql.Insert = module.insert(table).values(rows)
    return upsert.on_conflict_do_update(
        index_elements=list(table.primary_key), set_={name: upsert.excluded[name] for name in changed}
    )


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def _micros(time: datetime) -> int:
    return (time - _EPOCH) // _MICROSECOND


def _time_of(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


#: What the columns that are no plain text or number are made into.
_MADE: dict[str, Callable[[Any], object]] = {
    "phone": PhoneNumber,
    "channel": Channel,
    "holder": Holder,
    "status": Status,
    "short": bool,
    "created_at": _time_of,
    "expires_at": _time_of,
    "resend_at": _time_of,
    "line": PhoneNumber,
    "closed_at": _time_of,
    "redeemed": bool,
    "polled_at": _time_of,
}
_PLACES = [(_FIELDS.index(name), made) for name, made in _MADE.items()]
_READ_AT = _FIELDS.index("read_at")


def _record(row: Sequence[Any], read_at: datetime) -> Verification:
    values = list(row)
    for place, made in _PLACES:
        if values[place] is not None:
            values[place] = made(values[place])
    values[_READ_AT] = read_at
    return Verification(*values)


#: How what is no plain text or number is kept.
_KEPT_AS: dict[type, Callable[[Any], object]] = {
    datetime: _micros,
    PhoneNumber: lambda phone: phone.e164,
    bool: int,
    **dict.fromkeys((Channel, Holder, Status), lambda word: word.value),
}


def _stored(value: object) -> object:
    kept_as = _KEPT_AS.get(type(value))
    return kept_as(value) if kept_as else value


#: By scheme: SQLAlchemy's name for it and the extras that it needs.
_SCHEMES = {
    "sqlite": ("sqlite", "sql"),
    "postgresql": ("postgresql+psycopg", "sql,postgresql"),
    "mysql": ("mysql+pymysql", "sql,mysql"),
}


def _engine(text: str) -> sa.Engine:
    try:
        url = sa.make_url(text)
    except (sa.exc.ArgumentError, ValueError):
        # Its own text would hold the password.
        raise ConfigurationError(
            "PHONE_VERIFY_STORE is no database URL: write sqlite:///file, postgresql://… or mysql://…"
        ) from None
    if url.drivername not in _SCHEMES:
        raise ConfigurationError(
            f"PHONE_VERIFY_STORE: no store is called {url.drivername!r}; SQL stores are {', '.join(_SCHEMES)}"
        )
    driver, extras = _SCHEMES[url.drivername]
    options: dict[str, Any] = {"pool_timeout": WAIT, "pool_reset_on_return": None, "hide_parameters": True}
    if url.drivername == "sqlite":
        url = _with_file(url)
        options |= {
            "pool_size": 1,
            "max_overflow": 0,
            "connect_args": {"timeout": WAIT, "isolation_level": None, "check_same_thread": False},
        }
    elif url.drivername == "postgresql":
        settings = f"-c lock_timeout={WAIT}s -c statement_timeout={WAIT}s"
        options |= {
            "isolation_level": "READ COMMITTED",
            "connect_args": {"connect_timeout": WAIT, "tcp_user_timeout": WAIT * 1000, "options": settings},
        }
    else:
        options |= {
            "isolation_level": "READ COMMITTED",
            "connect_args": {
                "connect_timeout": WAIT,
                "read_timeout": WAIT,
                "write_timeout": WAIT,
                "charset": "utf8mb4",
                "init_command": f"SET SESSION innodb_lock_wait_timeout = {WAIT - 1}",
            },
        }
    try:
        engine = sa.create_engine(url.set(drivername=driver), **options)
    except ImportError:
        raise ConfigurationError(
            f"PHONE_VERIFY_STORE: {url.drivername} needs pip install 'phone-verify[{extras}]'"
        ) from None
    if url.drivername == "sqlite":
        sa.event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _with_file(url: sa.URL) -> sa.URL:
    if url.database in (None, "", ":memory:") or str(url.database).startswith("file:"):
        raise ConfigurationError(
            "PHONE_VERIFY_STORE: SQLite needs a file, like sqlite:////var/lib/site/phone_verify.sqlite3; "
            "for a store in memory write memory:"
        )
    # Found once: a server may change its directory after the start.
    return url.set(database=os.path.abspath(str(url.database)))


def _prepare_sqlite(connection: sqlite3.Connection, _: object) -> None:
    # Where several processes turn a new file to WAL at once, all but one are told "locked" without any waiting.
    deadline = time.monotonic() + WAIT
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.01)
    connection.execute("PRAGMA synchronous = NORMAL")


#: A deadlock or a conflict of transactions: PostgreSQL's SQLSTATE, MySQL's number.
_DEADLOCKS: frozenset[object] = frozenset({"40001", "40P01", 1213})


def _code(error: BaseException) -> object:
    for name in ("sqlite_errorname", "sqlstate"):
        if code := getattr(error, name, None):
            return code
    return error.args[0] if error.args and isinstance(error.args[0], int) else None


def _name(error: BaseException) -> str:
    """The kind and the code of a database's error, without its text."""
    cause = getattr(error, "orig", None) or error
    code = _code(cause)
    return f"{type(cause).__name__} {code}" if code else type(cause).__name__
