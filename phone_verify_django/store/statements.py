"""The SQL statements of a step in the dialect of one database, over the tables and columns of the models.

Django's ORM compiles each query again, which takes longer than the database needs to run it. These
statements run through Django's cursor, so a site's query log and wrappers still see them.
"""

# ruff: noqa: S608 - only quoted names of our own tables are formatted into the texts; values are always bound

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.constants import OnConflict

from phone_verify.conversions import DECAY, MEMORY, MOST_COUNTED, SHORTEST_MEMORY
from phone_verify.errors import StoreError
from phone_verify.model import Status
from phone_verify.stores.rows.answers import spend_text
from phone_verify.stores.rows.transactions import ReadStatements, Statement
from phone_verify.stores.rows.values import FIELDS, SERIES, TALLY_BEYOND, TALLY_FIRST, series_range
from phone_verify.stores.rows.writes import (
    FOR_A_SHORT_TIME,
    STARTED,
    UNSET,
    WAITS_SHORTLY,
    Table,
    WriteStatements,
)

from ..models import ConversionRow, CounterRow, PhoneRow, ResponseRow, VerificationRow

#: The time when the statement runs, not when its transaction started. SQLite uses the time of the process.
_SERVER_TIME = {
    "sqlite": "0",
    "postgresql": "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS bigint)",
    "mysql": "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))",
}
_ASYNC_COMMIT = "set_config('synchronous_commit', 'off', true)"
_COUNTED = ("windows", "failures", "ends_at")
#: For PostgreSQL: casts for values that are passed as text or number.
_CASTS = {"JSONField": "::jsonb", "BooleanField": "::integer::boolean"}
#: The primary keys.
_KEYS: Mapping[type[models.Model], str] = {
    VerificationRow: "id",
    PhoneRow: "tag",
    CounterRow: "name",
    ResponseRow: "name",
    ConversionRow: "route",
}
#: The columns with the expiry of a row, or with the time from which it is counted; others have `ends_at`.
_EXPIRIES: Mapping[type[models.Model], str] = {VerificationRow: "expires_at", ConversionRow: "changed_at"}
_NAMED = re.compile(r"%\((\w+)\)s")


class Prepared:
    """A statement with named values, `%(tag)s`, that runs on a cursor and returns the cursor."""

    def __init__(self, text: str) -> None:
        self._order = _NAMED.findall(text)
        self._text = _NAMED.sub("%s", text)

    def __call__(self, cursor: Any, **values: Any) -> Any:
        cursor.execute(self._text, [values[name] for name in self._order])
        return cursor


