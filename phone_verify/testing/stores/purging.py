"""Removal of expired data."""

from __future__ import annotations

from ...limits import Quota
from ...model import Status
from ...phone import PhoneNumber
from ...stores.base import PURGE_PER_START, RETENTION, Store
from ..clock import ManualClock
from .case import LIFE, LIMITS, StoreCase, opening, run


class StoreSweeping(StoreCase):
    """The contract of a store that removes expired data itself; not for one whose server expires
    everything.
    """

    def test_records_are_kept_a_day_and_purged_in_batches(self, store: Store, clock: ManualClock) -> None:
        records = [self.open(store, clock, PhoneNumber(f"+98912000010{n}")) for n in range(5)]
        run(store.settle(records[0].id, Status.CANCELLED, clock()))
        clock.move((LIFE + RETENTION).total_seconds() - 1)
        assert run(store.purge(100, clock())) == 0
        assert self.kept(store, clock, records) == 5
        clock.move(2)
        assert run(store.purge(2, clock())) == 2
        assert self.kept(store, clock, records) == 3
        assert run(store.purge(0, clock())) == 0
        run(store.purge(100, clock()))
        assert self.kept(store, clock, records) == 0

    def test_purging_ends_with_nothing_left(self, store: Store, clock: ManualClock) -> None:
        for n in range(3):
            phone = PhoneNumber(f"+98912000010{n}")
            run(store.count([Quota("total", 9), Quota(f"address:{n}", 9)], clock()))
            run(store.open(opening(phone), [Quota(f"sends:{n}", 9)], LIMITS, clock()))
            self.fail(store, clock, 1, phone=phone)
        clock.move(3 * RETENTION.total_seconds())
        assert run(store.purge(1000, clock())) >= 3 + 4
        assert run(store.purge(1000, clock())) == 0

    def test_starts_purge_expired_records(self, store: Store, clock: ManualClock) -> None:
        starts = 8
        phones = [PhoneNumber(f"+98912000010{n:02}") for n in range(starts * PURGE_PER_START)]
        records = [self.open(store, clock, phone) for phone in phones]
        clock.move((LIFE + RETENTION).total_seconds() + 1)
        self.open(store, clock)
        assert self.kept(store, clock, records) >= len(records) - starts * PURGE_PER_START / 2, "few at a time"
        for _ in range(starts - 1):
            self.open(store, clock)
        assert self.kept(store, clock, records) == 0

    def test_expired_records_do_not_accumulate(self, store: Store, clock: ManualClock) -> None:
        for n in range(30):
            run(store.count([Quota("total", 99), Quota(f"address:{n}", 9), Quota(f"prefix:{n}", 9)], clock()))
            order = opening(PhoneNumber(f"+9891200001{n:02}"))
            run(store.open(order, [Quota(f"sends:{n}", 9)], LIMITS, clock()))
            clock.move(2 * RETENTION.total_seconds())
        # Each start left a record, a phone's counters and two separate counters.
        assert run(store.purge(1000, clock())) <= 20
