"""Sinch's driver against the sandbox's implementation of its protocol, over real HTTP."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from phone_verify.errors import FailureKind
from phone_verify.model import DeliveryState, Reason, Status
from phone_verify.phone import PhoneNumber
from phone_verify.sandbox import Fault, SandboxServer
from phone_verify.sandbox.protocols.sinch_signatures import SECRET
from tests.cases import in_one_test

from .test_against_sandbox import Harness, Hooks, hooks, server

__all__ = ["hooks", "server"]

PHONE = PhoneNumber("+989120000000")
CREDENTIALS = "KEY:" + SECRET.replace("=", "%3D")
CHANNELS = ["sms", "voice", "whatsapp", "flash_call"]
CALLER = "&caller=%2B1815654xxxx"


def site(server: SandboxServer, channel: str = "sms", options: str = CALLER, **settings: str) -> Harness:
    return Harness(server, "sinch", CREDENTIALS, channel, options, **settings)


def hooked(server: SandboxServer, hooks: Hooks, **more: str) -> Harness:
    """Return a site whose webhooks are set in the account."""
    harness = site(server, public_url=hooks.url, **more)
    hooks.lead(harness.site, "sinch", server)
    return harness


def wrong(right: str) -> str:
    return right[:-1] + ("1" if right[-1] != "1" else "2")


@in_one_test
@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("options", [CALLER, f"{CALLER}&auth=basic", f"{CALLER}&code_length=4&locale=en-US"])
def test_code_arrives_and_verifies(server: SandboxServer, channel: str, options: str) -> None:
    harness = site(server, channel, options)
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
    delivery = harness.verifier.delivery(harness.id)
    assert delivery is not None
    assert delivery.state is DeliveryState.DELIVERED
    assert (str(delivery.price), delivery.currency) == ("0.0254", "USD")


@pytest.mark.parametrize(
    ("options", "cli", "typed"),
    [("&caller=%2B1815654xxxx", "full", slice(-4, None)), ("&caller=xxxx", "last_digits", slice(-4, None)),
     ("&caller=number", "full", slice(1, None))],
)  # fmt: skip
def test_flash_call_is_verified_by_what_the_user_types(
    server: SandboxServer, options: str, cli: str, typed: slice
) -> None:
    server.sandbox.faults.put("sinch", None, Fault(variants={"cli": cli}))
    harness = site(server, "flash_call", options)
    outcome = harness.begin(PHONE)
    handset = server.sandbox.network.handset(PHONE.e164)
    assert handset is not None
    assert outcome.verification is not None
    number = handset.calls[0].number
    assert harness.verifier.check(harness.id, harness.secret, number[typed]).ok


def test_resend_replaces_the_code(server: SandboxServer) -> None:
    harness = site(server)
    harness.begin(PHONE)
    old = harness.code(PHONE)
    assert harness.verifier.resend(harness.id, harness.secret).ok
    new = harness.code(PHONE)
    if old != new:
        assert harness.verifier.check(harness.id, harness.secret, old).reason is Reason.WRONG_CODE
    assert harness.verifier.check(harness.id, harness.secret, new).ok


@pytest.mark.parametrize("variants", [{"wrong_code": "error"}, {"wrong_code": "fail"}])
def test_wrong_code_is_a_wrong_code_in_either_form(server: SandboxServer, variants: dict[str, str]) -> None:
    server.sandbox.faults.put("sinch", None, Fault(variants=variants))
    harness = site(server)
    harness.begin(PHONE)
    outcome = harness.verifier.check(harness.id, harness.secret, wrong(harness.code(PHONE)))
    assert outcome.reason is Reason.WRONG_CODE


@pytest.mark.parametrize("result", ["expired", "failed_pending", "hung_up", "blocked", "fraud"])
def test_ended_verification_is_a_wrong_code(server: SandboxServer, result: str) -> None:
    harness = site(server)
    harness.begin(PHONE)
    server.sandbox.faults.put("sinch", None, Fault(variants={"result": result}))
    outcome = harness.verifier.check(harness.id, harness.secret, harness.code(PHONE))
    assert outcome.reason is Reason.WRONG_CODE


@pytest.mark.parametrize(
    ("result", "state"),
    [("expired", DeliveryState.OPEN), ("sms_failure", DeliveryState.UNDELIVERED),
     ("unreachable", DeliveryState.UNDELIVERED), ("destination_denied", DeliveryState.UNDELIVERED),
     ("fraud", DeliveryState.UNDELIVERED), ("no_credit", DeliveryState.UNDELIVERED),
     ("hung_up", DeliveryState.OPEN)],
)  # fmt: skip
def test_reasons_are_delivery_states(server: SandboxServer, result: str, state: DeliveryState) -> None:
    harness = site(server)
    harness.begin(PHONE)
    server.sandbox.faults.put("sinch", None, Fault(variants={"result": result}))
    delivery = harness.verifier.delivery(harness.id)
    assert delivery is not None
    assert delivery.state is state


@pytest.mark.parametrize(
    ("refuse", "kind"),
    [
        ("bad_parameter", FailureKind.BAD_NUMBER),
        ("blacklisted", FailureKind.BAD_NUMBER),
        ("bad_signature", FailureKind.CONFIGURATION),
        ("bad_timestamp", FailureKind.CONFIGURATION),
        ("restricted", FailureKind.CONFIGURATION),
        ("not_enabled", FailureKind.CONFIGURATION),
        ("no_credit", FailureKind.BALANCE),
        ("too_soon", FailureKind.RATE),
        ("capacity", FailureKind.RATE),
        ("overloaded", FailureKind.TRANSIENT),
        ("no_route", FailureKind.UNKNOWN),
    ],
)
def test_errors_are_read(
    server: SandboxServer, caplog: pytest.LogCaptureFixture, refuse: str, kind: FailureKind
) -> None:
    caplog.set_level(logging.INFO, "phone_verify")
    server.sandbox.faults.put("sinch", None, Fault(refuse=refuse, variants={"retry_after": "present"}))
    outcome = site(server).verifier.start(PHONE)
    assert outcome.reason is Reason.DELIVERY_FAILED
    assert f"({kind})" in caplog.text


def test_unclear_start_is_checked_by_our_key(server: SandboxServer) -> None:
    server.sandbox.faults.put("sinch", None, Fault(malformed="empty", times=1))
    harness = site(server)
    harness.begin(PHONE)
    assert harness.verifier.check(harness.id, harness.secret, harness.code(PHONE)).ok
    asked = [(entry.method, entry.path.split("/")[4]) for entry in journal(server) if entry.path.count("/") > 3]
    assert asked == [("PUT", "id"), ("GET", "reference")]
    delivery = harness.verifier.delivery(harness.id)
    assert delivery is not None
    assert delivery.state is DeliveryState.DELIVERED


def test_start_that_times_out_is_checked_by_our_key(server: SandboxServer) -> None:
    server.sandbox.faults.put("sinch", None, Fault(delay=1.5, times=1))
    harness = site(server, "flash_call", f"{CALLER}&timeout=1")
    harness.begin(PHONE)
    right = harness.code(PHONE)
    assert harness.verifier.check(harness.id, harness.secret, wrong(right)).reason is Reason.WRONG_CODE
    assert harness.verifier.check(harness.id, harness.secret, right).ok


@pytest.mark.parametrize("again", ["not_found", "status", "status_for_any_code"])
def test_unclear_start_does_not_profit_from_another_verification(server: SandboxServer, again: str) -> None:
    """The number's newest verification is another visitor's, which succeeded."""
    server.sandbox.faults.put("sinch", None, Fault(malformed="empty", times=1))
    unclear, other = site(server), site(server)
    unclear.begin(PHONE)
    other.begin(PHONE)
    right = other.code(PHONE)
    assert other.verifier.check(other.id, other.secret, right).ok
    server.sandbox.faults.put("sinch", None, Fault(variants={"verified_again": again}))
    for given in (wrong(right), right):
        assert unclear.verifier.check(unclear.id, unclear.secret, given).reason is Reason.WRONG_CODE


@pytest.mark.parametrize("refuse", ["unavailable", "capacity", "bad_signature"])
def test_check_that_fails_at_the_provider_can_be_repeated(server: SandboxServer, refuse: str) -> None:
    harness = site(server)
    harness.begin(PHONE)
    server.sandbox.faults.put("sinch", None, Fault(refuse=refuse, times=1))
    outcome = harness.verifier.check(harness.id, harness.secret, harness.code(PHONE))
    assert outcome.reason is Reason.PROVIDER_UNAVAILABLE
    assert harness.verifier.check(harness.id, harness.secret, harness.code(PHONE)).ok


def journal(server: SandboxServer) -> Any:
    return server.sandbox.journal.newest_first()


def test_site_allows_its_own_orders(server: SandboxServer, hooks: Hooks) -> None:
    harness = hooked(server, hooks)
    harness.begin(PHONE)
    assert harness.verifier.check(harness.id, harness.secret, harness.code(PHONE)).ok
    hooks.wait_for(3)  # the question, the delivery and the result
    assert hooks.statuses == [200, 200, 200]


def test_orders_of_others_are_denied(server: SandboxServer, hooks: Hooks) -> None:
    hooked(server, hooks)
    stranger = site(server, public_url=hooks.url)
    assert stranger.verifier.start(PHONE).reason is Reason.DELIVERY_FAILED
    assert hooks.statuses == [200]
    assert server.sandbox.network.handsets() == ()


@pytest.mark.parametrize("time", ["z", "offset"])
def test_either_time_of_a_webhook_is_accepted(server: SandboxServer, hooks: Hooks, time: str) -> None:
    server.sandbox.faults.put("sinch", None, Fault(variants={"webhook_time": time}))
    hooked(server, hooks).begin(PHONE)
    assert set(hooks.statuses) == {200}


@pytest.mark.parametrize("forgery", ["wrong_key", "stale", "unsigned"])
def test_forged_question_is_rejected(server: SandboxServer, hooks: Hooks, forgery: Any) -> None:
    server.sandbox.faults.put("sinch", None, Fault(webhook_signature=forgery))
    harness = hooked(server, hooks)
    assert harness.verifier.start(PHONE).reason is Reason.DELIVERY_FAILED
    assert hooks.statuses == [403]
    assert server.sandbox.network.handsets() == ()


@pytest.mark.parametrize(("lose", "told"), [(False, "delivered Successful"), (True, "undelivered Failed")])
def test_sms_result_is_logged(
    server: SandboxServer, hooks: Hooks, caplog: pytest.LogCaptureFixture, lose: bool, told: str
) -> None:
    caplog.set_level(logging.INFO, "phone_verify")
    server.sandbox.faults.put("sinch", None, Fault(lose=lose))
    harness = hooked(server, hooks)
    harness.begin(PHONE)
    hooks.wait_for(2)
    assert any(told in message for message in caplog.messages), caplog.messages
    outcome = harness.verifier.get(harness.id, harness.secret)
    assert outcome.verification is not None
    assert outcome.verification.status is Status.SENT


@in_one_test
@pytest.mark.parametrize("malformed", ["cut", "empty", "html", "types"])
@pytest.mark.parametrize("channel", CHANNELS)
def test_malformed_responses_are_unclear(server: SandboxServer, channel: str, malformed: str) -> None:
    server.sandbox.faults.put("sinch", None, Fault(malformed=malformed, times=1))
    harness = site(server, channel)
    harness.begin(PHONE)
    right = harness.code(PHONE)
    server.sandbox.faults.put("sinch", None, Fault(malformed=malformed, times=1))
    outcome = harness.verifier.check(harness.id, harness.secret, wrong(right))
    assert outcome.reason in (Reason.PROVIDER_UNAVAILABLE, Reason.WRONG_CODE)
    assert harness.verifier.check(harness.id, harness.secret, right).ok
    server.sandbox.faults.put("sinch", None, Fault(malformed=malformed))
    assert harness.verifier.delivery(harness.id) is None


@pytest.mark.parametrize(("again", "reason"), [("status", None), ("not_found", Reason.WRONG_CODE)])
def test_lost_verdict_is_repeated_if_the_provider_repeats_it(
    server: SandboxServer, again: str, reason: Reason | None
) -> None:
    harness = site(server)
    harness.begin(PHONE)
    right = harness.code(PHONE)
    server.sandbox.faults.put("sinch", None, Fault(malformed="empty", times=1))
    assert harness.verifier.check(harness.id, harness.secret, right).reason is Reason.PROVIDER_UNAVAILABLE
    server.sandbox.faults.put("sinch", None, Fault(variants={"verified_again": again}))
    assert harness.verifier.check(harness.id, harness.secret, right).reason is reason