class _Table:
    """A model's table and columns, quoted, with an alias for statements that read several tables."""

    def __init__(self, model: type[models.Model], connection: BaseDatabaseWrapper, short: str) -> None:
        self._model, self._connection, self._short = model, connection, short
        self._quote = connection.ops.quote_name
        self.name = self._quote(model._meta.db_table)
        self.key: str = _KEYS[model]
        self.expiry = _EXPIRIES.get(model, "ends_at")

    def column(self, name: str) -> str:
        return self._quote(self._column(name))

    def of(self, name: str) -> str:
        """Return a column, with the table's alias."""
        return f"{self._short}.{self.column(name)}"

    def columns(self, names: Iterable[str]) -> str:
        return ", ".join(map(self.column, names))

    def value(self, name: str) -> str:
        """Return the placeholder for a column. JSON is passed as text, booleans as 1 or 0."""
        return self.cast(name, f"%({name})s")

    def cast(self, name: str, expression: str) -> str:
        """Return an expression with the cast that its column needs."""
        cast = _CASTS.get(self._field(name).get_internal_type(), "") if self._connection.vendor == "postgresql" else ""
        return expression + cast

    def values(self, names: Iterable[str]) -> str:
        return ", ".join(map(self.value, names))

    def changes(self, names: Iterable[str]) -> str:
        return ", ".join(f"{self.column(name)} = {self.value(name)}" for name in names)

    def upsert(
        self, names: Sequence[str], rows: Sequence[str], changed: Iterable[str], short: str = "", condition: str = ""
    ) -> str:
        """Return an insert that updates these columns of existing rows; it locks all of them.

        With a `condition`, which is for one row, it does nothing unless that is true.
        """
        suffix = self._connection.ops.on_conflict_suffix_sql(
            [self._field(name) for name in names],
            OnConflict.UPDATE,
            [self._column(name) for name in changed],
            [self._column(self.key)],
        )
        values = f"SELECT {rows[0]} WHERE {condition}" if condition else f"VALUES ({'), ('.join(rows)})"
        return f"INSERT INTO {self.name}{short} ({self.columns(names)}) {values} {suffix}"

    def expired(self, limit: str, condition: str = "", locking: str = "") -> str:
        """Return a query for the keys of expired rows, oldest first."""
        expiry = self.column(self.expiry)
        return (
            f"SELECT {self.column(self.key)} FROM {self.name} WHERE {expiry} <= %(before)s{condition} "
            f"ORDER BY {expiry} LIMIT {limit}{locking}"
        )

    def key_among(self, rows: str) -> str:
        """Return the condition that the key is among these rows, a query that is read once.

        PostgreSQL may read a query inside `IN` again for each row. Each time `FOR UPDATE` skips the rows that this
        statement has deleted, so it would delete more than the limit.
        """
        among = f"= ANY(ARRAY({rows}))" if self._connection.vendor == "postgresql" else f"IN ({rows})"
        return f"{self.column(self.key)} {among}"

    def _field(self, name: str) -> Any:
        return self._model._meta.get_field(name)

    def _column(self, name: str) -> str:
        column: str = self._field(name).column
        return column


