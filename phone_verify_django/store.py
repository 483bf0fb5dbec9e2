"""The store in Django's own database.

A step is one transaction that first locks the row of the phone. SQLite has no such lock: there the first statement
is a write, which takes the one write lock before anything is read, whatever `transaction_mode` the site has set.

What a step has written stays, even if the caller's transaction is rolled back: inside a site's own atomic block the
step runs over a second connection to the same database.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from itertools import cycle
from typing import Any, TypeVar

from django.db import Error, InterfaceError, OperationalError, connections, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from phone_verify import lifecycle
from phone_verify.codes import TAG_LENGTH
from phone_verify.errors import StoreError
from phone_verify.lifecycle import Attachment, Failures, Limits, Opening, Quota, Refusal, Refused, Spent, Window
from phone_verify.model import Channel, Event, Holder, Status, Verification
from phone_verify.phone import PhoneNumber
from phone_verify.policy import FAILURE_MEMORY
from phone_verify.stores.base import KEPT, SWEPT_PER_START, checked_keep

from .models import CounterRow, PhoneRow, VerificationRow

T = TypeVar("T")

#: How long a thread waits for the threads before it, in seconds.
_WAIT = 5.0
#: A step that failed at once may be run again; one that has waited has used up its time, in seconds.
_AT_ONCE = 2.0
_MOST_AGAIN = 4
#: How many rows one transaction of `purge` drops at most, so that nobody waits for it.
_BATCH = 500

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIELDS = [field.name for field in fields(Verification) if field.name not in ("read_at", "failures")]


class OrmStore:
    """A store in one of the site's databases, by its alias. Records are kept for `keep` after their life."""

    def __init__(self, using: str = "default", *, keep: timedelta = KEPT) -> None:
        self._using = using
        self._keep = checked_keep(keep)
        self._turn = cycle((PhoneRow, CounterRow))
        self._pid, self._gate = os.getpid(), threading.Lock()

    def __repr__(self) -> str:
        return f"<OrmStore on {self._using!r}>"

    async def count(self, quotas: Sequence[Quota], now: datetime | None) -> Sequence[datetime] | Refused:
        def step(using: str) -> Sequence[datetime] | Refused:
            counts, at = _hold_counters(using, {quota.key for quota in quotas}, now)
            windows = []
            for quota in quotas:
                window = lifecycle.counted(counts.get(quota.key), quota, at)
                if isinstance(window, Refused):
                    return window
                windows.append(window)
            CounterRow.objects.using(using).bulk_create(
                [
                    CounterRow(name=quota.key, count=window.count, ends_at=_micros(window.ends_at))
                    for quota, window in zip(quotas, windows, strict=True)
                ],
                update_conflicts=True,
                unique_fields=["name"] if connections[using].features.supports_update_conflicts_with_target else None,
                update_fields=["count", "ends_at"],
            )
            return [window.ends_at for window in windows]

        return self._transact(step) if quotas else []

    async def uncount(self, quotas: Sequence[Quota], windows: Sequence[datetime], now: datetime | None) -> None:
        def step(using: str) -> None:
            taken = sorted((quota.key, _micros(end)) for quota, end in zip(quotas, windows, strict=True))
            for name, ends_at in taken:
                counted = CounterRow.objects.using(using).filter(name=name, ends_at=ends_at, count__gt=0)
                counted.update(count=models.F("count") - 1)

        self._transact(step)

    async def open(
        self, opening: Opening, quotas: Sequence[Quota], limits: Limits, now: datetime | None
    ) -> Verification | Refused:
        def step(using: str) -> Verification | Refused:
            phone, at = _hold(using, opening.tag, now, create=True)
            opened = lifecycle.opened(
                opening,
                _siblings(using, opening.tag, at) if opening.shown else (),
                [(quota, _window(phone, quota.key)) for quota in quotas],
                _failures(phone, opening.budget),
                limits,
                at,
            )
            if isinstance(opened, Refused):
                return opened
            record = opened.record
            for ended in opened.ended:
                _write(using, ended, "status", "closed_at")
            _count(phone, quotas, opened.windows)
            phone.ends_at = max(phone.ends_at, _micros(record.expires_at))
            _save(using, phone, at)
            VerificationRow(**_stored(record, _FIELDS)).save(using=using, force_insert=True)
            self._drop(using, VerificationRow, "expires_at", SWEPT_PER_START, at)
            self._drop(using, next(self._turn), "ends_at", 4 * SWEPT_PER_START, at)
            return record

        return self._transact(step)

    async def attach(self, id: str, attachment: Attachment, now: datetime | None) -> Verification | Refused:
        def step(using: str) -> Verification | Refused:
            phone, at = _hold(using, id[:TAG_LENGTH], now)
            record = _read(using, id, at)
            if record is None:
                return Refused(Refusal.CLOSED)
            by_line = attachment.line is not None
            siblings = _siblings(using, phone.tag, at - lifecycle.LINE_REST) if by_line else ()
            record = lifecycle.read(record, _failures(phone, record.budget), at)
            attached = lifecycle.attached(record, attachment, siblings, at)
            if not isinstance(attached, Refused):
                _write(using, attached, *_RECEIPT)
            elif attached.why is Refusal.LINE_TAKEN and attached.record is not None:
                _write(using, attached.record, "status", "closed_at")
            return attached

        return self._transact(step)

    async def spend(
        self, id: str, binding: bytes, digests: Sequence[bytes], length: int, limits: Limits, now: datetime | None
    ) -> Spent | Refused:
        def step(using: str) -> Spent | Refused:
            phone, at = _hold(using, id[:TAG_LENGTH], now)
            record = _read(using, id, at)
            failures = _failures(phone, record.budget) if record is not None else None
            spent = lifecycle.spent(record, binding, digests, length, failures, limits, at)
            if isinstance(spent, Spent):
                _write(using, spent.record, "status", "closed_at", "attempts_left")
                _fail(using, phone, spent.record, spent.failures, at)
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
        def step(using: str) -> Verification | Refused:
            phone, at = _hold(using, id[:TAG_LENGTH], now)
            record = _read(using, id, at)
            windows = [(quota, _window(phone, quota.key)) for quota in quotas]
            failures = _failures(phone, record.budget) if record is not None else None
            reopened = lifecycle.reopened(record, binding, short, windows, failures, limits, resend_after, at)
            if isinstance(reopened, Refused):
                return reopened
            record, counts = reopened
            _count(phone, quotas, counts)
            _save(using, phone, at)
            _write(using, record, "sends", "resend_at")
            return record

        return self._transact(step)

    async def settle(self, id: str, status: Status, now: datetime | None, generation: int | None = None) -> bool:
        def step(using: str) -> bool:
            phone, at = _hold(using, id[:TAG_LENGTH], now)
            settled = lifecycle.settled(_read(using, id, at), status, at, generation)
            if settled is not None:
                _close(using, phone, settled, at)
            return settled is not None

        return self._transact(step)

    async def forgive(self, id: str, now: datetime | None) -> None:
        def step(using: str) -> None:
            phone, at = _hold(using, id[:TAG_LENGTH], now)
            record = _read(using, id, at)
            if record is not None:
                _fail(using, phone, record, lifecycle.forgiven(_failures(phone, record.budget)), at)

        self._transact(step)

    async def claim(self, driver: str, tag: str, event: Event, now: datetime | None) -> Verification | None:
        def step(using: str) -> Verification | None:
            phone, at = _hold(using, tag, now)
            claimed = lifecycle.claimed(_siblings(using, tag, at), driver, event, at)
            if claimed is not None:
                _close(using, phone, claimed, at)
            return claimed

        return self._transact(step)

    async def find(self, driver: str, tag: str, reference: str, now: datetime | None) -> Verification | None:
        def step(using: str) -> Verification | None:
            at = now or _server_time(using)
            return lifecycle.found(_siblings(using, tag, at), driver, reference, at)

        return self._transact(step, write=False)

    async def get(self, id: str, now: datetime | None) -> Verification | None:
        def step(using: str) -> Verification | None:
            record = _read(using, id, now)
            if record is None:
                return None
            phone = PhoneRow.objects.using(using).filter(pk=record.tag).first() or PhoneRow(tag=record.tag)
            return lifecycle.read(record, _failures(phone, record.budget), record.read_at)

        return self._transact(step, write=False)

    async def may_poll(self, id: str, binding: bytes | None, now: datetime | None) -> bool:
        def step(using: str) -> bool:
            _, at = _hold(using, id[:TAG_LENGTH], now)
            due = lifecycle.poll_due(_read(using, id, at), binding, at)
            if due is not None:
                _write(using, due[1], "polled_at")
            return due is not None and due[0]

        return self._transact(step)

    async def redeem(self, id: str, binding: bytes, now: datetime | None) -> Verification | None:
        def step(using: str) -> Verification | None:
            _, at = _hold(using, id[:TAG_LENGTH], now)
            due = lifecycle.proof_due(_read(using, id, at), binding, at)
            if due is not None:
                _write(using, due, "redeemed")
            return due

        return self._transact(step)

    async def purge(self, limit: int, now: datetime | None) -> int:
        gone = 0
        for model, over in ((VerificationRow, "expires_at"), (PhoneRow, "ends_at"), (CounterRow, "ends_at")):
            dropped = _BATCH
            while dropped == _BATCH and gone < limit:
                most = min(_BATCH, limit - gone)
                dropped = self._transact(partial(self._drop_now, model, over, most, now))
                gone += dropped
        return gone

    def _drop_now(self, model: type[models.Model], over: str, limit: int, now: datetime | None, using: str) -> int:
        return self._drop(using, model, over, limit, now or _server_time(using))

    async def erase(self, tag: str, now: datetime | None) -> int:
        def step(using: str) -> int:
            _hold(using, tag, now)
            gone, _ = VerificationRow.objects.using(using).filter(tag=tag).delete()
            PhoneRow.objects.using(using).filter(pk=tag).delete()
            return gone

        return self._transact(step)

    def _drop(self, using: str, model: type[models.Model], over: str, limit: int, at: datetime) -> int:
        rows = model._default_manager.using(using)
        features = connections[using].features
        if features.has_select_for_update_skip_locked:
            rows = rows.select_for_update(skip_locked=True)  # nobody waits in order to tidy up
        old = rows.filter(**{f"{over}__lte": _micros(at - self._keep)}).order_by(over)
        keys = list(old.values_list("pk", flat=True)[:limit])
        if keys:
            model._default_manager.using(using).filter(pk__in=keys).delete()
        return len(keys)

    # Transactions.

    @contextmanager
    def _queue(self) -> Iterator[None]:
        """Let threads queue for SQLite's one writer, whose own waiting is a poll with pauses up to its time-out.

        It is no more than that: what excludes others is SQLite's lock. A thread that is in a block does not queue,
        since it may hold that lock.
        """
        connection = connections[self._using]
        if connection.vendor != "sqlite" or connection.in_atomic_block:
            yield
            return
        if self._pid != os.getpid():
            self._pid, self._gate = os.getpid(), threading.Lock()
        gate = self._gate
        if not gate.acquire(timeout=_WAIT):
            raise StoreError("The database is too busy: other threads did not finish their steps in time")
        try:
            yield
        finally:
            gate.release()

    def _transact(self, step: Callable[[str], T], *, write: bool = True) -> T:
        beside = False
        try:
            with self._queue(), _connection(self._using) as using:
                beside = using != self._using
                return _run(step, using, write)
        except Error as error:
            if beside and connections[self._using].vendor == "sqlite":
                raise StoreError(_BESIDE_A_BLOCK) from None
            # The error's own text may hold values of the statement.
            raise StoreError(f"The database could not do the step: {_name(error)}") from None


