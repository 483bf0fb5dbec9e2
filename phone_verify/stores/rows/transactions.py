"""One run of a step: what it can read, and how it writes its decision.

On a server most steps first run *optimistically*: they read, decide, and write in one statement that does nothing if
another step came between. If that fails, they run in a transaction that locks the phone's row. An answer is one
statement that locks, compares and counts, or does nothing if the answer is not ordinary (see `answers`). On SQLite,
which has one writer, `BEGIN IMMEDIATE` locks everything.

A start and its receipt are tried without reading before that: the count of the shared quotas has just read the server's
time and the phone, and passes it to the start; the receipt takes the record that the start has written *from the
cache*. If either is out of date, nothing is written, and the step reads.
"""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

from ... import lifecycle
from ...codes import TAG_LENGTH
from ...conversions import Conversion
from ...errors import StoreError
from ...limits import Denied, Tally, Window
from ...model import Failures, Verification
from ..base import Place
from .reads import ReadStatements
from .texts import Statement, Tables
from .values import READ_AT, Phone, failures_of, micros, record_of, time_of

T = TypeVar("T")


class Run(Enum):
    """How a step runs once on a server."""

    #: Optimistic, and in place of reading it takes what this process knows.
    FROM_CACHE = "from cache"
    #: It reads, decides, and writes in one statement that does nothing if another step was first.
    OPTIMISTIC = "optimistic"
    #: In a transaction that locks the phone's row.
    LOCKED = "locked"


class Mode(Enum):
    """The runs of a step on a server, each after a concurrent update in the one before.

    SQLite, which has one writer, runs every step that writes in `BEGIN IMMEDIATE`.
    """

    READ_ONLY = (Run.OPTIMISTIC,)
    FROM_CACHE_THEN_LOCKED = (Run.FROM_CACHE, Run.OPTIMISTIC, Run.LOCKED)
    OPTIMISTIC_THEN_LOCKED = (Run.OPTIMISTIC, Run.LOCKED)
    LOCKED = (Run.LOCKED,)

    def __init__(self, *runs: Run) -> None:
        self.runs = runs


#: A server's time is exact if its response took at most this many seconds: it was read between request and response.
_CLOCK_IS_EXACT = 0.1
#: How many starts can be waiting for their receipts, on a busy site.
_MOST_STARTS = 2000


class ConcurrentUpdate(StoreError):  # noqa: N818 - the step is run again, unless this was its last run
    """Nothing was written: another step came between, the cache is out of date, or an answer is not ordinary."""


class OutOfSyncError(StoreError):
    """A connection returned the answer to another statement. It must not be used any more."""


class ServerTime(NamedTuple):
    """The time of a server, and this process's tick when it was requested."""

    at: datetime
    tick: float

    def now(self) -> datetime:
        """Return the server's time now, without asking it again."""
        return self.at + timedelta(seconds=time.monotonic() - self.tick)


#: A phone as read, and when; None if the response was slow.
ReadPhone: TypeAlias = tuple[Phone, ServerTime | None]


class StartCache:
    """The starts that this process has written, until their receipts arrive.

    Correctness does not depend on it: a write from the cache succeeds only if the phone's row is unchanged.
    """

    def __init__(self) -> None:
        self._starts: OrderedDict[str, tuple[Verification, ReadPhone]] = OrderedDict()

    def keep(self, record: Verification, phone: ReadPhone) -> None:
        """Keep a start until its receipt arrives."""
        self._starts[record.id] = record, phone
        while len(self._starts) > _MOST_STARTS:
            with suppress(KeyError):
                self._starts.popitem(last=False)

    def start(self, id: str) -> tuple[Verification, ReadPhone] | None:
        """Return a kept start, once."""
        return self._starts.pop(id, None)


#: A record as read, its phone, and the time.
Read: TypeAlias = tuple[Verification | None, Phone, datetime]


