"""How the decision of a step is written.

If the database supports it, this is one statement, which takes effect only if the phone's row still
has the version on which the decision was based. SQLite needs neither: a step has exclusive access
to the file.

On PostgreSQL, *lazy* writes do not wait for the disk. A power failure then has the same effect as
if the process had died just before, which every flow must survive anyway; a later synchronous write
flushes them as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from itertools import cycle
from typing import Any, Protocol

from ...lifecycle import Opened
from ...limits import Quota, Window
from ...model import Verification
from ..base import PURGE_PER_START
from .transactions import Statement
from .values import FIELDS, Phone, micros, stored_fields

#: The columns that a receipt may change.
_RECEIPT = (
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
#: The columns of a phone that a step changes.
COUNTED = ("windows", "failures", "ends_at", "version")
CLOSED = ("status", "closed_at", "by_pair", "by_call")
_ANSWERED = (*CLOSED, "pending_checks", "mistakes", "tallied_short", "tallied_long")
#: All columns of a record that a store keeps; one that finds the tag in the id has no column for
#: it.
STORED = tuple(name for name in FIELDS if name != "read_at")


class Table(Enum):
    """The three tables."""

    VERIFICATION = "verification"
    PHONE = "phone"
    COUNTER = "counter"


#: A purge costs as much as the rest of a start, regardless of the number of rows: one start in
#: several does it for all.
_STARTS_PER_SWEEP = 4
#: A start leaves one record, at most one phone, and a counter for each shared quota.
_SWEPT = {
    Table.VERIFICATION: PURGE_PER_START * _STARTS_PER_SWEEP,
    Table.PHONE: PURGE_PER_START * _STARTS_PER_SWEEP,
    Table.COUNTER: 4 * PURGE_PER_START * _STARTS_PER_SWEEP,
}


class UpdateVerification:
    """Write these fields of a record, and the counts of its phone; False after a concurrent update.

    With a statement for the phone, `record` writes the record alone, and the phone's row is locked;
    without, it writes both, guarded by the phone's version. A statement for the tally is executed
    after them, in the same transaction; without one, `record` writes the tally too.
    """

    def __init__(
        self,
        names: Sequence[str],
        record: Statement,
        phone: Statement | None = None,
        tally: Statement | None = None,
    ) -> None:
        self._names, self._record, self._phone, self._tally = names, record, phone, tally

    def __call__(
        self,
        cursor: Any,
        phone: Phone,
        record: Verification,
        at: datetime,
        tally: Sequence[tuple[str, int, int]] = (),
    ) -> bool:
        values = stored_fields(record, self._names)
        tallied = _tallied(tally, at) if tally else {}
        if self._phone is None:
            with_it = {} if self._tally else tallied
            done = self._record(cursor, this=record.id, of_phone=phone.tag, **phone.row(at), **values, **with_it)
            if done.rowcount <= 0:
                return False
        else:
            if phone.changed:
                self._phone(cursor, **phone.row(at))
            self._record(cursor, this=record.id, **values)
        if self._tally is not None:
            self._tally(cursor, **tallied)
        return True


class DeleteExpired:
    """Deletes at most `most` rows of a table that expired before `before`, the oldest first.

    With a statement that reads, `drop` deletes the one row that it found.
    """

    def __init__(self, drop: Statement, read: Statement | None = None) -> None:
        self._drop, self._read = drop, read

    def __call__(self, cursor: Any, before: datetime, most: int) -> int:
        if self._read is None:
            return int(self._drop(cursor, before=micros(before), most=most).rowcount)
        keys = self._read(cursor, before=micros(before), most=most).fetchall()
        for (key,) in keys:
            self._drop(cursor, this=key)
        return len(keys)


class InsertVerification:
    """Writes a start: the counts of its phone, its record, the ends of others. May also purge some
    expired rows.

    Several statements, for a transaction that locks the phone. If the database itself numbers the
    versions of a row (`numbered_by_us` is false) the written version is unknown.
    """

    def __init__(
        self,
        phone: Statement,
        end: Statement,
        insert: Statement,
        purged: Sequence[tuple[DeleteExpired, int]],
        *,
        numbered_by_us: bool = True,
    ) -> None:
        self._phone, self._end, self._insert, self._swept = phone, end, insert, purged
        self._numbered_by_us = numbered_by_us

    def __call__(self, cursor: Any, phone: Phone, opened: Opened, at: datetime, before: datetime) -> bool:
        row = phone.row(at)
        self._phone(cursor, **row)
        phone.version = row["version"] if self._numbered_by_us else None
        for ended in opened.ended:
            self._end(cursor, this=ended.id, **stored_fields(ended, CLOSED))
        self._insert(cursor, **stored_fields(opened.record, STORED))
        for old, most in self._swept:
            old(cursor, before, most)
        return True


class InsertVerificationCTE:
    """`InsertVerification` in one statement, which returns the phone's new version; False after a
    concurrent update.

    Also False if other records end with this start: that is rare, and takes several statements.
    """

    def __init__(self, start: Statement) -> None:
        self._start = start

    def __call__(self, cursor: Any, phone: Phone, opened: Opened, at: datetime, before: datetime) -> bool:
        if opened.ended:
            return False
        values = phone.row(at) | stored_fields(opened.record, STORED)
        written = self._start(cursor, **values, before=micros(before)).fetchone()
        if written is not None:
            (phone.version,) = written
        return written is not None


@dataclass(frozen=True, slots=True)
class Start:
    """The ways to write a start: optimistically, if the database can do it in one statement, or in
    a transaction.
    """

    held: InsertVerification
    at_once: InsertVerificationCTE | None = None


class Counters:
    """The statements for a given number of shared counters. Their names are given in order, so that
    no two steps deadlock.
    """

    def __init__(self, hold: Statement, read: Statement, write: Statement) -> None:
        self._hold, self._read, self._write = hold, read, write

    def hold(self, cursor: Any, names: Sequence[str]) -> None:
        self._hold(cursor, **_numbered("name", names))

    def read(self, cursor: Any, names: Sequence[str]) -> Sequence[Sequence[Any]]:
        """Return the names that have a row, and the tally's, with their counts, ends, and the
        server's time.
        """
        rows: Sequence[Sequence[Any]] = self._read(cursor, **_numbered("name", names)).fetchall()
        return rows

    def write(self, cursor: Any, names: Sequence[str], windows: Sequence[Window]) -> None:
        counts = _numbered("count", [window.count for window in windows])
        ends = _numbered("ends_at", [micros(window.ends_at) for window in windows])
        self._write(cursor, **_numbered("name", names), **counts, **ends)


class CountAtOnce:
    """Counts one more under several quotas in one statement, for PostgreSQL, if none of the gates
    is full.
    """

    def __init__(self, statement: Statement) -> None:
        self._statement = statement

    def __call__(
        self, cursor: Any, quotas: Sequence[Quota], gates: Sequence[Quota], now: datetime | None
    ) -> Sequence[Sequence[Any]]:
        """Return name, end, the server's time and the three sums of the tally; no rows if a window
        must be started.
        """
        values = {
            **_numbered("name", [quota.key for quota in quotas]),
            **_numbered("limit", [quota.limit for quota in quotas]),
            **_numbered("gate", [gate.key for gate in gates]),
            **_numbered("most", [gate.limit for gate in gates]),
        }
        at = micros(now) if now else None
        rows: Sequence[Sequence[Any]] = self._statement(cursor, **values, at=at).fetchall()
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


class StatementFactory(Protocol):
    """The statements that write, in the SQL of one database."""

    @property
    def at_once(self) -> bool:
        """Return whether a start, and a count, can be written in one statement."""
        ...

    def start(self, purged: Mapping[Table, int]) -> Start:
        """Return the statement that writes a start and purges rows of these tables."""
        ...

    def change(self, names: Sequence[str], *, lazy: bool = False, tallies: int = 0) -> UpdateVerification:
        """Return the statement that writes these fields of a record and the given number of tally
        counters.
        """
        ...

    def phone(self) -> Statement:
        """Return the statement that writes the counts of a phone whose row the step has locked."""
        ...

    def old(self, table: Table) -> DeleteExpired:
        """Return the statement that deletes expired rows of a table."""
        ...

    def counters(self, count: int) -> Counters:
        """Return the statements for this many counters."""
        ...

    def count_at_once(self, quotas: int, gates: int) -> CountAtOnce:
        """Return the statement that counts this many quotas, with this many gates; only if
        `at_once`.
        """
        ...

    def uncount(self) -> Statement:
        """Return the statement that takes one from `this` counter, if its window ends `then`."""
        ...

    def erase(self) -> Sequence[Statement]:
        """Return the statements that delete the records of `this` phone (none of its ids sorts
        after `beyond`), and the phone.
        """
        ...


class WriteStatements:
    """All statements that write, prepared once."""

    def __init__(self, words: StatementFactory) -> None:
        self._words = words
        self.at_once = words.at_once
        #: The ways to write a start, used in turn: the first of a process purges.
        self.starts = [words.start(_SWEPT)] + [words.start({})] * (_STARTS_PER_SWEEP - 1)
        self._start = cycle(self.starts)
        self.attach = words.change(_RECEIPT)
        self.attach_lazily = words.change(_RECEIPT, lazy=True)
        self.close = words.change(CLOSED)
        self.phone = words.phone()
        self.reopen = words.change(("sends", "resend_at", "waits"))
        self.poll = words.change(("polled_at",), lazy=True)
        self.redeem = words.change(("redeemed",))
        self.old = [words.old(table) for table in Table]
        self.uncount = words.uncount()
        self.erase_records, self.erase_phone = words.erase()
        self._counters: dict[int, Counters] = {}
        self._counts_at_once: dict[tuple[int, int], CountAtOnce] = {}
        self._answers: dict[tuple[bool, int], UpdateVerification] = {}

    def start(self) -> Start:
        """Return the ways to write the next start."""
        return next(self._start)

    def counters(self, count: int) -> Counters:
        """Return the statements for this many counters."""
        if count not in self._counters:
            self._counters[count] = self._words.counters(count)
        return self._counters[count]

    def count_at_once(self, quotas: int, gates: int) -> CountAtOnce:
        """Return the statement that counts this many quotas, with this many gates."""
        if (quotas, gates) not in self._counts_at_once:
            self._counts_at_once[quotas, gates] = self._words.count_at_once(quotas, gates)
        return self._counts_at_once[quotas, gates]

    def answer(self, *, spends: bool, tallies: int) -> UpdateVerification:
        """Return the statement that writes an evaluated answer and the given number of tally
        counters; `spends` if it consumes an attempt.
        """
        if (spends, tallies) not in self._answers:
            names = (*_ANSWERED, "attempts_left") if spends else _ANSWERED
            self._answers[spends, tallies] = self._words.change(names, tallies=tallies)
        return self._answers[spends, tallies]