_BESIDE_A_BLOCK = (
    "Called inside transaction.atomic() on SQLite, where nothing can be written beside that block, and what is "
    "written in it would be lost if it were rolled back. Call it outside the block, or mark the view with "
    "transaction.non_atomic_requests."
)


def _run(step: Callable[[str], T], using: str, write: bool) -> T:
    """Run a step in a transaction of its own.

    A server's error is met by running it again, a few times and at once: the connection may have died while it was
    idle, or the step was chosen to end a deadlock. What had not come to its commit has surely not been done.
    """
    connection = connections[using]
    outermost = not connection.in_atomic_block
    again = _MOST_AGAIN if outermost and connection.vendor != "sqlite" else 0
    begun = time.monotonic()
    while True:
        stepped = False
        try:
            with transaction.atomic(using=using):
                if write and connection.vendor == "sqlite":
                    _take_write_lock(connection)
                if outermost and connection.vendor in _SERVER_TIME:
                    _read_committed(connection)
                result = step(using)
                stepped = True
            return result
        except (InterfaceError, OperationalError):
            if stepped or not again or time.monotonic() - begun > _AT_ONCE:
                raise
            again -= 1
            connection.close_if_unusable_or_obsolete()


def _take_write_lock(connection: BaseDatabaseWrapper) -> None:
    # Django begins with BEGIN DEFERRED unless told otherwise: two steps would both read, and then both write.
    with connection.cursor() as cursor:
        table = connection.ops.quote_name(PhoneRow._meta.db_table)
        cursor.execute(f"UPDATE {table} SET ends_at = ends_at WHERE tag = ''")  # noqa: S608 - our own table's name