class Transaction:
    """One run of a step: its cursor, its time, and what it can read."""

    def __init__(self, cursor: Any, reads: ReadStatements, cache: StartCache, now: datetime | None, run: Run) -> None:
        self.cursor = cursor
        #: Whether each statement is its own transaction.
        self.alone = run is not Run.LOCKED
        #: Whether something was sent that may have taken effect even if no reply arrives.
        self.unclear = False
        self.wrote = False
        self._reads, self._memory, self._now, self._server = reads, cache, now, reads.server
        self._by_memory, self._began = run is Run.FROM_CACHE, time.monotonic()
        #: The server's time, if the step has it exactly.
        self.clock: ServerTime | None = None
        #: Whether rows must be locked: on a server others may write as well.
        self.holds = reads.server and not self.alone

    def time(self, server_time: int | None) -> datetime:
        """Return the time of the step: the given one, the server's, or without a server the process's."""
        if self._now is not None:
            return self._now
        if not self._server or server_time is None:
            return datetime.now(UTC)
        at = time_of(server_time)
        if time.monotonic() - self._began <= _CLOCK_IS_EXACT:
            self.clock = ServerTime(at, self._began)
        return at

    def given_time(self) -> int | None:
        """Return the time for a statement in microseconds; None if the server knows it better."""
        at = self._now if self._server else self.time(None)
        return micros(at) if at is not None else None

    def server_time(self) -> datetime:
        """Query the time of the step separately."""
        if self._now is not None or not self._server:
            return self.time(None)
        return self.time(self._reads.time(self.cursor).fetchone()[0])

    def record(self, id: str) -> Read:
        """Read a record and its phone, and the time; in a transaction both are locked."""
        if self._by_memory:
            start = self._memory.start(id)
            if start is None:
                raise ConcurrentUpdate
            record, read = start
            phone, at = self._as_read(read)
            return lifecycle.refresh(record, phone.failures_of(record.failure_key), at), phone, at
        row = self._record(id, self._reads.record, self._reads.held_record)
        return self._read(id, row)

    def answer(self, id: str, address: str | None) -> tuple[Verification | None, Phone, datetime, Window | None, Tally]:
        """Like `record`, with the wrong answers of the client's address, and those of the whole site.

        In the tally wrong answers to longer codes are left out.
        """
        row = self._record(id, self._reads.answer, self._reads.held_answer, address=address or "", at=self.given_time())
        if row is None:
            return *self._read(id, None), None, Tally()
        *row, count, ends_at, short, right = row
        window = Window(count, time_of(ends_at)) if ends_at is not None else None
        return *self._read(id, row), window, Tally(short=int(short), right=int(right))

    def spend(self, spend: Statement, id: str, asked: Mapping[str, object]) -> tuple[Verification, Failures | None]:
        """Spend an ordinary attempt; return the record as written, and the failures before.

        Raises `ConcurrentUpdate` if it is not ordinary.
        """
        self.unclear = True
        row = spend(self.cursor, this=id, of_phone=id[:TAG_LENGTH], at=self.given_time(), **asked).fetchone()
        if row is None:
            raise ConcurrentUpdate
        *values, failures = _checked(id, row)
        before = failures_of(json.loads(failures)) if failures is not None else None
        return record_of(values, self.time(values[READ_AT])), before

    def _read(self, id: str, row: Sequence[Any] | None) -> Read:
        if row is None:
            # Without a record the exact time does not matter.
            return None, Phone(id[:TAG_LENGTH]), self.time(None)
        *values, windows, failures, ends_at, version = _checked(id, row)
        at = self.time(values[READ_AT])
        phone = Phone(id[:TAG_LENGTH], (windows, failures, ends_at, version))
        return record_of(values, at, phone), phone, at

    def _as_read(self, read: ReadPhone) -> tuple[Phone, datetime]:
        phone, self.clock = read
        at = self._now or (self.clock and self.clock.now())
        if at is None:
            raise ConcurrentUpdate
        return phone, at

    def _record(self, id: str, read: Statement, read_held: Statement, **values: Any) -> Sequence[Any] | None:
        values |= {"this": id, "of_phone": id[:TAG_LENGTH]}
        row: Sequence[Any] | None = None
        if self.holds:
            asked = time.monotonic()
            row = read_held(self.cursor, values).fetchone()
            if row is not None and time.monotonic() - asked > _CLOCK_IS_EXACT:
                # The server reads its time before it waits for the rows: a code may have expired meanwhile.
                row = [*row[:READ_AT], *self._reads.time(self.cursor).fetchone(), *row[READ_AT + 1 :]]
        if row is None:
            row = read(self.cursor, values).fetchone()
            if row is not None and self.holds:
                # Its phone has no row, and cannot be locked without one.
                self._hold(id[:TAG_LENGTH])
                row = read(self.cursor, values).fetchone()
        return row

    def phone(self, tag: str, known: list[ReadPhone] | None = None) -> tuple[Phone, datetime]:
        """Read a phone, and the time; in a transaction it is locked. From the cache: take the `known` one.

        It is taken, since the step changes it: a repeated step would count on top.
        """
        if self._by_memory:
            if not known:
                raise ConcurrentUpdate
            return self._as_read(known.pop())
        if self.holds:
            self._hold(tag)
        server_time, *row = self._reads.phone(self.cursor, this=tag).fetchone()
        return Phone(tag, row), self.time(server_time)

    def _hold(self, tag: str) -> None:
        version = time.time_ns() // 1000
        self._reads.hold(self.cursor, tag=tag, windows="{}", failures="{}", ends_at=0, version=version)

    def siblings(self, tag: str, since: datetime) -> list[Verification]:
        """Read the records of a phone that had not expired at `since`."""
        if self._by_memory:
            raise ConcurrentUpdate
        # "~" sorts after every character of an id.
        rows = self._reads.siblings(self.cursor, this=tag, beyond=f"{tag}~", since=micros(since))
        return [record_of(row, since) for row in rows.fetchall()]

    def waiting(self, line: str, most: int) -> list[Verification]:
        """Read at most this many open records that have this line, of any phone."""
        at = self.server_time()
        rows = self._reads.waiting(self.cursor, line=line, since=micros(at), most=most)
        return [record_of(row, at) for row in rows.fetchall()]

    def place(self, names: Sequence[str]) -> Place | None:
        """Read the first of these places that is taken, or else return None."""
        return next(iter(self.places(names).values()), None)

    def places(self, names: Sequence[str]) -> dict[str, Place]:
        """Read those of these places that are taken, in the order of the names."""
        values = {f"name{n}": name for n, name in enumerate(names)}
        rows = self._reads.places(len(names))(self.cursor, **values, at=self.given_time()).fetchall()
        return {name: Place(holder, request, response, time_of(at)) for name, holder, request, response, at in rows}

    def conversions(self, routes: Sequence[str]) -> tuple[Sequence[Conversion], datetime]:
        """Read the conversions of these routes as they are stored, zeros for those without one, and the time."""
        values = {f"name{n}": route for n, route in enumerate(routes)}
        rows = self._reads.conversions(len(routes))(self.cursor, **values, at=self.given_time()).fetchall()
        at = time_of(rows[0][4]) if rows else self.time(None)
        found = {route: Conversion(sent, verified, time_of(changed)) for route, sent, verified, changed, _ in rows}
        return [found.get(route) or Conversion(0.0, 0.0, at) for route in routes], at

    def write(self, write: Callable[..., bool], *values: Any, **options: bool) -> None:
        """Write the decision of the step. Raises `ConcurrentUpdate`, or `StoreError` if the rows are locked."""
        self.wrote = True
        self.unclear = self.alone  # then this is also the commit
        if write(self.cursor, *values, **options):
            return
        if self.alone:
            raise ConcurrentUpdate
        raise StoreError("The store failed: a trigger or a policy of the database kept a step from writing")

    def remember(self, record: Verification, phone: Phone) -> None:
        """Keep what was written, for the step that follows, if its version is known."""
        if self._server and phone.version is not None:
            self._memory.keep(record, (phone, self.clock))


def _checked(id: str, row: Sequence[Any]) -> Sequence[Any]:
    """Return a row if its record has this id."""
    if row[0] != id:
        raise OutOfSyncError("The store received the answer to another statement, and dropped the connection")
    return row


class TransactionRunner(Protocol):
    """Runs steps on the connections of one database."""

    @property
    def tables(self) -> Tables:
        """The tables in that database. May raise `StoreError`."""
        ...

    def run(self, step: Callable[[Transaction], T], now: datetime | None, mode: Mode = Mode.LOCKED) -> T:
        """Run a step in this mode.

        Raises `StoreError`; the step has then been done either completely or not at all.
        """
        ...


def run_with_fallback(once: Callable[[Run], T], mode: Mode) -> T:
    """Return the result of the first run of this mode without a concurrent update."""
    *tried, last = mode.runs
    for run in tried:
        with suppress(ConcurrentUpdate):
            result = once(run)
            if run is not Run.FROM_CACHE or not isinstance(result, Denied):  # a denial must not rest on the cache
                return result
    return once(last)
