"""SMSC's driver against the sandbox's implementation of its protocol, over real HTTP."""

from __future__ import annotations

import logging
from decimal import Decimal

import pytest

from phone_verify.errors import FailureKind, ProviderError
from phone_verify.model import Outcome, ProviderAccount, Reason, Status
from phone_verify.phone import PhoneNumber
from phone_verify.sandbox import Fault, SandboxServer
from tests.cases import in_one_test

from .test_against_sandbox import SECRET, Harness, Hooks, hooks, server

__all__ = ["hooks", "server"]

PHONE, STRANGER = map(PhoneNumber, ("+79000000000", "+79000000013"))
CODED = ["sms", "flash_call", "voice"]
TROUBLES = {
    "parameters": FailureKind.CONFIGURATION,
    "wrong_login": FailureKind.CONFIGURATION,
    "ip_not_allowed": FailureKind.CONFIGURATION,
    "no_money": FailureKind.BALANCE,
    "blocked": FailureKind.RATE,
    "bad_date": FailureKind.CONFIGURATION,
    "forbidden": FailureKind.CONFIGURATION,
    "bad_number": FailureKind.BAD_NUMBER,
    "undeliverable": FailureKind.BAD_NUMBER,
    "repeated": FailureKind.RATE,
    "too_many": FailureKind.RATE,
}
WAIT_TROUBLES = {
    "parameters": FailureKind.CONFIGURATION,
    "wrong_login": FailureKind.CONFIGURATION,
    "no_money": FailureKind.BALANCE,
    "blocked": FailureKind.RATE,
    "bad_wait_number": FailureKind.BAD_NUMBER,
    "no_attempts": FailureKind.RATE,
    "too_many": FailureKind.RATE,
}


def site(server: SandboxServer, channel: str = "sms", options: str = "", credentials: str = "LOGIN:PASS") -> Harness:
    return Harness(server, "smsc", credentials, channel, options)


def vary(server: SandboxServer, **variants: str) -> None:
    server.sandbox.faults.put("smsc", None, Fault(variants=variants))


def refused(harness: Harness, caplog: pytest.LogCaptureFixture) -> str:
    """Return the log of a start that fails."""
    assert not harness.verifier.start(PHONE).ok
    return caplog.text


def check(harness: Harness, code: str) -> Outcome:
    return harness.verifier.check(harness.id, harness.secret, code)


def status(harness: Harness) -> Status:
    outcome = harness.verifier.get(harness.id, harness.secret)
    assert outcome.verification is not None
    return outcome.verification.status


@pytest.mark.parametrize("credentials", ["LOGIN:PASS", "APIKEY"])
@pytest.mark.parametrize("channel", CODED)
def test_code_arrives_and_verifies(server: SandboxServer, channel: str, credentials: str) -> None:
    harness = site(server, channel, credentials=credentials)
    harness.begin(PHONE)
    assert [each.channel for each in server.sandbox.network.dispatches()] == [channel]
    code = harness.code(PHONE)
    assert check(harness, code[:-1] + ("1" if code[-1] != "1" else "2")).reason is Reason.WRONG_CODE
    outcome = check(harness, code)
    assert outcome.ok
    assert outcome.proof


def test_sender_is_shown(server: SandboxServer) -> None:
    site(server, options="&sender=Example").begin(PHONE)
    handset = server.sandbox.network.handset(PHONE.e164)
    assert handset is not None
    assert handset.messages[0].sender == "Example"


@pytest.mark.parametrize(
    ("variants", "options"),
    [
        ({"length": "6"}, "&code_length=6"),
        ({"digits": "leading_zero"}, ""),
        ({"digits": "leading_zero", "code": "number"}, ""),
        ({"code_call": "spoken"}, ""),
    ],
)
def test_every_form_of_the_code_call_is_read(server: SandboxServer, variants: dict[str, str], options: str) -> None:
    vary(server, **variants)
    harness = site(server, "flash_call", options)
    harness.begin(PHONE)
    assert check(harness, harness.code(PHONE)).ok


@in_one_test
@pytest.mark.parametrize(("name", "trouble"), TROUBLES.items(), ids=TROUBLES)
@pytest.mark.parametrize("channel", CODED)
def test_every_error_of_send_is_classified(
    server: SandboxServer, caplog: pytest.LogCaptureFixture, channel: str, name: str, trouble: FailureKind
) -> None:
    server.sandbox.faults.put("smsc", None, Fault(refuse=name))
    assert f"({trouble})" in refused(site(server, channel), caplog)


@pytest.mark.parametrize(("name", "trouble"), WAIT_TROUBLES.items(), ids=WAIT_TROUBLES)
def test_every_error_of_wait_call_is_classified(
    server: SandboxServer, caplog: pytest.LogCaptureFixture, name: str, trouble: FailureKind
) -> None:
    server.sandbox.faults.put("smsc", None, Fault(refuse=name))
    assert f"({trouble})" in refused(site(server, "inbound_call"), caplog)


