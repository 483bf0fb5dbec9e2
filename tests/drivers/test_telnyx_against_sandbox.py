"""Telnyx's driver against the sandbox's implementation of its protocol, over real HTTP."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import pytest

from phone_verify.errors import FailureKind, ProviderError
from phone_verify.model import DeliveryState, ProviderAccount, Reason
from phone_verify.phone import PhoneNumber
from phone_verify.sandbox import Fault, SandboxServer
from phone_verify.sandbox.protocols.telnyx import PUBLIC_KEY
from tests.cases import in_one_test

from .test_against_sandbox import Harness, Hooks, hooks, server

__all__ = ["hooks", "server"]

PHONE = PhoneNumber("+989120000000")
PROFILE = "12ade33a-0000-473b-b055-b3c836e1c292"
KEY = f"&public_key={quote(PUBLIC_KEY, safe='')}"
CHANNELS = ["sms", "voice", "whatsapp", "flash_call"]


def site(server: SandboxServer, channel: str = "sms", options: str = "", key: str = "KEY", **settings: str) -> Harness:
    return Harness(server, "telnyx", key, channel, f"&profile={PROFILE}{options}", **settings)


def hooked(server: SandboxServer, hooks: Hooks, options: str = KEY) -> Harness:
    """Return a site whose webhooks are set in the verify profile."""
    harness = site(server, options=options, public_url=hooks.url)
    hooks.lead(harness.site, "telnyx", server)
    return harness


def wrong(right: str) -> str:
    return right[:-1] + ("1" if right[-1] != "1" else "2")


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("digits", ["random", "leading_zero"])
def test_code_arrives_and_verifies(server: SandboxServer, channel: str, digits: str) -> None:
    server.sandbox.faults.put("telnyx", None, Fault(variants={"digits": digits}))
    harness = site(server, channel, "&flash_digits=4&whatsapp_digits=5")
    harness.begin(PHONE)
    delivery = harness.verifier.delivery(harness.id)
    assert delivery is not None
    assert delivery.state is DeliveryState.OPEN
    right = harness.code(PHONE)
    outcome = harness.verifier.check(harness.id, harness.secret, wrong(right))
    assert outcome.reason is Reason.WRONG_CODE
    outcome = harness.verifier.check(harness.id, harness.secret, right)
    assert outcome.ok
    assert outcome.proof


@pytest.mark.parametrize("channel", ["whatsapp", "flash_call"])
def test_remote_code_is_delivered_once_it_is_accepted(server: SandboxServer, channel: str) -> None:
    harness = site(server, channel)
    harness.begin(PHONE)
    assert harness.verifier.check(harness.id, harness.secret, harness.code(PHONE)).ok
    delivery = harness.verifier.delivery(harness.id)
    assert delivery is not None
    assert delivery.state is DeliveryState.DELIVERED


def test_resend_replaces_the_code(server: SandboxServer) -> None:
    harness = site(server, "whatsapp")
    harness.begin(PHONE)
    old = harness.code(PHONE)
    assert harness.verifier.resend(harness.id, harness.secret).ok
    new = harness.code(PHONE)
    if old != new:
        assert harness.verifier.check(harness.id, harness.secret, old).reason is Reason.WRONG_CODE
    assert harness.verifier.check(harness.id, harness.secret, new).ok


def test_unclear_start_is_checked_by_number(server: SandboxServer) -> None:
    server.sandbox.faults.put("telnyx", None, Fault(malformed="empty", times=1))
    harness = site(server, "whatsapp")
    harness.begin(PHONE)
    assert harness.verifier.check(harness.id, harness.secret, harness.code(PHONE)).ok
    assert "/v2/verifications/by_phone_number/" in server.sandbox.journal.newest_first()[0].path


def test_unknown_verification_is_a_wrong_code(server: SandboxServer) -> None:
    harness = site(server, "whatsapp")
    harness.begin(PHONE)
    right = harness.code(PHONE)
    server.sandbox.network.clear()
    assert harness.verifier.check(harness.id, harness.secret, right).reason is Reason.WRONG_CODE


@pytest.mark.parametrize(
    ("refuse", "kind"),
    [
        ("invalid_number", FailureKind.BAD_NUMBER),
        ("not_e164", FailureKind.BAD_NUMBER),
        ("missing_parameter", FailureKind.CONFIGURATION),
        ("not_found", FailureKind.CONFIGURATION),
        ("unauthenticated", FailureKind.CONFIGURATION),
        ("unauthorized", FailureKind.CONFIGURATION),
        ("bad_request", FailureKind.CONFIGURATION),
        ("no_credit", FailureKind.BALANCE),
        ("too_many", FailureKind.RATE),
    ],
)
@pytest.mark.parametrize("status", ["422", "400"])
def test_errors_are_read(
    server: SandboxServer, caplog: pytest.LogCaptureFixture, refuse: str, kind: FailureKind, status: str
) -> None:
    caplog.set_level(logging.INFO, "phone_verify")
    server.sandbox.faults.put("telnyx", None, Fault(refuse=refuse, variants={"invalid": status}))
    outcome = site(server).verifier.start(PHONE)
    assert outcome.reason is Reason.DELIVERY_FAILED
    assert f"({kind})" in caplog.text
    assert server.sandbox.network.handsets() == ()


def test_balance_is_read(server: SandboxServer) -> None:
    assert site(server).account() == ProviderAccount(Decimal("50.00"), "USD")
    with pytest.raises(ProviderError) as raised:
        site(server, key="WRONG").account()
    assert raised.value.trouble is FailureKind.CONFIGURATION


@pytest.mark.parametrize(
    ("lose", "failure", "told"),
    [
        (False, "delivery_failed", "delivered delivered"),
        (True, "delivery_failed", "undelivered delivery_failed"),
        (True, "sending_failed", "undelivered sending_failed"),
        (True, "delivery_unconfirmed", "open delivery_unconfirmed"),
    ],
)
@pytest.mark.parametrize("order", ["in_order", "out_of_order"])
def test_signed_delivery_report_is_received(
    server: SandboxServer,
    hooks: Hooks,
    caplog: pytest.LogCaptureFixture,
    lose: bool,
    failure: str,
    told: str,
    order: str,
) -> None:
    caplog.set_level(logging.INFO, "phone_verify")
    variants = {"failure": failure, "webhooks": order}
    server.sandbox.faults.put("telnyx", None, Fault(lose=lose, variants=variants))
    hooked(server, hooks).begin(PHONE)
    hooks.wait_for(2)
    assert hooks.statuses == [200, 200]
    assert any(told in message for message in caplog.messages), caplog.messages


@pytest.mark.parametrize("forgery", ["wrong_key", "stale", "unsigned"])
def test_forged_report_is_rejected(server: SandboxServer, hooks: Hooks, forgery: Any) -> None:
    server.sandbox.faults.put("telnyx", None, Fault(webhook_signature=forgery))
    hooked(server, hooks).begin(PHONE)
    hooks.wait_for(2)
    assert hooks.statuses == [403, 403]


def test_report_is_rejected_without_the_public_key(server: SandboxServer, hooks: Hooks) -> None:
    hooked(server, hooks, "").begin(PHONE)
    hooks.wait_for(2)
    assert hooks.statuses == [403, 403]


@in_one_test
@pytest.mark.parametrize("malformed", ["cut", "empty", "html", "types"])
@pytest.mark.parametrize("channel", CHANNELS)
def test_malformed_responses_are_unclear(server: SandboxServer, channel: str, malformed: str) -> None:
    server.sandbox.faults.put("telnyx", None, Fault(malformed=malformed, times=1))
    harness = site(server, channel)
    harness.begin(PHONE)
    right = harness.code(PHONE)
    server.sandbox.faults.put("telnyx", None, Fault(malformed=malformed, times=1))
    outcome = harness.verifier.check(harness.id, harness.secret, wrong(right))
    assert outcome.reason in (Reason.PROVIDER_UNAVAILABLE, Reason.WRONG_CODE)
    assert harness.verifier.check(harness.id, harness.secret, right).ok
    server.sandbox.faults.put("telnyx", None, Fault(malformed=malformed))
    assert harness.verifier.delivery(harness.id) is None
