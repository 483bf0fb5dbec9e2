"""The statements that read, compiled once for one dialect; `writes.py` has those that write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite

from ...codes import TAG_LENGTH
from ...model import Status
from ..rows.transactions import ReadStatements, Statement
from ..rows.values import FIELDS, series_range
from .tables import CONVERSION, COUNTER, PHONE, RESPONSE, VERIFICATION


class Prepared:
    """A statement, compiled once, that runs on a DBAPI cursor and returns it; `before` precedes its text."""

    def __init__(self, statement: sa.ClauseElement, dialect: sa.Dialect, before: str = "") -> None:
        compiled = statement.compile(dialect=dialect)
        self._text = before + str(compiled)
        self._fixed = {name: value for name, value in compiled.params.items() if value is not None}
        self._order: Sequence[str] | None = getattr(compiled, "positiontup", None)

    def __call__(self, cursor: Any, **values: Any) -> Any:
        if self._fixed:
            values |= self._fixed
        cursor.execute(self._text, values if self._order is None else list(map(values.__getitem__, self._order)))
        return cursor


class EngineReads(ReadStatements):
    """The statements that read, for an engine's dialect."""

    def __init__(self, dialect: sa.Dialect) -> None:
        super().__init__()
        self._dialect = dialect
        now = server_time(dialect.name)
        record, phone = VERIFICATION.c, PHONE.c
        this: sa.BindParameter[str] = sa.bindparam("this")
        tag = sa.func.substr(record.id, sa.literal_column("1"), sa.literal_column(str(TAG_LENGTH)))
        elsewhere = {"tag": tag, "read_at": now}
        columns = [elsewhere[name] if name in elsewhere else record[name] for name in FIELDS]
        counted = (phone.windows, phone.failures, phone.ends_at, phone.version)
        self.hold = Prepared(upsert(dialect.name, PHONE, [bound(PHONE)], "tag"), dialect)
        self.time = Prepared(sa.select(now), dialect)
        one = sa.select(sa.literal_column("1")).subquery("one")
        # Returns the time also without a phone.
        self.phone = Prepared(sa.select(now, *counted).select_from(one.outerjoin(PHONE, phone.tag == this)), dialect)
        of_phone: sa.BindParameter[str] = sa.bindparam("of_phone")
        found = sa.select(*columns, *counted).where(record.id == this)
        answered = found.add_columns(*_answered(dialect.name))
        either = VERIFICATION.outerjoin(PHONE, phone.tag == of_phone)
        # The phone's row first, as everywhere: no two steps deadlock.
        both = PHONE.join(VERIFICATION, phone.tag == of_phone)
        self.record = Prepared(found.select_from(either), dialect)
        self.held_record = Prepared(found.select_from(both).with_for_update(), dialect)
        self.answer = Prepared(answered.select_from(either), dialect)
        self.held_answer = Prepared(answered.select_from(both).with_for_update(), dialect)
        self.siblings = Prepared(
            sa.select(*columns).where(
                record.id >= this, record.id < sa.bindparam("beyond"), record.expires_at > sa.bindparam("since")
            ),
            dialect,
        )
        # By the index of expiry: only records of the last ten minutes are read, and no index of
        # lines slows down every start.
        line: sa.BindParameter[str] = sa.bindparam("line")
        words: list[sa.ColumnClause[str]] = [
            sa.literal_column(f"'{status.value}'") for status in (Status.PENDING, Status.SENT)
        ]
        self.waiting = Prepared(
            sa.select(*columns)
            .where(
                record.expires_at > sa.bindparam("since"),
                sa.or_(record.line == line, record.claim_line == line),
                record.status.in_(words),
            )
            .limit(sa.bindparam("most")),
            dialect,
        )

    def build_places(self, count: int) -> Statement:
        c, now = RESPONSE.c, time_given(self._dialect.name)
        names = [sa.bindparam(f"name{n}", type_=c.name.type) for n in range(count)]
        taken = sa.select(c.name, c.holder, c.request, c.response, now).where(c.name.in_(names), c.ends_at > now)
        order = sa.case(*((c.name == name, sa.literal_column(str(n))) for n, name in enumerate(names)))
        return Prepared(taken.order_by(order), self._dialect)

    def build_conversions(self, count: int) -> Statement:
        c = CONVERSION.c
        routes = [sa.bindparam(f"name{n}", type_=c.route.type) for n in range(count)]
        read = sa.select(c.route, c.sent, c.verified, c.changed_at, time_given(self._dialect.name))
        return Prepared(read.where(c.route.in_(routes)), self._dialect)


def time_given(dialect_name: str) -> sa.ColumnElement[Any]:
    """Return the time `at`, or else the server's."""
    return sa.func.coalesce(sa.bindparam("at", type_=sa.BigInteger), server_time(dialect_name))


def tallied(dialect_name: str, series: str, counter: sa.FromClause = COUNTER) -> sa.ScalarSelect[Any]:
    """Return the sum of a series of the tally at the time `at`."""
    c = counter.c
    first, beyond = series_range(series)
    in_series = (c.name >= sa.literal_column(f"'{first}'"), c.name < sa.literal_column(f"'{beyond}'"))
    counted = (*in_series, c.ends_at > time_given(dialect_name))
    total = sa.func.coalesce(sa.func.sum(c["count"]), sa.literal_column("0"))
    return sa.select(total).where(*counted).scalar_subquery()


def _answered(dialect_name: str) -> Sequence[sa.ColumnElement[Any]]:
    """Return what an address, and the site, have answered."""
    c = COUNTER.c
    named = c.name == sa.bindparam("address", type_=c.name.type)
    of_address = [sa.select(column).where(named).scalar_subquery() for column in (c["count"], c.ends_at)]
    return [*of_address, tallied(dialect_name, "short"), tallied(dialect_name, "right")]


def server_time(dialect_name: str) -> sa.ColumnElement[Any]:
    """Return the server's time in microseconds, taken when the statement runs, not when its
    transaction began.
    """
    text = {
        "sqlite": "0",
        "postgresql": "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)",
    }
    return sa.literal_column(text.get(dialect_name, "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))"))


def bound(table: sa.Table) -> dict[str, Any]:
    """Return a value for each column of a table, under the column's name."""
    return {column.name: sa.bindparam(column.name) for column in table.c}


def upsert(
    dialect_name: str, table: sa.Table, rows: Sequence[Mapping[str, Any]], *changed: str
) -> sqlite.Insert | postgresql.Insert | mysql.Insert:
    """Insert rows, or update these columns of existing ones; either way they are locked."""
    if dialect_name in ("mysql", "mariadb"):
        insert = mysql.insert(table).values(rows)
        return insert.on_duplicate_key_update({name: insert.inserted[name] for name in changed})
    module = sqlite if dialect_name == "sqlite" else postgresql
    upserted: sqlite.Insert | postgresql.Insert = module.insert(table).values(rows)
    return upserted.on_conflict_do_update(
        index_elements=list(table.primary_key), set_={name: upserted.excluded[name] for name in changed}
    )