@pytest.mark.parametrize("channel", [*CODED, "inbound_call"])
@pytest.mark.parametrize("credentials", ["WRONG", "LOGIN:WRONG", "LOGIN:INACTIVE"])
def test_wrong_credentials_are_a_configuration_error(
    server: SandboxServer, caplog: pytest.LogCaptureFixture, channel: str, credentials: str
) -> None:
    assert f"({FailureKind.CONFIGURATION})" in refused(site(server, channel, credentials=credentials), caplog)


def test_repeated_code_call_is_a_rate_limit(server: SandboxServer, caplog: pytest.LogCaptureFixture) -> None:
    vary(server, repeat="refused")
    harness = site(server, "flash_call")
    harness.begin(PHONE)
    assert not harness.verifier.resend(harness.id, harness.secret).ok
    assert f"({FailureKind.RATE})" in caplog.text


@pytest.mark.parametrize("query", ["", "?charset=utf-8"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_reported_call_verifies_the_phone(server: SandboxServer, hooks: Hooks, method: str, query: str) -> None:
    harness = site(server, "inbound_call")
    hooks.lead(harness.site, "smsc", server)
    server.sandbox.network.set_webhook("smsc", f"{hooks.url}/webhooks/smsc/{SECRET}{query}")
    vary(server, webhook=method)
    line = harness.line(PHONE)
    for caller, expected in ((STRANGER, Status.SENT), (PHONE, Status.VERIFIED)):
        server.sandbox.dial(caller.e164, line)
        assert status(harness) is expected
    assert hooks.statuses == [200, 200]


@pytest.mark.parametrize("query", ["?md5", "?fmt=3"])
def test_call_with_a_digest_or_as_json_verifies_nothing(server: SandboxServer, hooks: Hooks, query: str) -> None:
    harness = site(server, "inbound_call")
    hooks.lead(harness.site, "smsc", server)
    server.sandbox.network.set_webhook("smsc", f"{hooks.url}/webhooks/smsc/{SECRET}{query}")
    server.sandbox.dial(PHONE.e164, harness.line(PHONE))
    assert hooks.statuses == [200]
    assert status(harness) is Status.SENT


def test_hidden_caller_and_other_lines(server: SandboxServer, hooks: Hooks) -> None:
    harness = site(server, "inbound_call")
    hooks.lead(harness.site, "smsc", server)
    line = harness.line(PHONE)
    server.sandbox.dial(PHONE.e164, line, hidden=True)
    assert status(harness) is Status.SENT
    server.sandbox.dial(PHONE.e164, "+74950000001" if line != "+74950000001" else "+74950000002")
    assert status(harness) is Status.VERIFIED


def test_repeated_webhook_finds_no_other_claim_of_the_phone(server: SandboxServer, hooks: Hooks) -> None:
    harness = site(server, "inbound_call")
    hooks.lead(harness.site, "smsc", server)
    line = harness.line(PHONE)
    assert harness.verifier.start(PHONE).reason is Reason.CHANNEL_UNAVAILABLE, "its line is another one"
    server.sandbox.dial(PHONE.e164, line)
    assert status(harness) is Status.VERIFIED
    assert harness.verifier.start(PHONE).reason is Reason.CHANNEL_UNAVAILABLE
    assert harness.verifier.start(PHONE, shown=[harness.secret]).ok, "the browser that was verified"


@pytest.mark.parametrize("variant", ["one", "absent"])
def test_list_of_lines_is_not_needed(server: SandboxServer, variant: str) -> None:
    vary(server, all_phones=variant)
    assert site(server, "inbound_call").line(PHONE).startswith("+7495")


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("delivered", "delivered status 1"),
        ("read", "delivered status 2"),
        ("waiting", "open status -1"),
        ("expired", "undelivered status 3"),
        ("unreachable", "undelivered status 25"),
    ],
)
def test_delivery_report_is_received_and_verifies_nothing(
    server: SandboxServer, hooks: Hooks, caplog: pytest.LogCaptureFixture, method: str, state: str, said: str
) -> None:
    caplog.set_level(logging.INFO, "phone_verify")
    harness = site(server)
    hooks.lead(harness.site, "smsc", server)
    vary(server, status=state, webhook=method)
    harness.begin(PHONE)
    assert hooks.heard.wait(30)
    assert hooks.statuses == [200]
    assert f"smsc reported the delivery status of an order: {said}" in caplog.messages
    assert status(harness) is Status.SENT


@pytest.mark.parametrize("credentials", ["LOGIN:PASS", "APIKEY"])
def test_account_balance_is_read(server: SandboxServer, credentials: str) -> None:
    assert site(server, credentials=credentials).account() == ProviderAccount(Decimal("100.0"), "RUB")
    with pytest.raises(ProviderError) as raised:
        site(server, credentials="WRONG").account()
    assert raised.value.trouble is FailureKind.CONFIGURATION
