"""uCaller's driver against the sandbox's implementation of its protocol, over real HTTP."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

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
NAME = "ucaller"
HOOK = "http://127.0.0.1:1/phone/webhooks/ucaller/SECRET"

#: The errors of each kind, as the provider's table has them; a free repeat is not used.
KINDS = {
    FailureKind.BAD_NUMBER: "3 9 20",
    FailureKind.CONFIGURATION: "0 1 2 4 10 401 405 1001 1003 1004 1005",
    FailureKind.BALANCE: "1002",
    FailureKind.RATE: "18 19 429",
    FailureKind.TRANSIENT: "5 500",
    FailureKind.UNKNOWN: "11 12 13",
}
ERRORS = [(code, kind) for kind, codes in KINDS.items() for code in codes.split()]


def site(server: SandboxServer, channel: str, credentials: str = "SECRET:1", **more: str) -> Harness:
    return Harness(server, NAME, credentials, channel, **more)


def order(channel: str, key: str = "") -> Order:
    return Order(PHONE, Channel(channel), timedelta(minutes=5), "0482", webhook_url=HOOK, key=key)


def failure(harness: Harness, channel: str) -> ProviderError:
    with pytest.raises(ProviderError) as raised:
        talk(harness.driver.start(order(channel)))
    return raised.value


def test_call_arrives_and_verifies(server: SandboxServer) -> None:
    harness = site(server, "flash_call")
    harness.begin(PHONE)
    report = harness.verifier.delivery(harness.id)
    assert report is not None
    assert (report.state, report.price, report.currency) == (DeliveryState.DELIVERED, Decimal("0.3"), "RUB")
    code = harness.code(PHONE)
    wrong = code[:-1] + ("1" if code[-1] != "1" else "2")
    assert harness.verifier.check(harness.id, harness.secret, wrong).reason is Reason.WRONG_CODE
    outcome = harness.verifier.check(harness.id, harness.secret, code)
    assert outcome.ok
    assert outcome.proof


@pytest.mark.parametrize(
    ("fault", "state"),
    [
        (Fault(lose=True), DeliveryState.UNDELIVERED),
        (Fault(variants={"call_status": "under_way"}), DeliveryState.OPEN),
    ],
)
def test_call_that_was_not_placed_is_reported(server: SandboxServer, fault: Fault, state: DeliveryState) -> None:
    server.sandbox.faults.put(NAME, None, fault)
    harness = site(server, "flash_call")
    harness.begin(PHONE)
    report = harness.verifier.delivery(harness.id)
    assert report is not None
    assert report.state is state


def test_code_that_is_a_number_is_padded(server: SandboxServer) -> None:
    server.sandbox.faults.put(NAME, None, Fault(variants={"code": "number"}))
    assert talk(site(server, "flash_call").driver.start(order("flash_call"))).reference


def test_another_code_is_the_one_to_type(server: SandboxServer) -> None:
    server.sandbox.faults.put(NAME, None, Fault(variants={"code": "replaced"}))
    receipt = talk(site(server, "flash_call").driver.start(order("flash_call")))
    [call] = server.sandbox.network.dispatches()
    assert receipt.code == call.code


def test_repeated_order_places_no_second_call(server: SandboxServer) -> None:
    driver = site(server, "flash_call").driver
    receipts = [talk(driver.start(order("flash_call", "send-1"))) for _ in range(2)]
    assert receipts[0] == receipts[1]
    assert len(server.sandbox.network.dispatches()) == 1
    talk(driver.start(replace(order("flash_call"), key="send-2")))
    assert len(server.sandbox.network.dispatches()) == 2


def test_each_send_has_its_own_key(server: SandboxServer) -> None:
    harness = site(server, "flash_call")
    harness.begin(PHONE)
    assert harness.verifier.resend(harness.id, harness.secret).ok
    assert len(server.sandbox.network.dispatches()) == 2


def test_limits_of_a_number_are_a_rate(server: SandboxServer) -> None:
    server.sandbox.faults.put(NAME, None, Fault(variants={"limits": "on"}))
    harness = site(server, "flash_call")
    talk(harness.driver.start(order("flash_call")))
    error = failure(harness, "flash_call")
    assert (error.trouble, "19" in error.detail) == (FailureKind.RATE, True)


def test_table_has_every_error() -> None:
    assert {code for code, _ in ERRORS} == set(PROVIDERS[NAME].refusals)


@in_one_test
@pytest.mark.parametrize("errors", ["200", "http"])
@pytest.mark.parametrize("channel", ["flash_call", "inbound_call"])
@pytest.mark.parametrize(("code", "kind"), ERRORS)
def test_every_error_has_its_kind(
    server: SandboxServer, channel: str, code: str, kind: FailureKind, errors: str
) -> None:
    server.sandbox.faults.put(NAME, None, Fault(refuse=code, variants={"errors": errors}))
    assert failure(site(server, channel), channel).trouble is kind
    assert server.sandbox.network.dispatches() == ()


@pytest.mark.parametrize(
    ("credentials", "kind"),
    [
        ("WRONG:1", FailureKind.CONFIGURATION),
        ("SECRET:WRONG", FailureKind.CONFIGURATION),
        ("NO-CREDIT:1", FailureKind.BALANCE),
    ],
)
def test_refused_account_has_its_kind(server: SandboxServer, credentials: str, kind: FailureKind) -> None:
    harness = site(server, "flash_call", credentials)
    assert failure(harness, "flash_call").trouble is kind
    with pytest.raises(ProviderError) as raised:
        harness.account()
    assert raised.value.trouble is kind


def test_balance_is_read(server: SandboxServer) -> None:
    assert site(server, "flash_call").account() == ProviderAccount(Decimal("84.6"), "RUB")


@pytest.mark.parametrize("how", ["cut", "empty", "html", "types"])
@pytest.mark.parametrize("channel", ["flash_call", "inbound_call"])
def test_malformed_response_is_unclear(server: SandboxServer, channel: str, how: str) -> None:
    server.sandbox.faults.put(NAME, None, Fault(malformed=how))
    with pytest.raises(UnclearError):
        talk(site(server, channel).driver.start(order(channel)))


@pytest.mark.parametrize("form", ["usual", "plus", "text_id"])
def test_reported_call_verifies_the_phone(server: SandboxServer, hooks: Hooks, form: str) -> None:
    server.sandbox.faults.put(NAME, None, Fault(double=True, variants={"callback": form}))
    harness = site(server, "inbound_call", public_url=hooks.url)
    hooks.site = harness.site
    line = harness.line(PHONE)
    for caller, hidden, status in (
        (STRANGER, False, Status.SENT),
        (PHONE, True, Status.SENT),
        (PHONE, False, Status.VERIFIED),
    ):
        server.sandbox.dial(caller.e164, line, hidden=hidden)
        outcome = harness.verifier.get(harness.id, harness.secret)
        assert outcome.verification is not None
        assert outcome.verification.status is status
    assert outcome.proof
    assert hooks.statuses == [200] * 6


def test_call_needs_the_public_url_of_the_site(server: SandboxServer) -> None:
    with pytest.raises(ProviderError) as raised:
        talk(site(server, "inbound_call").driver.start(replace(order("inbound_call"), webhook_url=None)))
    assert raised.value.trouble is FailureKind.CONFIGURATION
