"""Steps in many simultaneous threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import datetime

import pytest

from ...errors import StoreError
from ...fraud.guard import FraudGuard
from ...fraud.rules import FraudRules
from ...lifecycle import Spent
from ...limits import Denied, Limits, Quota
from ...lines import LINE_REST
from ...model import IncomingCall, Status, Verification
from ...phone import PhoneNumber
from ...stores.base import Store
from ...stores.leases import Leases
from ..clock import ManualClock
from .case import (
    BINDING,
    CALL,
    KEYRING,
    LIMITS,
    LINE,
    OTHER_PHONE,
    PHONE,
    RIGHT,
    ROUNDS,
    WRONG,
    StoreCase,
    T,
    attachment,
    opening,
    run,
    together,
)
from .conversions import ROUTE, counts_of
from .lines import caller, pool_of
from .places import reservation


class StoreRaces(StoreCase):
    """The contract of a store under many simultaneous threads."""

    def race(self, stores: Sequence[Store], count: int, step: Callable[[Store, int], T]) -> list[T]:
        """Return the results of `count` threads that start simultaneously, spread over the stores."""
        return together(count, lambda number: step(stores[number % len(stores)], number), self.thread_done)

    @pytest.mark.race
    @pytest.mark.parametrize("_", range(ROUNDS))
    def test_two_hundred_concurrent_guesses_get_five_attempts(
        self, stores: Sequence[Store], clock: ManualClock, _: int
    ) -> None:
        record = self.open(stores[0], clock)
        answers = self.race(stores, 200, lambda store, _: self.spend(store, clock, record, WRONG))
        spent = [answer for answer in answers if isinstance(answer, Spent)]
        assert sorted(answer.record.attempts_left for answer in spent) == [0, 1, 2, 3, 4]
        assert (found := run(stores[0].get(record.id, clock())))
        assert (found.status, found.attempts_left) == (Status.EXHAUSTED, 0)

    @pytest.mark.race
    @pytest.mark.parametrize("_", range(ROUNDS))
    def test_hundred_concurrent_right_codes_verify_once(
        self, stores: Sequence[Store], clock: ManualClock, _: int
    ) -> None:
        record = self.open(stores[0], clock)
        answers = self.race(stores, 100, lambda store, _: self.spend(store, clock, record, RIGHT))
        assert sum(isinstance(answer, Spent) for answer in answers) == 1

    @pytest.mark.race
    def test_simultaneous_orders_of_a_network_see_each_other(self, stores: Sequence[Store], clock: ManualClock) -> None:
        guard = FraudGuard(FraudRules(record_only=False), KEYRING)

        def passes(store: Store, number: int) -> bool:
            phone = PhoneNumber(f"+7{900 + number}0000000")
            try:
                return not run(guard.decide(phone, store, clock(), networks=["203.0.113.1"], by_client=True)).is_refused
            except StoreError:  # waited for the others longer than `LONGEST_WAIT`: nothing is sent
                return False

        assert 1 <= sum(self.race(stores, 40, passes)) <= 6, "five, and one that a closed network may send"
        assert not passes(stores[0], 41)

    @pytest.mark.race
    @pytest.mark.parametrize("_", range(ROUNDS))
    def test_failures_are_exact_across_many_verifications(
        self, stores: Sequence[Store], clock: ManualClock, _: int
    ) -> None:
        records = [self.open(stores[0], clock) for _ in range(10)]
        answers = self.race(
            stores, 40, lambda store, number: self.spend(store, clock, records[number % 10], WRONG, Limits(7))
        )
        spent = [answer for answer in answers if isinstance(answer, Spent)]
        assert sorted(answer.failures.count for answer in spent if answer.failures) == [1, 2, 3, 4, 5, 6, 7]

    @pytest.mark.race
    @pytest.mark.parametrize("_", range(ROUNDS))
    def test_concurrent_starts_meet_the_phone_quota_exactly(
        self, stores: Sequence[Store], clock: ManualClock, _: int
    ) -> None:
        orders = [opening() for _ in range(40)]
        quota = Quota("sends:p", 5)
        answers = self.race(stores, 40, lambda store, number: run(store.open(orders[number], [quota], LIMITS, clock())))
        assert sum(isinstance(answer, Verification) for answer in answers) == 5
        assert sum(run(stores[0].get(order.id, clock())) is not None for order in orders) == 5

    @pytest.mark.race
    @pytest.mark.parametrize("_", range(ROUNDS))
    def test_concurrent_shared_quotas_are_exact_all_or_nothing(
        self, stores: Sequence[Store], clock: ManualClock, _: int
    ) -> None:
        total = Quota("total", 30)
        # In both orders, as two flows might name them: a store that locks them in the given order
        # would deadlock.
        ways = [[Quota(f"address:{n}", 5), total] for n in range(4)]
        ways += [way[::-1] for way in ways]
        answers = self.race(stores, 80, lambda store, number: run(store.count(ways[number % 8], clock())))
        assert sum(not isinstance(answer, Denied) for answer in answers) == 20
        rest = [run(stores[0].count([total], clock())) for _ in range(11)]
        assert [isinstance(answer, Denied) for answer in rest] == [False] * 10 + [True]

    @pytest.mark.race
    @pytest.mark.parametrize("_", range(ROUNDS))
    def test_concurrent_refunds_are_exact(self, stores: Sequence[Store], clock: ManualClock, _: int) -> None:
        quota = Quota("total", 40)
        windows = [self.windows(stores[0].count([quota], clock())) for _ in range(40)].pop()
        assert not isinstance(windows, Denied)

        self.race(stores, 30, lambda store, _: run(store.uncount([quota], windows, clock())))
        rest = [run(stores[0].count([quota], clock())) for _ in range(31)]
        assert [isinstance(answer, Denied) for answer in rest] == [False] * 30 + [True]

    @pytest.mark.race
    @pytest.mark.parametrize("_", range(ROUNDS))
    def test_concurrent_resends_allow_one(self, stores: Sequence[Store], clock: ManualClock, _: int) -> None:
        record = self.open(stores[0], clock)
        clock.move(60)
        answers = self.race(stores, 20, lambda store, _: self.reopen(store, clock, record))
        assert sum(isinstance(answer, Verification) for answer in answers) == 1

    @pytest.mark.race
    @pytest.mark.parametrize("_", range(ROUNDS))
    def test_concurrent_settle_poll_and_redeem_happen_once(
        self, stores: Sequence[Store], clock: ManualClock, _: int
    ) -> None:
        record = self.claim_on(stores[0], clock, LINE)
        polls = self.race(stores, 20, lambda store, _: run(store.may_poll(record.id, BINDING, clock())))
        assert sum(polls) == 1
        settles = self.race(stores, 20, lambda store, _: run(store.settle(record.id, Status.VERIFIED, clock())))
        assert sum(settles) == 1
        proofs = self.race(stores, 20, lambda store, _: run(store.redeem(record.id, BINDING, "", clock())))
        assert sum(proof is not None for proof in proofs) == 1

    @pytest.mark.race
    @pytest.mark.parametrize("_", range(ROUNDS))
    def test_call_reported_concurrently_counts_once(self, stores: Sequence[Store], clock: ManualClock, _: int) -> None:
        record = self.claim_on(stores[0], clock, LINE)
        calls = self.race(
            stores, 20, lambda store, _: self.call(store, clock, record, IncomingCall("ref", LINE, PHONE))
        )
        assert sum(call is not None for call in calls) == 1

    @pytest.mark.race
    @pytest.mark.parametrize("_", range(ROUNDS))
    def test_concurrent_code_and_call_verify_once(self, stores: Sequence[Store], clock: ManualClock, _: int) -> None:
        order = opening(driver="caller")
        run(stores[0].open(order, [], LIMITS, clock()))
        run(stores[0].attach(order.id, attachment(order), clock()))
        run(stores[0].attach(order.id, attachment(order, plan=CALL, line=LINE, sends=2), clock()))
        record = run(stores[0].get(order.id, clock()))
        assert record is not None
        event = IncomingCall(None, LINE, PHONE)

        def close(store: Store, number: int) -> bool:
            if number % 2:
                return self.call(store, clock, record, event, "caller") is not None
            spent = self.spend(store, clock, record, RIGHT)
            return isinstance(spent, Spent) and spent.verified

        assert self.race(stores, 20, close).count(True) == 1

    @pytest.mark.race
    @pytest.mark.parametrize("_", range(ROUNDS))
    def test_concurrent_claims_of_a_line_leave_one_holder(
        self, stores: Sequence[Store], clock: ManualClock, _: int
    ) -> None:
        orders = [opening(plan=CALL, binding=bytes([n]) * 32, purpose=f"purpose_{n % 3}") for n in range(12)]
        for order in orders:
            run(stores[0].open(order, [], LIMITS, clock()))
        answers = self.race(
            stores,
            12,
            lambda store, number: run(store.attach(orders[number].id, attachment(orders[number], line=LINE), clock())),
        )
        assert sum(isinstance(answer, Verification) for answer in answers) == 1
        found = [run(stores[0].get(order.id, clock())) for order in orders]
        assert sum(record is not None and record.open for record in found) == 1

    @pytest.mark.race
    @pytest.mark.parametrize("_", range(ROUNDS))
    def test_concurrent_mixed_steps_on_a_phone_all_finish(
        self, stores: Sequence[Store], clock: ManualClock, _: int
    ) -> None:
        records = [self.open(stores[0], clock) for _ in range(4)]
        old = [self.open(stores[0], clock, OTHER_PHONE) for _ in range(4)]

        def step(store: Store, number: int) -> object:
            record = records[number % 4]
            match number % 5:
                case 0:
                    return run(store.open(opening(shown=[BINDING]), [Quota("sends:p", 99)], LIMITS, clock()))
                case 1:
                    return self.spend(store, clock, record, WRONG, Limits(1000))
                case 2:
                    return run(store.attach(record.id, attachment(opening(), line=LINE), clock()))
                case 3:
                    return run(store.claim("fake", record.tag, IncomingCall(None, LINE, PHONE), clock()))
                case _:
                    return self.reopen(store, clock, old[number % 4], quotas=[Quota("sends:o", 99)])

        self.race(stores, 40, step)
        assert (found := run(stores[0].get(records[0].id, clock())))
        assert not found.open, "a start that showed its binding has ended it"

    @pytest.mark.race
    @pytest.mark.parametrize("_", range(ROUNDS))
    def test_fifty_concurrent_claims_lease_ten_lines_once(
        self, stores: Sequence[Store], clock: ManualClock, _: int
    ) -> None:
        pool, orders = pool_of(10), [opening(caller(n), plan=CALL) for n in range(50)]
        claims = [run(stores[0].open(order, [], LIMITS, clock())) for order in orders]

        def take(store: Store, number: int) -> PhoneNumber | None:
            claim = claims[number]
            assert isinstance(claim, Verification)
            return run(Leases(store, KEYRING, os.urandom, clock).take(pool, claim, ()))

        leased = [line for line in self.race(stores, 50, take) if line is not None]
        assert len(leased) == len(set(leased)) == 10

    @pytest.mark.race
    @pytest.mark.parametrize("_", range(ROUNDS))
    def test_fifty_concurrent_claims_reuse_a_rested_line_once(
        self, stores: Sequence[Store], clock: ManualClock, _: int
    ) -> None:
        pool = pool_of(1)
        first, *claims = [run(stores[0].open(opening(caller(n), plan=CALL), [], LIMITS, clock())) for n in range(51)]
        assert isinstance(first, Verification)
        assert run(Leases(stores[0], KEYRING, os.urandom, clock).take(pool, first, ())) == pool[0]
        assert run(stores[0].settle(first.id, Status.CANCELLED, clock()))
        clock.move(LINE_REST.total_seconds())

        def take(store: Store, number: int) -> PhoneNumber | None:
            claim = claims[number]
            assert isinstance(claim, Verification)
            return run(Leases(store, KEYRING, os.urandom, clock).take(pool, claim, ()))

        leased = [line for line in self.race(stores, 50, take) if line is not None]
        assert leased == pool

    @pytest.mark.race
    @pytest.mark.parametrize("_", range(ROUNDS))
    def test_one_of_fifty_concurrent_reservations_wins(
        self, stores: Sequence[Store], clock: ManualClock, _: int
    ) -> None:
        letters = "abcdefghijklmnopqrstuvwxyABCDEFGHIJKLMNOPQRSTUVWXY"
        places = self.race(
            stores, 50, lambda store, number: run(store.reserve(reservation(letters[number], "a", "b"), clock()))
        )
        assert len({place.holder for place in places}) == 1
        assert {place.response for place in places} == {None}

    @pytest.mark.race
    @pytest.mark.parametrize("_", range(ROUNDS))
    def test_concurrent_orders_are_all_counted(self, stores: Sequence[Store], clock: ManualClock, _: int) -> None:
        run(stores[0].add_conversion(ROUTE, 1, 0, clock()))
        counted = self.race(stores, 50, lambda store, n: _counted(store, n % 2, clock()))
        assert counted.count(None) < 50, "a long queue may end the wait of the last ones"
        expected = (1.0 + counted.count(0) + counted.count(1), float(counted.count(1)))
        assert counts_of(stores[0], clock) == [expected]

    @pytest.mark.race
    def test_first_orders_of_a_route_are_all_counted(self, stores: Sequence[Store], clock: ManualClock) -> None:
        counted = self.race(stores, 50, lambda store, n: _counted(store, 0, clock()))
        assert counts_of(stores[0], clock) == [(float(counted.count(0)), 0.0)]


def _counted(store: Store, verified: int, now: datetime) -> int | None:
    """Count an order; return its verifications, or None if the store refused the wait for others."""
    try:
        run(store.add_conversion(ROUTE, 1, verified, now))
    except StoreError:
        return None
    return verified
