"""A code and a call that are live together."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from ...lifecycle import Spent
from ...limits import DenialReason, Denied
from ...lines import LINE_REST, PAIR_REST, Claim, claim_of, number_to_call, served_by
from ...model import Assurance, Channel, IncomingCall, Status, Verification
from ...policy import FAILURE_MEMORY
from ...purposes import Budget
from ...stores.base import Store
from ..clock import ManualClock
from .case import (
    BINDING,
    CALL,
    LIMITS,
    LINE,
    OTHER_BINDING,
    OTHER_LINE,
    OTHER_PHONE,
    OURS,
    PHONE,
    RIGHT,
    WRONG,
    StoreCase,
    attachment,
    failure_count,
    opening,
    run,
)


class SideBySidePromises(StoreCase):
    """A code and a call that are live together."""

    def open_both(self, store: Store, clock: ManualClock, *, code_first: bool = True, **changes: Any) -> Verification:
        """Open a verification with a live code and a live claim on `LINE` with the reference `ref`."""
        order = opening(plan=OURS if code_first else CALL, **changes)
        assert isinstance(run(store.open(order, [], LIMITS, clock())), Verification)
        by_code = attachment(order, plan=OURS, channel=Channel.SMS, code_digest=RIGHT, code_length=6, reference="sms")
        by_call = attachment(
            order, plan=CALL, channel=Channel.INBOUND_CALL, driver="caller", line=LINE, reference="ref", generation=9
        )
        for sends, receipt in enumerate([by_code, by_call] if code_first else [by_call, by_code], 1):
            attached = run(store.attach(order.id, replace(receipt, sends=sends), clock()))
        assert isinstance(attached, Verification)
        return attached

    @pytest.mark.parametrize("code_first", [True, False])
    def test_code_and_claim_live_side_by_side(self, store: Store, clock: ManualClock, code_first: bool) -> None:
        record = self.open_both(store, clock, code_first=code_first)
        assert claim_of(record) == Claim("caller", "ref", LINE, 2 if code_first else 1)
        assert (record.driver, record.reference, record.code_digest, record.code_length) == ("fake", "sms", RIGHT, 6)
        assert record.channel is (Channel.INBOUND_CALL if code_first else Channel.SMS)
        assert record.channel_of_code is Channel.SMS
        assert served_by(record) == (record.channel, "caller" if code_first else "fake")
        assert (record.generation, number_to_call(record)) == (1, LINE)
        assert run(store.get(record.id, clock())) == record

    @pytest.mark.parametrize("code_first", [True, False])
    @pytest.mark.parametrize("reference", ["ref", None])
    def test_either_a_code_or_a_call_verifies(
        self, store: Store, clock: ManualClock, code_first: bool, reference: str | None
    ) -> None:
        record = self.open_both(store, clock, code_first=code_first)
        spent = self.spend(store, clock, record, RIGHT)
        assert isinstance(spent, Spent)
        assert (spent.verified, spent.record.assurance) == (True, Assurance.CODE)
        assert served_by(spent.record) == (Channel.SMS, "fake")
        event = IncomingCall(reference, None if reference else LINE, PHONE)
        assert self.call(store, clock, record, event, "caller") is None, "closed by the code"
        clock.move(PAIR_REST.total_seconds())
        record = self.open_both(store, clock, code_first=code_first)
        assert self.call(store, clock, record, event) is None, "the driver of the code"
        called = self.call(store, clock, record, event, "caller")
        assert called is not None
        assert (called.state, called.assurance) == (Status.VERIFIED, Assurance.CALLER_ID)
        assert (called.by_pair, served_by(called)) == (reference is None, (Channel.INBOUND_CALL, "caller"))
        assert run(store.get(record.id, clock())) == called
        refused = self.spend(store, clock, record, RIGHT)
        assert isinstance(refused, Denied)
        assert refused.why is DenialReason.CLOSED

    def test_new_code_voids_the_old_one_beside_a_claim(self, store: Store, clock: ManualClock) -> None:
        record = self.open_both(store, clock)
        again = attachment(opening(id=record.id), code_digest=b"2" * 32, generation=2, sends=3)
        attached = run(store.attach(record.id, again, clock()))
        assert isinstance(attached, Verification)
        assert (attached.channel, attached.channel_of_code) == (Channel.SMS, Channel.SMS)
        assert claim_of(attached) == claim_of(record)
        assert not self.verified(self.spend(store, clock, record, RIGHT))
        assert self.verified(self.spend(store, clock, record, b"2" * 32))

    def verified(self, answer: Spent | Denied) -> bool:
        """Return whether an answer verified its record."""
        return isinstance(answer, Spent) and answer.verified

    def test_code_and_claim_share_attempts_and_expiry(self, store: Store, clock: ManualClock) -> None:
        record = self.open_both(store, clock)
        clock.move(10)
        less = replace(CALL, attempts=2, ttl=timedelta(seconds=60))
        moved = attachment(opening(id=record.id), plan=less, driver="caller", line=LINE, reference="ref", sends=3)
        attached = run(store.attach(record.id, moved, clock()))
        assert isinstance(attached, Verification)
        assert (attached.attempts_left, attached.expires_at) == (2, clock() + timedelta(seconds=60))
        for _ in range(2):
            self.spend(store, clock, record, WRONG)
        assert self.call(store, clock, record, IncomingCall("ref", LINE, PHONE), "caller") is None, "exhausted"

    def test_claim_beside_a_code_is_found_and_polled(self, store: Store, clock: ManualClock) -> None:
        record = self.open_both(store, clock)
        found = run(store.find("caller", record.tag, "ref", clock()))
        assert found is not None
        assert found.id == record.id
        assert run(store.find("fake", record.tag, "sms", clock())) is None, "the order of the code"
        assert run(store.may_poll(record.id, BINDING, clock()))
        run(store.settle(record.id, Status.CANCELLED, clock()))
        assert run(store.find("caller", record.tag, "ref", clock())) is None
        assert not run(store.may_poll(record.id, BINDING, clock()))

    @pytest.mark.parametrize("ended", [None, "code", "call", "moved"])
    def test_line_beside_a_code_is_reserved_and_rests(
        self, store: Store, clock: ManualClock, ended: str | None
    ) -> None:
        record, rest = self.open_both(store, clock), LINE_REST
        if ended == "code":
            self.spend(store, clock, record, RIGHT)
            rest = PAIR_REST
        elif ended == "call":
            self.call(store, clock, record, IncomingCall(None, LINE, PHONE), "caller")
            rest = PAIR_REST
        elif ended == "moved":
            other = attachment(opening(id=record.id), plan=CALL, line=OTHER_LINE, reference="new", sends=3)
            run(store.attach(record.id, other, clock()))

        def taken() -> bool:
            order = opening(plan=CALL, binding=OTHER_BINDING)
            run(store.open(order, [], LIMITS, clock()))
            attached = run(store.attach(order.id, attachment(order, line=LINE, reference="another"), clock()))
            return isinstance(attached, Denied) and attached.why is DenialReason.LINE_TAKEN

        clock.move(rest.total_seconds() - 0.000001)
        assert taken()
        clock.move(0.000001)
        assert taken() is (ended is None)

    def test_line_of_a_replaced_held_back_code_rests(self, store: Store, clock: ManualClock) -> None:
        order = opening()
        run(store.open(order, [], LIMITS, clock()))
        run(store.attach(order.id, attachment(order, line=OTHER_LINE), clock()))
        by_call = attachment(order, plan=CALL, line=LINE, sends=2)
        held = run(store.attach(order.id, by_call, clock()))
        assert isinstance(held, Verification)
        assert (held.line, held.claim_line, held.released_lines) == (OTHER_LINE, LINE, "")
        run(store.attach(order.id, attachment(order, generation=2, sends=3), clock()))
        with pytest.raises(AssertionError):
            self.claim_on(store, clock, OTHER_LINE, binding=OTHER_BINDING)
        clock.move(LINE_REST.total_seconds())
        assert self.claim_on(store, clock, OTHER_LINE, binding=OTHER_BINDING).open

    @pytest.mark.parametrize("code_first", [True, False])
    def test_taken_line_leaves_the_other_method_live(self, store: Store, clock: ManualClock, code_first: bool) -> None:
        self.claim_on(store, clock, OTHER_LINE, binding=OTHER_BINDING)
        order = opening(plan=OURS if code_first else CALL)
        run(store.open(order, [], LIMITS, clock()))
        before = run(store.attach(order.id, attachment(order, line=None if code_first else LINE), clock()))
        assert isinstance(before, Verification)
        other = attachment(order, plan=CALL if code_first else OURS, line=OTHER_LINE, sends=2)
        refused = run(store.attach(order.id, other, clock()))
        assert refused == Denied(DenialReason.LINE_TAKEN, record=before)
        assert run(store.get(order.id, clock())) == before

    def test_expired_claim_does_not_close_a_live_code(self, store: Store, clock: ManualClock) -> None:
        record = self.open_both(store, clock, code_first=False)
        assert run(store.settle(record.id, Status.EXPIRED, clock(), record.generation)) is False
        assert self.verified(self.spend(store, clock, record, RIGHT))

    def test_late_receipt_of_the_other_kind_is_attached(self, store: Store, clock: ManualClock) -> None:
        order = opening()
        self.open(store, clock, id=order.id)
        by_call = attachment(order, plan=CALL, channel=Channel.INBOUND_CALL, line=LINE, sends=2)
        run(store.attach(order.id, attachment(order, sends=3), clock()))
        attached = run(store.attach(order.id, by_call, clock()))
        assert isinstance(attached, Verification)
        assert (attached.channel, number_to_call(attached)) == (Channel.SMS, LINE)
        older = run(store.attach(order.id, replace(by_call, sends=1, line=OTHER_LINE), clock()))
        assert older == attached
        other = opening(plan=CALL, phone=OTHER_PHONE)
        run(store.open(other, [], LIMITS, clock()))
        run(store.attach(other.id, attachment(other, line=LINE, sends=3), clock()))
        by_code = attachment(other, plan=OURS, channel=Channel.SMS, code_digest=RIGHT, code_length=6, sends=2)
        attached = run(store.attach(other.id, by_code, clock()))
        assert isinstance(attached, Verification)
        assert (attached.channel, attached.channel_of_code) == (Channel.INBOUND_CALL, Channel.SMS)
        assert self.verified(self.spend(store, clock, attached, RIGHT))

    def test_report_of_an_old_send_closes_nothing(self, store: Store, clock: ManualClock) -> None:
        order = opening(plan=CALL)
        run(store.open(order, [], LIMITS, clock()))
        run(store.attach(order.id, attachment(order, line=LINE, generation=2, sends=2), clock()))
        assert run(store.settle(order.id, Status.EXPIRED, clock(), 1)) is False
        assert (found := run(store.get(order.id, clock())))
        assert found.open
        assert run(store.settle(order.id, Status.EXPIRED, clock(), 2)) is True

    def test_pair_rests_after_the_code_beside_it_verified(self, store: Store, clock: ManualClock) -> None:
        def starts(**changes: Any) -> bool:
            order = opening(plan=CALL, binding=OTHER_BINDING)
            run(store.open(order, [], LIMITS, clock()))
            attached = run(store.attach(order.id, attachment(order, line=LINE, **changes), clock()))
            run(store.settle(order.id, Status.CANCELLED, clock()))
            return isinstance(attached, Verification)

        record = self.open_both(store, clock, code_first=True)
        assert self.verified(self.spend(store, clock, record, RIGHT))
        clock.move(LINE_REST.total_seconds())
        assert not starts(), "a call that was made as well would prove it"
        assert starts(shown=[record.binding])
        clock.move((PAIR_REST - LINE_REST).total_seconds())
        assert starts()

    def test_report_of_a_call_spares_an_order_in_flight(self, store: Store, clock: ManualClock) -> None:
        record = self.claim_on(store, clock, LINE)
        clock.move(61)
        assert isinstance(self.reopen(store, clock, record), Verification)
        assert run(store.settle(record.id, Status.EXPIRED, clock(), record.generation)) is False
        assert run(store.settle(record.id, Status.CANCELLED, clock())) is True

    def test_record_has_the_failures_of_phone_and_purpose(self, store: Store, clock: ManualClock) -> None:
        first, other = self.open(store, clock), self.open(store, clock, budget=Budget.SECOND_FACTOR)
        for count in (1, 2):
            spent = self.spend(store, clock, first, WRONG)
            assert isinstance(spent, Spent)
            assert failure_count(spent.record) == count
        second = self.open(store, clock, binding=OTHER_BINDING)
        for record, failures in ((first, 2), (second, 2), (other, 0)):
            assert (found := run(store.get(record.id, clock())))
            assert failure_count(found) == failures
        assert failure_count(second) == 2
        clock.move(FAILURE_MEMORY.total_seconds())
        assert failure_count(self.open(store, clock)) == 0

    def test_browser_holding_a_line_may_get_it_again(self, store: Store, clock: ManualClock) -> None:
        self.claim_on(store, clock, LINE)
        order = opening(plan=CALL, binding=OTHER_BINDING, shown=[BINDING])
        run(store.open(order, [], LIMITS, clock()))
        attached = run(store.attach(order.id, attachment(order, line=LINE, shown=[BINDING]), clock()))
        assert isinstance(attached, Verification)
