"""References of claims: a webhook that names no caller finds its claim."""

from __future__ import annotations

from datetime import timedelta

from ...limits import Denied
from ...model import IncomingCall, Status, Verification
from ...phone import PhoneNumber
from ...stores.base import Store
from ...stores.references import References
from ..clock import ManualClock
from .case import CALL, KEYRING, LIFE, LIMITS, LINE, OTHER_LINE, OTHER_PHONE, PHONE, StoreCase, attachment, opening, run


class ReferencePromises(StoreCase):
    """A noted reference finds its open claim, without the phone, and no other one."""

    def noted(
        self, store: Store, clock: ManualClock, reference: str, phone: PhoneNumber = PHONE, line: PhoneNumber = LINE
    ) -> Verification:
        """Open a claim with this reference, and note it."""
        opened = run(store.open(opening(phone, plan=CALL), [], LIMITS, clock()))
        assert isinstance(opened, Verification)
        return self.attach_noted(store, clock, opened, reference, 1, line)

    def attach_noted(
        self, store: Store, clock: ManualClock, record: Verification, reference: str, sends: int, line: PhoneNumber
    ) -> Verification:
        """Attach the receipt of an order with this reference, and note it."""
        receipt = attachment(opening(record.phone), plan=CALL, line=line, reference=reference, sends=sends)
        attached = run(store.attach(record.id, receipt, clock()))
        assert not isinstance(attached, Denied)
        run(References(store, KEYRING, clock).note(attached))
        return attached

    def found(self, store: Store, clock: ManualClock, reference: str, driver: str = "fake") -> str | None:
        """Return the id of the claim with this reference."""
        record = run(References(store, KEYRING, clock).find(driver, reference))
        return record.id if record is not None else None

    def test_reference_finds_its_claim_only(self, store: Store, clock: ManualClock) -> None:
        first, second = self.noted(store, clock, "7"), self.noted(store, clock, "8", OTHER_PHONE)
        assert (self.found(store, clock, "7"), self.found(store, clock, "8")) == (first.id, second.id)
        assert self.found(store, clock, "9") is None
        assert self.found(store, clock, "7", driver="other") is None

    def test_reference_of_an_ended_claim_finds_none(self, store: Store, clock: ManualClock) -> None:
        called, cancelled = self.noted(store, clock, "7"), self.noted(store, clock, "8", OTHER_PHONE)
        assert self.call(store, clock, called, IncomingCall("7", None, PHONE)) is not None
        assert run(store.settle(cancelled.id, Status.CANCELLED, clock()))
        assert (self.found(store, clock, "7"), self.found(store, clock, "8")) == (None, None)

    def test_reference_finds_its_claim_until_it_expires(self, store: Store, clock: ManualClock) -> None:
        record = self.noted(store, clock, "7")
        clock.move((LIFE - timedelta(microseconds=1)).total_seconds())
        assert self.found(store, clock, "7") == record.id
        clock.move(0.000001)
        assert self.found(store, clock, "7") is None

    def test_replaced_reference_finds_none(self, store: Store, clock: ManualClock) -> None:
        record = self.noted(store, clock, "7")
        self.attach_noted(store, clock, record, "8", 2, OTHER_LINE)
        assert (self.found(store, clock, "7"), self.found(store, clock, "8")) == (None, record.id)

    def test_reference_of_two_claims_stays_with_the_first(self, store: Store, clock: ManualClock) -> None:
        first = self.noted(store, clock, "7")
        self.noted(store, clock, "7", OTHER_PHONE)
        assert self.found(store, clock, "7") == first.id
        assert run(store.settle(first.id, Status.CANCELLED, clock()))
        assert self.found(store, clock, "7") is None

    def test_reference_of_erased_data_finds_none(self, store: Store, clock: ManualClock) -> None:
        record = self.noted(store, clock, "7")
        assert run(store.erase(record.tag, clock())) == 1
        assert self.found(store, clock, "7") is None
