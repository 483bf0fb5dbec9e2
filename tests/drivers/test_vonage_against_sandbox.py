"""Vonage's two drivers against the sandbox's implementation of their protocols, over real HTTP."""

from __future__ import annotations

import logging
from datetime import timedelta
from decimal import Decimal

import pytest

from phone_verify.drivers.base import Driver
from phone_verify.errors import FailureKind
from phone_verify.model import Channel, DeliveryState, Order, Outcome, Reason, Started, Status
from phone_verify.phone import PhoneNumber
from phone_verify.sandbox import Fault, SandboxServer
from phone_verify.sandbox.protocols.vonage import SIGNING_KEY

from .test_against_sandbox import SECRET, Harness, Hooks, hooks, server, talk

__all__ = ["hooks", "server"]

PHONE = PhoneNumber("+989120000000")
CHANNELS = ["sms", "voice", "whatsapp"]
SIGNED = f"&signature_secret={SIGNING_KEY}"
TROUBLES = {
    "throttled": FailureKind.RATE,
    "missing_parameter": FailureKind.CONFIGURATION,
    "invalid_parameter": FailureKind.CONFIGURATION,
    "invalid_credentials": FailureKind.CONFIGURATION,
    "internal_error": FailureKind.TRANSIENT,
    "invalid_message": FailureKind.BAD_NUMBER,
    "number_barred": FailureKind.BAD_NUMBER,
    "account_barred": FailureKind.CONFIGURATION,
    "quota_exceeded": FailureKind.BALANCE,
    "too_many_binds": FailureKind.RATE,
    "http_not_enabled": FailureKind.CONFIGURATION,
    "message_too_long": FailureKind.CONFIGURATION,
    "invalid_signature": FailureKind.CONFIGURATION,
    "invalid_sender": FailureKind.CONFIGURATION,
    "invalid_network": FailureKind.CONFIGURATION,
    "invalid_callback": FailureKind.CONFIGURATION,
    "not_whitelisted": FailureKind.CONFIGURATION,
    "signature_and_secret": FailureKind.CONFIGURATION,
    "number_deactivated": FailureKind.BAD_NUMBER,
}
VERIFY_TROUBLES = {
    "bad_request": FailureKind.UNKNOWN,
    "unauthorized": FailureKind.CONFIGURATION,
    "no_credit": FailureKind.BALANCE,
    "forbidden": FailureKind.CONFIGURATION,
    "invalid_params": FailureKind.CONFIGURATION,
    "invalid_number": FailureKind.BAD_NUMBER,
    "rate_limit": FailureKind.RATE,
    "unavailable": FailureKind.TRANSIENT,
}


def sms(server: SandboxServer, options: str = "", **settings: str) -> Harness:
    return Harness(server, "vonage", "KEY:SECRET", "sms", f"&sender=Example{options}", **settings)


def verify(server: SandboxServer, channel: str = "sms", options: str = "", credentials: str = "KEY:SECRET") -> Harness:
    sender = "&whatsapp_sender=447700900001" if channel == "whatsapp" else ""
    return Harness(server, "vonage-verify", credentials, channel, f"&brand=Example{sender}{options}")


def refused(harness: Harness, caplog: pytest.LogCaptureFixture) -> str:
    """Return the log of a start that fails."""
    caplog.clear()
    assert not harness.verifier.start(PHONE).ok
    return caplog.text


def wrong(right: str) -> str:
    return right[:-1] + ("1" if right[-1] != "1" else "2")


def check(harness: Harness, code: str) -> Outcome:
    return harness.verifier.check(harness.id, harness.secret, code)


def test_sms_arrives_and_verifies(server: SandboxServer) -> None:
    harness = sms(server)
    started = harness.begin(PHONE)
    assert isinstance(started, Started)
    assert check(harness, harness.code(PHONE)).ok


def test_wrong_code_of_sms_is_refused(server: SandboxServer) -> None:
    harness = sms(server)
    harness.begin(PHONE)
    assert check(harness, wrong(harness.code(PHONE))).reason is Reason.WRONG_CODE


@pytest.mark.parametrize(("name", "trouble"), TROUBLES.items(), ids=TROUBLES)
def test_every_error_of_sms_is_classified(
    server: SandboxServer, caplog: pytest.LogCaptureFixture, name: str, trouble: FailureKind
) -> None:
    server.sandbox.faults.put("vonage", None, Fault(refuse=name))
    assert str(trouble) in refused(sms(server), caplog)


@pytest.mark.parametrize("credentials", ["WRONG:SECRET", "KEY:WRONG"])
def test_wrong_credentials_are_a_configuration_error(
    server: SandboxServer, caplog: pytest.LogCaptureFixture, credentials: str
) -> None:
    harness = Harness(server, "vonage", credentials, "sms", "&sender=Example")
    assert str(FailureKind.CONFIGURATION) in refused(harness, caplog)
    assert "WRONG" not in caplog.text


