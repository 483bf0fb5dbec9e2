"""Leases of lines: one claim a line, over all phones."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from ...limits import DenialReason, Denied
from ...lines import LINE_REST, PAIR_REST, claim_of
from ...model import IncomingCall, Status, Verification
from ...phone import PhoneNumber
from ...stores.base import Place, Store
from ...stores.leases import Leases
from ..clock import ManualClock
from .case import BINDING, CALL, KEYRING, LIFE, LIMITS, OTHER_BINDING, OURS, PHONE, StoreCase, attachment, opening, run

SECOND = timedelta(seconds=1)
#: Less than the step of a store's clock.
INSTANT = timedelta(microseconds=1)


def pool_of(count: int) -> Sequence[PhoneNumber]:
    """Return a pool of this many lines."""
    return [PhoneNumber(f"+1500555{n:04}") for n in range(count)]


def caller(number: int) -> PhoneNumber:
    """Return one of many phones."""
    return PhoneNumber(f"+98912{number:07}")


def leases(store: Store, clock: ManualClock, first: int = 0) -> Leases:
    """Return leases of this store, whose draws prefer the lines from this place of a pool on."""
    drawn = iter(range(-first % 2**32, 10**6))
    return Leases(store, KEYRING, lambda count: next(drawn).to_bytes(count, "big"), clock)


class LateReader:
    """A store whose places all looked free when they were read."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def places(self, names: Sequence[str], now: datetime | None) -> Sequence[Place | None]:
        """Return none of them as taken."""
        return [None for _ in names]


