"""Inbound calls whose caller the provider compares itself, and webhooks that it repeats until it is answered."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from phone_verify.drivers.dsn import load_driver, parse_dsn
from phone_verify.errors import StoreError
from phone_verify.exchange import FORM, WebhookRequest, parameters_of
from phone_verify.model import CallState, Receipt, Sighting, Status
from phone_verify.stores.base import Place, Reservation
from phone_verify.stores.memory import MemoryStore

from .harness import CALL, LINE, OTHER_LINE, OTHER_PHONE, PHONE, Caller, Harness, webhook

CONFIRMED, WAITING = Sighting(CallState.CONFIRMED), Sighting(CallState.WAITING)


class Confirming(Caller):
    """A driver whose webhooks name a call by its reference alone."""

    def __init__(self, *receipts: Receipt, sightings: Any = (), name: str = "caller") -> None:
        super().__init__(receipts, sightings, name)
        self.ability = replace(self.ability, by_reference=True)


class Answered(Caller):
    """A driver whose provider requires a certain response."""

    webhook_answer = "100"


def test_call_that_the_provider_confirmed_verifies_the_phone() -> None:
    harness = Harness(Caller([Receipt("7", line=LINE)], [Sighting(CallState.WAITING), Sighting(CallState.CONFIRMED)]))
    id, secret = harness.begun(CALL)
    for expected in (Status.SENT, Status.VERIFIED):
        harness.clock.move(10)
        harness.verifier.poll(id, secret)
        record = harness.verifier.get(id, secret).verification
        assert record is not None
        assert record.state is expected
    assert record.phone == PHONE


@pytest.mark.parametrize(("driver", "text"), [(Answered, "100"), (Caller, "OK")])
def test_webhook_is_answered_with_the_text_that_its_provider_waits_for(driver: type[Caller], text: str) -> None:
    harness = Harness(driver([Receipt("7", line=LINE)]))
    harness.begun(CALL)
    for parameters in ([("id", "7"), ("caller", PHONE.e164)], [("id", "8")], []):
        assert harness.verifier.receive("caller", WebhookRequest("POST", parameters, {}, b"")).text == text


def signed(at: datetime) -> WebhookRequest:
    entry = f"callcheck_status\n7\n401\n{int(at.timestamp())}"
    digest = hashlib.sha256(f"FAKE-API-ID{entry}".encode()).hexdigest()
    body = urlencode({"data[0]": entry, "hash": digest})
    return WebhookRequest("POST", parameters_of(body), {"content-type": FORM}, body.encode())


def test_signed_webhook_of_sms_ru_is_answered_and_a_forged_one_rejected() -> None:
    """Its reference is of no claim, so it verifies nothing."""
    harness = Harness(load_driver(parse_dsn("sms-ru://FAKE-API-ID@127.0.0.1:9/base?tls=off", "DSN")))
    result = harness.verifier.receive("sms-ru", signed(harness.clock()))
    assert (result.text, result.verified, result.rejected) == ("100", False, False)
    forged = WebhookRequest("POST", [("data[0]", "test"), ("hash", "00")], {}, b"")
    assert harness.verifier.receive("sms-ru", forged).rejected


def reported(harness: Harness, driver: str = "caller", **parameters: str) -> bool:
    """Return whether a webhook with these parameters verified a call."""
    return harness.verifier.receive(driver, webhook(**parameters)).verified


def status(harness: Harness, id: str, secret: str) -> Status:
    record = harness.verifier.get(id, secret).verification
    assert record is not None
    return record.state


def test_webhook_with_a_reference_alone_settles_its_claim_once() -> None:
    driver = Confirming(Receipt("7", line=LINE), Receipt("8", line=LINE), sightings=[CONFIRMED, CONFIRMED])
    harness = Harness(driver)
    own, other = harness.begun(CALL), harness.begun(CALL, OTHER_PHONE)
    assert reported(harness, id="7")
    assert (status(harness, *own), status(harness, *other)) == (Status.VERIFIED, Status.SENT)
    harness.clock.move(10)
    assert not reported(harness, id="7"), "repeated"
    assert driver.polled == ["7"]


def test_webhook_is_a_hint_that_the_provider_must_confirm() -> None:
    driver = Confirming(Receipt("7", line=LINE), sightings=[WAITING, Sighting(CallState.EXPIRED)])
    harness = Harness(driver)
    begun = harness.begun(CALL)
    assert not reported(harness, id="7")
    assert status(harness, *begun) is Status.SENT
    harness.clock.move(10)
    assert not reported(harness, id="7")
    assert status(harness, *begun) is Status.EXPIRED


def test_webhook_with_a_foreign_reference_queries_nothing() -> None:
    drivers = [Confirming(Receipt("7", line=LINE), sightings=[CONFIRMED]), Confirming(name="second")]
    harness = Harness(*drivers)
    begun = harness.begun(CALL)
    assert not reported(harness, id="9")
    assert not reported(harness, "second", id="7")
    assert not reported(harness, line=LINE.e164)
    assert not harness.verifier.receive(
        "caller", WebhookRequest("GET", [("id", "9"), ("id", "7")], {}, b"")
    ).verified, "a name that is repeated"
    assert [driver.polls for driver in drivers] == [0, 0]
    assert status(harness, *begun) is Status.SENT


def test_webhook_with_a_replaced_reference_queries_nothing() -> None:
    driver = Confirming(Receipt("7", line=LINE), Receipt("8", line=OTHER_LINE), sightings=[CONFIRMED])
    harness = Harness(driver)
    begun = harness.begun(CALL)
    harness.clock.move(70)
    assert harness.verifier.resend(*begun).ok
    assert not reported(harness, id="7")
    assert driver.polls == 0
    assert reported(harness, id="8")
    assert status(harness, *begun) is Status.VERIFIED


def test_repeated_webhooks_query_once_in_three_seconds() -> None:
    driver = Confirming(Receipt("7", line=LINE))
    harness = Harness(driver)
    harness.begun(CALL)
    for _ in range(5):
        assert not reported(harness, id="7")
    # A webhook that comes too soon makes the next query due immediately.
    assert driver.polls == 3


class Counting(MemoryStore):
    """A store that counts the places that were taken, and can refuse them."""

    def __init__(self, *, refuses: bool = False) -> None:
        super().__init__()
        self.reserved: list[Reservation] = []
        self.refuses = refuses

    async def reserve(self, reservation: Reservation, now: datetime | None) -> Place:
        if self.refuses:
            raise StoreError("away")
        self.reserved.append(reservation)
        return await super().reserve(reservation, now)


def test_only_a_driver_without_callers_notes_its_references() -> None:
    for driver, taken in ((Caller([Receipt("7", line=LINE)]), 0), (Confirming(Receipt("7", line=LINE)), 1)):
        store = Counting()
        harness = Harness(driver, store=store)
        harness.begun(CALL)
        assert len(store.reserved) == taken
        assert all(reservation.lasts <= timedelta(seconds=120) for reservation in store.reserved)


def test_reference_that_could_not_be_noted_leaves_the_poll(caplog: pytest.LogCaptureFixture) -> None:
    driver = Confirming(Receipt("7", line=LINE), sightings=[CONFIRMED])
    harness = Harness(driver, store=Counting(refuses=True))
    id, secret = harness.begun(CALL)
    assert "could not note a reference of caller" in caplog.text
    assert not reported(harness, id="7")
    assert harness.verifier.poll(id, secret).ok
    assert status(harness, id, secret) is Status.VERIFIED