@pytest.mark.parametrize("form", ["query", "form", "json"])
@pytest.mark.parametrize("method", ["sha256", "sha512", "sha1", "md5", "md5hash"])
@pytest.mark.parametrize("lose", [False, True])
def test_signed_receipt_is_accepted(
    server: SandboxServer, hooks: Hooks, caplog: pytest.LogCaptureFixture, form: str, method: str, lose: bool
) -> None:
    caplog.set_level(logging.INFO, "phone_verify")
    harness = sms(server, f"{SIGNED}&signature_method={method}")
    hooks.lead(harness.site, "vonage", server)
    server.sandbox.faults.put("vonage", None, Fault(lose=lose, variants={"webhook": form, "signature": method}))
    harness.begin(PHONE)
    assert hooks.heard.wait(30)
    assert hooks.statuses == [200]
    said = "undelivered failed" if lose else "delivered delivered"
    assert f"vonage reported the delivery status of an order: {said}" in caplog.messages


def test_receipt_goes_to_the_callback_of_the_order(server: SandboxServer, hooks: Hooks) -> None:
    harness = sms(server, SIGNED, public_url=hooks.url)
    hooks.site = harness.site
    harness.begin(PHONE)
    assert hooks.heard.wait(30)
    assert hooks.statuses == [200]


@pytest.mark.parametrize("forgery", ["wrong_key", "stale", "unsigned"])
def test_forged_receipt_is_refused(server: SandboxServer, hooks: Hooks, forgery: str) -> None:
    harness = sms(server, SIGNED)
    hooks.lead(harness.site, "vonage", server)
    server.sandbox.faults.put("vonage", None, Fault(webhook_signature=forgery))  # type: ignore[arg-type]
    harness.begin(PHONE)
    assert hooks.heard.wait(30)
    assert hooks.statuses == [403]


def test_long_callback_is_left_to_the_account(server: SandboxServer, hooks: Hooks) -> None:
    harness = sms(server, SIGNED, public_url=hooks.url, webhook_secret=f"{SECRET * 3}, {SECRET}")
    hooks.lead(harness.site, "vonage", server)
    harness.begin(PHONE)
    assert hooks.heard.wait(30)
    assert hooks.statuses == [200]


def test_long_text_has_parts_and_a_price(server: SandboxServer) -> None:
    driver = sms(server).driver
    text = "Your code is 048213" + "." * 160
    assert isinstance(driver, Driver)
    receipt = talk(driver.start(Order(PHONE, Channel.SMS, timedelta(minutes=2), "048213", text=text)))
    assert (receipt.parts, receipt.price) == (2, Decimal("0.0666"))


@pytest.mark.parametrize("channel", CHANNELS)
def test_remote_code_arrives_and_verifies(server: SandboxServer, channel: str) -> None:
    harness = verify(server, channel)
    harness.begin(PHONE)
    assert [each.channel for each in server.sandbox.network.dispatches()] == [channel]
    assert len(harness.code(PHONE)) == 6
    assert check(harness, wrong(harness.code(PHONE))).reason is Reason.WRONG_CODE
    outcome = check(harness, harness.code(PHONE))
    assert outcome.ok
    assert outcome.proof


def test_third_wrong_remote_code_ends_the_request(server: SandboxServer) -> None:
    harness = verify(server)
    harness.begin(PHONE)
    right = harness.code(PHONE)
    for _ in range(3):
        assert check(harness, wrong(right)).reason is Reason.WRONG_CODE
    assert not check(harness, right).ok
    harness.verifier.cancel(harness.id, harness.secret)
    harness.begin(PHONE)
    assert check(harness, harness.code(PHONE)).ok


def test_resend_replaces_the_request_in_progress(server: SandboxServer) -> None:
    harness = verify(server, options="&code_length=10")
    harness.begin(PHONE)
    old = harness.code(PHONE)
    assert harness.verifier.resend(harness.id, harness.secret).ok
    new = harness.code(PHONE)
    paths = [(entry.method, entry.path, entry.status) for entry in server.sandbox.journal.newest_first()]
    assert [(method, status) for method, _, status in reversed(paths)] == [
        ("POST", 202),
        ("POST", 409),
        ("DELETE", 204),
        ("POST", 202),
    ]
    assert not check(harness, old).ok
    assert check(harness, new).ok


def test_start_after_an_unreadable_response_sends_again(server: SandboxServer) -> None:
    harness = verify(server)
    server.sandbox.faults.put("vonage-verify", None, Fault(malformed="cut", times=1))
    harness.verifier.start(PHONE)
    harness.begin(PHONE)
    assert len(server.sandbox.network.dispatches()) == 2
    assert check(harness, harness.code(PHONE)).ok


