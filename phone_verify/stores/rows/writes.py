"""How the decision of a step is written.

If the database supports it, this is one statement, which takes effect only if the phone's row still
has the version on which the decision was based. SQLite needs neither: a step has exclusive access
to the file.

On PostgreSQL, writes with `durable=False` do not wait for the disk. A power failure then has the
same effect as if the process had died just before, which every flow must survive anyway; a later
synchronous write flushes them as well.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from datetime import datetime, timedelta
from enum import Enum
from functools import cache
from typing import Any

from ...conversions import LONGEST_WAIT
from ...lifecycle import Opened
from ...limits import Quota, Window
from ...model import Verification
from ..base import PURGE_PER_START
from .transactions import Statement
from .values import FIELDS, Phone, micros, stored_fields

#: The columns that a receipt may change.
RECEIPT = (
    "status",
    "channel",
    "driver",
    "code_source",
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
    "acked_send",
    "released_lines",
    "resend_at",
    "claim_driver",
    "claim_reference",
    "claim_line",
    "claim_send",
    "code_channel",
)
#: The limit for the wait of a change of conversions: a condition of PostgreSQL, which is evaluated
#: before the row is locked, and a comment that MariaDB alone executes before the statement. MySQL
#: can limit a wait only for the session, by two more statements.
WAITS_SHORTLY = f"set_config('lock_timeout', '{LONGEST_WAIT // timedelta(milliseconds=1)}ms', true) IS NOT NULL"
FOR_A_SHORT_TIME = f"/*M! SET STATEMENT max_statement_time={LONGEST_WAIT.total_seconds():g} FOR */ "
#: The columns of a phone that a step changes.
COUNTED = ("windows", "failures", "ends_at", "version")
CLOSED = ("status", "closed_at", "by_pair", "by_call", "attestation")
ANSWERED = (*CLOSED, "pending_checks", "mistakes", "tallied_short", "tallied_long")
#: All columns of a record that a store keeps; one that finds the tag in the id has no column for
#: it.
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


class Table(Enum):
    """The tables."""

    VERIFICATION = "verification"
    PHONE = "phone"
    COUNTER = "counter"
    RESPONSE = "response"
    CONVERSION = "conversion"


#: A purge costs as much as the rest of a start, regardless of the number of rows: one start in
#: several does it for all.
STARTS_PER_PURGE = 4
#: A start leaves one record, at most one phone, and a counter for each shared quota.
_PURGED = {
    Table.VERIFICATION: PURGE_PER_START * STARTS_PER_PURGE,
    Table.PHONE: PURGE_PER_START * STARTS_PER_PURGE,
    Table.COUNTER: 4 * PURGE_PER_START * STARTS_PER_PURGE,
}


class WriteStatements(ABC):
    """The statements that write, and how a step runs them on its cursor.

    A subclass has the SQL of one database. It sets the statements that never vary, and builds those
    that depend on fields, a table or a number of counters; each of these is built once.
    """

    #: Whether a start, a count, and an answer with its tally are one statement each.
    at_once = False
    #: Whether an update of a record and its phone is one statement, guarded by the phone's version.
    #: Otherwise it is two, and the step has locked the phone.
    guarded = False
    #: Whether every step that writes excludes all others anyway.
    one_writer = False
    #: Whether the version of a phone's row is the written one. If the database itself numbers the
    #: versions of a row, the new one is known only from a statement that returns it.
    numbered_by_us = True
    #: Writes the counts of a phone whose row the step has locked.
    write_phone: Statement
    #: Spends an ordinary attempt, see `answers`; used only if `at_once`.
    spend: Statement
    #: Inserts a record that a start has made.
    insert: Statement
    #: Takes one from `this` counter, if its window ends `then`.
    uncount: Statement
    #: Deletes the records of `this` phone (none of its ids sorts after `beyond`).
    erase_records: Statement
    #: Deletes `this` phone.
    erase_phone: Statement
    #: Deletes the places of the phone with this `tag`.
    erase_responses: Statement
    #: Takes the place `name` until `lasts` microseconds after the time `at`, if it is free then.
    take: Statement
    #: Puts a `response` in the place `this` that has this `holder`, until `lasts` after `at`.
    keep_response: Statement
    #: Copies the place `this` that has this `holder` to the place `name`.
    copy_response: Statement
    #: Deletes the place `this` that has this `holder`.
    release: Statement
    #: Adds `sent` and `verified` to the conversions of this `route` at the time `at`, by the rule of
    #: `Conversion.added`; None if the database may lack the exponential function.
    add_conversion: Statement | None
    #: Sets the conversions of this `route`, in a step that excludes all others.
    put_conversion: Statement

    def __init__(self) -> None:
        self._update, self._guarded_update = cache(self.build_update), cache(self.build_guarded_update)
        self._tally, self._purge = cache(self.build_tally), cache(self.build_purge)
        self._start = cache(lambda purges: self.build_start(_PURGED if purges else {}))
        self._counters, self._count = cache(self.build_counters), cache(self.build_count)

    @abstractmethod
    def build_update(self, names: tuple[str, ...]) -> Statement:
        """Return the statement that writes these fields of `this` record."""

    @abstractmethod
    def build_guarded_update(self, names: tuple[str, ...], tallies: int, *, durable: bool) -> Statement:
        """Return the statement that also writes the counts of its phone, and `tallies` counters of
        the tally if `at_once`; used only if `guarded`.
        """

    @abstractmethod
    def build_tally(self, count: int) -> Statement:
        """Return the statement that changes this many counters of the tally."""

    @abstractmethod
    def build_start(self, purged: Mapping[Table, int]) -> Statement:
        """Return the statement that writes a start, purges rows of these tables and returns the
        phone's new version; used only if `at_once`.
        """

    @abstractmethod
    def build_purge(self, table: Table) -> tuple[Statement, Statement | None]:
        """Return the statement that deletes at most `most` rows of a table that expired before
        `before`, the oldest first; or the one that deletes `this` row, and one that finds them.
        """

    @abstractmethod
    def build_counters(self, count: int) -> tuple[Statement, Statement, Statement]:
        """Return the statements that lock, read and write this many counters."""

    @abstractmethod
    def build_count(self, quotas: int, gates: int) -> Statement:
        """Return the statement that counts this many quotas, with this many gates; used only if
        `at_once`.
        """

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
        """Write these fields of a record, the counts of its phone, and the tally; return False
        after a concurrent update.
        """
        values = stored_fields(record, names) | {"this": record.id}
        tallied = _tallied(tally, at) if tally else {}
        if self.guarded:
            statement = self._guarded_update(names, len(tally) if self.at_once else 0, durable=durable)
            values |= tallied if self.at_once else {}
            if statement(cursor, of_phone=phone.tag, **phone.row(at), **values).rowcount <= 0:
                return False
        else:
            if phone.changed:
                self.write_phone(cursor, **phone.row(at))
            self._update(names)(cursor, **values)
        if tally and not self.at_once:
            self._tally(len(tally))(cursor, **tallied)
        return True

    def start(self, cursor: Any, phone: Phone, opened: Opened, at: datetime, before: datetime, *, purges: bool) -> bool:
        """Write the counts of a locked phone, its new record, and the ends of others; purge some
        rows that expired before `before`.
        """
        row = phone.row(at)
        self.write_phone(cursor, **row)
        phone.version = row["version"] if self.numbered_by_us else None
        for ended in opened.ended:
            self._update(CLOSED)(cursor, this=ended.id, **stored_fields(ended, CLOSED))
        self.insert(cursor, **stored_fields(opened.record, STARTED))
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
        written = self._start(purges)(cursor, **values, before=micros(before)).fetchone()
        if written is not None:
            (phone.version,) = written
        return written is not None

    def purge(self, cursor: Any, table: Table, before: datetime, most: int) -> int:
        """Delete at most `most` rows of a table that expired before `before`; return how many."""
        delete, find = self._purge(table)
        if find is None:
            return int(delete(cursor, before=micros(before), most=most).rowcount)
        keys = find(cursor, before=micros(before), most=most).fetchall()
        for (key,) in keys:
            delete(cursor, this=key)
        return len(keys)

    def hold_counters(self, cursor: Any, names: Sequence[str]) -> None:
        """Lock these counters. Names are given in order, so that no two steps deadlock."""
        hold, _, _ = self._counters(len(names))
        hold(cursor, **_numbered("name", names))

    def read_counters(self, cursor: Any, names: Sequence[str]) -> Sequence[Sequence[Any]]:
        """Return the names that have a row, and the tally's, with their counts, ends, and the
        server's time.
        """
        _, read, _ = self._counters(len(names))
        rows: Sequence[Sequence[Any]] = read(cursor, **_numbered("name", names)).fetchall()
        return rows

    def write_counters(self, cursor: Any, names: Sequence[str], windows: Sequence[Window]) -> None:
        """Write the windows of these counters."""
        _, _, write = self._counters(len(names))
        counts = _numbered("count", [window.count for window in windows])
        ends = _numbered("ends_at", [micros(window.ends_at) for window in windows])
        write(cursor, **_numbered("name", names), **counts, **ends)

    def count_at_once(
        self, cursor: Any, quotas: Sequence[Quota], gates: Sequence[Quota], tag: str, now: datetime | None
    ) -> Sequence[Sequence[Any]]:
        """Count one more under several quotas in one statement, if none of the gates is full.

        Return name, end, the server's time, the three sums of the tally, and the columns of the phone
        with this tag, if there is one; no rows if a window must be started.
        """
        values = {
            **_numbered("name", [quota.key for quota in quotas]),
            **_numbered("limit", [quota.limit for quota in quotas]),
            **_numbered("gate", [gate.key for gate in gates]),
            **_numbered("most", [gate.limit for gate in gates]),
        }
        count = self._count(len(quotas), len(gates))
        rows: Sequence[Sequence[Any]] = count(cursor, **values, tag=tag, at=micros(now) if now else None).fetchall()
        return rows


def _tallied(rows: Sequence[tuple[str, int, int]], at: datetime) -> dict[str, object]:
    names, changes, ends = zip(*rows, strict=True)
    return {
        **_numbered("tally_name", names),
        **_numbered("tally_change", changes),
        **_numbered("tally_ends_at", ends),
        "tally_at": micros(at),
    }


def _numbered(word: str, values: Sequence[object]) -> dict[str, object]:
    return {f"{word}{n}": value for n, value in enumerate(values)}
