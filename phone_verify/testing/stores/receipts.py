"""Receipts of providers, and the lines that they reserve."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from ...lifecycle import AttemptResult, Spent
from ...limits import DenialReason, Denied
from ...lines import LINE_REST, PAIR_REST
from ...model import IncomingCall, Status, Verification
from ...phone import PhoneNumber
from ...planning import Plan
from ...stores.base import Store
from ..clock import ManualClock
from .case import (
    BINDING,
    CALL,
    LIFE,
    LIMITS,
    LINE,
    OTHER_BINDING,
    OTHER_LINE,
    OTHER_PHONE,
    OURS,
    PHONE,
    REMOTE,
    RIGHT,
    WRONG,
    StoreCase,
    attachment,
    opening,
    opening_with,
    run,
)

THIRD_LINE = PhoneNumber("+982100000003")


class ReceiptPromises(StoreCase):
    """Receipts of providers, and the lines that they reserve."""

    # Receipts.

    def test_receipt_never_resets_attempts_or_expiry(self, store: Store, clock: ManualClock) -> None:
        order = opening()
        record = self.open(store, clock, id=order.id)
        self.spend(store, clock, record, WRONG)
        clock.move(100)
        more = replace(OURS, attempts=10, ttl=timedelta(seconds=600))
        attached = run(store.attach(order.id, attachment(order, plan=more), clock()))
        assert isinstance(attached, Verification)
        assert (attached.attempts_left, attached.expires_at) == (4, record.expires_at)
        less = replace(OURS, attempts=2, ttl=timedelta(seconds=60))
        attached = run(store.attach(order.id, attachment(order, plan=less, generation=2), clock()))
        assert isinstance(attached, Verification)
        assert (attached.attempts_left, attached.expires_at) == (2, clock() + timedelta(seconds=60))
        assert run(store.get(order.id, clock())) == attached

    def test_unclear_receipt_leaves_the_status(self, store: Store, clock: ManualClock) -> None:
        order = opening()
        self.open(store, clock, id=order.id)
        unclear = attachment(order, status=Status.PENDING)
        for receipt, status in [(unclear, Status.PENDING), (attachment(order), Status.SENT), (unclear, Status.SENT)]:
            attached = run(store.attach(order.id, receipt, clock()))
            assert isinstance(attached, Verification)
            assert attached.status is status

    @pytest.mark.parametrize("status", [Status.CANCELLED, Status.VERIFIED, Status.FAILED, None])
    def test_late_receipt_changes_nothing(self, store: Store, clock: ManualClock, status: Status | None) -> None:
        order = opening()
        self.open(store, clock, id=order.id)
        if status is not None:
            run(store.settle(order.id, status, clock()))
        clock.move(300)
        before = run(store.get(order.id, clock()))
        refused = run(store.attach(order.id, attachment(order, reference="late"), clock()))
        assert refused == Denied(DenialReason.CLOSED, record=before)
        assert run(store.get(order.id, clock())) == before

    def test_receipt_overtaken_by_a_resend_changes_nothing(self, store: Store, clock: ManualClock) -> None:
        order = opening()
        self.open(store, clock, id=order.id)
        late = attachment(order, generation=2, sends=2, reference="slow")
        # The number of the send shows which came last, whatever its generation.
        last = attachment(order, generation=2, sends=3, code_digest=b"2" * 32)
        newer = run(store.attach(order.id, last, clock()))
        assert run(store.attach(order.id, late, clock())) == newer
        assert run(store.get(order.id, clock())) == newer

    def test_pair_verified_without_reference_rests(self, store: Store, clock: ManualClock) -> None:
        def starts(**changes: Any) -> bool:
            shown = changes.pop("shown", ())
            order = opening(plan=CALL, binding=b"n" * 32, **changes)
            record = run(store.open(order, [], LIMITS, clock()))
            assert isinstance(record, Verification)
            attached = run(store.attach(order.id, attachment(order, line=LINE, shown=shown), clock()))
            run(store.settle(order.id, Status.CANCELLED, clock()))
            return isinstance(attached, Verification)

        first = self.claim_on(store, clock, LINE, subject="s" * 22)
        proven = self.call(store, clock, first, IncomingCall(None, LINE, PHONE))
        assert proven is not None
        assert proven.by_pair
        clock.move(LINE_REST.total_seconds())
        assert not starts(), "the provider may repeat its webhook"
        assert not starts(subject="t" * 22)
        assert starts(phone=OTHER_PHONE)
        assert starts(shown=[BINDING]), "the browser that was proved"
        clock.move(LINE_REST.total_seconds())
        assert starts(trusted=True), "a trusted device"
        clock.move(LINE_REST.total_seconds())
        assert starts(subject="s" * 22), "the same user"
        clock.move(PAIR_REST.total_seconds() - 3 * LINE_REST.total_seconds() - 0.000001)
        assert not starts(), "ten minutes long"

    def test_pair_is_free_after_its_rest(self, store: Store, clock: ManualClock) -> None:
        first = self.claim_on(store, clock, LINE)
        assert self.call(store, clock, first, IncomingCall(None, LINE, PHONE))
        clock.move(PAIR_REST.total_seconds())
        assert self.claim_on(store, clock, LINE, binding=OTHER_BINDING).open

    def test_reference_leaves_the_pair_a_minute(self, store: Store, clock: ManualClock) -> None:
        first = self.claim_on(store, clock, LINE)
        assert self.call(store, clock, first, IncomingCall("ref", LINE, PHONE))
        clock.move(LINE_REST.total_seconds())
        assert self.claim_on(store, clock, LINE, binding=OTHER_BINDING).open

    def test_two_claims_of_a_phone_never_share_a_line(self, store: Store, clock: ManualClock) -> None:
        first = self.claim_on(store, clock, LINE)
        order = opening(plan=CALL, binding=OTHER_BINDING, purpose="signup")
        run(store.open(order, [], LIMITS, clock()))
        refused = run(store.attach(order.id, attachment(order, line=LINE), clock()))
        assert isinstance(refused, Denied)
        assert refused.why is DenialReason.LINE_TAKEN
        assert refused.record is not None
        assert (refused.record.status, refused.record.closed_at) == (Status.FAILED, clock())
        assert run(store.get(order.id, clock())) == refused.record
        assert (found := run(store.get(first.id, clock())))
        assert found.open

    def test_other_phones_and_other_lines_are_free(self, store: Store, clock: ManualClock) -> None:
        self.claim_on(store, clock, LINE)
        assert self.claim_on(store, clock, LINE, phone=OTHER_PHONE).line == LINE
        assert self.claim_on(store, clock, OTHER_LINE).line == OTHER_LINE

    @pytest.mark.parametrize("ended", ["verified", "cancelled", "moved", None])
    def test_claims_without_reference_hold_all_lines_of_their_driver(
        self, store: Store, clock: ManualClock, ended: str | None
    ) -> None:
        first = self.claim_on(store, clock, LINE, reference=None)
        rest = LINE_REST
        if ended == "verified":
            assert self.call(store, clock, first, IncomingCall(None, None, PHONE))
            rest = PAIR_REST
        elif ended == "cancelled":
            run(store.settle(first.id, Status.CANCELLED, clock()))
        elif ended == "moved":
            moved = attachment(opening(plan=CALL), driver="other", line=OTHER_LINE, reference="ref", sends=2)
            assert isinstance(run(store.attach(first.id, moved, clock())), Verification)
        clock.move(rest.total_seconds() - 0.000001 if ended else 0)
        order = opening(plan=CALL, binding=OTHER_BINDING)
        run(store.open(order, [], LIMITS, clock()))
        refused = run(store.attach(order.id, attachment(order, line=OTHER_LINE, any_line=True), clock()))
        assert isinstance(refused, Denied), "a call that the driver reports without a line would verify it"
        assert refused.why is DenialReason.LINE_TAKEN
        if ended:
            clock.move(0.000001)
            free = opening(plan=CALL, binding=OTHER_BINDING)
            run(store.open(free, [], LIMITS, clock()))
            receipt = attachment(free, line=THIRD_LINE, any_line=True)
            assert isinstance(run(store.attach(free.id, receipt, clock())), Verification)
        else:
            referenced = self.claim_on(store, clock, THIRD_LINE, binding=OTHER_BINDING)
            assert referenced.open, "only its reference verifies it"

    def test_claims_without_reference_at_two_drivers_are_apart(self, store: Store, clock: ManualClock) -> None:
        self.claim_on(store, clock, LINE, reference=None)
        order = opening(plan=CALL, binding=OTHER_BINDING)
        run(store.open(order, [], LIMITS, clock()))
        other = attachment(order, driver="other", line=OTHER_LINE, any_line=True)
        assert isinstance(run(store.attach(order.id, other, clock())), Verification)

    def test_claim_may_get_its_line_again(self, store: Store, clock: ManualClock) -> None:
        order = opening(plan=CALL)
        run(store.open(order, [], LIMITS, clock()))
        for sends in (1, 1, 2):
            again = attachment(order, line=LINE, generation=sends, sends=sends)
            assert isinstance(run(store.attach(order.id, again, clock())), Verification)

    @pytest.mark.parametrize("closed", [True, False])
    def test_released_line_rests_a_minute(self, store: Store, clock: ManualClock, closed: bool) -> None:
        first = self.claim_on(store, clock, LINE)
        if closed:
            run(store.settle(first.id, Status.CANCELLED, clock()))
        else:
            clock.move(LIFE.total_seconds())
        clock.move(LINE_REST.total_seconds() - 0.000001)
        order = opening(plan=CALL, binding=OTHER_BINDING)
        run(store.open(order, [], LIMITS, clock()))
        refused = run(store.attach(order.id, attachment(order, line=LINE), clock()))
        assert isinstance(refused, Denied)
        assert refused.why is DenialReason.LINE_TAKEN
        clock.move(0.000001)
        assert self.claim_on(store, clock, LINE, binding=OTHER_BINDING).open

    def test_line_released_by_a_resend_rests_a_minute(self, store: Store, clock: ManualClock) -> None:
        first = opening(plan=CALL)
        run(store.open(first, [], LIMITS, clock()))
        run(store.attach(first.id, attachment(first, line=LINE), clock()))
        moved = attachment(first, line=OTHER_LINE, generation=2, sends=2)
        assert isinstance(run(store.attach(first.id, moved, clock())), Verification)
        clock.move(LINE_REST.total_seconds() - 0.000001)
        order = opening(plan=CALL, binding=OTHER_BINDING)
        run(store.open(order, [], LIMITS, clock()))
        refused = run(store.attach(order.id, attachment(order, line=LINE), clock()))
        assert isinstance(refused, Denied)
        assert refused.why is DenialReason.LINE_TAKEN
        clock.move(0.000001)
        assert self.claim_on(store, clock, LINE, binding=OTHER_BINDING).open

    # Requirements for every receipt.

    @pytest.mark.parametrize("plan", [CALL, REMOTE])
    def test_digest_never_verifies_a_remote_code(self, store: Store, clock: ManualClock, plan: Plan) -> None:
        order = opening(plan=plan)
        run(store.open(order, [], LIMITS, clock()))
        record = run(store.attach(order.id, attachment(order, code_digest=RIGHT), clock()))
        assert isinstance(record, Verification)
        answer = self.spend(store, clock, record, RIGHT)
        if plan is CALL:
            assert answer == Denied(DenialReason.NO_CODE, record=record)
        else:
            assert isinstance(answer, Spent)
            assert answer.answer is AttemptResult.TAKEN
        assert (found := run(store.get(order.id, clock())))
        assert found.open

    def test_non_numeric_input_spends_nothing_at_unknown_length(self, store: Store, clock: ManualClock) -> None:
        record = self.open(store, clock, plan=replace(REMOTE, code_length=None))
        assert self.spend(store, clock, record, WRONG, length=0) == Denied(DenialReason.OTHER_LENGTH, record=record)
        assert run(store.get(record.id, clock())) == record

    def test_held_back_codes_share_no_line_with_other_claims(self, store: Store, clock: ManualClock) -> None:
        def held_back(*shown: bytes) -> Verification | Denied:
            order = opening(binding=OTHER_BINDING)
            run(store.open(order, [], LIMITS, clock()))
            return run(store.attach(order.id, attachment(order, line=LINE, shown=shown), clock()))

        assert isinstance(held_back(), Verification)
        assert isinstance(held_back(), Verification)
        assert self.claim_on(store, clock, OTHER_LINE).line == OTHER_LINE
        order = opening(plan=CALL, purpose="signup")
        run(store.open(order, [], LIMITS, clock()))
        refused = run(store.attach(order.id, attachment(order, line=LINE), clock()))
        assert isinstance(refused, Denied), "who calls for the code would prove the claim"
        assert refused.why is DenialReason.LINE_TAKEN
        claim = self.claim_on(store, clock, LINE, phone=OTHER_PHONE)
        order = opening(OTHER_PHONE, binding=OTHER_BINDING)
        for shown in ([], [claim.binding]):
            again = opening_with(order, id=opening(OTHER_PHONE).id)
            run(store.open(again, [], LIMITS, clock()))
            answer = run(store.attach(again.id, attachment(again, line=LINE, shown=shown), clock()))
            assert isinstance(answer, Verification if shown else Denied)

    def test_lines_resting_for_one_claim_are_bounded(self, store: Store, clock: ManualClock) -> None:
        lines = [PhoneNumber(f"+7495000001{n}") for n in range(9)]
        order = opening(plan=CALL)
        run(store.open(order, [], LIMITS, clock()))
        for line in lines:
            moved = attachment(order, line=line, reference="ref")
            assert isinstance(run(store.attach(order.id, moved, clock())), Verification)
        resting = []
        for line in lines:
            other = opening(plan=CALL, binding=OTHER_BINDING)
            run(store.open(other, [], LIMITS, clock()))
            answer = run(store.attach(other.id, attachment(other, line=line, reference="new"), clock()))
            resting.append(isinstance(answer, Denied))
            run(store.settle(other.id, Status.CANCELLED, clock()))
        assert resting == [False] * 2 + [True] * 7
