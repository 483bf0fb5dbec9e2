"""The SQL store: its verbs. Each reads, asks `lifecycle`, and writes; `turns.py` makes that one step."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import cycle

import sqlalchemy as sa

from ... import lifecycle
from ...lifecycle import Attachment, Limits, Opening, Quota, Refusal, Refused, Spent, Window
from ...model import Event, Status, Verification
from ..base import KEPT, checked_keep
from .engine import engine_of
from .rows import Phone, micros, time_of
from .schema import Schema
from .turns import GUARDED, HELD, READING, Overtaken, Turn, Turns
from .writes import Writes

#: How many rows one transaction of `purge` drops at most, so that nobody waits for it.
BATCH = 500


class SqlStore:
    """A store in an SQL database that other processes may use as well.

    Missing tables are made at the first step, and those in an SQLite file are brought up to date, unless
    `create_tables` is false. Records are kept for `keep` after their life.

    SQLite runs with `synchronous=NORMAL`: a step that has ended survives the death of any process. A power cut may
    take back the last few steps, together and without damage; forcing each to the disk would cost every visitor
    several disk writes to deny a few more guesses to somebody who can cut the power.
    """

    def __init__(self, engine: sa.Engine, *, keep: timedelta = KEPT, create_tables: bool = True) -> None:
        self._keep = checked_keep(keep)
        schema = Schema(engine)
        self._turns = Turns(engine, schema.ready if create_tables else lambda: None)
        self._writes = Writes(engine.dialect)
        self._openings = cycle(self._writes.openings)

    @classmethod
    def from_url(cls, url: str, *, keep: timedelta = KEPT, create_tables: bool = True) -> SqlStore:
        """Return a store for `sqlite:///relative`, `sqlite:////absolute`, `postgresql://…` or `mysql://…`.

        Raises `ConfigurationError` for any other, for SQLite without a file, and for a missing package.
        """
        engine = engine_of(url)
        store = cls(engine, keep=keep, create_tables=create_tables)
        # The engine is the store's own, and so are its connections: they are closed with it.
        weakref.finalize(store, engine.dispose)
        return store

    def __repr__(self) -> str:
        return f"<SqlStore on {self._turns.engine.dialect.name}>"

    async def count(self, quotas: Sequence[Quota], now: datetime | None) -> Sequence[datetime] | Refused:
        if not quotas:
            return []
        # In the order of their names, so that no two steps wait for each other.
        names = sorted({quota.key for quota in quotas})
        counters = self._writes.counters(len(names))

        def one_more(turn: Turn) -> Sequence[datetime]:
            turn.unclear = True
            ends = counters.one_more(turn.cursor, sorted(quotas, key=lambda quota: quota.key), now)
            if not ends:
                raise Overtaken
            return [time_of(ends[quota.key]) for quota in quotas]

        def step(turn: Turn) -> Sequence[datetime] | Refused:
            if turn.alone:
                return one_more(turn)
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
        write = next(self._openings)

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
            turn.write(write, phone, opened, at, at - self._keep)
            return opened.record

        return self._turns.take(step, now, GUARDED if self._writes.at_once else HELD)

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

        return self._turns.take(step, now, GUARDED)

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

    async def forgive(self, id: str, now: datetime | None) -> None:
        def step(turn: Turn) -> None:
            record, phone, at = turn.record(id)
            if record is not None:
                phone.fail(record.budget, lifecycle.forgiven(phone.failures_of(record.budget)))
                if phone.changed:
                    turn.write(self._writes.forgive, phone, record, at)

        self._turns.take(step, now, GUARDED)

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
