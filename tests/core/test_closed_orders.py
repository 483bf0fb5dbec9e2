"""Providers that are told what became of an order whose code is checked here."""

from __future__ import annotations

from typing import Any

import pytest

from phone_verify import delivery
from phone_verify.drivers.base import Ability
from phone_verify.exchange import Exchange, HttpRequest
from phone_verify.model import CodeSource, Receipt, Status

from .harness import CALL, LINE, PHONE, REFUSED, SMS, UNCLEAR, Caller, Driver, Harness, sms, webhook, wrong

pytestmark = pytest.mark.usefixtures("face")


class Closing(Driver):
    """A driver that reports what became of its orders."""

    def __init__(self, *receipts: Receipt, closing: Any = None, asks: bool = False) -> None:
        super().__init__("closing", SMS, Ability(CodeSource.LOCAL), list(receipts) or [Receipt("V1")])
        self.closing, self.asks = closing, asks
        self.closed: list[tuple[str, bool]] = []

    def close(self, reference: str, *, verified: bool) -> Exchange[None]:
        self.closed.append((reference, verified))
        if self.closing is not None:
            raise self.closing
        if self.asks:
            yield HttpRequest.get("http://nobody")


def test_right_code_closes_its_order_once() -> None:
    driver = Closing()
    harness = Harness(driver)
    id, secret = harness.begun()
    code = driver.codes[0]
    assert not harness.verifier.check(id, secret, wrong(code)).ok
    assert driver.closed == []
    assert harness.verifier.check(id, secret, code).ok
    assert not harness.verifier.check(id, secret, code).ok
    assert harness.verifier.cancel(id, secret).ok
    assert driver.closed == [("V1", True)]


@pytest.mark.parametrize("by_id", [False, True])
def test_cancelled_verification_closes_its_order_once(by_id: bool) -> None:
    driver = Closing()
    harness = Harness(driver)
    id, secret = harness.begun()
    for first in (True, False):
        if by_id:
            assert harness.verifier.cancel_by_id(id) is first
        else:
            assert harness.verifier.cancel(id, secret).ok
    assert driver.closed == [("V1", False)]


def test_call_that_verifies_closes_the_order_of_the_code() -> None:
    driver, caller = Closing(), Caller([Receipt(None, line=LINE)])
    caller.poll = None  # type: ignore[assignment]  # reports by webhook only
    harness = Harness(driver, caller)
    id, secret = harness.begun(SMS)
    assert harness.verifier.resend(id, secret, channel=CALL).ok
    assert harness.verifier.receive("caller", webhook(caller=PHONE.e164, line=LINE.e164)).verified
    assert driver.closed == [("V1", True)]


@pytest.mark.parametrize("failure", [REFUSED, UNCLEAR, RuntimeError("broken")])
def test_order_that_cannot_be_closed_changes_no_outcome(failure: Exception) -> None:
    driver = Closing(closing=failure)
    harness = Harness(driver)
    id, secret = harness.begun()
    outcome = harness.verifier.check(id, secret, driver.codes[0])
    assert outcome.ok
    assert outcome.proof
    id, secret = harness.begun()
    assert harness.verifier.cancel(id, secret).ok
    assert harness.verifier.get(id, secret).verification.status is Status.CANCELLED  # type: ignore[union-attr]


class Slow:
    """A transport that notes the time limit of its requests."""

    def __init__(self) -> None:
        self.limits: list[float] = []

    async def send(self, request: Any, seconds: float) -> Any:
        self.limits.append(seconds)
        raise UNCLEAR


def test_report_has_a_short_time_limit() -> None:
    driver, transport = Closing(asks=True), Slow()
    harness = Harness(driver, transport=transport)
    id, secret = harness.begun()
    assert harness.verifier.check(id, secret, driver.codes[0]).ok
    assert transport.limits == [3.0]


def test_order_without_reference_or_role_is_not_closed() -> None:
    driver, other = Closing(Receipt()), sms()
    for each in (driver, other):
        harness = Harness(each)
        id, secret = harness.begun()
        assert harness.verifier.check(id, secret, each.codes[0]).ok
    assert driver.closed == []


def test_roles_are_examined_only_where_they_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a driver has a role takes as long as five keyed digests to find out."""

    class Slow(type):
        def __instancecheck__(cls, instance: object) -> bool:
            raise AssertionError(f"{instance} was examined")

    for role in ("ReportsDelivery", "ClosesOrders", "Retries", "TakesUserTokens", "LeasesLines"):
        monkeypatch.setattr(delivery, role, Slow(role, (), {}))
    harness = Harness(driver := sms(Receipt()))
    id, secret = harness.begun()
    assert harness.verifier.check(id, secret, driver.codes[0]).proof
