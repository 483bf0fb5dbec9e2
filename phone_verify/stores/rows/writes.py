"""What a step has decided, written.

Where the database can do that it is one statement, and only if the phone's row still has the version that the decision
was made from. SQLite needs neither: there a step has the whole file to itself.

On PostgreSQL, what is *lazy* does not wait for the disk. After a power cut it is as if the process had died just
before, which every flow has to bear anyway; what is written later and does wait takes it to the disk as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from itertools import cycle
from typing import Any, Protocol

from ...lifecycle import Opened, Quota, Window
from ...model import Verification
from ..base import SWEPT_PER_START
from .turns import Statement
from .values import FIELDS, Phone, micros, stored_fields

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
#: What a step changes of a phone.
COUNTED = ("windows", "failures", "ends_at", "version")
CLOSED = ("status", "closed_at")
#: All of a record that a store keeps; one that finds the tag in the id has no column for it.
STORED = tuple(name for name in FIELDS if name != "read_at")


class Table(Enum):
    """The three tables."""

    VERIFICATION = "verification"
    PHONE = "phone"
    COUNTER = "counter"


#: Sweeping costs as much as the rest of a start, however much is swept: one start in so many does it for all.
_STARTS_PER_SWEEP = 4
#: A start leaves one record, one phone at most, and a counter for each shared quota.
_SWEPT = {
    Table.VERIFICATION: SWEPT_PER_START * _STARTS_PER_SWEEP,
    Table.PHONE: SWEPT_PER_START * _STARTS_PER_SWEEP,
    Table.COUNTER: 4 * SWEPT_PER_START * _STARTS_PER_SWEEP,
}


class Change:
    """Writes these fields of a record, and what is counted of its phone; False if another step came between.

    With a statement for the phone `record` writes the record alone, and nobody can come between; without, it writes
    both, guarded by the phone's version.
    """

    def __init__(self, names: Sequence[str], record: Statement, phone: Statement | None = None) -> None:
        self._names, self._record, self._phone = names, record, phone

    def __call__(self, cursor: Any, phone: Phone, record: Verification, at: datetime) -> bool:
        values = stored_fields(record, self._names)
        if self._phone is None:
            done = self._record(cursor, this=record.id, of_phone=phone.tag, **phone.row(at), **values)
            return bool(done.rowcount > 0)
        if phone.changed:
            self._phone(cursor, **phone.row(at))
        self._record(cursor, this=record.id, **values)
        return True


class Old:
    """Drops at most `most` rows of a table that were over `before`, the oldest first.

    With a statement that reads, `drop` drops the one row that it found.
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


class Open:
    """Writes a start: the counts of its phone, its record, the ends of others. May sweep away some of what is over.

    Several statements, for a transaction that holds the phone. Where the database itself numbers the versions of a row
    (`numbered_by_us` is false) nobody knows afterwards which one was written.
    """

    def __init__(
        self,
        phone: Statement,
        end: Statement,
        insert: Statement,
        swept: Sequence[tuple[Old, int]],
        *,
        numbered_by_us: bool = True,
    ) -> None:
        self._phone, self._end, self._insert, self._swept = phone, end, insert, swept
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


class OpenAtOnce:
    """`Open` in one statement, which tells the phone's new version; False if another step came between.

    Also if other records end with this start: that is rare, and takes several statements.
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
    """The ways to write a start: alone, where the database can do that in one statement, or in a transaction."""

    held: Open
    at_once: OpenAtOnce | None = None


class Counters:
    """The statements for so many shared counters. Their names are given in order, so that no two steps lock up."""

    def __init__(self, hold: Statement, read: Statement, write: Statement, one_more: Statement) -> None:
        self._hold, self._read, self._write, self._one_more = hold, read, write, one_more

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

    def one_more(self, cursor: Any, quotas: Sequence[Quota], now: datetime | None) -> Sequence[Sequence[Any]]:
        """On PostgreSQL: count one more in each window; no rows if one has to begin, or is full.

        Gives back their names and ends, and the server's time.
        """
        limits = _numbered("limit", [quota.limit for quota in quotas])
        at = micros(now) if now else None
        names = _numbered("name", [quota.key for quota in quotas])
        rows: Sequence[Sequence[Any]] = self._one_more(cursor, **names, **limits, at=at).fetchall()
        return rows


def _numbered(word: str, values: Sequence[object]) -> dict[str, object]:
    return {f"{word}{n}": value for n, value in enumerate(values)}


class Words(Protocol):
    """The statements that change, in the words of one database."""

    @property
    def at_once(self) -> bool:
        """Whether a start, and a count, can be written in one statement."""
        ...

    def start(self, swept: Mapping[Table, int]) -> Start:
        """Writes a start, and sweeps so many rows of these tables."""
        ...

    def change(self, names: Sequence[str], *, lazy: bool = False) -> Change:
        """Writes these fields of a record."""
        ...

    def old(self, table: Table) -> Old:
        """Drops what is over of a table."""
        ...

    def counters(self, count: int) -> Counters:
        """The statements for this many counters."""
        ...

    def uncount(self) -> Statement:
        """Takes one from `this` counter, if its window ends `then`."""
        ...

    def erase(self) -> Sequence[Statement]:
        """Drop the records of `this` phone (no id of it comes after `beyond`), and the phone."""
        ...


class Writes:
    """All statements that change, made once."""

    def __init__(self, words: Words) -> None:
        self._words = words
        self.at_once = words.at_once
        #: The ways to write a start, which take turns: the first of a process sweeps.
        self.starts = [words.start(_SWEPT)] + [words.start({})] * (_STARTS_PER_SWEEP - 1)
        self._start = cycle(self.starts)
        self.attach = words.change(_RECEIPT)
        self.attach_lazily = words.change(_RECEIPT, lazy=True)
        self.close = words.change(CLOSED)
        self.spend = words.change((*CLOSED, "attempts_left", "unjudged"))
        self.judge = words.change((*CLOSED, "unjudged"))
        self.reopen = words.change(("sends", "resend_at"))
        self.poll = words.change(("polled_at",), lazy=True)
        self.redeem = words.change(("redeemed",))
        self.old = [words.old(table) for table in Table]
        self.uncount = words.uncount()
        self.erase_records, self.erase_phone = words.erase()
        self._counters: dict[int, Counters] = {}

    def start(self) -> Start:
        """The ways to write the next start."""
        return next(self._start)

    def counters(self, count: int) -> Counters:
        """The statements for this many counters."""
        if count not in self._counters:
            self._counters[count] = self._words.counters(count)
        return self._counters[count]
