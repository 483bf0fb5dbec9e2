"""Wrong answers: per phone, in total, and per budget."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from ...lifecycle import AttemptResult, Spent
from ...limits import FOREVER, Answering, DenialReason, Denied, Limits, Quota, Tally
from ...model import Channel, IncomingCall, Status, Verification
from ...policy import FAILURE_MEMORY, FIRST_LOCK, LONGEST_LOCK
from ...purposes import Budget
from ...stores.base import Store
from ..clock import ManualClock
from .case import (
    BINDING,
    KEYRING,
    LIMITS,
    LINE,
    NOBODY,
    OTHER_BINDING,
    OTHER_PHONE,
    OURS,
    PHONE,
    REMOTE,
    RIGHT,
    SHORT,
    WRONG,
    StoreCase,
    failure_count,
    opening,
    run,
)


class FailurePromises(StoreCase):
    """Wrong answers: per phone, in total, and per budget."""

    # Failures in a row.

    def test_failures_add_up_across_verifications(self, store: Store, clock: ManualClock) -> None:
        limits = Limits(4)
        records = [
            self.open(store, clock),
            self.open(store, clock, binding=OTHER_BINDING),
            self.open(store, clock, channel=Channel.VOICE),
            self.open(store, clock, plan=SHORT),
        ]
        other = self.open(store, clock, budget=Budget.SIGNED_IN, purpose="confirm")
        elsewhere = self.open(store, clock, OTHER_PHONE)
        records.append(self.open(store, clock, purpose="signup"))
        records.pop(0)
        for record in records:
            assert isinstance(self.spend(store, clock, record, WRONG, limits), Spent)
        for record in records:
            refused = self.spend(store, clock, record, RIGHT, limits)
            assert isinstance(refused, Denied)
            assert (refused.why, refused.retry_after) == (DenialReason.FAILURES, FIRST_LOCK)
            assert refused.record is not None
            assert refused.record.attempts_left == record.attempts_left - 1
        assert isinstance(self.spend(store, clock, other, WRONG, limits), Spent)
        assert isinstance(self.spend(store, clock, elsewhere, RIGHT, limits), Spent)

    def test_ten_failures_stop_an_open_short_code(self, store: Store, clock: ManualClock) -> None:
        short, long = self.open(store, clock, plan=SHORT), self.open(store, clock)
        self.fail(store, clock, 10)
        refused = self.spend(store, clock, short, RIGHT)
        assert isinstance(refused, Denied)
        assert refused.why is DenialReason.SHORT_CODES_CLOSED
        assert isinstance(self.spend(store, clock, long, RIGHT), Spent)

    def test_refused_attempts_do_not_prolong_the_lock(self, store: Store, clock: ManualClock) -> None:
        self.fail(store, clock, 2, Limits(2))
        for _ in range(3):
            clock.move(1100)
            assert self.locked_for(store, clock, Limits(2)) == FIRST_LOCK
        clock.move(300)
        spent = self.spend(store, clock, self.open(store, clock), WRONG, Limits(2))
        assert isinstance(spent, Spent)
        assert spent.failures is not None
        assert spent.failures.count == 1, "after a lock the count starts again"

    def test_failures_count_up_over_days_without_a_success(self, store: Store, clock: ManualClock) -> None:
        for _ in range(3):
            self.fail(store, clock, 1, Limits(3))
            clock.move(FAILURE_MEMORY.total_seconds() - 1)
        self.fail(store, clock, 2, Limits(3))
        assert self.locked_for(store, clock, Limits(3)) is None, "the third started a lock, long over"
        clock.move(FAILURE_MEMORY.total_seconds())
        self.fail(store, clock, 2, Limits(3))
        assert self.locked_for(store, clock, Limits(3)) is None, "thirty days without a failure forget all"

    def test_locks_grow_until_a_success(self, store: Store, clock: ManualClock) -> None:
        limits, hours = Limits(2), []
        for _ in range(7):
            self.fail(store, clock, 2, limits)
            lock = self.locked_for(store, clock, limits)
            assert lock is not None
            hours.append(lock // timedelta(hours=1))
            clock.move(lock.total_seconds())
        assert hours == [1, 2, 4, 8, 16, 24, 24]
        assert timedelta(hours=24) == LONGEST_LOCK
        assert isinstance(self.spend(store, clock, self.open(store, clock), RIGHT, limits), Spent)
        self.fail(store, clock, 2, limits)
        assert self.locked_for(store, clock, limits) == FIRST_LOCK

    def test_ceiling_closes_until_a_trusted_success(self, store: Store, clock: ManualClock) -> None:
        limits = Limits(3, ceiling=5)
        self.fail(store, clock, 3, limits)
        clock.move(FIRST_LOCK.total_seconds())
        self.fail(store, clock, 2, limits)
        clock.move((FAILURE_MEMORY * 3).total_seconds())
        assert self.locked_for(store, clock, limits) == LONGEST_LOCK
        assert self.locked_for(store, clock, limits, trusted=True) is None
        self.spend(store, clock, self.open(store, clock, trusted=True), RIGHT, limits)
        assert self.locked_for(store, clock, limits) is None

    def test_trusted_success_leaves_a_growing_lock(self, store: Store, clock: ManualClock) -> None:
        self.fail(store, clock, 3, Limits(3))
        self.spend(store, clock, self.open(store, clock, trusted=True), RIGHT, Limits(3))
        assert self.locked_for(store, clock, Limits(3)) == FIRST_LOCK, "an owner's success is no second chance"

    def test_test_number_failures_are_never_forgotten(self, store: Store, clock: ManualClock) -> None:
        limits = Limits(4)
        number: dict[str, Any] = {"budget": Budget.TEST_NUMBER}
        self.fail(store, clock, 2, limits, **number)
        for trusted in (False, True):
            answer = self.spend(store, clock, self.open(store, clock, trusted=trusted, **number), RIGHT, limits)
            assert isinstance(answer, Spent)
            assert answer.answer is AttemptResult.RIGHT
        clock.move((FAILURE_MEMORY * 5).total_seconds())
        self.fail(store, clock, 2, limits, trusted=True, purpose="signup", **number)
        clock.move((FAILURE_MEMORY * 5).total_seconds())
        for trusted in (False, True):
            told = self.locked_for(store, clock, limits, trusted=trusted, **number)
            assert told == FIRST_LOCK, "as for every number"

    def test_unlock_drops_every_lock(self, store: Store, clock: ManualClock) -> None:
        limits = Limits(2, ceiling=2)
        budgets: list[dict[str, Any]] = [
            {"budget": budget, "trusted": trusted} for budget in Budget for trusted in (False, True)
        ]
        for one in budgets:
            if self.locked_for(store, clock, limits, **one) is None:
                self.fail(store, clock, 2, limits, **one)
        self.fail(store, clock, 2, limits, phone=OTHER_PHONE)
        assert run(store.unlock(KEYRING.tag(PHONE), clock())) is True
        assert [self.locked_for(store, clock, limits, **one) for one in budgets] == [None] * len(budgets)
        assert run(store.unlock(KEYRING.tag(PHONE), clock())) is False
        assert self.locked_for(store, clock, limits, phone=OTHER_PHONE) is not None
        assert clock() < FOREVER

    # Wrong answers over all phones.

    def test_wrong_answers_are_tallied_for_a_day(self, store: Store, clock: ManualClock) -> None:
        self.fail(store, clock, 3)
        self.fail(store, clock, 2, plan=SHORT)
        self.fail(store, clock, 4, trusted=True)
        self.fail(store, clock, 1, plan=replace(OURS, code_length=8))
        assert self.tally(store, clock) == Tally(short=2, long=3)
        clock.move(24 * 3600)
        assert self.tally(store, clock) == Tally(short=2, long=3), "none leaves it within a day"
        self.fail(store, clock, 1, plan=SHORT)
        clock.move(3600)
        assert self.tally(store, clock) == Tally(short=1)
        clock.move(24 * 3600)
        assert self.tally(store, clock) == Tally()

    def test_one_address_adds_three_an_hour(self, store: Store, clock: ManualClock) -> None:
        def guess(address: str | None) -> None:
            record, limits = self.open(store, clock, plan=SHORT), Limits(1000, short_failures=1000)
            run(store.spend(record.id, BINDING, [WRONG], 4, limits, Answering(address), clock()))

        for _ in range(5):
            guess("wrong:one")
        assert self.tally(store, clock).short == 3
        guess("wrong:two")
        guess(None)
        assert self.tally(store, clock).short == 5
        clock.move(3600)
        guess("wrong:one")
        assert self.tally(store, clock).short == 6

    def test_right_answer_takes_back_its_own_wrong_ones(self, store: Store, clock: ManualClock) -> None:
        answering = Answering("wrong:one")
        record = self.open(store, clock, plan=SHORT)
        for digest in (WRONG, WRONG):
            run(store.spend(record.id, BINDING, [digest], 4, LIMITS, answering, clock()))
        self.fail(store, clock, 1, plan=SHORT)
        assert self.tally(store, clock).short == 3
        run(store.spend(record.id, BINDING, [RIGHT], 4, LIMITS, answering, clock()))
        assert self.tally(store, clock).short == 1
        gate = Quota("wrong:one", 1, gate=True)
        assert not isinstance(run(store.count([gate], clock())), Denied), "and those of the address"

    def test_mistakes_of_one_address_are_no_credit_for_another(self, store: Store, clock: ManualClock) -> None:
        gate = Quota("wrong:two", 1, gate=True)
        for _ in range(3):
            record = self.open(store, clock, plan=SHORT)
            run(store.spend(record.id, BINDING, [WRONG], 4, LIMITS, Answering("wrong:one"), clock()))
            run(store.spend(record.id, BINDING, [RIGHT], 4, LIMITS, Answering("wrong:two"), clock()))
        assert self.tally(store, clock) == Tally()
        record = self.open(store, clock, plan=SHORT)
        run(store.spend(record.id, BINDING, [WRONG], 4, LIMITS, Answering("wrong:two"), clock()))
        assert isinstance(run(store.count([gate], clock())), Denied)

    def test_long_window_reports_its_end(self, store: Store, clock: ManualClock) -> None:
        years = Quota("q", 1, timedelta(days=3650))
        self.windows(store.count([years], clock()))
        assert run(store.count([years], clock())) == Denied(DenialReason.QUOTA, timedelta(days=3650))

    def test_right_answers_are_written_in_batches(self, store: Store, clock: ManualClock) -> None:
        for rights in (0, 16):
            record = self.open(store, clock)
            run(store.spend(record.id, BINDING, [RIGHT], 6, LIMITS, Answering(None, rights), clock()))
        assert self.tally(store, clock) == Tally(right=16)

    def test_address_with_many_wrong_answers_is_refused(self, store: Store, clock: ManualClock) -> None:
        limits, answering = Limits(1000, per_address=4), Answering("wrong:one")
        records = [self.open(store, clock, OTHER_PHONE if n % 2 else PHONE) for n in range(4)]
        last, trusted = self.open(store, clock), self.open(store, clock, trusted=True)
        for record in records:
            answer = run(store.spend(record.id, BINDING, [WRONG], 6, limits, answering, clock()))
            assert isinstance(answer, Spent)
        clock.move(60)
        refused = run(store.spend(last.id, BINDING, [RIGHT], 6, limits, answering, clock()))
        assert isinstance(refused, Denied)
        assert (refused.why, refused.retry_after) == (DenialReason.QUOTA, timedelta(minutes=59))
        for record in (last, trusted):
            address = answering if record.trusted else Answering("wrong:two")
            answer = run(store.spend(record.id, BINDING, [RIGHT], 6, limits, address, clock()))
            assert isinstance(answer, Spent)

    def test_short_codes_close_for_sign_in_when_sprayed(self, store: Store, clock: ManualClock) -> None:
        limits = Limits(1000, short_failures=1000, short_per_day=3)
        self.fail(store, clock, 3, limits, phone=OTHER_PHONE, plan=SHORT)
        refused = self.spend(store, clock, self.open(store, clock, plan=SHORT), RIGHT, limits)
        assert isinstance(refused, Denied)
        assert refused.why is DenialReason.SHORT_CODES_CLOSED
        stays_open: list[dict[str, Any]] = [
            {"trusted": True},
            *({"budget": b} for b in Budget if not b.is_of_sign_in),
        ]
        for changes in stays_open:
            record = self.open(store, clock, plan=SHORT, **changes)
            assert isinstance(self.spend(store, clock, record, RIGHT, limits), Spent)
        assert isinstance(self.spend(store, clock, self.open(store, clock), RIGHT, limits), Spent), "six digits"
        many_right = Answering(None, 500)
        record = self.open(store, clock)
        run(store.spend(record.id, BINDING, [RIGHT], 6, limits, many_right, clock()))
        answer = self.spend(store, clock, self.open(store, clock, plan=SHORT), RIGHT, limits)
        assert isinstance(answer, Spent), "three in five hundred are no spray"

    def test_mistake_at_the_spray_limit_can_be_corrected(self, store: Store, clock: ManualClock) -> None:
        limits = Limits(1000, short_failures=1000, short_per_day=2)
        record = self.open(store, clock)
        run(store.spend(record.id, BINDING, [RIGHT], 6, limits, Answering(None, 150), clock()))
        self.fail(store, clock, 2, limits, phone=OTHER_PHONE, plan=SHORT)
        mistaken, other = self.open(store, clock, plan=SHORT), self.open(store, clock, plan=SHORT)
        assert isinstance(self.spend(store, clock, mistaken, WRONG, limits), Spent)
        assert isinstance(self.spend(store, clock, other, RIGHT, limits), Denied)
        assert isinstance(self.spend(store, clock, mistaken, RIGHT, limits), Spent), "its own is taken back"
        assert self.tally(store, clock).short == 2
        assert isinstance(self.spend(store, clock, other, RIGHT, limits), Spent)

    def test_remote_answers_are_tallied_when_resolved(self, store: Store, clock: ManualClock) -> None:
        answering = Answering("wrong:one", 16)
        record = self.open(store, clock, plan=REMOTE)
        for right, tally in ((False, Tally(long=1)), (None, Tally(long=1)), (True, Tally(right=16))):
            run(store.spend(record.id, BINDING, [], 6, LIMITS, answering, clock()))
            run(store.resolve_check(record.id, right, 1, answering, clock()))
            assert self.tally(store, clock) == tally

    # The owner of a verification.

    def test_only_its_subject_redeems_a_number(self, store: Store, clock: ManualClock) -> None:
        record = self.open(store, clock, purpose="confirm", subject="s" * 22)
        self.spend(store, clock, record, RIGHT)
        for subject in ("", "t" * 22):
            assert run(store.redeem(record.id, BINDING, subject, clock())) is None
        redeemed = run(store.redeem(record.id, BINDING, "s" * 22, clock()))
        assert redeemed is not None
        assert redeemed.subject == "s" * 22

    def test_proof_of_another_user_is_not_accepted(self, store: Store, clock: ManualClock) -> None:
        record = self.open(store, clock, purpose="confirm")
        self.spend(store, clock, record, RIGHT)
        assert run(store.redeem(record.id, BINDING, "s" * 22, clock())) is None
        assert run(store.redeem(record.id, BINDING, "", clock())) is not None

    @pytest.mark.parametrize("purpose", ["login", "signup"])
    def test_sign_in_is_redeemed_by_any_subject(self, store: Store, clock: ManualClock, purpose: str) -> None:
        record = self.open(store, clock, purpose=purpose, subject="s" * 22)
        self.spend(store, clock, record, RIGHT)
        assert run(store.redeem(record.id, BINDING, "", clock())) is not None

    def test_only_a_success_of_phone_and_budget_clears_failures(self, store: Store, clock: ManualClock) -> None:
        other: dict[str, Any] = {"budget": Budget.SECOND_FACTOR, "purpose": "second_factor"}
        self.fail(store, clock, 2)
        self.fail(store, clock, 2, **other)
        self.spend(store, clock, self.open(store, clock, OTHER_PHONE), RIGHT)
        record = self.open(store, clock, **other)
        assert isinstance(run(store.open(opening(), [], Limits(2), clock())), Denied)
        self.spend(store, clock, record, RIGHT)
        assert isinstance(run(store.open(opening(**other), [], Limits(1), clock())), Verification)
        assert isinstance(run(store.open(opening(), [], Limits(2), clock())), Denied)

    def test_failures_of_services_count_apart(self, store: Store, clock: ManualClock) -> None:
        limits = Limits(2)
        for trusted in (False, True):
            mine = self.open(store, clock, trusted=trusted)
            self.fail(store, clock, 1, limits, service="shop", trusted=trusted)
            theirs = self.open(store, clock, service="shop", trusted=trusted)
            self.fail(store, clock, 1, limits, service="shop", trusted=trusted)
            assert isinstance(self.spend(store, clock, theirs, RIGHT, limits), Denied)
            assert self.locked_for(store, clock, limits, service="shop", trusted=trusted) is not None
            assert self.locked_for(store, clock, limits, service="bank", trusted=trusted) is None
            assert isinstance(self.spend(store, clock, mine, RIGHT, limits), Spent)
            assert self.locked_for(store, clock, limits, service="shop", trusted=trusted) is not None, "not cleared"
        self.fail(store, clock, 2, limits, service="shop", budget=Budget.TEST_NUMBER)
        assert self.locked_for(store, clock, limits, service="bank", budget=Budget.TEST_NUMBER) is not None
        assert self.tally(store, clock).long == 4, "the tally of the site counts over all services"

    def test_trusted_success_opens_the_ceiling_of_its_service(self, store: Store, clock: ManualClock) -> None:
        limits = Limits(100, ceiling=2)
        for service in ("shop", "bank"):
            self.fail(store, clock, 2, limits, service=service)
        device = self.open(store, clock, service="shop", trusted=True)
        assert isinstance(self.spend(store, clock, device, RIGHT, limits), Spent)
        assert self.locked_for(store, clock, limits, service="shop") is None
        assert self.locked_for(store, clock, limits, service="bank") is not None

    @pytest.mark.parametrize("trusted", [False, True])
    @pytest.mark.parametrize(
        ("part", "last", "other"),
        [
            (Budget.SIGN_IN_PART, Budget.SIGN_IN_ALL, Budget.SIGN_IN),
            (Budget.SIGNED_IN_PART, Budget.SIGNED_IN_ALL, Budget.SIGNED_IN),
        ],
    )
    def test_success_that_leaves_a_channel_clears_no_failures(
        self, store: Store, clock: ManualClock, part: Budget, last: Budget, other: Budget, trusted: bool
    ) -> None:
        limits = Limits(3, ceiling=3)
        self.fail(store, clock, 1, limits, budget=last, trusted=trusted)
        self.fail(store, clock, 1, limits, budget=part, trusted=trusted)
        record = self.open(store, clock, budget=part, trusted=trusted)
        answer = self.spend(store, clock, record, RIGHT, limits)
        assert isinstance(answer, Spent)
        assert failure_count(answer.record) == 2
        claim = self.claim_on(store, clock, LINE, budget=part, trusted=trusted)
        assert self.call(store, clock, claim, IncomingCall("ref", LINE, PHONE))
        assert failure_count(self.open(store, clock, budget=part, trusted=trusted)) == 2
        assert failure_count(self.open(store, clock, budget=other, trusted=trusted)) == 0
        self.spend(store, clock, self.open(store, clock, budget=last, trusted=trusted), RIGHT, limits)
        assert failure_count(self.open(store, clock, budget=part, trusted=trusted)) == 0

    @pytest.mark.parametrize("trusted", [False, True])
    def test_trusted_devices_have_their_own_failure_budget(
        self, store: Store, clock: ManualClock, trusted: bool
    ) -> None:
        def lets_in(trusted: bool) -> bool:
            return isinstance(run(store.open(opening(trusted=trusted), [], Limits(2), clock())), Verification)

        record, other = self.open(store, clock, trusted=trusted), self.open(store, clock, trusted=not trusted)
        late = self.open(store, clock, trusted=trusted)
        self.fail(store, clock, 2, trusted=trusted)
        assert (lets_in(trusted), lets_in(not trusted)) == (False, True)
        refused = self.spend(store, clock, record, RIGHT, Limits(2))
        assert isinstance(refused, Denied)
        assert refused.why is DenialReason.FAILURES
        again = self.reopen(store, clock, record, limits=Limits(2))
        assert isinstance(again, Denied)
        assert again.why is DenialReason.FAILURES
        for found, failures in ((record, 2), (other, 0)):
            assert (seen := run(store.get(found.id, clock())))
            assert (failure_count(seen), seen.trusted) == (failures, found.trusted)
        assert isinstance(self.spend(store, clock, other, RIGHT, Limits(2)), Spent)
        assert lets_in(trusted) is False
        assert isinstance(self.spend(store, clock, late, RIGHT), Spent)
        assert lets_in(trusted) is True

    @pytest.mark.parametrize("trusted", [False, True])
    def test_settled_verification_clears_its_own_budget(self, store: Store, clock: ManualClock, trusted: bool) -> None:
        for settles in (False, True):
            self.fail(store, clock, 2, trusted=True)
            self.fail(store, clock, 2)
            clock.move(61)  # the line has rested
            claim = self.claim_on(store, clock, LINE, trusted=trusted)
            if settles:
                assert run(store.settle(claim.id, Status.VERIFIED, clock()))
            else:
                assert self.call(store, clock, claim, IncomingCall("ref", LINE, PHONE))
            for other in (False, True):
                opened = run(store.open(opening(trusted=other), [], Limits(2), clock()))
                assert isinstance(opened, Verification if other is trusted else Denied)

    @pytest.mark.parametrize("trusted", [False, True])
    def test_unchecked_attempt_is_refunded_in_its_own_budget(
        self, store: Store, clock: ManualClock, trusted: bool
    ) -> None:
        self.fail(store, clock, 1, trusted=not trusted)
        record = self.open(store, clock, plan=REMOTE, trusted=trusted)
        self.spend(store, clock, record, WRONG)
        run(store.resolve_check(record.id, None, 1, NOBODY, clock()))
        assert isinstance(run(store.open(opening(trusted=trusted), [], Limits(1), clock())), Verification)
        assert isinstance(run(store.open(opening(trusted=not trusted), [], Limits(1), clock())), Denied)

    @pytest.mark.parametrize("status", [Status.VERIFIED, Status.CANCELLED])
    def test_settling_as_verified_clears_failures(self, store: Store, clock: ManualClock, status: Status) -> None:
        record = self.open(store, clock, plan=REMOTE)
        self.fail(store, clock, 2)
        run(store.settle(record.id, status, clock()))
        opened = run(store.open(opening(), [], Limits(2), clock()))
        assert isinstance(opened, Verification if status is Status.VERIFIED else Denied)
