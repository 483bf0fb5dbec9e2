"""The statements that change what the store keeps, compiled once in the words of one database.

What a step has decided is written in one statement where the database can do that, and only if the phone's row still
has the version that the decision was made from. SQLite needs neither: there a step has the whole file to itself.

On PostgreSQL, what is *lazy* does not wait for the disk. After a power cut it is as if the process had died just
before, which every flow has to bear anyway; what is written later and does wait takes it to the disk as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from ...lifecycle import Opened, Quota, Window
from ...model import Verification
from ..base import SWEPT_PER_START
from .rows import Phone, micros, stored
from .statements import Prepared, bound, server_time, upsert
from .tables import COUNTER, FIELDS, PHONE, VERIFICATION

_WITHOUT_WAITING: sa.ColumnElement[str] = sa.literal_column("set_config('synchronous_commit', 'off', true)")
_COUNTED = ("windows", "failures", "ends_at", "version")
#: What a receipt may change.
_RECEIPT = (
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
_CLOSED = ("status", "closed_at")
_INSERTED = tuple(name for name in FIELDS if name not in ("tag", "read_at"))


def _values(names: Iterable[str]) -> dict[str, Any]:
    return {name: sa.bindparam(name) for name in names}


def _fields_of(record: Verification, names: Iterable[str]) -> dict[str, object]:
    return {name: stored(getattr(record, name)) for name in names}


def _as_read() -> Sequence[sa.ColumnElement[bool]]:
    """That the phone's row is still the one that was read."""
    return PHONE.c.tag == sa.bindparam("of_phone"), PHONE.c.version == sa.bindparam("old_version")


class Writes:
    """All statements that change, in the words of one database."""

    def __init__(self, dialect: sa.Dialect) -> None:
        self._dialect = dialect
        #: Whether a start, and a count, can be written in one statement.
        self.at_once = dialect.name == "postgresql"
        kind = OpenAtOnce if self.at_once else Open
        #: The ways to write a start, which take turns in what else they sweep away.
        self.openings: Sequence[Open | OpenAtOnce] = [kind(swept, dialect) for swept in (PHONE, COUNTER)]
        self.attach = Change(_RECEIPT, dialect)
        self.attach_lazily = Change(_RECEIPT, dialect, lazy=True)
        self.close = Change(_CLOSED, dialect)
        self.spend = Change((*_CLOSED, "attempts_left"), dialect)
        self.reopen = Change(("sends", "resend_at"), dialect)
        self.poll = Change(("polled_at",), dialect, lazy=True)
        self.redeem = Change(("redeemed",), dialect)
        #: Of the phone only; a record always has one, and it stays.
        self.forgive = Change(("purpose",), dialect, lazy=True)
        self.old = [Old(table, dialect) for table in (VERIFICATION, PHONE, COUNTER)]
        c = COUNTER.c
        counted = (c.name == sa.bindparam("this"), c.ends_at == sa.bindparam("then"), c["count"] > 0)
        self.uncount = Prepared(sa.update(COUNTER).where(*counted).values(count=c["count"] - 1), dialect)
        this: sa.BindParameter[str] = sa.bindparam("this")
        of_phone = (VERIFICATION.c.id >= this, VERIFICATION.c.id < sa.bindparam("beyond"))
        self.erase_records = Prepared(sa.delete(VERIFICATION).where(*of_phone), dialect)
        self.erase_phone = Prepared(sa.delete(PHONE).where(PHONE.c.tag == this), dialect)
        self._counters: dict[int, Counters] = {}

    def counters(self, count: int) -> Counters:
        """The statements for this many counters."""
        if count not in self._counters:
            self._counters[count] = Counters(count, self._dialect)
        return self._counters[count]


