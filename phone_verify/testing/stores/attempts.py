"""Attempts at codes, also at those that the provider checks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ...lifecycle import AttemptResult, Spent
from ...limits import DenialReason, Denied, Limits
from ...model import Status, Verification
from ...policy import FIRST_LOCK
from ...stores.base import Store
from ..clock import ManualClock
from .case import (
    BINDING,
    LIFE,
    LIMITS,
    LINE,
    NOBODY,
    OTHER_BINDING,
    REMOTE,
    RIGHT,
    TOLD,
    WRONG,
    StoreCase,
    attachment,
    failure_count,
    opening,
    run,
)


class AttemptPromises(StoreCase):
    """Attempts at codes, also at those that the provider checks."""

    # Attempts.

    @pytest.mark.parametrize("sent", [True, False])
    def test_right_code_verifies_once(self, store: Store, clock: ManualClock, sent: bool) -> None:
        order = opening()
        record = self.open(store, clock, id=order.id)
        if sent:
            run(store.attach(order.id, attachment(order), clock()))
        clock.move(1)
        spent = run(store.spend(order.id, BINDING, [WRONG, RIGHT], 6, LIMITS, NOBODY, clock()))
        assert isinstance(spent, Spent)
        assert spent.answer is AttemptResult.RIGHT
        assert (spent.record.status, spent.record.closed_at) == (Status.VERIFIED, clock())
        assert spent.record.attempts_left == 4
        assert run(store.get(order.id, clock())) == spent.record
        again = self.spend(store, clock, record, RIGHT)
        assert again == Denied(DenialReason.CLOSED, record=spent.record)

    def test_wrong_codes_spend_the_attempts_and_then_close(self, store: Store, clock: ManualClock) -> None:
        record = self.open(store, clock)
        for left in (4, 3, 2, 1, 0):
            spent = self.spend(store, clock, record, WRONG)
            assert isinstance(spent, Spent)
            assert (spent.answer, spent.record.attempts_left) == (AttemptResult.WRONG, left)
            assert (spent.record.status is Status.EXHAUSTED) == (left == 0)
            assert run(store.get(record.id, clock())) == spent.record
        refused = self.spend(store, clock, record, RIGHT)
        assert isinstance(refused, Denied)
        assert refused.why is DenialReason.CLOSED

    def test_refused_attempt_spends_nothing(self, store: Store, clock: ManualClock) -> None:
        record, call = self.open(store, clock), self.claim_on(store, clock, LINE)
        pending_told = self.open(store, clock, plan=TOLD)
        for digest in (RIGHT, WRONG):
            unbound = run(store.spend(record.id, OTHER_BINDING, [digest], 6, LIMITS, NOBODY, clock()))
            assert unbound == Denied(DenialReason.UNBOUND)
            for length in (0, 5, 7):
                refused = self.spend(store, clock, record, digest, length=length)
                assert refused == Denied(DenialReason.OTHER_LENGTH, record=record)
            for nothing in (call, pending_told):
                refused = self.spend(store, clock, nothing, digest)
                assert refused == Denied(DenialReason.NO_CODE, record=nothing)
        for untouched in (record, call, pending_told):
            assert run(store.get(untouched.id, clock())) == untouched
        order = opening(binding=OTHER_BINDING)
        assert isinstance(run(store.open(order, [], Limits(1), clock())), Verification), "no failure was counted"

    def test_code_expires_with_its_record(self, store: Store, clock: ManualClock) -> None:
        record = self.open(store, clock)
        clock.move(300)
        refused = self.spend(store, clock, record, RIGHT)
        assert isinstance(refused, Denied)
        assert refused.why is DenialReason.CLOSED
        assert refused.record is not None
        assert refused.record.state is Status.EXPIRED

    def test_provider_code_takes_the_length_it_arrives_with(self, store: Store, clock: ManualClock) -> None:
        order = opening(plan=TOLD)
        self.open(store, clock, id=order.id, plan=TOLD)
        attached = run(store.attach(order.id, attachment(order, code_digest=RIGHT, code_length=4), clock()))
        assert isinstance(attached, Verification)
        refused = self.spend(store, clock, attached, RIGHT, length=5)
        assert isinstance(refused, Denied)
        assert refused.why is DenialReason.OTHER_LENGTH
        spent = self.spend(store, clock, attached, RIGHT)
        assert isinstance(spent, Spent)
        assert spent.answer is AttemptResult.RIGHT

    # Remote codes.

    def test_remote_attempt_is_spent_before_the_check(self, store: Store, clock: ManualClock) -> None:
        record = self.open(store, clock, plan=REMOTE)
        spent = run(store.spend(record.id, BINDING, [], 6, Limits(2), NOBODY, clock()))
        assert isinstance(spent, Spent)
        assert (spent.answer, spent.record.attempts_left, spent.record.open) == (AttemptResult.TAKEN, 4, True)
        run(store.spend(record.id, BINDING, [], 6, Limits(2), NOBODY, clock()))
        refused = run(store.spend(record.id, BINDING, [], 6, Limits(2), NOBODY, clock()))
        assert isinstance(refused, Denied)
        assert (refused.why, refused.retry_after) == (DenialReason.FAILURES, FIRST_LOCK)

    def test_remote_code_attempts_run_out_while_open(self, store: Store, clock: ManualClock) -> None:
        record = self.open(store, clock, plan=replace(REMOTE, attempts=2))
        for left in (1, 0):
            spent = run(store.spend(record.id, BINDING, [], 6, LIMITS, NOBODY, clock()))
            assert isinstance(spent, Spent)
            assert (spent.answer, spent.record.attempts_left, spent.record.open) == (AttemptResult.TAKEN, left, True)
        refused = run(store.spend(record.id, BINDING, [], 6, LIMITS, NOBODY, clock()))
        assert isinstance(refused, Denied)
        assert refused.why is DenialReason.CLOSED
        judged = run(store.resolve_check(record.id, True, 1, NOBODY, clock()))
        assert judged is not None
        assert judged.verified, "the last one may have been right"

    @pytest.mark.parametrize("order", [(True, False, False), (False, True, False), (False, False, True)])
    def test_right_remote_answer_counts_at_any_time(
        self, store: Store, clock: ManualClock, order: tuple[bool, ...]
    ) -> None:
        record = self.open(store, clock, plan=replace(REMOTE, attempts=3))
        for _ in order:
            run(store.spend(record.id, BINDING, [], 6, LIMITS, NOBODY, clock()))
        proven = []
        for right in order:
            judged = run(store.resolve_check(record.id, right, 1, NOBODY, clock()))
            assert judged is not None
            proven.append(judged.verified)
        assert proven == [*order]
        assert (found := run(store.get(record.id, clock())))
        assert (found.status, failure_count(found)) == (Status.VERIFIED, 0)
        assert run(store.redeem(record.id, BINDING, "", clock())) is not None

    def test_remote_code_is_verified_by_one_answer(self, store: Store, clock: ManualClock) -> None:
        record = self.open(store, clock, plan=REMOTE)
        for _ in range(2):
            run(store.spend(record.id, BINDING, [], 6, LIMITS, NOBODY, clock()))
        judged = [run(store.resolve_check(record.id, True, 1, NOBODY, clock())) for _ in range(2)]
        assert [one and one.verified for one in judged] == [True, False]

    def test_remote_code_is_exhausted_by_the_last_answer(self, store: Store, clock: ManualClock) -> None:
        record = self.open(store, clock, plan=replace(REMOTE, attempts=2))
        for _ in range(2):
            run(store.spend(record.id, BINDING, [], 6, LIMITS, NOBODY, clock()))
        for right, status, failures in ((None, Status.PENDING, 1), (False, Status.EXHAUSTED, 1)):
            judged = run(store.resolve_check(record.id, right, 1, NOBODY, clock()))
            assert judged is not None
            assert (judged.record.status, failure_count(judged.record), judged.verified) == (status, failures, False)
            assert run(store.get(record.id, clock())) == judged.record
        late = run(store.resolve_check(record.id, True, 1, NOBODY, clock()))
        assert late is not None
        assert (late.record.status, late.verified) == (Status.EXHAUSTED, False), "nothing leaves a final state"

    def test_right_answer_to_a_voided_code_verifies_nothing(self, store: Store, clock: ManualClock) -> None:
        record = self.open(store, clock, plan=replace(REMOTE, attempts=2))
        run(store.spend(record.id, BINDING, [], 6, LIMITS, NOBODY, clock()))
        receipt = attachment(opening(plan=REMOTE), generation=2)
        assert isinstance(run(store.attach(record.id, receipt, clock())), Verification)
        run(store.spend(record.id, BINDING, [], 6, LIMITS, NOBODY, clock()))
        for right in (True, False):
            dead = run(store.resolve_check(record.id, right, 1, NOBODY, clock()))
            assert dead is not None
            assert (dead.record.open, dead.verified) == (True, False)
        clock.move(LIFE.total_seconds())
        over = run(store.resolve_check(record.id, True, 2, NOBODY, clock()))
        assert over is not None
        assert over.verified is False

    def test_unchecked_attempt_is_no_failure_but_stays_spent(self, store: Store, clock: ManualClock) -> None:
        record = self.open(store, clock, plan=REMOTE)
        for left in (4, 3, 2):
            spent = run(store.spend(record.id, BINDING, [], 6, Limits(1), NOBODY, clock()))
            assert isinstance(spent, Spent)
            assert spent.record.attempts_left == left
            judged = run(store.resolve_check(record.id, None, 1, NOBODY, clock()))
            assert judged is not None
            assert (judged.verified, judged.record.attempts_left, failure_count(judged.record)) == (False, left, 0)
        self.fail(store, clock, 2)
        run(store.resolve_check(record.id, None, 1, NOBODY, clock()))
        assert isinstance(run(store.open(opening(), [], Limits(2), clock())), Verification)
        assert isinstance(run(store.open(opening(), [], Limits(1), clock())), Denied)
