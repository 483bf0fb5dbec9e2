"""SMS.ru's driver against the sandbox's implementation of its protocol, over real HTTP."""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from phone_verify.errors import FailureKind, ProviderError, UnclearError
from phone_verify.model import Channel, DeliveryState, Order, ProviderAccount, Reason, Status
from phone_verify.phone import PhoneNumber
from phone_verify.sandbox import Fault, SandboxServer
from phone_verify.sandbox.protocols import PROVIDERS
from tests.cases import in_one_test

from .test_against_sandbox import Harness, Hooks, hooks, server, talk

__all__ = ["hooks", "server"]

PHONE, STRANGER = PhoneNumber("+79990000001"), PhoneNumber("+79990000002")
NAME = "sms-ru"

#: The errors of each kind, as the provider's table has them.
KINDS = {
    FailureKind.BAD_NUMBER: "105 106 107 108 150 202 207 209",
    FailureKind.CONFIGURATION: "200 203 204 205 208 210 211 212 213 300 301 302 901 902",
    FailureKind.BALANCE: "201 206",
    FailureKind.RATE: "230 231 232 233 303 304 305",
    FailureKind.TRANSIENT: "104 220 500",
}
ERRORS = [(code, kind) for kind, codes in KINDS.items() for code in codes.split()]


def site(server: SandboxServer, channel: str, options: str = "", credentials: str = "API-ID", **more: str) -> Harness:
    return Harness(server, NAME, credentials, channel, options, **more)


def failure(harness: Harness, channel: str) -> ProviderError:
    order = Order(PHONE, Channel(channel), timedelta(minutes=5), "482193", "Your code is 482193")
    with pytest.raises(ProviderError) as raised:
        talk(harness.driver.start(order))
    return raised.value


def wait_for(hooks: Hooks, count: int) -> None:
    end = time.monotonic() + 30
    while len(hooks.statuses) < count:
        assert time.monotonic() < end
        time.sleep(0.01)


@in_one_test
@pytest.mark.parametrize("credentials", ["API-ID", "me:PASSWORD"])
@pytest.mark.parametrize(
    ("channel", "variants", "options"),
    [
        ("sms", {}, ""),
        ("sms", {"status": "flat"}, "&sender=MySite"),
        ("flash_call", {}, ""),
        ("flash_call", {"digits": "leading_zero"}, ""),
        ("flash_call", {"digits": "leading_zero", "code": "number"}, ""),
    ],
)
def test_code_arrives_and_verifies(
    server: SandboxServer, channel: str, variants: dict[str, str], options: str, credentials: str
) -> None:
    server.sandbox.faults.put(NAME, None, Fault(variants=variants))
    harness = site(server, channel, options, credentials)
    harness.begin(PHONE)
    report = harness.verifier.delivery(harness.id)
    if channel == "sms":
        assert report is not None
        assert (report.state, report.price, report.currency) == (DeliveryState.DELIVERED, Decimal("3.50"), "RUB")
    else:
        assert report is None
    code = harness.code(PHONE)
    wrong = code[:-1] + ("1" if code[-1] != "1" else "2")
    assert harness.verifier.check(harness.id, harness.secret, wrong).reason is Reason.WRONG_CODE
    outcome = harness.verifier.check(harness.id, harness.secret, code)
    assert outcome.ok
    assert outcome.proof


@in_one_test
@pytest.mark.parametrize("lost", ["104", "105", "106", "107", "108", "150"])
@pytest.mark.parametrize("form", ["nested", "flat"])
def test_lost_message_is_undelivered(server: SandboxServer, lost: str, form: str) -> None:
    server.sandbox.faults.put(NAME, None, Fault(lose=True, variants={"lost": lost, "status": form}))
    harness = site(server, "sms")
    harness.begin(PHONE)
    report = harness.verifier.delivery(harness.id)
    assert report is not None
    assert report.state is DeliveryState.UNDELIVERED


@pytest.mark.parametrize("status", ["100", "101", "102"])
def test_message_on_its_way_is_open(server: SandboxServer, status: str) -> None:
    server.sandbox.faults.put(NAME, None, Fault(variants={"delivered": status}))
    harness = site(server, "sms")
    harness.begin(PHONE)
    report = harness.verifier.delivery(harness.id)
    assert report is not None
    assert report.state is DeliveryState.OPEN


def test_table_has_every_error_of_an_order() -> None:
    assert {code for code, _ in ERRORS} == set(PROVIDERS[NAME].refusals) - {"-1"}


@in_one_test
@pytest.mark.parametrize("channel", ["sms", "flash_call", "inbound_call"])
@pytest.mark.parametrize(("code", "kind"), ERRORS)
def test_every_error_has_its_kind(server: SandboxServer, channel: str, code: str, kind: FailureKind) -> None:
    server.sandbox.faults.put(NAME, None, Fault(refuse=code))
    assert failure(site(server, channel), channel).trouble is kind
    assert server.sandbox.network.dispatches() == ()