class _Tables:
    """The tables in one database, and its expressions for the server's time and a row's version."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.vendor = connection.vendor
        if self.vendor not in _SERVER_TIME:
            raise StoreError(
                f"The store in Django's database supports SQLite, PostgreSQL, MariaDB and MySQL, not {self.vendor}: "
                "set another store in PHONE_VERIFY['store']"
            )
        self.now = _SERVER_TIME[self.vendor]
        #: PostgreSQL has a version of each row; on others a lock excludes concurrent steps.
        self.version = "p.xmin::text::bigint" if self.vendor == "postgresql" else "0"
        #: The time `at`, or the server's time if `at` is NULL.
        self.time_given = f"COALESCE(%(at)s{'::bigint' if self.vendor == 'postgresql' else ''}, {self.now})"
        self.record = _Table(VerificationRow, connection, "r")
        self.phone = _Table(PhoneRow, connection, "p")
        self.counter = _Table(CounterRow, connection, "c")
        self.response = _Table(ResponseRow, connection, "a")
        self.conversion = _Table(ConversionRow, connection, "v")

    def tallied(self, series: str) -> str:
        """Return an expression for the sum of a series of the tally at the time `at`."""
        c, (first, beyond) = self.counter, series_range(series)
        return (
            f"(SELECT COALESCE(SUM({c.of('count')}), 0) FROM {c.name} AS c WHERE {c.of('name')} >= '{first}' "
            f"AND {c.of('name')} < '{beyond}' AND {c.of('ends_at')} > {self.time_given})"
        )

    def __getitem__(self, table: Table) -> _Table:
        return {
            Table.VERIFICATION: self.record,
            Table.PHONE: self.phone,
            Table.COUNTER: self.counter,
            Table.RESPONSE: self.response,
            Table.CONVERSION: self.conversion,
        }[table]


class ConnectionReads(ReadStatements):
    """The statements that read, in one database."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        super().__init__()
        self._tables = tables = _Tables(connection)
        now, r, p = tables.now, tables.record, tables.phone
        fields = ", ".join(now if name == "read_at" else r.of(name) for name in FIELDS)
        counted = f"{', '.join(map(p.of, _COUNTED))}, {tables.version}"
        of_phone, this = f"{p.of('tag')} = %(of_phone)s", f"{r.of('id')} = %(this)s"
        names = ("tag", *_COUNTED)
        self.hold = Prepared(p.upsert(names, [p.values(names)], ["tag"]))
        self.time = Prepared(f"SELECT {now}")
        # This returns the time even if the phone has no row.
        self.phone = Prepared(
            f"SELECT {now}, {counted} FROM (SELECT 1 AS one) AS one LEFT JOIN {p.name} AS p ON {p.of('tag')} = %(this)s"
        )
        c = tables.counter
        of_address = [
            f"(SELECT {c.of(name)} FROM {c.name} AS c WHERE {c.of('name')} = %(address)s)"
            for name in ("count", "ends_at")
        ]
        answered = ", ".join((*of_address, tables.tallied("short"), tables.tallied("right")))
        either = f"FROM {r.name} AS r LEFT JOIN {p.name} AS p ON {of_phone} WHERE {this}"
        # The phone's row first, as everywhere, to avoid deadlocks.
        both = f"FROM {p.name} AS p JOIN {r.name} AS r ON {of_phone} WHERE {this} FOR UPDATE"
        self.record = Prepared(f"SELECT {fields}, {counted} {either}")
        self.held_record = Prepared(f"SELECT {fields}, {counted} {both}")
        self.answer = Prepared(f"SELECT {fields}, {counted}, {answered} {either}")
        self.held_answer = Prepared(f"SELECT {fields}, {counted}, {answered} {both}")
        self.siblings = Prepared(
            f"SELECT {fields} FROM {r.name} AS r WHERE {r.of('tag')} = %(this)s AND {r.of('expires_at')} > %(since)s"
        )
        # By the index of expiry: only records of the last ten minutes are read.
        self.waiting = Prepared(
            f"SELECT {fields} FROM {r.name} AS r WHERE {r.of('expires_at')} > %(since)s "
            f"AND ({r.of('line')} = %(line)s OR {r.of('claim_line')} = %(line)s) "
            f"AND {r.of('status')} IN ('{Status.PENDING}', '{Status.SENT}') LIMIT %(most)s"
        )

    def build_places(self, count: int) -> Statement:
        a, now = self._tables.response, self._tables.time_given
        names = ", ".join(f"%(name{n})s" for n in range(count))
        order = " ".join(f"WHEN %(name{n})s THEN {n}" for n in range(count))
        return Prepared(
            f"SELECT {a.columns(('name', 'holder', 'request', 'response'))}, {now} FROM {a.name} "
            f"WHERE {a.column('name')} IN ({names}) AND {a.column('ends_at')} > {now} "
            f"ORDER BY CASE {a.column('name')} {order} END"
        )

    def build_conversions(self, count: int) -> Statement:
        v, names = self._tables.conversion, ", ".join(f"%(name{n})s" for n in range(count))
        columns = v.columns(("route", "sent", "verified", "changed_at"))
        return Prepared(
            f"SELECT {columns}, {self._tables.time_given} FROM {v.name} WHERE {v.column('route')} IN ({names})"
        )


