"""How the decision of a step is written.

If the database supports it, this is one statement, which takes effect only if the phone's row still has the version on
which the decision was based. SQLite needs neither: a step has exclusive access to the file.

On PostgreSQL, writes with `durable=False` do not wait for the disk. A power failure then has the same effect as if the
process had died just before, which every flow must survive anyway; a later synchronous write flushes them as well.
"""

# ruff: noqa: S608 - only names of our own tables are formatted into the texts; values are always bound

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import MISSING, fields
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from ...conversions import DECAY, LONGEST_WAIT, MEMORY, MOST_COUNTED, SHORTEST_MEMORY
from ...lifecycle import Opened
from ...limits import Quota, Window
from ...model import Verification
from ..base import PURGE_PER_START
from .answers import at_most, spend_text
from .texts import Statement, Table, Tables
from .values import FIELDS, MICROSECOND, SERIES, TALLY_BEYOND, TALLY_FIRST, Phone, micros, series_range, stored_fields

#: The columns that a receipt may change.
RECEIPT = (
    "status", "channel", "driver", "code_source", "key_id", "generation", "code_digest", "code_length",
    "short", "attempts_left", "expires_at", "reference", "line", "caller_hint", "acked_send", "released_lines",
    "resend_at", "claim_driver", "claim_reference", "claim_line", "claim_send", "code_channel",
)  # fmt: skip
#: The limit for the wait of a change of conversions: a condition of PostgreSQL, which is evaluated
#: before the row is locked, and a comment that MariaDB alone executes before the statement. MySQL
#: can limit a wait only for the session, by two more statements.
_WAITS_SHORTLY = f"set_config('lock_timeout', '{LONGEST_WAIT // timedelta(milliseconds=1)}ms', true) IS NOT NULL"
_FOR_A_SHORT_TIME = f"/*M! SET STATEMENT max_statement_time={LONGEST_WAIT.total_seconds():g} FOR */ "
#: For PostgreSQL: the commit of this statement does not wait for the disk.
_WITHOUT_WAITING = "set_config('synchronous_commit', 'off', true)"
#: What a count returns: the server's time is `now`, `set` is the result of a setting.
COUNTED = (
    "name", "ends_at", "now", "set", "short_sum", "long_sum", "right_sum", "windows", "failures", "ends_at", "version",
)  # fmt: skip
CLOSED = ("status", "closed_at", "by_pair", "by_call", "attestation")
ANSWERED = (*CLOSED, "pending_checks", "mistakes", "tallied_short", "tallied_long")
#: All columns of a record that a store keeps; one that finds the tag in the id has no column for it.
STORED = tuple(name for name in FIELDS if name != "read_at")
#: The stored fields that have a default, as constants of SQL: a start sets none of them. Fewer values are
#: quicker to bind, and psycopg parses a statement with more than 50 of them again each time.
UNSET = {
    each.name: "NULL" if each.default is None else "''" if each.default == "" else f"{each.default:d}"
    for each in fields(Verification)
    if each.name in STORED and each.default is not MISSING
}
#: The stored fields that a start sets.
STARTED = tuple(name for name in STORED if name not in UNSET)

#: A purge costs as much as the rest of a start, regardless of the number of rows: one start in several does it for all.
STARTS_PER_PURGE = 4
#: A start leaves one record, at most one phone, and a counter for each shared quota.
_PURGED = {
    Table.VERIFICATION: PURGE_PER_START * STARTS_PER_PURGE,
    Table.PHONE: PURGE_PER_START * STARTS_PER_PURGE,
    Table.COUNTER: 4 * PURGE_PER_START * STARTS_PER_PURGE,
}


