"""The verbs: each reads, asks `lifecycle`, and writes; a store's `Turns` make that one step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import cached_property

from ... import lifecycle
from ...lifecycle import Attachment, Judged, Limits, Opening, Quota, Refusal, Refused, Spent, Window
from ...model import Event, Status, Verification
from ..base import checked_keep
from .turns import GUARDED, HELD, READING, Overtaken, Turn, Turns
from .values import Phone, micros, time_of
from .writes import Writes

#: How many rows one transaction of `purge` drops at most, so that nobody waits for it.
BATCH = 500


class RowStore:
    """A store in SQL tables. Records are kept for `keep` after their life.

    `writes` is called at the first step: on some databases the words depend on the server's version.
    """

    def __init__(self, turns: Turns, writes: Callable[[], Writes], keep: timedelta) -> None:
        self._turns, self._make_writes = turns, writes
        self._keep = checked_keep(keep)

    @cached_property
    def _writes(self) -> Writes:
        return self._make_writes()

    async def count(self, quotas: Sequence[Quota], now: datetime | None) -> Sequence[datetime] | Refused:
        if not quotas:
            return []
        # In the order of their names, so that no two steps wait for each other.
        names = sorted({quota.key for quota in quotas})
        counters = self._writes.counters(len(names))

        def one_more(turn: Turn) -> Sequence[datetime]:
            turn.unclear = True
            rows = counters.one_more(turn.cursor, sorted(quotas, key=lambda quota: quota.key), now)
            if not rows:
                raise Overtaken
            turn.time(rows[0][2])
            ends = {row[0]: row[1] for row in rows}
            return [time_of(ends[quota.key]) for quota in quotas]

        def step(turn: Turn) -> Sequence[datetime] | Refused:
            if turn.alone:
                return one_more(turn)
            if turn.holds:
                counters.hold(turn.cursor, names)
            rows = counters.read(turn.cursor, names)
            at = turn.time(rows[0][3] if rows else None)
            counts = {name: Window(count, time_of(ends_at)) for name, count, ends_at, _ in rows}
            windows = []
            for quota in quotas:
                window = lifecycle.counted(counts.get(quota.key), quota, at)
                if isinstance(window, Refused):
                    return window
                windows.append(window)
            by_name = {quota.key: window for quota, window in zip(quotas, windows, strict=True)}
            counters.write(turn.cursor, names, [by_name[name] for name in names])
            return [window.ends_at for window in windows]

        at_once = self._writes.at_once and len(names) == len(quotas)
        return self._turns.take(step, now, GUARDED if at_once else HELD)

    async def uncount(self, quotas: Sequence[Quota], windows: Sequence[datetime], now: datetime | None) -> None:
        def step(turn: Turn) -> None:
            for name, ends_at in sorted((q.key, micros(end)) for q, end in zip(quotas, windows, strict=True)):
                self._writes.uncount(turn.cursor, this=name, then=ends_at)

        self._turns.take(step, now)

    async def open(
        self, opening: Opening, quotas: Sequence[Quota], limits: Limits, now: datetime | None
    ) -> Verification | Refused:
        start = self._writes.start()

        def step(turn: Turn) -> Verification | Refused:
            phone, at = turn.phone(opening.tag)
            opened = lifecycle.opened(
                opening,
                turn.siblings(opening.tag, at) if opening.shown else (),
                [(quota, phone.window(quota.key)) for quota in quotas],
                phone.failures_of(opening.budget),
                limits,
                at,
            )
            if isinstance(opened, Refused):
                return opened
            phone.count(quotas, opened.windows)
            phone.last_until(opened.record.expires_at)
            write = start.at_once if turn.alone and start.at_once else start.held
            turn.write(write, phone, opened, at, at - self._keep)
            turn.remember(opened.record, phone)
            return opened.record

        return self._turns.take(step, now, GUARDED if self._writes.at_once else HELD, by_memory=True)

    async def attach(self, id: str, attachment: Attachment, now: datetime | None) -> Verification | Refused:
        def step(turn: Turn) -> Verification | Refused:
            record, phone, at = turn.record(id)
            if record is None:
                return Refused(Refusal.CLOSED)
            by_line = attachment.line is not None
            siblings = turn.siblings(record.tag, at - lifecycle.LINE_REST) if by_line else ()
            attached = lifecycle.attached(record, attachment, siblings, at)
            if not isinstance(attached, Refused):
                # A line is promised to one claim, also after a power cut.
                attach = self._writes.attach if by_line else self._writes.attach_lazily
                turn.write(attach, phone, attached, at)
            elif attached.why is Refusal.LINE_TAKEN and attached.record is not None:
                turn.write(self._writes.close, phone, attached.record, at)
            return attached

        return self._turns.take(step, now, GUARDED, by_memory=True)

    async def spend(
        self, id: str, binding: bytes, digests: Sequence[bytes], length: int, limits: Limits, now: datetime | None
    ) -> Spent | Refused:
        def step(turn: Turn) -> Spent | Refused:
            record, phone, at = turn.record(id)
            failures = phone.failures_of(record.budget) if record is not None else None
            spent = lifecycle.spent(record, binding, digests, length, failures, limits, at)
            if isinstance(spent, Spent):
                phone.fail(spent.record.budget, spent.failures)
                turn.write(self._writes.spend, phone, spent.record, at)
            return spent

        # Held before anything is compared: a guess that was compared and then overtaken would be one too many.
        return self._turns.take(step, now, HELD)

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
        def step(turn: Turn) -> Verification | Refused:
            record, phone, at = turn.record(id)
            windows = [(quota, phone.window(quota.key)) for quota in quotas]
            failures = phone.failures_of(record.budget) if record is not None else None
            reopened = lifecycle.reopened(record, binding, short, windows, failures, limits, resend_after, at)
            if isinstance(reopened, Refused):
                return reopened
            record, counts = reopened
            phone.count(quotas, counts)
            turn.write(self._writes.reopen, phone, record, at)
            return record

        return self._turns.take(step, now, GUARDED)

    async def settle(self, id: str, status: Status, now: datetime | None, generation: int | None = None) -> bool:
        def step(turn: Turn) -> bool:
            record, phone, at = turn.record(id)
            settled = lifecycle.settled(record, status, at, generation)
            if settled is not None:
                self._close(turn, phone, settled, at)
            return settled is not None

        return self._turns.take(step, now, GUARDED)

    async def judge(self, id: str, right: bool | None, generation: int, now: datetime | None) -> Judged | None:
        def step(turn: Turn) -> Judged | None:
            record, phone, at = turn.record(id)
            failures = phone.failures_of(record.budget) if record is not None else None
            judged = lifecycle.judged(record, right, generation, failures, at)
            if judged is None:
                return None
            found, failures = judged
            phone.fail(found.record.budget, failures)
            turn.write(self._writes.judge, phone, found.record, at)
            return found

        return self._turns.take(step, now, GUARDED)

    async def claim(self, driver: str, tag: str, event: Event, now: datetime | None) -> Verification | None:
        def step(turn: Turn) -> Verification | None:
            phone, at = turn.phone(tag)
            claimed = lifecycle.claimed(turn.siblings(tag, at), driver, event, at)
            if claimed is not None:
                self._close(turn, phone, claimed, at)
            return claimed

        return self._turns.take(step, now, GUARDED)

    async def find(self, driver: str, tag: str, reference: str, now: datetime | None) -> Verification | None:
        def step(turn: Turn) -> Verification | None:
            _, at = turn.phone(tag)
            return lifecycle.found(turn.siblings(tag, at), driver, reference, at)

        return self._turns.take(step, now, READING)

    async def get(self, id: str, now: datetime | None) -> Verification | None:
        return self._turns.take(lambda turn: turn.record(id)[0], now, READING)

    async def may_poll(self, id: str, binding: bytes | None, now: datetime | None) -> bool:
        def step(turn: Turn) -> bool:
            record, phone, at = turn.record(id)
            due = lifecycle.poll_due(record, binding, at)
            if due is not None:
                turn.write(self._writes.poll, phone, due[1], at)
            return due is not None and due[0]

        return self._turns.take(step, now, GUARDED)

    async def redeem(self, id: str, binding: bytes, now: datetime | None) -> Verification | None:
        def step(turn: Turn) -> Verification | None:
            record, phone, at = turn.record(id)
            due = lifecycle.proof_due(record, binding, at)
            if due is not None:
                turn.write(self._writes.redeem, phone, due, at)
            return due

        return self._turns.take(step, now, GUARDED)

    async def purge(self, limit: int, now: datetime | None) -> int:
        gone = 0
        for old in self._writes.old:
            dropped = BATCH
            while dropped == BATCH and gone < limit:
                most = min(BATCH, limit - gone)
                dropped = self._turns.take(
                    lambda turn: old(turn.cursor, turn.server_time() - self._keep, most),  # noqa: B023 - run at once
                    now,
                )
                gone += dropped
        return gone

    async def erase(self, tag: str, now: datetime | None) -> int:
        def step(turn: Turn) -> int:
            turn.phone(tag)
            # "~" comes after every letter of an id.
            gone: int = self._writes.erase_records(turn.cursor, this=tag, beyond=f"{tag}~").rowcount
            self._writes.erase_phone(turn.cursor, this=tag)
            return gone

        return self._turns.take(step, now)

    def _close(self, turn: Turn, phone: Phone, record: Verification, at: datetime) -> None:
        if record.status is Status.VERIFIED:
            phone.fail(record.budget, None)
        turn.write(self._writes.close, phone, record, at)
