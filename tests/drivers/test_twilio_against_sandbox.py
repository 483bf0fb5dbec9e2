"""Twilio's two drivers against the sandbox's implementation of their protocols, over real HTTP."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from phone_verify.drivers.base import ChecksRemotely
from phone_verify.errors import FailureKind, ProviderError, UnclearError
from phone_verify.model import Channel, DeliveryState, Order, ProviderAccount, Reason, Status
from phone_verify.phone import PhoneNumber
from phone_verify.sandbox import Fault, SandboxServer
from phone_verify.sandbox.protocols.twilio_common import SIGNING_KEY
from tests.cases import in_one_test

from .test_against_sandbox import Harness, Hooks, hooks, server, talk

__all__ = ["hooks", "server"]

PHONE = PhoneNumber("+14155552671")
SENDER = "&sender=%2B15005550001"
WHATSAPP = "&whatsapp_sender=%2B15005550001&content_sid=HX0000"
MESSAGES = [("sms", SENDER), ("sms", "&messaging_service=MG0000"), ("whatsapp", WHATSAPP)]
CHANNELS = ["sms", "voice", "whatsapp"]


def messages(server: SandboxServer, channel: str = "sms", options: str = SENDER, **more: str) -> Harness:
    return Harness(server, "twilio", "AC0000:TOKEN", channel, options, **more)


def verify(server: SandboxServer, channel: str = "sms", options: str = "", token: str = "TOKEN") -> Harness:
    return Harness(server, "twilio-verify", f"AC0000:{token}", channel, f"&service=VA0000{options}")


def wrong(right: str) -> str:
    return right[:-1] + ("1" if right[-1] != "1" else "2")


def until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.01)


ORDER = Order(PHONE, Channel.SMS, timedelta(minutes=5), "482193", "Your code is 482193")


def attempt(harness: Harness) -> ProviderError:
    """Return the error of an order."""
    with pytest.raises(ProviderError) as raised:
        talk(harness.driver.start(ORDER))
    return raised.value


@pytest.mark.parametrize(("channel", "options"), MESSAGES, ids=["number", "service", "whatsapp"])
def test_message_arrives_and_verifies(server: SandboxServer, channel: str, options: str) -> None:
    harness = messages(server, channel, options)
    harness.begin(PHONE)
    delivery = harness.verifier.delivery(harness.id)
    assert delivery is not None
    assert (delivery.state, delivery.price, delivery.currency) == (
        DeliveryState.DELIVERED,
        Decimal("0.00750"),
        "USD",
    )
    right = harness.code(PHONE)
    assert harness.verifier.check(harness.id, harness.secret, wrong(right)).reason is Reason.WRONG_CODE
    outcome = harness.verifier.check(harness.id, harness.secret, right)
    assert outcome.ok
    assert outcome.proof


@pytest.mark.parametrize(("channel", "options"), MESSAGES, ids=["number", "service", "whatsapp"])
@pytest.mark.parametrize("fault", [Fault(lose=True), Fault(refuse="30006")], ids=["lost", "refused"])
def test_message_that_fails_later_is_undelivered(
    server: SandboxServer, channel: str, options: str, fault: Fault
) -> None:
    server.sandbox.faults.put("twilio", None, fault)
    harness = messages(server, channel, options)
    harness.begin(PHONE)
    server.sandbox.faults.clear()
    delivery = harness.verifier.delivery(harness.id)
    assert delivery is not None
    assert delivery.state is DeliveryState.UNDELIVERED


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("queued", DeliveryState.OPEN),
        ("sending", DeliveryState.OPEN),
        ("sent", DeliveryState.OPEN),
        ("read", DeliveryState.DELIVERED),
        ("canceled", DeliveryState.UNDELIVERED),
        ("failed", DeliveryState.UNDELIVERED),
    ],
)
def test_every_status_of_a_message_is_read(server: SandboxServer, status: str, state: DeliveryState) -> None:
    server.sandbox.faults.put("twilio", None, Fault(variants={"status": status, "price": "absent"}))
    harness = messages(server)
    harness.begin(PHONE)
    delivery = harness.verifier.delivery(harness.id)
    assert delivery is not None
    assert (delivery.state, delivery.price) == (state, None)


@in_one_test
@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        ("21211", FailureKind.BAD_NUMBER),
        ("21610", FailureKind.BAD_NUMBER),
        ("21614", FailureKind.BAD_NUMBER),
        ("30005", FailureKind.BAD_NUMBER),
        ("30006", FailureKind.BAD_NUMBER),
        ("20003", FailureKind.CONFIGURATION),
        ("21408", FailureKind.CONFIGURATION),
        ("21606", FailureKind.CONFIGURATION),
        ("21659", FailureKind.CONFIGURATION),
        ("30002", FailureKind.BALANCE),
        ("20429", FailureKind.RATE),
        ("30001", FailureKind.TRANSIENT),
        ("30003", FailureKind.TRANSIENT),
        ("30008", FailureKind.TRANSIENT),
        ("30007", FailureKind.UNKNOWN),
    ],
)
def test_errors_of_messages_have_their_kind(server: SandboxServer, refusal: str, kind: FailureKind) -> None:
    server.sandbox.faults.put("twilio", None, Fault(refuse=refusal, variants={"failure": "immediate"}))
    assert attempt(messages(server)).trouble is kind


@pytest.mark.parametrize("credentials", ["AC0000:WRONG", "SK0000:WRONG"])
def test_wrong_credentials_of_messages_are_a_configuration_error(server: SandboxServer, credentials: str) -> None:
    options = SENDER + ("&account_id=AC0000" if credentials.startswith("SK") else "")
    harness = Harness(server, "twilio", credentials, "sms", options)
    assert attempt(harness).trouble is FailureKind.CONFIGURATION
    with pytest.raises(ProviderError):
        harness.account()


def test_balance_is_read(server: SandboxServer) -> None:
    assert messages(server).account() == ProviderAccount(Decimal("10.50"), "USD")


@pytest.mark.parametrize(
    ("credentials", "options"),
    [("AC0000:TOKEN", ""), ("SK0000:KEY-SECRET", f"&account_id=AC0000&webhook_token={SIGNING_KEY}")],
    ids=["token", "api_key"],
)
def test_signed_reports_are_received_in_any_order(
    server: SandboxServer, hooks: Hooks, caplog: pytest.LogCaptureFixture, credentials: str, options: str
) -> None:
    caplog.set_level(logging.INFO, "phone_verify")
    server.sandbox.faults.put("twilio", None, Fault(double=True, variants={"reports": "reversed"}))
    harness = Harness(server, "twilio", credentials, "sms", SENDER + options, public_url=hooks.url)
    hooks.site = harness.site
    harness.begin(PHONE)
    until(lambda: len(hooks.statuses) == 4)
    assert hooks.statuses == [200] * 4
    told = [each for each in caplog.messages if "reported the delivery status" in each]
    assert len(told) == 4
    assert told[0].endswith("delivered")
    outcome = harness.verifier.get(harness.id, harness.secret)
    assert outcome.verification is not None
    assert outcome.verification.status is Status.SENT


@pytest.mark.parametrize("forgery", ["wrong_key", "unsigned"])
def test_forged_report_is_rejected(server: SandboxServer, hooks: Hooks, forgery: Any) -> None:
    server.sandbox.faults.put("twilio", None, Fault(webhook_signature=forgery))
    harness = messages(server, public_url=hooks.url)
    hooks.site = harness.site
    harness.begin(PHONE)
    until(lambda: len(hooks.statuses) == 2)
    assert hooks.statuses == [403] * 2


@in_one_test
@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("options", ["", "&code_length=6&locale=fr", "&custom_code=on"])
@pytest.mark.parametrize("status", ["200", "201"])
def test_checked_code_arrives_and_verifies(server: SandboxServer, channel: str, options: str, status: str) -> None:
    server.sandbox.faults.put("twilio-verify", None, Fault(variants={"check_status": status}))
    harness = verify(server, channel, options)
    harness.begin(PHONE)
    right = harness.code(PHONE)
    assert harness.verifier.check(harness.id, harness.secret, wrong(right)).reason is Reason.WRONG_CODE
    outcome = harness.verifier.check(harness.id, harness.secret, right)
    assert outcome.ok
    assert outcome.proof


def test_resend_by_voice_has_the_same_code(server: SandboxServer) -> None:
    harness = verify(server)
    harness.begin(PHONE)
    old = harness.code(PHONE)
    assert harness.verifier.resend(harness.id, harness.secret).ok
    assert harness.code(PHONE) == old
    assert harness.verifier.check(harness.id, harness.secret, old).ok


@pytest.mark.parametrize("end", ["right", "cancelled"])
def test_verifications_with_our_code_are_closed(server: SandboxServer, end: str) -> None:
    """Six of them within ten minutes, each its own verification at Twilio."""
    harness = Harness(
        server, "twilio-verify", "AC0000:TOKEN", "sms", "&service=VA0000&custom_code=on", sends_per_hour="0"
    )
    references = set()
    for _ in range(6):
        record = harness.begin(PHONE).verification
        assert record is not None
        references.add(record.reference)
        if end == "right":
            assert harness.verifier.check(harness.id, harness.secret, harness.code(PHONE)).ok
        else:
            assert harness.verifier.cancel(harness.id, harness.secret).ok
    assert len(references) == 6


def test_sixth_send_is_refused_as_a_rate_limit(server: SandboxServer) -> None:
    harness = verify(server)
    for _ in range(5):
        talk(harness.driver.start(ORDER))
    assert attempt(harness).trouble is FailureKind.RATE


def test_too_many_checks_are_wrong_and_limit_the_next_start(server: SandboxServer) -> None:
    harness = verify(server)
    harness.begin(PHONE)
    right = harness.code(PHONE)
    assert isinstance(harness.driver, ChecksRemotely)
    for _ in range(5):
        assert talk(harness.driver.check(PHONE, wrong(right), None)) is False
    assert talk(harness.driver.check(PHONE, right, None)) is False
    assert attempt(harness).trouble is FailureKind.RATE


def test_code_of_another_verification_is_wrong(server: SandboxServer) -> None:
    harness = verify(server)
    harness.begin(PHONE)
    right = harness.code(PHONE)
    assert harness.verifier.check(harness.id, harness.secret, right).ok
    assert isinstance(harness.driver, ChecksRemotely)
    assert talk(harness.driver.check(PHONE, right, None)) is False


@in_one_test
@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        ("60200", FailureKind.BAD_NUMBER),
        ("60205", FailureKind.BAD_NUMBER),
        ("60413", FailureKind.BAD_NUMBER),
        ("60201", FailureKind.CONFIGURATION),
        ("60204", FailureKind.CONFIGURATION),
        ("60217", FailureKind.CONFIGURATION),
        ("60238", FailureKind.CONFIGURATION),
        ("60252", FailureKind.CONFIGURATION),
        ("60605", FailureKind.CONFIGURATION),
        ("20003", FailureKind.CONFIGURATION),
        ("20404", FailureKind.CONFIGURATION),
        ("60202", FailureKind.RATE),
        ("60203", FailureKind.RATE),
        ("60207", FailureKind.RATE),
        ("60212", FailureKind.RATE),
        ("60410", FailureKind.RATE),
        ("20429", FailureKind.RATE),
        ("20500", FailureKind.TRANSIENT),
        ("503", FailureKind.TRANSIENT),
    ],
)
@pytest.mark.parametrize("status", ["403", "400", "429"])
def test_errors_of_starts_have_their_kind(server: SandboxServer, refusal: str, kind: FailureKind, status: str) -> None:
    server.sandbox.faults.put("twilio-verify", None, Fault(refuse=refusal, variants={"block_status": status}))
    assert attempt(verify(server)).trouble is kind


def test_wrong_token_of_verify_is_a_configuration_error(server: SandboxServer) -> None:
    assert attempt(verify(server, token="WRONG")).trouble is FailureKind.CONFIGURATION


@pytest.mark.parametrize("name", ["twilio", "twilio-verify"])
@pytest.mark.parametrize("malformed", ["cut", "empty", "html", "types"])
def test_malformed_response_is_unclear(server: SandboxServer, name: str, malformed: str) -> None:
    server.sandbox.faults.put(name, None, Fault(malformed=malformed))
    harness = messages(server) if name == "twilio" else verify(server)
    with pytest.raises(UnclearError):
        talk(harness.driver.start(ORDER))
