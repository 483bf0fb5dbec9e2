"""Starts and resends, and the quotas that count them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from ...lifecycle import Spent
from ...limits import Counted, DenialReason, Denied, Limits, Quota
from ...model import Channel, Status, Verification
from ...policy import FIRST_LOCK, SHORT_REST
from ...purposes import Budget
from ...stores.base import Store
from ..clock import ManualClock
from .case import (
    BINDING,
    CALL,
    LIMITS,
    LINE,
    NOBODY,
    OTHER_BINDING,
    OTHER_PHONE,
    OURS,
    RIGHT,
    SHORT,
    WRONG,
    StoreCase,
    attachment,
    failure_count,
    opening,
    run,
)


class QuotaPromises(StoreCase):
    """Starts and resends, and the quotas that count them."""

    # Shared quotas.

    def test_shared_quota_is_exact_and_reports_its_end(self, store: Store, clock: ManualClock) -> None:
        quota = Quota("address:a", 3)
        ends_at = clock() + quota.window
        for _ in range(3):
            assert run(store.count([quota], clock())) == Counted([ends_at])
            clock.move(60)
        assert run(store.count([quota], clock())) == Denied(DenialReason.QUOTA, ends_at - clock())

    def test_window_is_fixed_and_followed_by_a_new_one(self, store: Store, clock: ManualClock) -> None:
        quota = Quota("address:a", 1)
        run(store.count([quota], clock()))
        clock.move(3599.999999)
        assert run(store.count([quota], clock())) == Denied(DenialReason.QUOTA, timedelta(microseconds=1))
        clock.move(0.000001)
        assert run(store.count([quota], clock())) == Counted([clock() + quota.window])

    def test_shared_quotas_are_all_or_nothing(self, store: Store, clock: ManualClock) -> None:
        wide, narrow = Quota("total", 3), Quota("address:a", 1)
        assert not isinstance(run(store.count([wide, narrow], clock())), Denied)
        for _ in range(5):
            assert isinstance(run(store.count([wide, narrow], clock())), Denied)
            assert isinstance(run(store.count([narrow, wide], clock())), Denied)
        assert not isinstance(run(store.count([wide], clock())), Denied)
        assert not isinstance(run(store.count([wide], clock())), Denied)
        assert isinstance(run(store.count([wide], clock())), Denied)

    def test_empty_quotas_count_nothing(self, store: Store, clock: ManualClock) -> None:
        assert run(store.count([], clock())) == Counted([])
        run(store.uncount([], [], clock()))

    def test_refunded_count_can_be_used_again(self, store: Store, clock: ManualClock) -> None:
        quotas = [Quota("total", 2), Quota("address:a", 1)]
        windows = self.windows(store.count(quotas, clock()))
        assert not isinstance(windows, Denied)
        run(store.uncount(quotas, windows, clock()))
        assert not isinstance(run(store.count(quotas, clock())), Denied)
        assert isinstance(run(store.count(quotas, clock())), Denied)
        assert not isinstance(run(store.count(quotas[:1], clock())), Denied)

    def test_refund_does_not_affect_a_later_window(self, store: Store, clock: ManualClock) -> None:
        quota = Quota("address:a", 1)
        windows = self.windows(store.count([quota], clock()))
        assert not isinstance(windows, Denied)
        clock.move(3600)
        run(store.count([quota], clock()))
        run(store.uncount([quota], windows, clock()))
        assert isinstance(run(store.count([quota], clock())), Denied)

    def test_refund_never_exceeds_the_count(self, store: Store, clock: ManualClock) -> None:
        quota = Quota("address:a", 1)
        windows = self.windows(store.count([quota], clock()))
        assert not isinstance(windows, Denied)
        for _ in range(3):
            run(store.uncount([quota], windows, clock()))
        assert not isinstance(run(store.count([quota], clock())), Denied)
        assert isinstance(run(store.count([quota], clock())), Denied)

    # Opening.

    def test_phone_quota_is_exact_across_all_other_fields(self, store: Store, clock: ManualClock) -> None:
        quota, ends_at = Quota("sends:p", 2), clock() + timedelta(hours=1)
        first, second = opening(), opening(purpose="signup", binding=OTHER_BINDING, channel=Channel.VOICE)
        assert isinstance(run(store.open(first, [quota], LIMITS, clock())), Verification)
        clock.move(10)
        assert isinstance(run(store.open(second, [quota], LIMITS, clock())), Verification)
        third = opening(plan=CALL)
        assert run(store.open(third, [quota], LIMITS, clock())) == Denied(DenialReason.QUOTA, ends_at - clock())
        assert run(store.get(third.id, clock())) is None
        clock.move(3590)
        assert isinstance(run(store.open(third, [quota], LIMITS, clock())), Verification)

    def test_refused_start_counts_nothing_and_ends_nothing(self, store: Store, clock: ManualClock) -> None:
        live = self.open(store, clock)
        one, none = Quota("sends:p", 2), Quota("sends:q", 1)
        assert isinstance(run(store.open(opening(), [one, none], LIMITS, clock())), Verification)
        refused = run(store.open(opening(shown=[BINDING]), [one, none], LIMITS, clock()))
        assert isinstance(refused, Denied)
        assert isinstance(run(store.open(opening(), [one], LIMITS, clock())), Verification)
        assert (found := run(store.get(live.id, clock())))
        assert found.open

    def test_start_cancels_only_its_browsers_open_one(self, store: Store, clock: ManualClock) -> None:
        mine = self.open(store, clock)
        others = [
            self.open(store, clock, binding=OTHER_BINDING),
            self.open(store, clock, purpose="signup"),
            self.open(store, clock, service="shop"),
            self.open(store, clock, OTHER_PHONE),
        ]
        clock.move(1)
        self.open(store, clock, binding=b"n" * 32, shown=[b"u" * 32, BINDING])
        assert (found := run(store.get(mine.id, clock())))
        assert (found.status, found.closed_at) == (Status.CANCELLED, clock())
        assert all((record := run(store.get(other.id, clock()))) and record.open for other in others)

    def test_start_changes_no_ended_record(self, store: Store, clock: ManualClock) -> None:
        done, late = self.open(store, clock), self.open(store, clock)
        self.spend(store, clock, done, RIGHT)
        clock.move(300)
        self.open(store, clock, shown=[BINDING])
        assert (found := run(store.get(done.id, clock())))
        assert found.status is Status.VERIFIED
        assert (found := run(store.get(late.id, clock())))
        assert (found.state, found.closed_at) == (Status.EXPIRED, None)

    def test_too_many_failures_stop_starts_for_an_hour(self, store: Store, clock: ManualClock) -> None:
        limits = Limits(3)
        self.fail(store, clock, 3, limits)
        clock.move(600)
        order = opening(binding=OTHER_BINDING, channel=Channel.VOICE)
        refused = run(store.open(order, [], limits, clock()))
        assert refused == Denied(DenialReason.FAILURES, FIRST_LOCK), "in whole hours"
        assert isinstance(run(store.open(opening(OTHER_PHONE), [], limits, clock())), Verification)
        assert isinstance(run(store.open(opening(budget=Budget.SIGNED_IN), [], limits, clock())), Verification)
        clock.move(3000)
        assert isinstance(run(store.open(order, [], limits, clock())), Verification)

    def test_ten_failures_lock_short_codes_only(self, store: Store, clock: ManualClock) -> None:
        self.fail(store, clock, 10)
        order = opening(plan=SHORT)
        refused = run(store.open(order, [Quota("sends:p", 1)], LIMITS, clock()))
        assert refused == Denied(DenialReason.SHORT_CODES_CLOSED, SHORT_REST)
        assert isinstance(run(store.open(opening(), [Quota("sends:p", 1)], LIMITS, clock())), Verification)
        refused = run(store.open(order, [Quota("sends:p", 1)], LIMITS, clock()))
        assert isinstance(refused, Denied)
        assert refused.why is DenialReason.QUOTA, "of several refusals the quota is told first"

    # Resends.

    def test_each_resend_waits_twice_as_long(self, store: Store, clock: ManualClock) -> None:
        record = self.open(store, clock, plan=replace(OURS, ttl=timedelta(seconds=600)))
        for sends, delay in [(2, 60), (3, 120), (4, 240)]:
            clock.move(delay - 0.000001)
            refused = self.reopen(store, clock, record)
            assert isinstance(refused, Denied)
            assert (refused.why, refused.retry_after) == (DenialReason.TOO_SOON, timedelta(microseconds=1))
            clock.move(0.000001)
            reopened = self.reopen(store, clock, record)
            assert isinstance(reopened, Verification)
            assert (reopened.sends, reopened.resend_at) == (sends, clock() + timedelta(seconds=delay * 2))
            assert run(store.get(record.id, clock())) == reopened

    def test_each_channel_has_its_own_growing_wait(self, store: Store, clock: ManualClock) -> None:
        order = opening(plan=replace(OURS, ttl=timedelta(seconds=600)))
        record = self.open(store, clock, id=order.id, plan=order.plan)
        clock.move(5)
        began = clock()
        by_call = self.reopen(store, clock, record, channel=Channel.INBOUND_CALL)
        assert isinstance(by_call, Verification)
        assert (by_call.sends, by_call.resend_at) == (2, record.resend_at), "the present channel is still SMS"
        clock.move(10)
        refused = self.reopen(store, clock, record, channel=Channel.INBOUND_CALL)
        assert isinstance(refused, Denied)
        assert (refused.why, refused.retry_after) == (DenialReason.TOO_SOON, timedelta(seconds=50))
        receipt = attachment(order, plan=CALL, channel=Channel.INBOUND_CALL, line=LINE, sends=2)
        attached = run(store.attach(order.id, receipt, clock()))
        assert isinstance(attached, Verification)
        assert attached.resend_at == began + timedelta(seconds=60)
        clock.move(50)
        assert isinstance(self.reopen(store, clock, record, channel=Channel.INBOUND_CALL), Verification)
        assert isinstance(self.reopen(store, clock, record, channel=Channel.FLASH_CALL), Verification)
        again = self.reopen(store, clock, record, channel=Channel.SMS)
        assert isinstance(again, Verification)
        assert (again.sends, again.resend_at) == (5, clock() + timedelta(seconds=120))
        attached = run(store.attach(order.id, attachment(order, generation=2, sends=5), clock()))
        assert isinstance(attached, Verification)
        assert (attached.channel, attached.resend_at) == (Channel.SMS, clock() + timedelta(seconds=120))
        assert run(store.get(order.id, clock())) == attached

    def test_channels_share_the_phones_quota(self, store: Store, clock: ManualClock) -> None:
        quota = Quota("sends:p", 2)
        record = run(store.open(opening(), [quota], LIMITS, clock()))
        assert isinstance(record, Verification)
        for channel, allowed in ((Channel.FLASH_CALL, True), (Channel.VOICE, False)):
            answer = self.reopen(store, clock, record, channel=channel, quotas=[quota])
            assert isinstance(answer, Verification) is allowed
        assert isinstance(answer, Denied)
        assert answer.why is DenialReason.QUOTA

    def test_resend_resets_nothing(self, store: Store, clock: ManualClock) -> None:
        order = opening()
        record = self.open(store, clock, id=order.id)
        for _ in range(4):
            self.spend(store, clock, record, WRONG)
        clock.move(60)
        reopened = self.reopen(store, clock, record)
        assert isinstance(reopened, Verification)
        assert (reopened.attempts_left, reopened.expires_at) == (1, record.expires_at)
        attached = run(store.attach(record.id, attachment(order, generation=2), clock()))
        assert isinstance(attached, Verification)
        assert (attached.attempts_left, attached.expires_at) == (1, record.expires_at)
        spent = self.spend(store, clock, record, WRONG, Limits(5))
        assert isinstance(spent, Spent)
        assert spent.record.status is Status.EXHAUSTED
        assert isinstance(run(store.open(opening(), [], Limits(5), clock())), Denied)

    def test_starts_and_resends_share_the_phones_quota(self, store: Store, clock: ManualClock) -> None:
        quota = Quota("sends:p", 2)
        record = run(store.open(opening(), [quota], LIMITS, clock()))
        assert isinstance(record, Verification)
        clock.move(60)
        assert isinstance(self.reopen(store, clock, record, quotas=[quota]), Verification)
        clock.move(120)
        refused = self.reopen(store, clock, record, quotas=[quota])
        assert isinstance(refused, Denied)
        assert (refused.why, refused.retry_after) == (DenialReason.QUOTA, timedelta(seconds=3600 - 180))
        assert isinstance(run(store.open(opening(), [quota], LIMITS, clock())), Denied)
        assert (found := run(store.get(record.id, clock())))
        assert (found.sends, found.resend_at) == (2, clock())

    def test_refused_resend_changes_and_counts_nothing(self, store: Store, clock: ManualClock) -> None:
        quota = Quota("sends:p", 1)
        record, ended = self.open(store, clock), self.open(store, clock)
        run(store.settle(ended.id, Status.CANCELLED, clock()))
        self.fail(store, clock, 10)
        too_soon = self.reopen(store, clock, record, quotas=[quota])
        clock.move(60)
        refusals = [
            too_soon,
            self.reopen(store, clock, record, binding=OTHER_BINDING, quotas=[quota]),
            self.reopen(store, clock, ended, quotas=[quota]),
            self.reopen(store, clock, record, limits=Limits(10), quotas=[quota]),
            self.reopen(store, clock, record, short=True, quotas=[quota]),
        ]
        assert [refused.why for refused in refusals if isinstance(refused, Denied)] == [
            DenialReason.TOO_SOON,
            DenialReason.UNBOUND,
            DenialReason.CLOSED,
            DenialReason.FAILURES,
            DenialReason.SHORT_CODES_CLOSED,
        ]
        assert (found := run(store.get(record.id, clock())))
        assert failure_count(found) == 10
        assert found == replace(record, read_at=clock(), failures=found.failures)
        assert isinstance(self.reopen(store, clock, record, quotas=[quota]), Verification)

    # Undone quotas, and gates.

    def test_gate_is_compared_and_not_counted(self, store: Store, clock: ManualClock) -> None:
        gate, quota = Quota("g", 2, gate=True), Quota("q", 9)
        for _ in range(3):
            assert not isinstance(run(store.count([gate, quota], clock())), Denied)
        for _ in range(2):
            windows = self.windows(store.count([replace(gate, gate=False)], clock()))
        refused = run(store.count([gate, quota], clock()))
        assert refused == Denied(DenialReason.QUOTA, windows[0] - clock())
        rest = sum(not isinstance(run(store.count([quota], clock())), Denied) for _ in range(9))
        assert rest == 6, "what a gate refuses counts nothing"

    def test_gates_without_a_quota_are_compared(self, store: Store, clock: ManualClock) -> None:
        gates = [Quota(f"g{n}", 1, timedelta(minutes=15), gate=True) for n in range(5)]
        for _ in range(2):
            assert not isinstance(run(store.count(gates, clock())), Denied)
        self.windows(store.count([replace(gates[3], gate=False)], clock()))
        clock.move(899)
        assert isinstance(run(store.count(gates, clock())), Denied)
        clock.move(2)
        assert not isinstance(run(store.count(gates, clock())), Denied)

    @pytest.mark.parametrize("full", [("g", "g"), ("a\nb", "g"), ("",), ("g", "a\nb")], ids=repr)
    def test_gates_with_any_name_are_compared(self, store: Store, clock: ManualClock, full: Sequence[str]) -> None:
        quota, gates = Quota("q", 9), [Quota(key, 5 - n, gate=True) for n, key in enumerate(full)]
        self.windows(store.count([quota], clock()))
        for _ in range(gates[-1].limit):
            assert not isinstance(run(store.count([*gates, quota], clock())), Denied)
            self.windows(store.count([replace(gates[-1], gate=False, limit=9)], clock()))
        assert isinstance(run(store.count([*gates, quota], clock())), Denied)

    def test_limit_beyond_every_number_of_the_store(self, store: Store, clock: ManualClock) -> None:
        quotas = [Quota("q", 10**20), Quota("g", 10**20, gate=True)]
        for _ in range(3):
            assert not isinstance(run(store.count(quotas, clock())), Denied)
        record, most = self.open(store, clock), Limits(10**20, per_address=10**20, short_per_day=10**20)
        assert isinstance(run(store.spend(record.id, BINDING, [WRONG], 6, most, NOBODY, clock())), Spent)

    def test_uncount_leaves_gates_alone(self, store: Store, clock: ManualClock) -> None:
        windows = self.windows(store.count([Quota("g", 1)], clock()))
        quotas = [Quota("g", 1, gate=True), Quota("q", 1)]
        run(store.uncount(quotas, [*windows, clock()], clock()))
        assert isinstance(run(store.count(quotas, clock())), Denied)

    @pytest.mark.parametrize("shared", [False, True])
    def test_wait_for_others_is_in_whole_hours(self, store: Store, clock: ManualClock, shared: bool) -> None:
        def wait(quota: Quota) -> timedelta | None:
            if shared:
                answer: object = run(store.count([quota], clock()))
            else:
                answer = run(store.open(opening(), [quota], LIMITS, clock()))
            return answer.retry_after if isinstance(answer, Denied) else None

        assert wait(Quota("q", 1)) is None
        clock.move(100)
        assert wait(Quota("q", 1)) == timedelta(seconds=3500)
        assert wait(Quota("q", 1, others=True)) == timedelta(hours=1)

    def test_refund_returns_what_a_start_counted(self, store: Store, clock: ManualClock) -> None:
        quotas = [Quota("sends:p", 1), Quota("sends:p:own", 1)]
        first = run(store.open(opening(), quotas, LIMITS, clock()))
        assert isinstance(first, Verification)
        run(store.refund(first.id, quotas, first.read_at, clock()))
        second = run(store.open(opening(), quotas, LIMITS, clock()))
        assert isinstance(second, Verification)
        clock.move(3600)
        third = run(store.open(opening(), quotas, LIMITS, clock()))
        assert isinstance(third, Verification)
        run(store.refund(second.id, quotas, second.read_at, clock()))
        assert isinstance(run(store.open(opening(), quotas, LIMITS, clock())), Denied), "its window has ended"