_joins: ContextVar[bool] = ContextVar("phone_verify_django.store.joins", default=False)


@contextmanager
def joining_on_sqlite() -> Iterator[None]:
    """Within it a step on SQLite, where nothing can be written beside the caller's block, becomes part of that block.

    For a caller whose block is committed whatever the steps say.
    """
    token = _joins.set(True)
    try:
        yield
    finally:
        _joins.reset(token)


def _read_committed(connection: BaseDatabaseWrapper) -> None:
    # A site may have chosen more; then steps that waited for each other would fail instead.
    if "isolation_level" in connection.settings_dict["OPTIONS"]:
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")


@contextmanager
def _connection(using: str) -> Iterator[str]:
    """The alias of a connection whose transactions are not the caller's: `using`, or a second one beside a block."""
    outer = connections[using]
    blocks = outer.atomic_blocks
    # A test case's block stands for the whole test, which sees nothing of what another connection does.
    joins = _joins.get() and outer.vendor == "sqlite"
    if joins or (getattr(blocks[0], "_from_testcase", False) if blocks else outer.get_autocommit()):
        yield using
        return
    beside = f"{using} beside a block"
    connections[beside] = second = connections.create_connection(using)
    try:
        if second.vendor == "sqlite":
            with second.cursor() as cursor:
                # The lock that it would wait for may be its own caller's.
                cursor.execute("PRAGMA busy_timeout = 500")
        second.set_autocommit(True)
        yield beside
    finally:
        second.close()
        del connections[beside]