class Change:
    """Writes these fields of a record, and what is counted of its phone; False if another step came between."""

    def __init__(self, names: Sequence[str], dialect: sa.Dialect, *, lazy: bool = False) -> None:
        self._names = names
        self._phone: Prepared | None = None
        this = VERIFICATION.c.id == sa.bindparam("this")
        record = sa.update(VERIFICATION).where(this).values(_values(names))
        if dialect.name == "sqlite":
            self._phone = Prepared(upsert(dialect.name, PHONE, [bound(PHONE)], *_COUNTED), dialect)
            self._record = Prepared(record, dialect)
        elif dialect.name == "postgresql":
            held = sa.update(PHONE).where(*_as_read()).values(_values(_COUNTED)).returning(PHONE.c.tag).cte("held")
            guarded = record.where(held.c.tag == sa.bindparam("of_phone"))
            self._record = Prepared(guarded.returning(_WITHOUT_WAITING) if lazy else guarded, dialect)
        else:
            # One UPDATE of two tables, in MySQL's own way; they are locked in the order in which they are named.
            both = sa.update(PHONE).where(this, *_as_read())
            fields = {VERIFICATION.c[name]: value for name, value in _values(names).items()}
            counts = {PHONE.c[name]: value for name, value in _values(_COUNTED).items()}
            self._record = Prepared(both.values({**fields, **counts}), dialect)

    def __call__(self, cursor: Any, phone: Phone, record: Verification, at: datetime) -> bool:
        values = _fields_of(record, self._names)
        if self._phone is None:
            done = self._record(cursor, this=record.id, of_phone=phone.tag, **phone.row(at), **values)
            return bool(done.rowcount > 0)
        if phone.changed:
            self._phone(cursor, **phone.row(at))
        self._record(cursor, this=record.id, **values)
        return True


def _old(table: sa.Table) -> tuple[sa.Column[Any], sa.Select[Any]]:
    """The key of a table, and the rows that are over, the oldest first. One that a step holds is left for later."""
    (key,) = table.primary_key
    over = table.c.expires_at if table is VERIFICATION else table.c.ends_at
    rows = sa.select(key).where(over <= sa.bindparam("before")).order_by(over)
    return key, rows.with_for_update(skip_locked=True)


class Old:
    """Drops rows of a table that are over."""

    def __init__(self, table: sa.Table, dialect: sa.Dialect) -> None:
        key, rows = _old(table)
        rows = rows.limit(sa.bindparam("most"))
        self._read: Prepared | None = None
        if dialect.name in ("sqlite", "postgresql"):
            self._drop = Prepared(sa.delete(table).where(key.in_(rows)), dialect)
        else:
            # MySQL takes no LIMIT inside IN.
            self._read = Prepared(rows, dialect)
            self._drop = Prepared(sa.delete(table).where(key == sa.bindparam("this")), dialect)

    def __call__(self, cursor: Any, before: datetime, most: int) -> int:
        if self._read is None:
            return int(self._drop(cursor, before=micros(before), most=most).rowcount)
        keys = self._read(cursor, before=micros(before), most=most).fetchall()
        for (key,) in keys:
            self._drop(cursor, this=key)
        return len(keys)


class Open:
    """Writes a start: the counts of its phone, its record, the ends of others. Sweeps away some of what is over.

    Several statements, for a transaction that holds the phone.
    """

    def __init__(self, swept: sa.Table, dialect: sa.Dialect) -> None:
        self._swept = ((Old(VERIFICATION, dialect), SWEPT_PER_START), (Old(swept, dialect), 4 * SWEPT_PER_START))
        self._phone = Prepared(upsert(dialect.name, PHONE, [bound(PHONE)], *_COUNTED), dialect)
        ended = sa.update(VERIFICATION).where(VERIFICATION.c.id == sa.bindparam("this"))
        self._end = Prepared(ended.values(_values(_CLOSED)), dialect)
        self._insert = Prepared(sa.insert(VERIFICATION).values(_values(_INSERTED)), dialect)

    def __call__(self, cursor: Any, phone: Phone, opened: Opened, at: datetime, before: datetime) -> bool:
        self._phone(cursor, **phone.row(at))
        for ended in opened.ended:
            self._end(cursor, this=ended.id, **_fields_of(ended, _CLOSED))
        self._insert(cursor, **_fields_of(opened.record, _INSERTED))
        for old, most in self._swept:
            old(cursor, before, most)
        return True


