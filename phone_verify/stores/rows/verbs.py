"""The store methods: each reads, calls `lifecycle`, and writes; a `TransactionRunner` makes that atomic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import cached_property, partial
from itertools import cycle
from typing import Protocol, TypeVar

from ... import lifecycle
from ...codes import TAG_LENGTH
from ...conversions import CONVERSIONS_KEPT, Conversion
from ...lifecycle import Attachment, Opening, ResolvedCheck, Spent
from ...limits import Answering, Counted, DenialReason, Denied, Limits, Quota, Tally, Window, all_counted
from ...lines import MOST_CLAIMANTS, PAIR_REST, claimant, note_other_caller
from ...model import Channel, IncomingCall, Status, Verification
from ...phone import PhoneNumber
from ..base import KEPT_FOR, PURGE_PER_START, Place, Reservation, checked_keep
from .answers import may_be_ordinary, ordinary_spent, ordinary_values
from .texts import Table
from .transactions import ConcurrentUpdate, Mode, ReadPhone, Transaction, TransactionRunner
from .values import MICROSECOND, Phone, micros, tally_rows, time_of
from .writes import ANSWERED, CLOSED, RECEIPT, STARTS_PER_PURGE, WriteStatements, countable_at_once

#: How many rows one transaction of `purge` deletes at most, so that it blocks no other step for long.
BATCH = 500

T = TypeVar("T")


class _Runs(Protocol):
    """Runs a step in a mode."""

    def __call__(self, step: Callable[[Transaction], T], mode: Mode, /) -> T: ...


class RowStore:
    """A store in SQL tables. Records are kept for `keep` after they expire."""

    def __init__(self, transactions: TransactionRunner, keep: timedelta) -> None:
        self._transactions = transactions
        self._keep = checked_keep(keep)
        #: Whether the next start purges, and the next reservation; the first ones of a process do.
        self._purges, self._purges_places = (cycle([True] + [False] * (STARTS_PER_PURGE - 1)) for _ in range(2))

    @cached_property
    def _writes(self) -> WriteStatements:
        return WriteStatements(self._transactions.tables)

    async def count(self, quotas: Sequence[Quota], now: datetime | None) -> Counted | Denied:
        step, mode = self._counting(quotas, now, "", [])
        return self._transactions.run(step, now, mode)

    def _counting(
        self, quotas: Sequence[Quota], now: datetime | None, tag: str, read: list[ReadPhone]
    ) -> tuple[Callable[[Transaction], Counted | Denied], Mode]:
        """Return the step that counts, and its mode.

        If one statement counts, it reads the phone of this tag as well, and `read` is then this phone.
        """
        # In name order, so that no two steps deadlock.
        ordered = sorted(quotas, key=lambda quota: quota.key)
        gates = [quota for quota in ordered if quota.gate]
        taken = [quota for quota in ordered if not quota.gate]
        names = sorted({quota.key for quota in taken})
        at_once = self._writes.at_once and bool(names) and countable_at_once([quota.key for quota in quotas])

        def one_more(tx: Transaction) -> Counted:
            tx.unclear = True
            rows = self._writes.count_at_once(tx.cursor, taken, gates, tag, now)
            if not rows:
                raise ConcurrentUpdate
            at = tx.time(rows[0][2])
            ends = {row[0]: time_of(row[1]) for row in rows}
            read[:] = [(Phone(tag, rows[0][7:]), tx.clock)]
            return Counted([ends.get(quota.key, at) for quota in quotas], Tally(*map(int, rows[0][4:7])))

        def step(tx: Transaction) -> Counted | Denied:
            if tx.alone and at_once:
                return one_more(tx)
            if tx.holds and names:
                self._writes.hold_counters(tx.cursor, names)
            every = sorted({*names, *(gate.key for gate in gates)})
            rows = self._writes.read_counters(tx.cursor, every or [""], tx.given_time())
            at = tx.time(rows[0][3])
            counts = {name: Window(count, time_of(ends_at)) for *_, name, count, ends_at in rows if name is not None}
            windows = all_counted([(quota, counts.get(quota.key)) for quota in quotas], at)
            if isinstance(windows, Denied):
                return windows
            by_name = {quota.key: window for quota, window in zip(quotas, windows, strict=True)}
            if names:
                self._writes.write_counters(tx.cursor, names, [by_name[name] for name in names])
            return Counted([window.ends_at for window in windows], Tally(*map(int, rows[0][:3])))

        locked = Mode.LOCKED if names else Mode.READ_ONLY
        return step, Mode.OPTIMISTIC_THEN_LOCKED if at_once else locked

    async def uncount(self, quotas: Sequence[Quota], windows: Sequence[datetime], now: datetime | None) -> None:
        self._transactions.run(partial(self._uncount, quotas, windows), now)

    def _uncount(self, quotas: Sequence[Quota], windows: Sequence[datetime], tx: Transaction) -> None:
        counted = sorted((q.key, micros(end)) for q, end in zip(quotas, windows, strict=True) if not q.gate)
        for name, ends_at in counted:
            self._writes.uncount(tx.cursor, this=name, then=ends_at)

    async def refund(self, id: str, quotas: Sequence[Quota], at: datetime, now: datetime | None) -> None:
        def step(tx: Transaction) -> None:
            phone, read_at = tx.phone(id[:TAG_LENGTH])
            phone.refund(quotas, at)
            self._write_phone(tx, phone, read_at)

        self._transactions.run(step, now)

    async def open(
        self, opening: Opening, quotas: Sequence[Quota], limits: Limits, now: datetime | None
    ) -> Verification | Denied:
        step, mode = self._opening(opening, quotas, limits, [])
        return self._transactions.run(step, now, mode)

    def _opening(
        self, opening: Opening, quotas: Sequence[Quota], limits: Limits, known: list[ReadPhone]
    ) -> tuple[Callable[[Transaction], Verification | Denied], Mode]:
        """Return the step that opens, and its mode. If a phone is `known`, the step takes it in place of reading."""
        writes, purges = self._writes, next(self._purges)

        def step(tx: Transaction) -> Verification | Denied:
            phone, at = tx.phone(opening.tag, known)
            siblings = tx.siblings(opening.tag, at) if opening.shown else ()
            windows = [(quota, phone.window(quota.key)) for quota in quotas]
            failures = phone.failures_of(opening.request.failure_key)
            opened = lifecycle.open(opening, siblings, windows, failures, limits, at)
            if isinstance(opened, Denied):
                return opened
            phone.count(quotas, opened.windows)
            phone.last_until(opened.record.expires_at)
            write = writes.start_at_once if tx.alone and writes.at_once else writes.start
            tx.write(write, phone, opened, at, at - self._keep, purges=purges)
            tx.remember(opened.record, phone)
            return opened.record

        optimistic = Mode.FROM_CACHE_THEN_LOCKED if known else Mode.OPTIMISTIC_THEN_LOCKED
        return step, optimistic if writes.at_once else Mode.LOCKED

    #: See `CountsAndOpens`.
    counts_and_opens = True

    async def count_and_open(
        self, shared: Sequence[Quota], opening: Opening, quotas: Sequence[Quota], limits: Limits, now: datetime | None
    ) -> tuple[Counted, Verification] | Denied:
        # The count reads the phone's row, or that it has none: the timing does not reveal which have one.
        read: list[ReadPhone] = []

        def both(run: _Runs) -> tuple[Counted, Verification] | Denied:
            counted = run(*self._counting(shared, now, opening.tag, read))
            if isinstance(counted, Denied):
                return counted
            opened: Verification | Denied = Denied(DenialReason.TWO_STEPS)
            if not (limits.closes_short(counted.tally) or limits.lengthens(counted.tally)):
                opened = run(*self._opening(opening, quotas, limits, read))
            if isinstance(opened, Denied):
                # In one transaction too: inside a block of the caller nothing is rolled back.
                run(partial(self._uncount, shared, counted.windows), Mode.LOCKED)
                return opened
            return counted, opened

        if self._writes.one_writer:
            return self._transactions.run(lambda tx: both(lambda step, _: step(tx)), now)
        # Two transactions: in one, all starts would wait for each other's flush at the site's counter.
        return both(lambda step, mode: self._transactions.run(step, now, mode))

    async def attach(self, id: str, attachment: Attachment, now: datetime | None) -> Verification | Denied:
        def step(tx: Transaction) -> Verification | Denied:
            record, phone, at = tx.record(id)
            if record is None:
                return Denied(DenialReason.CLOSED)
            by_line = attachment.line is not None
            siblings = tx.siblings(record.tag, at - PAIR_REST) if by_line else ()
            attached = lifecycle.attach(record, attachment, siblings, at)
            if not isinstance(attached, Denied):
                # A line is reserved for one claim, also after a power failure.
                tx.write(self._writes.update, RECEIPT, phone, attached, at, durable=by_line)
            elif attached.why is DenialReason.LINE_TAKEN and attached.record is not None:
                tx.write(self._writes.update, CLOSED, phone, attached.record, at)
            return attached

        return self._transactions.run(step, now, Mode.FROM_CACHE_THEN_LOCKED)

    async def spend(
        self,
        id: str,
        binding: bytes,
        digests: Sequence[bytes],
        length: int,
        limits: Limits,
        answering: Answering,
        now: datetime | None,
    ) -> Spent | Denied:
        asked = ordinary_values(binding, digests, length, limits, answering)

        def step(tx: Transaction) -> Spent | Denied:
            if tx.alone:
                return ordinary_spent(*tx.spend(self._writes.spend, id, asked), limits, answering)
            record, phone, at, address, tally = tx.answer(id, answering.address)
            failures = record.failures if record is not None else None
            spent = lifecycle.spend(record, binding, digests, length, failures, limits, answering, address, tally, at)
            if isinstance(spent, Spent):
                self._answer(tx, phone, spent, answering, at)
            return spent

        # Locked before the comparison: an answer that was compared and then lost to a concurrent
        # update would be one too many. On PostgreSQL one statement does so if the answer is ordinary.
        at_once = self._writes.at_once and may_be_ordinary(answering)
        return self._transactions.run(step, now, Mode.OPTIMISTIC_THEN_LOCKED if at_once else Mode.LOCKED)

    async def reopen(
        self,
        id: str,
        binding: bytes,
        channel: Channel,
        short: bool,
        quotas: Sequence[Quota],
        limits: Limits,
        resend_after: timedelta,
        now: datetime | None,
    ) -> Verification | Denied:
        def step(tx: Transaction) -> Verification | Denied:
            record, phone, at = tx.record(id)
            windows = [(quota, phone.window(quota.key)) for quota in quotas]
            failures = phone.failures_of(record.failure_key) if record is not None else None
            reopened = lifecycle.reopen(record, binding, channel, short, windows, failures, limits, resend_after, at)
            if isinstance(reopened, Denied):
                return reopened
            record, counts = reopened
            phone.count(quotas, counts)
            tx.write(self._writes.update, ("sends", "resend_at", "waits"), phone, record, at)
            return record

        return self._transactions.run(step, now, Mode.OPTIMISTIC_THEN_LOCKED)

    async def settle(self, id: str, status: Status, now: datetime | None, generation: int | None = None) -> bool:
        def step(tx: Transaction) -> bool:
            record, phone, at = tx.record(id)
            settled = lifecycle.settle(record, status, at, generation)
            if settled is not None:
                self._close(tx, phone, settled, at)
            return settled is not None

        return self._transactions.run(step, now, Mode.OPTIMISTIC_THEN_LOCKED)

    async def resolve_check(
        self, id: str, right: bool | None, generation: int, answering: Answering, now: datetime | None
    ) -> ResolvedCheck | None:
        def step(tx: Transaction) -> ResolvedCheck | None:
            record, phone, at, address, _ = tx.answer(id, answering.address)
            failures = record.failures if record is not None else None
            judged = lifecycle.resolve_check(record, right, generation, failures, answering, address, at)
            if judged is not None:
                self._answer(tx, phone, judged, answering, at)
            return judged

        return self._transactions.run(step, now, Mode.OPTIMISTIC_THEN_LOCKED)

    async def claim(self, driver: str, tag: str, event: IncomingCall, now: datetime | None) -> Verification | None:
        def step(tx: Transaction) -> Verification | None:
            phone, at = tx.phone(tag)
            claimed = lifecycle.claim(tx.siblings(tag, at), driver, event, at)
            if claimed is not None:
                self._close(tx, phone, claimed, at)
            return claimed

        return self._transactions.run(step, now, Mode.OPTIMISTIC_THEN_LOCKED)

    async def find(self, driver: str, tag: str, reference: str, now: datetime | None) -> Verification | None:
        def step(tx: Transaction) -> Verification | None:
            _, at = tx.phone(tag)
            return lifecycle.find(tx.siblings(tag, at), driver, reference, at)

        return self._transactions.run(step, now, Mode.READ_ONLY)

    async def recent(self, tag: str, now: datetime | None) -> Sequence[Verification]:
        def step(tx: Transaction) -> Sequence[Verification]:
            _, at = tx.phone(tag)
            return tx.siblings(tag, at)

        return self._transactions.run(step, now, Mode.READ_ONLY)

    async def claimant(self, driver: str, line: PhoneNumber, now: datetime | None) -> Verification | None:
        def step(tx: Transaction) -> Verification | None:
            waiting = tx.waiting(line.e164, MOST_CLAIMANTS + 1)
            return claimant(waiting, driver, line) if len(waiting) <= MOST_CLAIMANTS else None

        return self._transactions.run(step, now, Mode.READ_ONLY)

    async def note_other_caller(self, id: str, now: datetime | None) -> bool:
        def step(tx: Transaction) -> bool:
            record, phone, at = tx.record(id)
            noted = note_other_caller(record, at)
            if noted is not None:
                tx.write(self._writes.update, ("other_caller_at",), phone, noted, at, durable=False)
            return noted is not None

        return self._transactions.run(step, now, Mode.OPTIMISTIC_THEN_LOCKED)

    async def get(self, id: str, now: datetime | None) -> Verification | None:
        return self._transactions.run(lambda tx: tx.record(id)[0], now, Mode.READ_ONLY)

    async def may_poll(self, id: str, binding: bytes | None, now: datetime | None) -> bool:
        def step(tx: Transaction) -> bool:
            record, phone, at = tx.record(id)
            due = lifecycle.may_poll(record, binding, at)
            if due is not None:
                tx.write(self._writes.update, ("polled_at",), phone, due[1], at, durable=False)
            return due is not None and due[0]

        return self._transactions.run(step, now, Mode.OPTIMISTIC_THEN_LOCKED)

    async def redeem(self, id: str, binding: bytes, subject: str, now: datetime | None) -> Verification | None:
        def step(tx: Transaction) -> Verification | None:
            record, phone, at = tx.record(id)
            due = lifecycle.redeem(record, binding, subject, at)
            if due is not None:
                tx.write(self._writes.update, ("redeemed",), phone, due, at)
            return due

        return self._transactions.run(step, now, Mode.OPTIMISTIC_THEN_LOCKED)

    async def unlock(self, tag: str, now: datetime | None) -> bool:
        def step(tx: Transaction) -> bool:
            phone, at = tx.phone(tag)
            had_any = phone.unlock()
            self._write_phone(tx, phone, at)
            return had_any

        return self._transactions.run(step, now)

    async def reserve(self, reservation: Reservation, now: datetime | None) -> Place:
        lasts = reservation.lasts // MICROSECOND
        taken = {"name": reservation.names[0], "holder": reservation.holder, "request": reservation.request}

        # Without a lock: repetitions look again and again while the first request is performed.
        found = self._transactions.run(lambda tx: tx.place(reservation.names), now, Mode.READ_ONLY)
        if found is not None:
            return found

        # The names after the first are those of responses that the client already has: no other
        # request takes them meanwhile.
        def step(tx: Transaction) -> Place:
            if next(self._purges_places):
                most = PURGE_PER_START * STARTS_PER_PURGE
                self._writes.purge(tx.cursor, Table.RESPONSE, tx.server_time(), most)
            tx.unclear = tx.wrote = True
            self._writes.take(tx.cursor, **taken, tag=reservation.tag, at=tx.given_time(), lasts=lasts)
            place = tx.place(reservation.names[:1])
            if place is None:
                raise ConcurrentUpdate("The store failed: a place was taken, and free again before it was read")
            return place

        return self._transactions.run(step, now, Mode.OPTIMISTIC_THEN_LOCKED)

    async def places(self, names: Sequence[str], now: datetime | None) -> Sequence[Place | None]:
        found = self._transactions.run(lambda tx: tx.places(names), now, Mode.READ_ONLY)
        return [found.get(name) for name in names]

    async def keep_response(
        self, reservation: Reservation, response: str, also: str | None, now: datetime | None
    ) -> bool:
        held = {"this": reservation.names[0], "holder": reservation.holder}

        def step(tx: Transaction) -> bool:
            writes, lasts = self._writes, KEPT_FOR // MICROSECOND
            kept = writes.keep_response(tx.cursor, **held, response=response, at=tx.given_time(), lasts=lasts)
            if kept.rowcount <= 0:
                return False
            if also is not None:
                writes.copy_response(tx.cursor, **held, name=also)
            return True

        return self._transactions.run(step, now)

    async def release(self, reservation: Reservation, now: datetime | None) -> None:
        def step(tx: Transaction) -> None:
            self._writes.release(tx.cursor, this=reservation.names[0], holder=reservation.holder)

        self._transactions.run(step, now, Mode.OPTIMISTIC_THEN_LOCKED)

    async def add_conversion(self, route: str, sent: int, verified: int, now: datetime | None) -> None:
        def step(tx: Transaction) -> None:
            added = {"route": route, "sent": sent, "verified": verified}
            if (add := self._writes.add_conversion) is not None:
                tx.unclear = tx.wrote = True  # not repeated: it could count twice
                add(tx.cursor, **added, at=tx.given_time())
                return
            (found,), at = tx.conversions([route])
            new = found.added(sent, verified, at)
            values = {"sent": new.sent, "verified": new.verified, "changed_at": micros(new.at)}
            self._writes.put_conversion(tx.cursor, route=route, **values)

        self._transactions.run(step, now, Mode.OPTIMISTIC_THEN_LOCKED)

    async def conversions(self, routes: Sequence[str], now: datetime | None) -> Sequence[Conversion]:
        if not routes:
            return []
        found, at = self._transactions.run(lambda tx: tx.conversions(routes), now, Mode.READ_ONLY)
        return [each.decayed(at) for each in found]

    async def purge(self, limit: int, now: datetime | None) -> int:
        gone = 0
        for table in Table:
            dropped = BATCH
            while dropped == BATCH and gone < limit:
                most = min(BATCH, limit - gone)
                dropped = self._transactions.run(partial(self._purge, table, most), now)
                gone += dropped
        return gone

    def _purge(self, table: Table, most: int, tx: Transaction) -> int:
        keep = {Table.RESPONSE: timedelta(0), Table.CONVERSION: CONVERSIONS_KEPT}.get(table, self._keep)
        return self._writes.purge(tx.cursor, table, tx.server_time() - keep, most)

    async def erase(self, tag: str, now: datetime | None) -> int:
        def step(tx: Transaction) -> int:
            tx.phone(tag)
            # "~" sorts after every character of an id.
            gone: int = self._writes.erase_records(tx.cursor, this=tag, beyond=f"{tag}~").rowcount
            self._writes.erase_phone(tx.cursor, this=tag)
            self._writes.erase_responses(tx.cursor, this=tag)
            return gone

        return self._transactions.run(step, now)

    def _answer(
        self, tx: Transaction, phone: Phone, answer: Spent | ResolvedCheck, answering: Answering, at: datetime
    ) -> None:
        """Write the effects of an answer."""
        record = answer.record
        phone.fail(record.failure_key, answer.failures)
        if answer.verified:
            phone.succeed(record)
        tally = tally_rows(answer.tally, answering.address, at)
        if tally and tx.alone and not self._writes.at_once:
            raise ConcurrentUpdate  # only PostgreSQL writes all of it in one statement
        names = (*ANSWERED, "attempts_left") if isinstance(answer, Spent) else ANSWERED
        tx.write(self._writes.update, names, phone, record, at, tally)

    def _write_phone(self, tx: Transaction, phone: Phone, at: datetime) -> None:
        if phone.changed:
            tx.wrote = True
            self._writes.write_phone(tx.cursor, phone.row(at))

    def _close(self, tx: Transaction, phone: Phone, record: Verification, at: datetime) -> None:
        if record.status is Status.VERIFIED:
            phone.succeed(record)
        tx.write(self._writes.update, CLOSED, phone, record, at)