class WriteStatements:
    """The statements that write, and how a step runs them on its cursor.

    Those that depend on fields, a table or a number of counters are made once for each.
    """

    def __init__(self, tables: Tables) -> None:
        self._tables = t = tables
        #: Whether a start, a count, and an answer with its tally are one statement each.
        self.at_once = t.kind == "postgresql"
        #: Whether every step that writes excludes all others anyway.
        self.one_writer = t.kind == "sqlite"
        #: Whether an update of a record and its phone is one statement, guarded by the phone's version.
        #: Otherwise it is two, and the step has locked the phone.
        self._guarded = self.at_once or (t.numbered and not self.one_writer)
        names = ("tag", *t.counted)
        #: Writes the counts of a phone whose row the step has locked.
        self.write_phone = t.prepared(t.upsert(Table.PHONE, names, [t.values(names)], t.counted))
        unset = [constant + t.casts.get(name, "") for name, constant in UNSET.items()]
        started = [name for name in STARTED if t.tagged or name != "tag"]
        self._insert = f"INSERT INTO {t.verification} ({', '.join((*started, *UNSET))})"
        self._started = ", ".join((t.values(started), *unset))
        #: Inserts a record that a start has made.
        self.insert = t.prepared(f"{self._insert} VALUES ({self._started})")
        if self.at_once:
            #: Spends an ordinary attempt, see `answers`.
            self.spend = t.frequent("spend", spend_text(t), (*FIELDS, "failed"))
            #: Counts, see `count_at_once`.
            self.count = t.frequent("count", self._count_text(), COUNTED)
            #: Write a start and return the phone's new version; the second one also purges.
            self._starts = [t.frequent("start", self._start_text(purges), ("version",)) for purges in (False, True)]
            self._receipt = t.frequent("attach", self._guarded_text(RECEIPT, 0, durable=False), ("set",))
        #: Takes one from `this` counter, if its window ends `then`.
        self.uncount = t.prepared(
            f"UPDATE {t.counter} SET count = count - 1 WHERE name = %(this)s AND ends_at = %(then)s AND count > 0"
        )
        #: Deletes the records of `this` phone, the phone, and the places that have this tag.
        self.erase_records = t.prepared(f"DELETE FROM {t.verification} WHERE {t.of_phone}")
        self.erase_phone = t.prepared(f"DELETE FROM {t.phone} WHERE tag = %(this)s")
        self.erase_responses = t.prepared(f"DELETE FROM {t.response} WHERE tag = %(this)s")
        #: Takes the place `name` until `lasts` microseconds after the time `at`, if it is free then.
        self.take = t.prepared(self._take_text())
        held = "name = %(this)s AND holder = %(holder)s"
        #: Puts a `response` in the place `this` that has this `holder`, until `lasts` after `at`.
        self.keep_response = t.prepared(
            f"UPDATE {t.response} SET response = %(response)s, ends_at = {t.time_given} + %(lasts)s "
            f"WHERE {held} AND ends_at > {t.time_given}"
        )
        #: Copies the place `this` that has this `holder` to the place `name`.
        self.copy_response = t.prepared(
            f"INSERT INTO {t.response} (name, holder, request, tag, response, ends_at) "
            f"SELECT %(name)s, holder, request, tag, response, ends_at FROM {t.response} WHERE {held}"
        )
        #: Deletes the place `this` that has this `holder`.
        self.release = t.prepared(f"DELETE FROM {t.response} WHERE {held}")
        #: Adds `sent` and `verified` to the conversions of this `route` at the time `at`; None if the database may lack
        #: the exponential function.
        self.add_conversion = None if t.kind == "sqlite" else t.prepared(self._add_conversion_text())
        names = ("route", "sent", "verified", "changed_at")
        #: Sets the conversions of this `route`, in a step that excludes all others.
        self.put_conversion = t.prepared(t.upsert(Table.CONVERSION, names, [t.values(names)], names[1:]))
        #: Writes these fields of `this` record.
        self._update = cache(lambda names: t.prepared(self._update_text(names)))
        self._tally = cache(lambda count: t.prepared(self._tally_text(count)))
        self._guarded_update = cache(self._guarded_statement)
        self._counters, self._purge = cache(self._counter_statements), cache(self._purge_statements)

    def _take_text(self) -> str:
        """Return a statement that inserts a place, or takes one that has ended; any other is left unchanged."""
        t = self._tables
        changed = ("holder", "request", "tag", "response", "ends_at")
        insert = (
            f"INSERT INTO {t.response} (name, {', '.join(changed)}) "
            f"VALUES (%(name)s, %(holder)s, %(request)s, %(tag)s, NULL, {t.time_given} + %(lasts)s) "
            f"{t.on_conflict('name')}"
        )
        ended = f"{t.response}.ends_at <= {t.time_given}"
        if t.kind == "mysql":
            # `ends_at` last: the assignments before it read its old value.
            return f"{insert} {', '.join(f'{name} = IF({ended}, {t.new(name)}, {name})' for name in changed)}"
        return f"{insert} {t.new_values(changed)} WHERE {ended}"

    def _add_conversion_text(self) -> str:
        """Return a statement that inserts a conversion, or adds to it by the rule of `Conversion.added`."""
        t, mysql = self._tables, self._tables.kind == "mysql"
        passed = f"GREATEST({t.time_given} - {t.conversion}.changed_at, 0)"
        in_memory = f"LEAST({1 / MEMORY:.17e}, {passed} * {MICROSECOND / SHORTEST_MEMORY:.17e})"
        left = f"EXP(-({passed} * {MICROSECOND / DECAY:.17e} + {in_memory}))"
        sent, verified = (
            f"{column} = CASE WHEN {t.conversion}.{column} BETWEEN 0 AND {MOST_COUNTED:.17e} "
            f"THEN {t.conversion}.{column} ELSE 0 END * {left} + {t.new(column)}"
            for column in ("sent", "verified")
        )
        route = "%(route)s" if mysql else f"CASE WHEN {_WAITS_SHORTLY} THEN %(route)s END"
        # The counts may lose their last changes: a flush for each order would only make the row hotter.
        # `changed_at` last: in MySQL the assignments before it read its old value.
        return (
            f"{_FOR_A_SHORT_TIME if mysql else ''}INSERT INTO {t.conversion} (route, sent, verified, changed_at) "
            f"VALUES ({route}, %(sent)s, %(verified)s, {t.time_given}) {t.on_conflict('route')} {sent}, {verified}, "
            f"changed_at = GREATEST({t.conversion}.changed_at, {t.new('changed_at')})"
            f"{'' if mysql else f' RETURNING {_WITHOUT_WAITING}'}"
        )

    def update(
        self,
        cursor: Any,
        names: tuple[str, ...],
        phone: Phone,
        record: Verification,
        at: datetime,
        tally: Sequence[tuple[str, int, int]] = (),
        *,
        durable: bool = True,
    ) -> bool:
        """Write these fields of a record, its phone's counts, and the tally; return False after a concurrent update."""
        values = stored_fields(record, names) | {"this": record.id}
        tallied = _tallied(tally, at) if tally else {}
        if self._guarded:
            statement = self._guarded_update(names, len(tally) if self.at_once else 0, durable=durable)
            values |= tallied if self.at_once else {}
            if statement(cursor, of_phone=phone.tag, **phone.row(at), **values).rowcount <= 0:
                return False
        else:
            if phone.changed:
                self.write_phone(cursor, phone.row(at))
            self._update(names)(cursor, values)
        if tally and not self.at_once:
            self._tally(len(tally))(cursor, tallied)
        return True

    def _update_text(self, names: Iterable[str], source: str = "") -> str:
        t = self._tables
        return f"UPDATE {t.verification} SET {t.changes(names)}{source} WHERE id = %(this)s"

    def _guarded_text(self, names: tuple[str, ...], tallies: int, *, durable: bool) -> str:
        """Return a statement that writes these fields of `this` record and the counts of its phone, unless its version
        has changed, and on PostgreSQL `tallies` counters of the tally.
        """
        t = self._tables
        as_read = f"p.tag = %(of_phone)s AND {t.version} = %(old_version)s"
        if t.kind == "mysql":
            # One UPDATE of two tables; they are locked in the order in which they are named.
            return (
                f"UPDATE {t.phone} AS p, {t.verification} AS v "
                f"SET {t.changes(names, 'v.')}, {t.changes(t.counted, 'p.')} WHERE v.id = %(this)s AND {as_read}"
            )
        tally = f", tally AS ({self._tally_text(tallies, held=True)})" if tallies else ""
        returning = "" if durable else f" RETURNING {_WITHOUT_WAITING}"
        return (
            f"WITH held AS (UPDATE {t.phone} AS p SET {t.changes(t.counted)} WHERE {as_read} RETURNING p.tag){tally} "
            f"{self._update_text(names, ' FROM held')}{returning}"
        )

    def _guarded_statement(self, names: tuple[str, ...], tallies: int, *, durable: bool) -> Statement:
        if self.at_once and (names, tallies, durable) == (RECEIPT, 0, False):
            return self._receipt
        return self._tables.prepared(self._guarded_text(names, tallies, durable=durable))

    def _tally_text(self, count: int, *, held: bool = False) -> str:
        """Return a statement that increases `count` counters, or restarts those that have expired.

        With `held`, for PostgreSQL, only if the CTE `held` has a row.
        """
        t = self._tables
        rows = [f"%(tally_name{n})s, %(tally_change{n})s, %(tally_ends_at{n})s" for n in range(count)]
        values = (
            " UNION ALL ".join(f"SELECT {row} FROM held" for row in rows) if held else f"VALUES ({'), ('.join(rows)})"
        )
        ended = f"{t.counter}.ends_at <= %(tally_at)s"
        # In MySQL the order matters: the second assignment sees the value written by the first.
        return (
            f"INSERT INTO {t.counter} (name, count, ends_at) {values} {t.on_conflict('name')} "
            f"count = CASE WHEN {ended} THEN {t.new('count')} ELSE {t.counter}.count + {t.new('count')} END, "
            f"ends_at = CASE WHEN {ended} THEN {t.new('ends_at')} ELSE {t.counter}.ends_at END"
        )

    def start(self, cursor: Any, phone: Phone, opened: Opened, at: datetime, before: datetime, *, purges: bool) -> bool:
        """Write the counts of a locked phone, its new record, and the ends of others; purge some
        rows that expired before `before`.
        """
        row = phone.row(at)
        self.write_phone(cursor, row)
        phone.version = row["version"] if self._tables.numbered else None
        for ended in opened.ended:
            self._update(CLOSED)(cursor, this=ended.id, **stored_fields(ended, CLOSED))
        self.insert(cursor, stored_fields(opened.record, STARTED))
        for table, most in _PURGED.items() if purges else ():
            self.purge(cursor, table, before, most)
        return True

    def start_at_once(
        self, cursor: Any, phone: Phone, opened: Opened, at: datetime, before: datetime, *, purges: bool
    ) -> bool:
        """Like `start`, in one statement; return False after a concurrent update.

        Also False if other records end with this start: that is rare, and takes several statements.
        """
        if opened.ended:
            return False
        values = phone.row(at) | stored_fields(opened.record, STARTED)
        written = self._starts[purges](cursor, **values, before=micros(before)).fetchone()
        if written is not None:
            (phone.version,) = written
        return written is not None

    def _start_text(self, purges: bool) -> str:
        """Return the statement that writes a start, purges and returns the phone's new version; for PostgreSQL."""
        t, names = self._tables, self._tables.counted
        # With its type: PostgreSQL would infer two for a value that is inserted and compared, and is sent once.
        tag = "%(tag)s::varchar"
        # Not if the phone that was read has been erased. Locked, to wait for an erasure that is not committed yet: its
        # phone is there for this statement, and gone when the insert has waited for it.
        kept = f"%(old_version)s = -1 OR EXISTS (SELECT 1 FROM {t.phone} WHERE tag = {tag} FOR UPDATE)"
        held = (
            f"INSERT INTO {t.phone} AS p (tag, {', '.join(names)}) SELECT {tag}, {t.values(names)} WHERE {kept} "
            f"{t.on_conflict('tag')} {t.new_values(names)} WHERE {t.version} = %(old_version)s "
            f"RETURNING {t.version} AS version"
        )
        parts = [f"held AS ({held})"]
        for table, most in _PURGED.items() if purges else ():
            # This phone's own row may have expired; it is written here and must not be deleted too.
            mine = f" AND tag <> {tag}" if table is Table.PHONE else ""
            # A literal, not a parameter: a plan that does not know how few rows are needed scans the whole table.
            purged = self._delete_text(table, self._old_text(table, str(most), mine))
            parts.append(f"old_{table.value[0]} AS ({purged})")
        start = f"{self._insert} SELECT {self._started} FROM held"
        return f"WITH {', '.join(parts)} {start} RETURNING (SELECT version FROM held)"

    def purge(self, cursor: Any, table: Table, before: datetime, most: int) -> int:
        """Delete at most `most` rows of a table that expired before `before`; return how many."""
        delete, find = self._purge(table)
        if find is None:
            return int(delete(cursor, before=micros(before), most=most).rowcount)
        keys = find(cursor, before=micros(before), most=most).fetchall()
        for (key,) in keys:
            delete(cursor, this=key)
        return len(keys)

    def _purge_statements(self, table: Table) -> tuple[Statement, Statement | None]:
        """Return the statement that deletes at most `most` rows of a table that expired before `before`, the oldest
        first; or the one that deletes `this` row, and one that finds them.
        """
        t, (name, key, _) = self._tables, self._tables.parts(table)
        old = self._old_text(table, "%(most)s")
        if t.kind == "mysql":  # does not support LIMIT inside IN
            return t.prepared(f"DELETE FROM {name} WHERE {key} = %(this)s"), t.prepared(old)
        return t.prepared(self._delete_text(table, old)), None

    def _old_text(self, table: Table, limit: str, condition: str = "") -> str:
        """Return a query for the keys of expired rows, the oldest first. Rows locked by a step are skipped."""
        name, key, expiry = self._tables.parts(table)
        locking = " FOR UPDATE SKIP LOCKED" if self._tables.skips_locked else ""
        return (
            f"SELECT {key} FROM {name} WHERE {expiry} <= %(before)s{condition} ORDER BY {expiry} LIMIT {limit}{locking}"
        )

    def _delete_text(self, table: Table, rows: str) -> str:
        """Return a statement that deletes these rows, which it reads once.

        PostgreSQL may read a query inside `IN` again for each row. Each time `FOR UPDATE` skips the rows that this
        statement has deleted, so it would delete more than the limit.
        """
        name, key, _ = self._tables.parts(table)
        among = f"= ANY(ARRAY({rows}))" if self._tables.kind == "postgresql" else f"IN ({rows})"
        return f"DELETE FROM {name} WHERE {key} {among}"

    def hold_counters(self, cursor: Any, names: Sequence[str]) -> None:
        """Lock these counters. Names are given in order, so that no two steps deadlock."""
        hold, _, _ = self._counters(len(names))
        hold(cursor, _numbered("name", names))

    def read_counters(self, cursor: Any, names: Sequence[str], at: int | None) -> Sequence[Sequence[Any]]:
        """Return the three sums of the tally at that time, the server's time, and the name, count and
        end of each of these counters that has a row; one row of the sums and the time if none has.
        """
        _, read, _ = self._counters(len(names))
        rows: Sequence[Sequence[Any]] = read(cursor, _numbered("name", names) | {"at": at}).fetchall()
        return rows

    def write_counters(self, cursor: Any, names: Sequence[str], windows: Sequence[Window]) -> None:
        """Write the windows of these counters."""
        _, _, write = self._counters(len(names))
        counts = _numbered("count", [window.count for window in windows])
        ends = _numbered("ends_at", [micros(window.ends_at) for window in windows])
        write(cursor, _numbered("name", names) | counts | ends)

    def _counter_statements(self, count: int) -> tuple[Statement, Statement, Statement]:
        """Return the statements that lock, read and write this many counters."""
        t, names, columns = self._tables, [f"%(name{n})s" for n in range(count)], ("name", "count", "ends_at")
        full = [f"{name}, %(count{n})s, %(ends_at{n})s" for n, name in enumerate(names)]
        hold = t.upsert(Table.COUNTER, columns, [f"{name}, 0, 0" for name in names], ["name"])
        read = (
            f"SELECT tally.*, {t.now}, c.name, c.count, c.ends_at FROM ({self._sums_text()}) AS tally "
            f"LEFT JOIN {t.counter} AS c ON c.name IN ({', '.join(names)})"
        )
        write = t.upsert(Table.COUNTER, columns, full, ["count", "ends_at"])
        return t.prepared(hold), t.prepared(read), t.prepared(write)

    def _sums_text(self) -> str:
        """Return a query for the three sums of the tally at the time `at`."""
        sums = ", ".join(
            f"COALESCE(SUM(CASE WHEN name >= '{first}' AND name < '{beyond}' THEN count END), 0) AS {series}_sum"
            for series, (first, beyond) in zip(SERIES, map(series_range, SERIES), strict=True)
        )
        live = f"name >= '{TALLY_FIRST}' AND name < '{TALLY_BEYOND}' AND ends_at > {self._tables.time_given}"
        return f"SELECT {sums} FROM {self._tables.counter} WHERE {live}"

    def count_at_once(
        self, cursor: Any, quotas: Sequence[Quota], gates: Sequence[Quota], tag: str, now: datetime | None
    ) -> Sequence[Sequence[Any]]:
        """Count one more under several quotas in one statement, if none of the gates is full.

        Return name, end, the server's time, the three sums of the tally, and the columns of the phone
        with this tag, if there is one; no rows if a window must be started.
        """
        rows: Sequence[Sequence[Any]] = self.count(
            cursor,
            names=_lines(quota.key for quota in quotas),
            limits=_lines(at_most(quota.limit) for quota in quotas),
            gates=_lines(gate.key for gate in gates),
            full_at=_lines(at_most(gate.limit) for gate in gates),
            tag=tag,
            at=micros(now) if now else None,
        ).fetchall()
        return rows

    def _count_text(self) -> str:
        """Return the statement that counts, for PostgreSQL.

        It is one text for every number of quotas. Lists are passed as lines, since drivers write arrays slowly. Each
        name is followed to its row by the primary key, and to its limit by its place: a join took a third longer.
        """
        t = self._tables
        names, limits, gates, full_at = (
            f"string_to_array(%({name})s, chr(10))" for name in ("names", "limits", "gates", "full_at")
        )
        # Nothing is sent before the start is written, which does wait for the disk.
        return f"""\
WITH held AS (
  SELECT name FROM {t.counter} WHERE name = ANY({names}) AND ends_at > {t.time_given}
    AND count < ({limits}::bigint[])[array_position({names}, name::text)]
  ORDER BY name FOR UPDATE
)
UPDATE {t.counter} AS c SET count = count + 1
FROM ({self._sums_text()}) AS tally LEFT JOIN {t.phone} AS p ON p.tag = %(tag)s
WHERE c.name = ANY({names}) AND (SELECT count(*) FROM held) = cardinality({names}) AND NOT EXISTS (
  SELECT 1 FROM {t.counter} WHERE name = ANY({gates}) AND ends_at > {t.time_given}
    AND count >= ({full_at}::bigint[])[array_position({gates}, name::text)]
)
RETURNING c.name, c.ends_at, {t.now}, {_WITHOUT_WAITING}, {", ".join(f"{series}_sum" for series in SERIES)},
  p.windows, p.failures, p.ends_at, {t.version}"""


def countable_at_once(keys: Sequence[str]) -> bool:
    """Return whether one statement can count quotas with these keys: they are different, and each is one line."""
    return len(set(keys)) == len(keys) and all(keys) and not any("\n" in key for key in keys)


def _tallied(rows: Sequence[tuple[str, int, int]], at: datetime) -> dict[str, object]:
    names, changes, ends = zip(*rows, strict=True)
    counters = _numbered("tally_name", names) | _numbered("tally_change", changes)
    return counters | _numbered("tally_ends_at", ends) | {"tally_at": micros(at)}


def _numbered(word: str, values: Sequence[object]) -> dict[str, object]:
    return dict(zip(_numbers(word, len(values)), values, strict=True))


@cache
def _numbers(word: str, count: int) -> Sequence[str]:
    return [f"{word}{n}" for n in range(count)]


def _lines(values: Iterable[object]) -> str:
    return "\n".join(map(str, values))