def test_conflict_without_id_is_a_refusal(server: SandboxServer) -> None:
    server.sandbox.faults.put("vonage-verify", None, Fault(variants={"conflict": "without_id"}))
    harness = verify(server)
    harness.begin(PHONE)
    assert not harness.verifier.resend(harness.id, harness.secret).ok
    assert len(server.sandbox.network.dispatches()) == 1


@pytest.mark.parametrize(("name", "trouble"), VERIFY_TROUBLES.items(), ids=VERIFY_TROUBLES)
def test_every_error_of_verify_is_classified(
    server: SandboxServer, caplog: pytest.LogCaptureFixture, name: str, trouble: FailureKind
) -> None:
    server.sandbox.faults.put("vonage-verify", None, Fault(refuse=name))
    assert str(trouble) in refused(verify(server), caplog)
    assert server.sandbox.network.dispatches() == ()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("invalid_code", Reason.WRONG_CODE),
        ("too_many_codes", Reason.WRONG_CODE),
        ("not_found", Reason.WRONG_CODE),
        ("wrong_state", Reason.WRONG_CODE),
        ("unauthorized", Reason.PROVIDER_UNAVAILABLE),
        ("rate_limit", Reason.PROVIDER_UNAVAILABLE),
        ("unavailable", Reason.PROVIDER_UNAVAILABLE),
    ],
)
def test_refused_check_is_read(server: SandboxServer, name: str, reason: Reason) -> None:
    harness = verify(server)
    harness.begin(PHONE)
    server.sandbox.faults.put("vonage-verify", None, Fault(refuse=name, times=1))
    assert check(harness, harness.code(PHONE)).reason is reason


@pytest.mark.parametrize("credentials", ["WRONG:SECRET", "KEY:WRONG", "KEY:EXPIRED", "KEY:INACTIVE"])
def test_wrong_credentials_of_verify_are_a_configuration_error(
    server: SandboxServer, caplog: pytest.LogCaptureFixture, credentials: str
) -> None:
    assert str(FailureKind.CONFIGURATION) in refused(verify(server, credentials=credentials), caplog)


@pytest.mark.parametrize("form", ["both", "swapped", "event", "summary"])
def test_signed_results_are_accepted(
    server: SandboxServer, hooks: Hooks, caplog: pytest.LogCaptureFixture, form: str
) -> None:
    caplog.set_level(logging.INFO, "phone_verify")
    harness = verify(server, options=SIGNED)
    hooks.lead(harness.site, "vonage-verify", server)
    server.sandbox.faults.put("vonage-verify", None, Fault(variants={"webhook": form}))
    harness.begin(PHONE)
    assert check(harness, harness.code(PHONE)).ok
    assert hooks.heard.wait(30)
    assert set(hooks.statuses) == {200}
    assert any("vonage-verify reported the delivery status of an order: delivered" in line for line in caplog.messages)


@pytest.mark.parametrize("event", ["blocked", "failed", "expired", "user_rejected"])
def test_failure_is_reported_and_verifies_nothing(
    server: SandboxServer, hooks: Hooks, caplog: pytest.LogCaptureFixture, event: str
) -> None:
    caplog.set_level(logging.INFO, "phone_verify")
    harness = verify(server, options=SIGNED)
    hooks.lead(harness.site, "vonage-verify", server)
    server.sandbox.faults.put("vonage-verify", None, Fault(variants={"event": event, "webhook": "event"}))
    harness.begin(PHONE)
    assert hooks.heard.wait(30)
    assert hooks.statuses == [200]
    state = DeliveryState.UNDELIVERED if event in ("blocked", "failed") else DeliveryState.OPEN
    assert any(f"vonage-verify reported the delivery status of an order: {state}" in each for each in caplog.messages)
    outcome = harness.verifier.get(harness.id, harness.secret)
    assert outcome.verification is not None
    assert outcome.verification.status is Status.SENT


@pytest.mark.parametrize("forgery", ["wrong_key", "stale", "unsigned"])
def test_forged_result_is_refused(server: SandboxServer, hooks: Hooks, forgery: str) -> None:
    harness = verify(server, options=SIGNED)
    hooks.lead(harness.site, "vonage-verify", server)
    faults = Fault(webhook_signature=forgery, variants={"webhook": "event"})  # type: ignore[arg-type]
    server.sandbox.faults.put("vonage-verify", None, faults)
    harness.begin(PHONE)
    check(harness, harness.code(PHONE))
    assert hooks.heard.wait(30)
    assert hooks.statuses == [403]