class ConnectionWrites(WriteStatements):
    """The statements that write, in one database."""

    numbered_by_us = False

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        super().__init__()
        self._tables = _Tables(connection)
        self._vendor = self._tables.vendor
        self.at_once = self.guarded = self._vendor == "postgresql"
        self.one_writer = self._vendor == "sqlite"
        # A purge never waits for locks.
        skips = connection.features.has_select_for_update_skip_locked
        self._skip_locked = " FOR UPDATE SKIP LOCKED" if skips else ""
        r, p, c = self._tables.record, self._tables.phone, self._tables.counter
        names = ("tag", *_COUNTED)
        self.write_phone = Prepared(p.upsert(names, [p.values(names)], _COUNTED))
        unset = ", ".join(r.cast(name, constant) for name, constant in UNSET.items())
        self._insert = f"INSERT INTO {r.name} ({r.columns((*STARTED, *UNSET))})"
        self._started = f"{r.values(STARTED)}, {unset}"
        self.insert = Prepared(f"{self._insert} VALUES ({self._started})")
        if self._vendor == "postgresql":
            self.spend = Prepared(spend_text(r.name, p.name, c.name, failures="jsonb"))
        name, counted, ends_at = map(c.column, ("name", "count", "ends_at"))
        self.uncount = Prepared(
            f"UPDATE {c.name} SET {counted} = {counted} - 1 "
            f"WHERE {name} = %(this)s AND {ends_at} = %(then)s AND {counted} > 0"
        )
        a = self._tables.response
        self.erase_records, self.erase_phone, self.erase_responses = (
            Prepared(f"DELETE FROM {t.name} WHERE {t.column('tag')} = %(this)s") for t in (r, p, a)
        )
        held = f"WHERE {a.column('name')} = %(this)s AND {a.column('holder')} = %(holder)s"
        self.take = Prepared(self._take_text())
        self.keep_response = Prepared(
            f"UPDATE {a.name} SET {a.column('response')} = %(response)s, "
            f"{a.column('ends_at')} = {self._tables.time_given} + %(lasts)s {held} "
            f"AND {a.column('ends_at')} > {self._tables.time_given}"
        )
        copied = ("holder", "request", "tag", "response", "ends_at")
        self.copy_response = Prepared(
            f"INSERT INTO {a.name} ({a.columns(('name', *copied))}) SELECT %(name)s, {a.columns(copied)} "
            f"FROM {a.name} {held}"
        )
        self.release = Prepared(f"DELETE FROM {a.name} {held}")
        v, names = self._tables.conversion, ("route", "sent", "verified", "changed_at")
        self.add_conversion = Prepared(self._add_conversion_text()) if self._vendor != "sqlite" else None
        self.put_conversion = Prepared(v.upsert(names, [v.values(names)], names[1:]))

    def build_update(self, names: tuple[str, ...]) -> Statement:
        return Prepared(self._update_text(names))

    def build_guarded_update(self, names: tuple[str, ...], tallies: int, *, durable: bool) -> Statement:
        p = self._tables.phone
        tally = f", tally AS ({self._tally_text(tallies, held=True)})" if tallies else ""
        returning = "" if durable else f" RETURNING {_ASYNC_COMMIT}"
        return Prepared(
            f"WITH held AS (UPDATE {p.name} AS p SET {p.changes(_COUNTED)} "
            f"WHERE {p.of('tag')} = %(of_phone)s AND {self._as_read} RETURNING {p.of('tag')})"
            f"{tally} {self._update_text(names, ' FROM held')}{returning}"
        )

    def build_tally(self, count: int) -> Statement:
        return Prepared(self._tally_text(count))

    def _update_text(self, names: Iterable[str], source: str = "") -> str:
        r = self._tables.record
        return f"UPDATE {r.name} SET {r.changes(names)}{source} WHERE {r.column('id')} = %(this)s"

    def _tally_text(self, count: int, *, held: bool = False) -> str:
        """Return a statement that increases `count` counters, or restarts those that have expired.

        With `held`, for PostgreSQL, only if the CTE `held` has a row.
        """
        c, columns = self._tables.counter, ("name", "count", "ends_at")
        name, counted, ends_at = map(c.column, columns)
        casts = {"name": "", "change": "::integer" if held else "", "ends_at": "::bigint" if held else ""}
        rows = [", ".join(f"%(tally_{word}{n})s{cast}" for word, cast in casts.items()) for n in range(count)]
        if held:
            values = " UNION ALL ".join(f"SELECT {row} FROM held" for row in rows)
        else:
            values = f"VALUES {', '.join(f'({row})' for row in rows)}"
        insert = f"INSERT INTO {c.name} ({c.columns(columns)}) {values}"
        ended = f"{c.name}.{ends_at} <= %(tally_at)s{'::bigint' if held else ''}"
        if self._vendor == "mysql":
            # The order matters: the second assignment sees the value written by the first.
            new_count, new_ends_at = f"VALUES({counted})", f"VALUES({ends_at})"
            clause = "ON DUPLICATE KEY UPDATE"
        else:
            new_count, new_ends_at = f"excluded.{counted}", f"excluded.{ends_at}"
            clause = f"ON CONFLICT ({name}) DO UPDATE SET"
        return (
            f"{insert} {clause} "
            f"{counted} = CASE WHEN {ended} THEN {new_count} ELSE {c.name}.{counted} + {new_count} END, "
            f"{ends_at} = CASE WHEN {ended} THEN {new_ends_at} ELSE {c.name}.{ends_at} END"
        )

    def _take_text(self) -> str:
        """Return a statement that inserts a place, or takes one that has ended; any other is left unchanged."""
        a, now = self._tables.response, self._tables.time_given
        changed = ("holder", "request", "tag", "response", "ends_at")
        insert = (
            f"INSERT INTO {a.name} ({a.columns(('name', *changed))}) "
            f"VALUES ({a.values(('name', 'holder', 'request', 'tag'))}, NULL, {now} + %(lasts)s)"
        )
        ended = f"{a.name}.{a.column('ends_at')} <= {now}"
        if self._vendor == "mysql":
            # `ends_at` last: the assignments before it read its old value.
            new = ", ".join(
                f"{a.column(name)} = IF({ended}, VALUES({a.column(name)}), {a.column(name)})" for name in changed
            )
            return f"{insert} ON DUPLICATE KEY UPDATE {new}"
        new = ", ".join(f"{a.column(name)} = excluded.{a.column(name)}" for name in changed)
        return f"{insert} ON CONFLICT ({a.column('name')}) DO UPDATE SET {new} WHERE {ended}"

    def _add_conversion_text(self) -> str:
        """Return a statement that inserts a conversion, or adds to it by the rule of `Conversion.added`."""
        v, now, microsecond = self._tables.conversion, self._tables.time_given, timedelta(microseconds=1)
        sent, verified, changed_at = (v.column(name) for name in ("sent", "verified", "changed_at"))
        passed = f"GREATEST({now} - {v.name}.{changed_at}, 0)"
        in_memory = f"LEAST({1 / MEMORY:.17e}, {passed} * {microsecond / SHORTEST_MEMORY:.17e})"
        left = f"EXP(-({passed} * {microsecond / DECAY:.17e} + {in_memory}))"
        mysql = self._vendor == "mysql"
        new = {name: f"VALUES({name})" if mysql else f"excluded.{name}" for name in (sent, verified, changed_at)}
        clause = "ON DUPLICATE KEY UPDATE" if mysql else f"ON CONFLICT ({v.column('route')}) DO UPDATE SET"
        # The counts may lose their last changes: a flush for each order would only make the row hotter.
        returning = "" if mysql else f" RETURNING {_ASYNC_COMMIT}"
        before, route = FOR_A_SHORT_TIME if mysql else "", v.values(("route",))
        limited = route if mysql else f"CASE WHEN {WAITS_SHORTLY} THEN {route} END"
        known = {
            name: f"CASE WHEN {v.name}.{name} BETWEEN 0 AND {MOST_COUNTED:.17e} THEN {v.name}.{name} ELSE 0 END"
            for name in (sent, verified)
        }
        # `changed_at` last: in MySQL the assignments before it read its old value.
        return (
            f"{before}INSERT INTO {v.name} ({v.columns(('route', 'sent', 'verified', 'changed_at'))}) "
            f"VALUES ({limited}, {v.values(('sent', 'verified'))}, {now}) {clause} "
            f"{sent} = {known[sent]} * {left} + {new[sent]}, "
            f"{verified} = {known[verified]} * {left} + {new[verified]}, "
            f"{changed_at} = GREATEST({v.name}.{changed_at}, {new[changed_at]}){returning}"
        )

    def build_start(self, purged: Mapping[Table, int]) -> Statement:
        p, names = self._tables.phone, ("tag", *_COUNTED)
        # Not if the phone that was read has been erased.
        kept = f"%(old_version)s = -1 OR EXISTS (SELECT 1 FROM {p.name} WHERE {p.column('tag')} = %(tag)s)"
        counted = p.upsert(names, [p.values(names)], _COUNTED, " AS p", kept)
        parts = [f"held AS ({counted} WHERE {self._as_read} RETURNING {self._tables.version} AS version)"]
        for table, most in purged.items():
            t = self._tables[table]
            # This phone's own row may have expired; it is written here and must not be deleted too.
            mine = f" AND {p.column('tag')} <> %(tag)s" if table is Table.PHONE else ""
            rows = t.expired(str(most), mine, self._skip_locked)
            parts.append(f"old_{table.value} AS (DELETE FROM {t.name} WHERE {t.key_among(rows)})")
        start = f"{self._insert} SELECT {self._started} FROM held"
        return Prepared(f"WITH {', '.join(parts)} {start} RETURNING (SELECT version FROM held)")

    def build_purge(self, table: Table) -> tuple[Statement, Statement | None]:
        t = self._tables[table]
        rows, key = t.expired("%(most)s", locking=self._skip_locked), t.column(t.key)
        if self._vendor == "mysql":  # does not support LIMIT inside IN
            return Prepared(f"DELETE FROM {t.name} WHERE {key} = %(this)s"), Prepared(rows)
        return Prepared(f"DELETE FROM {t.name} WHERE {t.key_among(rows)}"), None

    def build_counters(self, count: int) -> tuple[Statement, Statement, Statement]:
        c, numbers = self._tables.counter, range(count)
        names = ", ".join(f"%(name{n})s" for n in numbers)
        columns = ("name", "count", "ends_at")
        name, counted, ends_at = map(c.column, columns)
        empty = [f"%(name{n})s, 0, 0" for n in numbers]
        full = [f"%(name{n})s, %(count{n})s, %(ends_at{n})s" for n in numbers]
        each = f"SELECT {name}, {counted}, {ends_at}, {self._tables.now} FROM {c.name}"
        # With OR, SQLite would collect the rows in a temporary table.
        read = (
            f"{each} WHERE {name} IN ({names}) UNION ALL "
            f"{each} WHERE {name} >= '{TALLY_FIRST}' AND {name} < '{TALLY_BEYOND}'"
        )
        hold, write = c.upsert(columns, empty, ["name"]), c.upsert(columns, full, ["count", "ends_at"])
        return Prepared(hold), Prepared(read), Prepared(write)

    def build_count(self, quotas: int, gates: int) -> Statement:
        c, now = self._tables.counter, self._tables.time_given
        name, counted, ends_at = map(c.column, ("name", "count", "ends_at"))
        names = ", ".join(f"%(name{n})s" for n in range(quotas))
        room = " OR ".join(f"({name} = %(name{n})s AND {counted} < %(limit{n})s)" for n in range(quotas))
        full = " OR ".join(f"({name} = %(gate{n})s AND {counted} >= %(most{n})s)" for n in range(gates))
        allowed = f" AND NOT EXISTS (SELECT 1 FROM {c.name} WHERE ({full}) AND {ends_at} > {now})" if gates else ""
        p = self._tables.phone
        of_phone = [
            f"(SELECT {expression} FROM {p.name} AS p WHERE {p.of('tag')} = %(tag)s)"
            for expression in (*map(p.of, _COUNTED), self._tables.version)
        ]
        # Asynchronous commit is safe here: the later commit of the start, before anything is sent, waits for the disk.
        return Prepared(
            f"WITH held AS (SELECT {name} FROM {c.name} WHERE ({room}) AND {ends_at} > {now} "
            f"ORDER BY {name} FOR UPDATE) "
            f"UPDATE {c.name} SET {counted} = {counted} + 1 "
            f"WHERE {name} IN ({names}) AND (SELECT count(*) FROM held) = {quotas}{allowed} "
            f"RETURNING {name}, {ends_at}, {self._tables.now}, {_ASYNC_COMMIT}, "
            + ", ".join((*map(self._tables.tallied, SERIES), *of_phone))
        )

    @property
    def _as_read(self) -> str:
        """The condition that the phone's row has not changed since it was read."""
        return f"{self._tables.version} = %(old_version)s"