class LeasePromises(StoreCase):
    """A line of a pool serves one claim at a time, and rests between two."""

    def begin(self, store: Store, clock: ManualClock, phone: PhoneNumber, binding: bytes = BINDING) -> Verification:
        """Open a claim without a line."""
        opened = run(store.open(opening(phone, plan=CALL, binding=binding), [], LIMITS, clock()))
        assert isinstance(opened, Verification)
        return opened

    def lease(
        self,
        store: Store,
        clock: ManualClock,
        claim: Verification,
        pool: Sequence[PhoneNumber],
        shown: Collection[bytes] = (),
        sends: int = 1,
    ) -> PhoneNumber | None:
        """Lease a line for this claim, and attach it; None if none is free, or it rests for the claim's phone."""
        of_pool = leases(store, clock)
        line = run(of_pool.take(pool, claim, shown))
        if line is not None:
            plain = opening(claim.phone, plan=CALL)
            receipt = attachment(plain, line=line, reference=None, sends=sends, shown=shown, leased=True)
            attached = run(store.attach(claim.id, receipt, clock()))
            if isinstance(attached, Denied):
                assert attached.why is DenialReason.LINE_TAKEN
                run(of_pool.give_back(line, claim))
                return None
        return line

    def claim(
        self,
        store: Store,
        clock: ManualClock,
        phone: PhoneNumber,
        pool: Sequence[PhoneNumber],
        binding: bytes = BINDING,
        shown: Collection[bytes] = (),
    ) -> tuple[Verification, PhoneNumber | None]:
        """Open a claim and lease a line for it; None if no line is free."""
        record = self.begin(store, clock, phone, binding)
        line = self.lease(store, clock, record, pool, shown)
        found = run(store.get(record.id, clock()))
        assert found is not None
        return found, line

    def wait(self, clock: ManualClock, *spans: timedelta) -> None:
        """Move the clock."""
        clock.move(sum(spans, timedelta(0)).total_seconds())

    def test_every_claim_has_another_line(self, store: Store, clock: ManualClock) -> None:
        pool = pool_of(3)
        lines = [self.claim(store, clock, caller(n), pool)[1] for n in range(4)]
        assert sorted(line.e164 for line in lines[:3] if line) == [line.e164 for line in pool]
        assert lines[3] is None, "all lines are leased"

    def test_line_that_was_taken_meanwhile_is_not_leased(self, store: Store, clock: ManualClock) -> None:
        pool = pool_of(2)
        first = self.claim(store, clock, caller(1), pool)[1]
        late: Any = LateReader(store)
        second = run(leases(late, clock).take(pool, self.begin(store, clock, caller(2)), ()))
        assert {first, second} == set(pool)
        assert run(leases(late, clock).take(pool, self.begin(store, clock, caller(3)), ())) is None

    def test_line_is_drawn_from_the_whole_pool(self, store: Store, clock: ManualClock) -> None:
        pool = pool_of(3)
        drawn = iter([b"c", b"a", b"b"])
        take = Leases(store, KEYRING, lambda _: next(drawn), clock).take
        assert run(take(pool, self.begin(store, clock, PHONE), ())) == pool[1]

    def test_line_is_free_once_its_expired_claim_has_rested(self, store: Store, clock: ManualClock) -> None:
        pool = pool_of(1)
        assert self.claim(store, clock, caller(1), pool)[1] == pool[0]
        self.wait(clock, LIFE, LINE_REST, -INSTANT)
        assert self.claim(store, clock, caller(2), pool)[1] is None
        self.wait(clock, INSTANT)
        assert self.claim(store, clock, caller(2), pool)[1] == pool[0]
        assert self.claim(store, clock, caller(3), pool)[1] is None, "leased again"

    def test_line_of_a_closed_claim_is_leased_after_its_rest(self, store: Store, clock: ManualClock) -> None:
        pool = pool_of(1)
        record, line = self.claim(store, clock, caller(1), pool)
        assert self.call(store, clock, record, IncomingCall(None, line, caller(1))) is not None
        self.wait(clock, LINE_REST, -INSTANT)
        assert self.claim(store, clock, caller(2), pool)[1] is None
        self.wait(clock, INSTANT)
        other, other_line = self.claim(store, clock, caller(2), pool)
        assert other_line == line
        assert self.call(store, clock, other, IncomingCall(None, line, caller(1))) is None, "a late call of the first"

    def test_verified_line_rests_longer_for_the_same_phone(self, store: Store, clock: ManualClock) -> None:
        pool = pool_of(1)
        record, line = self.claim(store, clock, PHONE, pool)
        assert self.call(store, clock, record, IncomingCall(None, line, PHONE)) is not None
        self.wait(clock, PAIR_REST, -INSTANT)
        assert self.claim(store, clock, PHONE, pool, OTHER_BINDING)[1] is None
        self.wait(clock, INSTANT)
        assert self.claim(store, clock, PHONE, pool, OTHER_BINDING)[1] == line

    def test_refused_line_leaves_the_claim_open(self, store: Store, clock: ManualClock) -> None:
        pool = pool_of(1)
        record, line = self.claim(store, clock, PHONE, pool)
        assert self.call(store, clock, record, IncomingCall(None, line, PHONE)) is not None
        self.wait(clock, LINE_REST)
        other, other_line = self.claim(store, clock, caller(8), pool)
        assert other_line == line, "it rests for the phone that it verified alone"
        assert self.call(store, clock, other, IncomingCall(None, line, caller(8))) is not None
        self.wait(clock, LINE_REST)
        refused, none = self.claim(store, clock, PHONE, pool, OTHER_BINDING)
        assert none is None
        assert refused.open, "it may get another line"
        assert self.claim(store, clock, caller(9), pool)[1] == line, "given back"

    def test_browser_that_starts_again_gets_its_only_line(self, store: Store, clock: ManualClock) -> None:
        pool = pool_of(1)
        record, line = self.claim(store, clock, PHONE, pool)
        assert run(store.settle(record.id, Status.CANCELLED, clock()))
        assert self.claim(store, clock, PHONE, pool, OTHER_BINDING)[1] is None
        assert self.claim(store, clock, PHONE, pool, OTHER_BINDING, [BINDING])[1] == line

    def test_resend_gets_another_line_or_keeps_it(self, store: Store, clock: ManualClock) -> None:
        pool = pool_of(2)
        record, first = self.claim(store, clock, caller(1), pool)
        second = self.lease(store, clock, record, pool, sends=2)
        assert {first, second} == set(pool)
        self.wait(clock, LINE_REST, -INSTANT)
        assert self.claim(store, clock, caller(2), pool)[1] is None
        self.wait(clock, INSTANT)
        assert self.claim(store, clock, caller(2), pool)[1] == first, "rested since the resend"
        moved = run(store.get(record.id, clock()))
        assert moved is not None
        assert self.lease(store, clock, moved, pool, sends=3) == second, "no other one is free"

    def test_line_left_by_a_resend_is_free_after_a_code(self, store: Store, clock: ManualClock) -> None:
        pool = pool_of(2)
        record, first = self.claim(store, clock, caller(1), pool)
        assert self.lease(store, clock, record, pool, sends=2) not in (first, None)
        self.wait(clock, LINE_REST)
        code = attachment(opening(caller(1), plan=OURS), generation=2, sends=3)
        assert isinstance(run(store.attach(record.id, code, clock())), Verification)
        assert self.claim(store, clock, caller(2), pool)[1] == first
        assert self.claim(store, clock, caller(3), pool)[1] is None, "the other one is held"

    def test_only_free_line_of_a_large_pool_is_found(self, store: Store, clock: ManualClock) -> None:
        pool = pool_of(30)
        records = [self.claim(store, clock, caller(n), pool)[0] for n in range(30)]
        last = claim_of(records[-1])
        assert last is not None
        assert last.line == pool[-1], "drawn last"
        assert run(store.settle(records[-1].id, Status.CANCELLED, clock()))
        assert self.claim(store, clock, caller(30), pool)[1] is None
        self.wait(clock, LINE_REST)
        assert self.claim(store, clock, caller(31), pool)[1] == pool[-1]

    def test_line_of_a_record_is_not_given_back(self, store: Store, clock: ManualClock) -> None:
        pool, taken = pool_of(1), leases(store, clock)
        record, line = self.claim(store, clock, caller(1), pool)
        assert line is not None
        run(taken.give_back(line, record))
        assert self.claim(store, clock, caller(2), pool)[1] is None, "its user may call it"
        assert self.call(store, clock, record, IncomingCall(None, line, caller(1))) is not None
        run(taken.give_back(line, record))
        assert self.claim(store, clock, caller(2), pool)[1] is None, "it rests"
        assert run(store.erase(record.tag, clock())) == 1
        run(taken.give_back(line, record))
        assert run(store.places([KEYRING.line_place(line)], clock())) == [None]

    def test_lease_without_receipt_is_kept_and_given_back(self, store: Store, clock: ManualClock) -> None:
        pool, taken = pool_of(1), leases(store, clock)
        waiting = self.begin(store, clock, caller(1))
        line = run(taken.take(pool, waiting, ()))
        assert line == pool[0]
        self.wait(clock, LINE_REST)
        assert self.claim(store, clock, caller(2), pool)[1] is None, "its receipt may be on the way"
        run(taken.give_back(line, waiting))
        run(taken.give_back(line, waiting))
        assert self.claim(store, clock, caller(2), pool)[1] == line
        run(taken.give_back(line, waiting))
        assert self.claim(store, clock, caller(3), pool)[1] is None, "that of another claim is kept"

    def test_erased_claim_leaves_its_line(self, store: Store, clock: ManualClock) -> None:
        pool = pool_of(1)
        record, line = self.claim(store, clock, caller(1), pool)
        assert run(store.erase(record.tag, clock())) == 1
        assert self.claim(store, clock, caller(2), pool)[1] == line
