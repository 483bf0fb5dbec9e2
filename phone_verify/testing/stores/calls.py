"""Calls on a line, also from another phone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ...lifecycle import POLL_INTERVAL
from ...limits import Limits
from ...lines import MOST_CLAIMANTS, OTHER_CALLER_EVERY
from ...model import Assurance, Channel, IncomingCall, Status, Verification
from ...phone import Attestation, PhoneNumber
from ...stores.base import Store
from ..clock import ManualClock
from .case import (
    BINDING,
    CALL,
    KEYRING,
    LIFE,
    LIMITS,
    LINE,
    OTHER_BINDING,
    OTHER_LINE,
    OTHER_PHONE,
    PHONE,
    SHORT,
    StoreCase,
    attachment,
    opening,
    run,
)


class CallPromises(StoreCase):
    """Calls on a line, also from another phone."""

    # Calls.

    def test_call_on_the_line_verifies_the_claim_once(self, store: Store, clock: ManualClock) -> None:
        record = self.claim_on(store, clock, LINE)
        self.fail(store, clock, 2)
        clock.move(2)
        claimed = self.call(store, clock, record, IncomingCall(None, LINE, PHONE))
        assert claimed == replace(
            record,
            status=Status.VERIFIED,
            closed_at=clock(),
            read_at=clock(),
            by_pair=True,
            by_call=True,
            failures=None,
        )
        assert run(store.get(record.id, clock())) == claimed
        assert self.call(store, clock, record, IncomingCall(None, LINE, PHONE)) is None
        assert isinstance(run(store.open(opening(), [], Limits(1), clock())), Verification), "a success clears failures"

    @pytest.mark.parametrize("attestation", [*Attestation, None])
    def test_attestation_is_kept_with_the_claim(
        self, store: Store, clock: ManualClock, attestation: Attestation | None
    ) -> None:
        record = self.claim_on(store, clock, LINE)
        claimed = self.call(store, clock, record, IncomingCall(None, LINE, PHONE, attestation))
        assert claimed is not None
        assert (record.attestation, claimed.attestation) == (None, attestation)
        attested = attestation is Attestation.A
        assert claimed.assurance is (Assurance.CALLER_ID_ATTESTED if attested else Assurance.CALLER_ID)
        assert run(store.get(record.id, clock())) == claimed
        redeemed = run(store.redeem(record.id, BINDING, "", clock()))
        assert redeemed is not None
        assert redeemed.attestation is attestation

    def test_call_with_the_reference_verifies_the_claim(self, store: Store, clock: ManualClock) -> None:
        record = self.claim_on(store, clock, LINE)
        assert self.call(store, clock, record, IncomingCall("ref", None, PHONE)) is not None

    def test_call_without_line_verifies_a_claim_without_reference(self, store: Store, clock: ManualClock) -> None:
        record = self.claim_on(store, clock, LINE, reference=None)
        claimed = self.call(store, clock, record, IncomingCall(None, None, PHONE))
        assert claimed is not None
        assert claimed.by_pair, "the provider may repeat its webhook"
        assert self.call(store, clock, record, IncomingCall(None, None, PHONE)) is None

    @pytest.mark.parametrize(
        "event",
        [
            IncomingCall(None, LINE, OTHER_PHONE),
            IncomingCall(None, LINE, None),
            IncomingCall(None, OTHER_LINE, PHONE),
            IncomingCall(None, None, PHONE),
            IncomingCall("other", LINE, PHONE),
            IncomingCall("REF", LINE, PHONE),
            IncomingCall("", LINE, PHONE),
            IncomingCall("ref", None, OTHER_PHONE),
        ],
    )
    def test_mismatched_call_verifies_nothing(self, store: Store, clock: ManualClock, event: IncomingCall) -> None:
        record = self.claim_on(store, clock, LINE)
        assert self.call(store, clock, record, event) is None
        assert run(store.get(record.id, clock())) == record

    def test_claim_without_a_line_verifies_by_reference_only(self, store: Store, clock: ManualClock) -> None:
        record = self.claim_on(store, clock, None)
        for event in (IncomingCall(None, None, PHONE), IncomingCall(None, LINE, PHONE)):
            assert self.call(store, clock, record, event) is None
        assert self.call(store, clock, record, IncomingCall("ref", LINE, PHONE)) is not None

    def test_call_counts_only_for_its_driver_phone_and_ttl(self, store: Store, clock: ManualClock) -> None:
        record, code = self.claim_on(store, clock, LINE), self.open(store, clock)
        event = IncomingCall(None, LINE, PHONE)
        assert self.call(store, clock, record, event, driver="another") is None
        assert run(store.claim("fake", KEYRING.tag(OTHER_PHONE), event, clock())) is None
        clock.move(300)
        assert self.call(store, clock, record, event) is None
        assert (found := run(store.get(code.id, clock())))
        assert found.status is Status.PENDING

    def test_ambiguous_call_verifies_no_claim(self, store: Store, clock: ManualClock) -> None:
        records = [self.claim_on(store, clock, line) for line in (LINE, OTHER_LINE)]
        assert self.call(store, clock, records[0], IncomingCall("ref", None, PHONE)) is None
        assert run(store.find("fake", records[0].tag, "ref", clock())) is None
        assert [run(store.get(record.id, clock())) for record in records] == records

    def test_claim_is_found_by_its_reference_while_it_is_open(self, store: Store, clock: ManualClock) -> None:
        record = self.claim_on(store, clock, None)
        code = opening()
        self.open(store, clock, id=code.id)
        run(store.attach(code.id, attachment(code, reference="sms"), clock()))
        assert run(store.find("fake", record.tag, "ref", clock())) == record
        assert run(store.find("another", record.tag, "ref", clock())) is None
        assert run(store.find("fake", record.tag, "unknown", clock())) is None
        assert run(store.find("fake", record.tag, "sms", clock())) is None
        assert run(store.find("fake", KEYRING.tag(OTHER_PHONE), "ref", clock())) is None
        run(store.settle(record.id, Status.CANCELLED, clock()))
        assert run(store.find("fake", record.tag, "ref", clock())) is None

    def test_provider_is_polled_once_in_three_seconds(self, store: Store, clock: ManualClock) -> None:
        record = self.claim_on(store, clock, LINE)
        assert run(store.may_poll(record.id, OTHER_BINDING, clock())) is False
        assert run(store.may_poll(record.id, BINDING, clock())) is True
        assert (found := run(store.get(record.id, clock())))
        assert found.polled_at == clock()
        clock.move(POLL_INTERVAL.total_seconds() - 0.000001)
        assert run(store.may_poll(record.id, BINDING, clock())) is False
        clock.move(0.000001)
        assert run(store.may_poll(record.id, None, clock())) is True
        assert run(store.may_poll(record.id, BINDING, clock())) is False

    def test_early_webhook_makes_the_next_poll_query(self, store: Store, clock: ManualClock) -> None:
        record = self.claim_on(store, clock, LINE)
        assert run(store.may_poll(record.id, BINDING, clock())) is True
        assert run(store.may_poll(record.id, None, clock())) is False
        assert run(store.may_poll(record.id, OTHER_BINDING, clock())) is False
        assert run(store.may_poll(record.id, BINDING, clock())) is True
        assert run(store.may_poll(record.id, BINDING, clock())) is False

    def test_ended_or_non_call_verification_is_not_polled(self, store: Store, clock: ManualClock) -> None:
        code, call = self.open(store, clock), self.claim_on(store, clock, LINE)
        assert run(store.may_poll(code.id, BINDING, clock())) is False
        clock.move(300)
        assert run(store.may_poll(call.id, BINDING, clock())) is False

    # The records of a phone.

    def test_recent_records_are_those_of_the_phone(self, store: Store, clock: ManualClock) -> None:
        assert list(run(store.recent(opening().tag, clock()))) == []
        short_lived = self.open(store, clock, plan=SHORT)
        ended, kept = self.open(store, clock, binding=OTHER_BINDING), self.claim_on(store, clock, LINE, locale="fa")
        self.open(store, clock, OTHER_PHONE)
        order = opening()
        run(store.open(order, [], LIMITS, clock()))
        run(store.attach(order.id, attachment(order, plan=SHORT), clock()))
        assert run(store.settle(ended.id, Status.CANCELLED, clock()))
        clock.move(SHORT.ttl.total_seconds())
        found = {record.id: record for record in run(store.recent(kept.tag, clock()))}
        assert found.keys() == {ended.id, kept.id}, short_lived
        assert found[kept.id] == replace(kept, read_at=clock())
        assert (found[ended.id].status, found[ended.id].binding) == (Status.CANCELLED, OTHER_BINDING)
        clock.move(LIFE.total_seconds())
        assert list(run(store.recent(kept.tag, clock()))) == []

    # Calls from another phone.

    def test_claimant_is_the_only_open_claim_of_a_line(self, store: Store, clock: ManualClock) -> None:
        assert run(store.claimant("fake", LINE, clock())) is None
        record = self.claim_on(store, clock, LINE)
        self.claim_on(store, clock, OTHER_LINE, phone=OTHER_PHONE)
        clock.move(1)
        assert run(store.claimant("fake", LINE, clock())) == replace(record, read_at=clock())
        assert run(store.claimant("other", LINE, clock())) is None
        short_lived = self.open(store, clock, PhoneNumber("+989120000005"), SHORT)
        ended = self.claim_on(store, clock, LINE, phone=OTHER_PHONE)
        assert run(store.claimant("fake", LINE, clock())) is None
        assert run(store.settle(ended.id, Status.CANCELLED, clock()))
        clock.move(SHORT.ttl.total_seconds())
        assert not short_lived.open_at(clock())
        assert run(store.claimant("fake", LINE, clock())) == replace(record, read_at=clock())
        clock.move(LIFE.total_seconds())
        assert run(store.claimant("fake", LINE, clock())) is None

    def test_claimant_may_have_a_code_as_well(self, store: Store, clock: ManualClock) -> None:
        order = opening()
        assert isinstance(run(store.open(order, [], LIMITS, clock())), Verification)
        call = attachment(order, channel=Channel.INBOUND_CALL, plan=CALL, code_digest=None, line=LINE, sends=1)
        record = run(store.attach(order.id, call, clock()))
        assert isinstance(record, Verification)
        assert record.has_code
        assert run(store.claimant("fake", LINE, clock())) == record

    def test_held_back_code_is_no_claimant(self, store: Store, clock: ManualClock) -> None:
        order = opening()
        assert isinstance(run(store.open(order, [], LIMITS, clock())), Verification)
        assert isinstance(run(store.attach(order.id, attachment(order, line=LINE), clock())), Verification)
        assert run(store.claimant("fake", LINE, clock())) is None

    def test_line_of_many_claims_has_no_claimant(self, store: Store, clock: ManualClock) -> None:
        phones = [PhoneNumber(f"+98912000{n:04}") for n in range(MOST_CLAIMANTS + 1)]
        records = [self.claim_on(store, clock, LINE, phone=phone) for phone in phones]
        for record in records[1:]:
            assert run(store.settle(record.id, Status.CANCELLED, clock()))
        found = run(store.claimant("fake", LINE, clock()))
        assert found is None or found.id == records[0].id

    def test_other_caller_is_noted_once_in_ten_seconds(self, store: Store, clock: ManualClock) -> None:
        record = self.claim_on(store, clock, LINE)
        assert record.other_caller_at is None
        clock.move(0.000001)
        assert run(store.note_other_caller(record.id, clock())) is True
        noted = replace(record, other_caller_at=clock(), read_at=clock())
        assert run(store.get(record.id, clock())) == noted
        clock.move(OTHER_CALLER_EVERY.total_seconds() - 0.000001)
        assert run(store.note_other_caller(record.id, clock())) is False
        assert run(store.get(record.id, clock())) == replace(noted, read_at=clock())
        clock.move(0.000001)
        assert run(store.note_other_caller(record.id, clock())) is True

    def test_note_of_another_caller_changes_nothing_else(self, store: Store, clock: ManualClock) -> None:
        record = self.claim_on(store, clock, LINE)
        assert run(store.note_other_caller(record.id, clock())) is True
        event = IncomingCall("ref", LINE, OTHER_PHONE)
        assert run(store.claim("fake", KEYRING.tag(OTHER_PHONE), event, clock())) is None
        called = self.call(store, clock, record, IncomingCall("ref", LINE, PHONE))
        assert called is not None
        assert (called.status, called.other_caller_at) == (Status.VERIFIED, clock())

    def test_other_caller_is_noted_on_open_claims_only(self, store: Store, clock: ManualClock) -> None:
        code, unassigned = self.open(store, clock), self.claim_on(store, clock, None, phone=OTHER_PHONE)
        claim = self.claim_on(store, clock, LINE, phone=PhoneNumber("+989120000005"))
        assert run(store.note_other_caller(code.id, clock())) is False
        assert run(store.note_other_caller(unassigned.id, clock())) is False
        assert run(store.note_other_caller(f"{code.id[:-1]}_", clock())) is False
        clock.move(LIFE.total_seconds())
        assert run(store.note_other_caller(claim.id, clock())) is False