def _name(error: Error) -> str:
    """The kind and the code of a database's error, without its text."""
    code = getattr(error.__cause__, "sqlite_errorname", None) or getattr(error.__cause__, "sqlstate", None)
    return f"{type(error).__name__} {code}" if code else type(error).__name__


#: Taken when the statement runs, not when its transaction began.
_SERVER_TIME = {
    "postgresql": "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS bigint)",
    "mysql": "SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))",
}


def _server_time(using: str) -> datetime:
    connection = connections[using]
    if connection.vendor not in _SERVER_TIME:
        return datetime.now(UTC)
    with connection.cursor() as cursor:
        cursor.execute(_SERVER_TIME[connection.vendor])
        return _time(cursor.fetchone()[0])


# Rows.


def _hold(using: str, tag: str, now: datetime | None, *, create: bool = False) -> tuple[PhoneRow, datetime]:
    """Hold a phone still, and read what is counted of it."""
    rows = PhoneRow.objects.using(using).filter(pk=tag)
    phone: PhoneRow | None
    if connections[using].features.has_select_for_update:
        rows = rows.select_for_update()
        phone = next(iter(rows), None)
        if phone is None and create:
            PhoneRow.objects.using(using).bulk_create([PhoneRow(tag=tag)], ignore_conflicts=True)
            phone = rows.get()
    else:
        phone = next(iter(rows), None)
    return phone or PhoneRow(tag=tag), now or _server_time(using)