class OpenAtOnce:
    """`Open` in one statement of PostgreSQL; False if another step came between."""

    def __init__(self, swept: sa.Table, dialect: sa.Dialect) -> None:
        insert = postgresql.insert(PHONE).values(bound(PHONE))
        counted = insert.on_conflict_do_update(
            index_elements=[PHONE.c.tag],
            set_={name: insert.excluded[name] for name in _COUNTED},
            where=PHONE.c.version == sa.bindparam("old_version"),
        )
        held = counted.returning(PHONE.c.tag).cte("held")
        ids = sa.bindparam("ended", type_=postgresql.ARRAY(sa.String))
        ended = (
            sa.update(VERIFICATION)
            .where(VERIFICATION.c.id == sa.any_(ids), sa.exists(sa.select(held.c.tag)))
            .values({name: sa.bindparam(f"ended_{name}") for name in _CLOSED})
            .cte("ended")
        )
        record = (sa.bindparam(name, type_=VERIFICATION.c[name].type) for name in _INSERTED)
        start = sa.insert(VERIFICATION).from_select(_INSERTED, sa.select(*record).select_from(held))
        # This phone's own row may be one that is over; it is being written here, and must not be dropped as well.
        mine = PHONE.c.tag != sa.bindparam("tag") if swept is PHONE else sa.true()
        sweeps = []
        for table, most, condition in (VERIFICATION, SWEPT_PER_START, sa.true()), (swept, 4 * SWEPT_PER_START, mine):
            key, rows = _old(table)
            sweeps.append(sa.delete(table).where(key.in_(rows.where(condition).limit(most))).cte(f"old_{table.name}"))
        self._start = Prepared(start.add_cte(ended, *sweeps), dialect)

    def __call__(self, cursor: Any, phone: Phone, opened: Opened, at: datetime, before: datetime) -> bool:
        ended: dict[str, object] = {f"ended_{name}": None for name in _CLOSED}
        for record in opened.ended:
            ended = {f"ended_{name}": value for name, value in _fields_of(record, _CLOSED).items()}
        started = self._start(
            cursor,
            **phone.row(at),
            **_fields_of(opened.record, _INSERTED),
            **ended,
            ended=[record.id for record in opened.ended],
            before=micros(before),
        )
        return bool(started.rowcount > 0)


class Counters:
    """The statements for this many shared counters. Their names are given in order, so that no two steps lock up."""

    def __init__(self, count: int, dialect: sa.Dialect) -> None:
        c = COUNTER.c
        names = [sa.bindparam(f"name{n}", type_=c.name.type) for n in range(count)]
        empty = [{"name": name, "count": sa.literal(0), "ends_at": sa.literal(0)} for name in names]
        full = [
            {"name": name, "count": sa.bindparam(f"count{n}"), "ends_at": sa.bindparam(f"ends_at{n}")}
            for n, name in enumerate(names)
        ]
        read = sa.select(c.name, c["count"], c.ends_at, server_time(dialect.name)).where(c.name.in_(names))
        self._hold = Prepared(upsert(dialect.name, COUNTER, empty, "name"), dialect)
        self._read = Prepared(read, dialect)
        self._write = Prepared(upsert(dialect.name, COUNTER, full, "count", "ends_at"), dialect)
        self._one_more = Prepared(_one_more(names), dialect)

    def hold(self, cursor: Any, names: Sequence[str]) -> None:
        self._hold(cursor, **_numbered("name", names))

    def read(self, cursor: Any, names: Sequence[str]) -> Sequence[Sequence[Any]]:
        """The names that have a row, with their counts, ends, and the server's time."""
        rows: Sequence[Sequence[Any]] = self._read(cursor, **_numbered("name", names)).fetchall()
        return rows

    def write(self, cursor: Any, names: Sequence[str], windows: Sequence[Window]) -> None:
        counts = _numbered("count", [window.count for window in windows])
        ends = _numbered("ends_at", [micros(window.ends_at) for window in windows])
        self._write(cursor, **_numbered("name", names), **counts, **ends)

    def one_more(self, cursor: Any, quotas: Sequence[Quota], now: datetime | None) -> dict[str, int]:
        """On PostgreSQL: count one more in each window, and tell their ends; none if one has to begin, or is full."""
        limits = _numbered("limit", [quota.limit for quota in quotas])
        at = micros(now) if now else None
        names = _numbered("name", [quota.key for quota in quotas])
        return {name: ends_at for name, ends_at, _ in self._one_more(cursor, **names, **limits, at=at)}


def _numbered(word: str, values: Sequence[object]) -> dict[str, object]:
    return {f"{word}{n}": value for n, value in enumerate(values)}


def _one_more(names: Sequence[sa.BindParameter[str]]) -> sa.ClauseElement:
    c = COUNTER.c
    now = sa.func.coalesce(sa.bindparam("at", type_=sa.BigInteger), server_time("postgresql"))
    room = [sa.and_(c.name == name, c["count"] < sa.bindparam(f"limit{n}")) for n, name in enumerate(names)]
    held = sa.select(c.name).where(sa.or_(*room), c.ends_at > now).order_by(c.name).with_for_update().cte("held")
    all_held = sa.select(sa.func.count()).select_from(held).scalar_subquery() == len(names)
    more = sa.update(COUNTER).where(c.name.in_(names), all_held).values(count=c["count"] + 1)
    # Nothing is sent before the start is written, which does wait for the disk.
    return more.returning(c.name, c.ends_at, _WITHOUT_WAITING)
