"""Inbound calls whose caller the provider compares itself, and webhooks that it repeats until it is answered."""

from __future__ import annotations

import hashlib
from datetime import datetime
from urllib.parse import urlencode

import pytest

from phone_verify.drivers.dsn import load_driver, parse_dsn
from phone_verify.exchange import FORM, WebhookRequest, parameters_of
from phone_verify.model import CallState, Receipt, Sighting, Status

from .harness import CALL, LINE, PHONE, Caller, Harness


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
    """A webhook names no caller, so it verifies nothing."""
    harness = Harness(load_driver(parse_dsn("sms-ru://FAKE-API-ID@127.0.0.1:9/base?tls=off", "DSN")))
    result = harness.verifier.receive("sms-ru", signed(harness.clock()))
    assert (result.text, result.verified, result.rejected) == ("100", False, False)
    forged = WebhookRequest("POST", [("data[0]", "test"), ("hash", "00")], {}, b"")
    assert harness.verifier.receive("sms-ru", forged).rejected
