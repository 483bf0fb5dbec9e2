"""Records: what they keep, when they end, and when they are removed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ...lifecycle import PROOF_LIFE, AttemptResult, Spent
from ...limits import DenialReason, Denied, Limits, Quota
from ...model import Channel, CodeSource, IncomingCall, Request, Status, Verification
from ...phone import PhoneNumber
from ...purposes import Budget
from ...stores.base import PURGE_PER_START, RETENTION, Store
from ..clock import ManualClock
from .case import (
    BINDING,
    CALL,
    LIFE,
    LIMITS,
    LINE,
    NO_DELAY,
    NOBODY,
    OTHER_BINDING,
    OTHER_PHONE,
    PHONE,
    REMOTE,
    RIGHT,
    TOLD,
    WRONG,
    StoreCase,
    attachment,
    failure_count,
    opening,
    opening_with,
    run,
)


class RecordPromises(StoreCase):
    """Records: what they keep, when they end, and when they are removed."""

    # Records.

    def test_record_comes_back_as_it_was_opened(self, store: Store, clock: ManualClock) -> None:
        order = opening()
        changes: dict[str, Any] = {"subject": "s" * 22, "budget": Budget.SIGNED_IN, "trusted": True}
        changes |= {"access_key": "3kTMd9aQz0Lw", "channels": "flash_call inbound_call sms telegram voice whatsapp"}
        changes["proved_channels"] = "flash_call inbound_call sms telegram voice whatsapp"
        record = self.open(store, clock, id=order.id, locale="fa", service="shop", purpose="signup", **changes)
        assert record == Verification(
            request=Request(
                id=order.id,
                tag=order.tag,
                phone=PHONE,
                purpose="signup",
                service="shop",
                binding=BINDING,
                locale="fa",
                trusted=True,
                subject="s" * 22,
                budget="signed_in",
                proved_channels="flash_call inbound_call sms telegram voice whatsapp",
                access_key="3kTMd9aQz0Lw",
                channels="flash_call inbound_call sms telegram voice whatsapp",
            ),
            channel=Channel.SMS,
            driver="fake",
            code_source=CodeSource.LOCAL,
            status=Status.PENDING,
            key_id="0a1b2c3d",
            generation=1,
            code_digest=RIGHT,
            code_length=6,
            short=False,
            attempts_left=5,
            sends=1,
            created_at=clock(),
            expires_at=clock() + LIFE,
            resend_at=clock() + timedelta(seconds=60),
            read_at=clock(),
        )
        assert run(store.get(record.id, clock())) == record

    def test_record_comes_back_with_its_receipt(self, store: Store, clock: ManualClock) -> None:
        order = opening()
        self.open(store, clock, id=order.id)
        clock.move(0.000001)
        receipt = attachment(
            order,
            channel=Channel.FLASH_CALL,
            driver="fake-2",
            plan=TOLD,
            key_id="ffffffff",
            generation=2,
            code_digest=WRONG,
            code_length=4,
            reference="Ref-7/é",
            line=LINE,
            caller_hint="+7495",
        )
        attached = run(store.attach(order.id, receipt, clock()))
        assert isinstance(attached, Verification)
        assert (attached.status, attached.channel, attached.driver) == (Status.SENT, Channel.FLASH_CALL, "fake-2")
        assert (attached.code_source, attached.short, attached.key_id) == (CodeSource.PROVIDER, True, "ffffffff")
        assert (attached.generation, attached.code_digest, attached.code_length) == (2, WRONG, 4)
        assert (attached.reference, attached.line, attached.caller_hint) == ("Ref-7/é", LINE, "+7495")
        assert attached.read_at == clock()
        assert run(store.get(order.id, clock())) == attached

    def test_unknown_id_is_none_or_refused(self, store: Store, clock: ManualClock) -> None:
        id = opening().id
        assert run(store.get(id, clock())) is None
        assert run(store.attach(id, attachment(opening()), clock())) == Denied(DenialReason.CLOSED)
        assert run(store.spend(id, BINDING, [RIGHT], 6, LIMITS, NOBODY, clock())) == Denied(DenialReason.UNBOUND)
        reopened = run(store.reopen(id, BINDING, Channel.SMS, False, [Quota("q", 1)], LIMITS, NO_DELAY, clock()))
        assert reopened == Denied(DenialReason.UNBOUND)
        assert run(store.settle(id, Status.CANCELLED, clock())) is False
        assert run(store.resolve_check(id, True, 1, NOBODY, clock())) is None
        assert run(store.may_poll(id, BINDING, clock())) is False
        assert run(store.redeem(id, BINDING, "", clock())) is None

    def test_ids_and_tags_are_case_sensitive(self, store: Store, clock: ManualClock) -> None:
        order = opening(tag="t" * 22, id="t" * 22 + "i" * 22)
        assert isinstance(run(store.open(order, [Quota("q", 1)], LIMITS, clock())), Verification)
        other = opening_with(order, id="t" * 22 + "I" * 22)
        assert isinstance(run(store.open(other, [Quota("Q", 1)], LIMITS, clock())), Verification)
        another = opening_with(order, tag="T" * 22, id="T" * 22 + "i" * 22, plan=CALL)
        assert isinstance(run(store.open(another, [Quota("q", 1)], LIMITS, clock())), Verification)
        assert len({record and record.id for record in (run(store.get(o.id, clock())) for o in (order, other))}) == 2
        assert run(store.count([Quota("k", 1)], clock())) == run(store.count([Quota("K", 1)], clock()))

    def test_store_uses_its_own_clock_without_a_time(self, store: Store) -> None:
        before = datetime.now(UTC)
        order = opening()
        opened = run(store.open(order, [], LIMITS, None))
        assert isinstance(opened, Verification)
        attached = run(store.attach(order.id, attachment(order), None))
        assert isinstance(attached, Verification)
        windows = self.windows(store.count([Quota("k", 1)], None))
        assert not isinstance(windows, Denied)
        spent = run(store.spend(order.id, BINDING, [RIGHT], 6, LIMITS, NOBODY, None))
        assert isinstance(spent, Spent)
        times = [opened.read_at, attached.read_at, windows[0] - timedelta(hours=1), spent.record.read_at]
        # A database on another machine may be off by a little, but not by a time zone.
        assert all(abs(time - before) < timedelta(minutes=2) for time in times)
        # A store may reuse the server's time for a tenth of a second.
        slack = timedelta(seconds=0.1)
        assert times[0] - slack <= times[1] <= times[3] + slack

    def test_record_past_its_end_has_expired(self, store: Store, clock: ManualClock) -> None:
        record = self.open(store, clock)
        clock.move(299.999999)
        assert (found := run(store.get(record.id, clock())))
        assert found.open
        clock.move(0.000001)
        assert (found := run(store.get(record.id, clock())))
        assert found.state is Status.EXPIRED

    # Closing.

    @pytest.mark.parametrize("status", [Status.VERIFIED, Status.FAILED, Status.EXHAUSTED, Status.CANCELLED])
    def test_record_is_closed_only_once(self, store: Store, clock: ManualClock, status: Status) -> None:
        record = self.open(store, clock)
        assert run(store.settle(record.id, status, clock())) is True
        closed_at = clock()
        clock.move(1)
        for later in Status:
            assert run(store.settle(record.id, later, clock())) is False
        assert run(store.get(record.id, clock())) == replace(
            record, status=status, closed_at=closed_at, read_at=clock()
        )

    def test_expired_record_cannot_be_closed(self, store: Store, clock: ManualClock) -> None:
        record = self.open(store, clock, plan=REMOTE)
        clock.move(300)
        assert run(store.settle(record.id, Status.VERIFIED, clock())) is False
        assert (found := run(store.get(record.id, clock())))
        assert found.state is Status.EXPIRED

    # Proofs.

    def test_proof_is_redeemed_once_and_by_its_browser(self, store: Store, clock: ManualClock) -> None:
        record = self.open(store, clock)
        assert run(store.redeem(record.id, BINDING, "", clock())) is None
        self.spend(store, clock, record, RIGHT)
        verified = run(store.get(record.id, clock()))
        assert verified is not None
        assert run(store.redeem(record.id, OTHER_BINDING, "", clock())) is None
        clock.move(PROOF_LIFE.total_seconds() - 0.000001)
        redeemed = run(store.redeem(record.id, BINDING, "", clock()))
        assert redeemed == replace(verified, redeemed=True, read_at=clock())
        assert run(store.get(record.id, clock())) == redeemed
        assert run(store.redeem(record.id, BINDING, "", clock())) is None

    def test_proof_expires_after_five_minutes(self, store: Store, clock: ManualClock) -> None:
        record = self.open(store, clock)
        self.spend(store, clock, record, RIGHT)
        clock.move(PROOF_LIFE.total_seconds())
        assert run(store.redeem(record.id, BINDING, "", clock())) is None

    def test_clock_set_back_an_hour_extends_nothing(self, store: Store, clock: ManualClock) -> None:
        """Anything that started, or was verified, in a future that the clock was set back from has
        expired.
        """
        code, proven = self.open(store, clock), self.open(store, clock, OTHER_PHONE)
        claim = self.claim_on(store, clock, LINE, phone=PhoneNumber("+989120000005"))
        self.spend(store, clock, proven, RIGHT)
        clock.move(-3600)
        refused = self.spend(store, clock, code, RIGHT)
        assert isinstance(refused, Denied)
        assert refused.why is DenialReason.CLOSED
        assert run(store.redeem(proven.id, BINDING, "", clock())) is None
        assert self.call(store, clock, claim, IncomingCall(claim.reference, claim.line, claim.phone)) is None
        found = run(store.get(code.id, clock()))
        assert found is None or found.state is Status.EXPIRED

    def test_clocks_that_differ_by_two_seconds_make_no_difference(self, store: Store, clock: ManualClock) -> None:
        code, proven = self.open(store, clock), self.open(store, clock, OTHER_PHONE)
        self.spend(store, clock, proven, RIGHT)
        clock.move(-2)
        assert run(store.redeem(proven.id, BINDING, "", clock())) is not None
        spent = self.spend(store, clock, code, RIGHT)
        assert isinstance(spent, Spent)
        assert spent.answer is AttemptResult.RIGHT

    @pytest.mark.parametrize("status", [Status.FAILED, Status.EXHAUSTED, Status.CANCELLED])
    def test_only_a_verified_record_has_a_proof(self, store: Store, clock: ManualClock, status: Status) -> None:
        record = self.open(store, clock)
        run(store.settle(record.id, status, clock()))
        assert run(store.redeem(record.id, BINDING, "", clock())) is None

    # Expired data.

    def test_live_data_is_never_removed(self, forgetful: Store, clock: ManualClock) -> None:
        shared, own = Quota("total", 1), Quota("sends:p", 1)
        self.fail(forgetful, clock, 1, phone=OTHER_PHONE)
        run(forgetful.count([shared], clock()))
        assert isinstance(run(forgetful.open(opening(), [own], LIMITS, clock())), Verification)
        for _ in range(5):
            clock.move(600)
            run(forgetful.purge(1000, clock()))
            self.open(forgetful, clock, PhoneNumber("+989120000009"))
        assert isinstance(run(forgetful.count([shared], clock())), Denied)
        assert isinstance(run(forgetful.open(opening(), [own], LIMITS, clock())), Denied)
        assert isinstance(run(forgetful.open(opening(OTHER_PHONE), [], Limits(1), clock())), Denied)

    def test_record_is_kept_as_long_as_its_proof(self, forgetful: Store, clock: ManualClock) -> None:
        record = self.open(forgetful, clock)
        clock.move(LIFE.total_seconds() - 1)
        self.spend(forgetful, clock, record, RIGHT)
        clock.move(PROOF_LIFE.total_seconds() - 1)
        run(forgetful.purge(1000, clock()))
        assert run(forgetful.redeem(record.id, BINDING, "", clock())) is not None

    def test_erasing_removes_one_phone_only(self, store: Store, clock: ManualClock) -> None:
        own = Quota("sends:p", 1)
        records = [self.open(store, clock), self.open(store, clock), self.open(store, clock, OTHER_PHONE)]
        self.fail(store, clock, 2)
        self.fail(store, clock, 2, phone=OTHER_PHONE)
        assert isinstance(run(store.open(opening(), [own], LIMITS, clock())), Verification)
        kept = self.kept(store, clock, records)
        assert run(store.erase(records[0].tag, clock())) >= 3
        assert self.kept(store, clock, records) == kept - 2
        assert run(store.get(records[2].id, clock())) is not None
        assert run(store.erase(records[0].tag, clock())) == 0
        assert isinstance(run(store.open(opening(), [own], Limits(2), clock())), Verification)
        assert isinstance(run(store.open(opening(OTHER_PHONE), [], Limits(2), clock())), Denied)

    def test_store_works_after_erasing(self, store: Store, clock: ManualClock) -> None:
        first = self.open(store, clock)
        run(store.erase(first.tag, clock()))
        assert isinstance(self.spend(store, clock, first, RIGHT), Denied)
        again = self.open(store, clock)
        clock.move((LIFE + RETENTION).total_seconds() + 1)
        run(store.purge(1000, clock()))
        assert self.kept(store, clock, [first, again]) == 0
        assert isinstance(self.spend(store, clock, self.open(store, clock), RIGHT), Spent)

    def test_purging_start_keeps_failures_that_still_count(self, forgetful: Store, clock: ManualClock) -> None:
        for _ in range(3 * PURGE_PER_START):
            self.open(forgetful, clock)
        clock.move((LIFE + PROOF_LIFE).total_seconds() + 1)
        record = self.open(forgetful, clock)
        assert isinstance(self.spend(forgetful, clock, record, WRONG), Spent)
        for _ in range(3):
            self.open(forgetful, clock, purpose="signup")
        assert (found := run(forgetful.get(record.id, clock())))
        assert failure_count(found) == 1

    def test_nothing_is_settled_as_pending(self, store: Store, clock: ManualClock) -> None:
        record = self.open(store, clock)
        assert run(store.settle(record.id, Status.PENDING, clock())) is False
        assert run(store.get(record.id, clock())) == record