def _save(using: str, phone: PhoneRow, at: datetime) -> None:
    for counted in (phone.windows, phone.failures):
        for key in [key for key, (_, ends_at) in counted.items() if ends_at <= _micros(at)]:
            del counted[key]
    phone.save(using=using, force_insert=phone._state.adding)


def _window(phone: PhoneRow, key: str) -> Window | None:
    counted = phone.windows.get(key)
    return Window(counted[0], _time(counted[1])) if counted else None


def _count(phone: PhoneRow, quotas: Sequence[Quota], windows: Sequence[Window]) -> None:
    for quota, window in zip(quotas, windows, strict=True):
        phone.windows[quota.key] = [window.count, _micros(window.ends_at)]
        phone.ends_at = max(phone.ends_at, _micros(window.ends_at))


def _failures(phone: PhoneRow, budget: str) -> Failures | None:
    counted = phone.failures.get(budget)
    return Failures(counted[0], _time(counted[1]) - FAILURE_MEMORY) if counted else None


def _fail(using: str, phone: PhoneRow, record: Verification, failures: Failures | None, at: datetime) -> None:
    if failures is not None:
        ends_at = _micros(lifecycle.forgets_at(failures))
        phone.failures[record.budget] = [failures.count, ends_at]
        phone.ends_at = max(phone.ends_at, ends_at)
    elif phone.failures.pop(record.budget, None) is None:
        return
    _save(using, phone, at)


def _hold_counters(using: str, names: set[str], now: datetime | None) -> tuple[dict[str, Window], datetime]:
    """Hold shared counters still, in the order of their names so that no two steps wait for each other."""
    rows = CounterRow.objects.using(using).filter(pk__in=names).order_by("pk")
    if connections[using].features.has_select_for_update:
        missing = names.difference(rows.values_list("pk", flat=True))
        if missing:
            new = [CounterRow(name=name) for name in sorted(missing)]
            CounterRow.objects.using(using).bulk_create(new, ignore_conflicts=True)
        rows = rows.select_for_update()
    return {row.name: Window(row.count, _time(row.ends_at)) for row in rows}, now or _server_time(using)


def _read(using: str, id: str, now: datetime | None) -> Verification | None:
    row = next(iter(VerificationRow.objects.using(using).filter(pk=id).values_list(*_FIELDS)), None)
    return _record(row, now or _server_time(using)) if row is not None else None


def _siblings(using: str, tag: str, since: datetime) -> list[Verification]:
    """Read the records of a phone whose life was not over at `since`."""
    rows = VerificationRow.objects.using(using).filter(tag=tag, expires_at__gt=_micros(since))
    return [_record(row, since) for row in rows.values_list(*_FIELDS)]


def _write(using: str, record: Verification, *names: str) -> None:
    VerificationRow.objects.using(using).filter(pk=record.id).update(**_stored(record, names))


def _close(using: str, phone: PhoneRow, record: Verification, at: datetime) -> None:
    _write(using, record, "status", "closed_at")
    if record.status is Status.VERIFIED:
        _fail(using, phone, record, None, at)


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


def _micros(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(microseconds=1)


def _time(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


_MADE: dict[str, Callable[[Any], object]] = {
    "phone": PhoneNumber,
    "binding": bytes,
    "channel": Channel,
    "holder": Holder,
    "status": Status,
    "code_digest": bytes,
    "created_at": _time,
    "expires_at": _time,
    "resend_at": _time,
    "line": PhoneNumber,
    "closed_at": _time,
    "polled_at": _time,
}


def _record(row: Iterable[Any], read_at: datetime) -> Verification:
    values = dict(zip(_FIELDS, row, strict=True))
    for name, made in _MADE.items():
        if values[name] is not None:
            values[name] = made(values[name])
    return Verification(**values, read_at=read_at)


def _stored(record: Verification, names: Iterable[str]) -> dict[str, Any]:
    return {name: _plain(getattr(record, name)) for name in names}


def _plain(value: object) -> object:
    match value:
        case datetime():
            return _micros(value)
        case PhoneNumber():
            return value.e164
        case StrEnum():
            return value.value
        case _:
            return value
