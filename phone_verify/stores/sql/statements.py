"""The statements of the SQL store, compiled once in the words of one database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite

from ...codes import TAG_LENGTH
from ...model import Verification
from .rows import stored
from .tables import COUNTER, FIELDS, PHONE, VERIFICATION


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
        self._run(cursor, this=record.id, **{name: stored(getattr(record, name)) for name in self._names})


class Old:
    """Finds the rows of a table that are over, the oldest first, and drops one."""

    def __init__(self, column: sa.Column[Any], over: sa.Column[Any], dialect: sa.Dialect) -> None:
        # A row that another step holds is left to the next start: nobody waits in order to tidy up.
        rows = sa.select(column).where(over <= sa.bindparam("before")).order_by(over).limit(sa.bindparam("most"))
        self.read = _Prepared(rows.with_for_update(skip_locked=True), dialect)
        self.drop = _Prepared(sa.delete(column.table).where(column == sa.bindparam("this")), dialect)


class Statements:
    """All statements of the store, in the words of one database."""

    def __init__(self, dialect: sa.Dialect) -> None:
        self._dialect = dialect
        now = _now(dialect.name)
        record, phone, counter = VERIFICATION.c, PHONE.c, COUNTER.c
        this: sa.BindParameter[str] = sa.bindparam("this")
        tag = sa.func.substr(record.id, sa.literal_column("1"), sa.literal_column(str(TAG_LENGTH)))
        elsewhere = {"tag": tag, "read_at": now}
        columns = [elsewhere[name] if name in elsewhere else record[name] for name in FIELDS]
        stored = [name for name in FIELDS if name not in elsewhere]

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
        self.old_records = Old(record.id, record.expires_at, dialect)
        self.old_phones = Old(phone.tag, phone.ends_at, dialect)
        self.old_counters = Old(counter.name, counter.ends_at, dialect)
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