def test_error_inside_and_outside_are_the_same(server: SandboxServer) -> None:
    for level in ("number", "outer"):
        server.sandbox.faults.put(NAME, None, Fault(refuse="209", variants={"level": level}))
        assert failure(site(server, "sms"), "sms").trouble is FailureKind.BAD_NUMBER


@in_one_test
@pytest.mark.parametrize(
    ("credentials", "kind"),
    [
        ("WRONG", FailureKind.CONFIGURATION),
        ("me:WRONG", FailureKind.CONFIGURATION),
        ("INACTIVE", FailureKind.CONFIGURATION),
        ("NO-CREDIT", FailureKind.BALANCE),
    ],
)
@pytest.mark.parametrize("channel", ["sms", "flash_call", "inbound_call"])
def test_refused_account_has_its_kind(server: SandboxServer, channel: str, credentials: str, kind: FailureKind) -> None:
    assert failure(site(server, channel, "", credentials), channel).trouble is kind


@in_one_test
@pytest.mark.parametrize("how", ["cut", "empty", "html", "types"])
@pytest.mark.parametrize("channel", ["sms", "flash_call", "inbound_call"])
def test_malformed_response_is_unclear(server: SandboxServer, channel: str, how: str) -> None:
    server.sandbox.faults.put(NAME, None, Fault(malformed=how))
    with pytest.raises(UnclearError):
        talk(site(server, channel).driver.start(Order(PHONE, Channel(channel), timedelta(minutes=5), "4821", "4821")))


@pytest.mark.parametrize("form", ["number", "string"])
def test_balance_is_read(server: SandboxServer, form: str) -> None:
    server.sandbox.faults.put(NAME, None, Fault(variants={"balance": form}))
    assert site(server, "sms").account() == ProviderAccount(Decimal("4122.56"), "RUB")


@pytest.mark.parametrize("form", ["string", "number"])
def test_polled_call_verifies_the_phone(server: SandboxServer, form: str) -> None:
    server.sandbox.faults.put(NAME, None, Fault(variants={"check_status": form}))
    harness = site(server, "inbound_call")
    line = harness.line(PHONE)
    for caller, hidden, status in (
        (STRANGER, False, Status.SENT),
        (PHONE, True, Status.SENT),
        (PHONE, False, Status.VERIFIED),
    ):
        server.sandbox.dial(caller.e164, line, hidden=hidden)
        harness.clock.move(5)
        outcome = harness.verifier.poll(harness.id, harness.secret)
        assert outcome.verification is not None
        assert outcome.verification.status is status
    assert outcome.proof


def test_reported_call_settles_its_verification(server: SandboxServer, hooks: Hooks) -> None:
    harness = site(server, "inbound_call", public_url=hooks.url)
    hooks.lead(harness.site, NAME, server)
    line = harness.line(PHONE)
    server.sandbox.dial(STRANGER.e164, line)
    assert hooks.statuses == []
    server.sandbox.dial(PHONE.e164, line)
    assert hooks.statuses == [200]
    outcome = harness.verifier.get(harness.id, harness.secret)
    assert outcome.verification is not None
    assert outcome.verification.status is Status.VERIFIED
    assert outcome.proof


@pytest.mark.parametrize("callback", ["single", "batch"])
def test_signed_report_is_acknowledged_and_not_repeated(
    server: SandboxServer, hooks: Hooks, caplog: pytest.LogCaptureFixture, callback: str
) -> None:
    caplog.set_level(logging.INFO, "phone_verify")
    server.sandbox.faults.put(NAME, None, Fault(variants={"callback": callback}))
    harness = site(server, "sms", public_url=hooks.url)
    hooks.lead(harness.site, NAME, server)
    harness.begin(PHONE)
    wait_for(hooks, 1)
    time.sleep(1.2)
    assert hooks.statuses == [200]
    logged = [text for text in caplog.messages if "reported the delivery status" in text]
    assert len(logged) == (2 if callback == "batch" else 1)


@pytest.mark.parametrize("forgery", ["wrong_key", "unsigned"])
def test_forged_report_is_rejected_and_repeated(server: SandboxServer, hooks: Hooks, forgery: Any) -> None:
    server.sandbox.faults.put(NAME, None, Fault(webhook_signature=forgery))
    harness = site(server, "sms", public_url=hooks.url)
    hooks.lead(harness.site, NAME, server)
    harness.begin(PHONE)
    wait_for(hooks, 2)
    assert set(hooks.statuses) == {403}


def test_report_to_an_account_with_a_password_is_rejected(server: SandboxServer, hooks: Hooks) -> None:
    harness = site(server, "sms", "", "me:PASSWORD", public_url=hooks.url)
    hooks.lead(harness.site, NAME, server)
    harness.begin(PHONE)
    wait_for(hooks, 1)
    assert hooks.statuses[0] == 403
