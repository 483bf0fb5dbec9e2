"""Telegram Gateway's driver against the sandbox's implementation of its protocol, over real HTTP."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from phone_verify.errors import FailureKind, ProviderError, UnclearError
from phone_verify.model import Channel, DeliveryState, Order, Reason
from phone_verify.phone import PhoneNumber
from phone_verify.sandbox import Fault, Network, Sandbox, SandboxServer
from phone_verify.sandbox.protocols import PROVIDERS
from tests.cases import in_one_test

from .test_against_sandbox import Harness, Hooks, hooks, server, talk

__all__ = ["hooks", "server"]

PHONE = PhoneNumber("+79990000001")
NAME = "telegram-gateway"

#: What each error means; the others are not in the table.
KINDS = {
    "ACCESS_TOKEN_INVALID": FailureKind.CONFIGURATION,
    "PHONE_NUMBER_NOT_AVAILABLE": FailureKind.BAD_NUMBER,
    "PHONE_NUMBER_INVALID": FailureKind.BAD_NUMBER,
    "PHONE_NUMBER_UNOCCUPIED": FailureKind.BAD_NUMBER,
    "FLOOD_WAIT_30": FailureKind.RATE,
    "BALANCE_NOT_ENOUGH": FailureKind.BALANCE,
    "REQUEST_ID_INVALID": FailureKind.CONFIGURATION,
    "CODE_INVALID": FailureKind.CONFIGURATION,
    "INTERNAL_ERROR": FailureKind.TRANSIENT,
}


def site(server: SandboxServer, options: str = "", token: str = "TOKEN", **more: str) -> Harness:
    return Harness(server, NAME, token, "telegram", options, **more)


def order(**fields: Any) -> Order:
    return Order(PHONE, Channel.TELEGRAM, timedelta(minutes=2), "482193", **fields)


def wait_for(hooks: Hooks, count: int) -> None:
    end = time.monotonic() + 30
    while len(hooks.statuses) < count:
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("variants", [{}, {"fields": "sparse"}, {"delivery": "read"}, {"balance": "zero"}])
def test_code_arrives_and_verifies(server: SandboxServer, variants: dict[str, str]) -> None:
    server.sandbox.faults.put(NAME, None, Fault(variants=variants))
    harness = site(server, "&sender=mysite")
    harness.begin(PHONE)
    delivery = harness.verifier.delivery(harness.id)
    assert delivery is not None
    assert delivery.state is DeliveryState.DELIVERED
    code = harness.code(PHONE)
    wrong = code[:-1] + ("1" if code[-1] != "1" else "2")
    assert harness.verifier.check(harness.id, harness.secret, wrong).reason is Reason.WRONG_CODE
    outcome = harness.verifier.check(harness.id, harness.secret, code)
    assert outcome.ok
    assert outcome.proof
    handset = server.sandbox.network.handset(PHONE.e164)
    assert handset is not None
    assert handset.messages[0].sender == "mysite"


def test_price_and_reference_are_read(server: SandboxServer) -> None:
    receipt = talk(site(server).driver.start(order()))
    assert (receipt.price, receipt.currency) == (Decimal("0.01"), "USD")
    assert receipt.reference


def test_lost_message_is_open_until_it_expires() -> None:
    now = [datetime.now(UTC)]
    with SandboxServer(Sandbox(Network(now=lambda: now[0]))) as server:
        server.sandbox.faults.put(NAME, None, Fault(lose=True))
        harness = site(server)
        harness.begin(PHONE)
        states = []
        for seconds in (0, 3600):
            now[0] += timedelta(seconds=seconds)
            report = harness.verifier.delivery(harness.id)
            assert report is not None
            states.append(report.state)
    assert states == [DeliveryState.OPEN, DeliveryState.UNDELIVERED]


def test_code_window_that_ends_leaves_the_message_delivered() -> None:
    now = [datetime.now(UTC)]
    with SandboxServer(Sandbox(Network(now=lambda: now[0]))) as server:
        harness = site(server)
        harness.begin(PHONE)
        now[0] += timedelta(hours=1)
        report = harness.verifier.delivery(harness.id)
        assert report is not None
        assert report.state is DeliveryState.DELIVERED


@in_one_test
@pytest.mark.parametrize("errors", ["200", "4xx"])
@pytest.mark.parametrize("name", PROVIDERS[NAME].refusals)
def test_every_error_has_its_kind(server: SandboxServer, name: str, errors: str) -> None:
    server.sandbox.faults.put(NAME, None, Fault(refuse=name, variants={"errors": errors}))
    with pytest.raises(ProviderError) as raised:
        talk(site(server).driver.start(order()))
    if name in KINDS:
        assert raised.value.trouble is KINDS[name]
    assert server.sandbox.network.dispatches() == ()


@pytest.mark.parametrize(("token", "kind"), [("WRONG", FailureKind.CONFIGURATION), ("NO-CREDIT", FailureKind.BALANCE)])
def test_refused_account_has_its_kind(server: SandboxServer, token: str, kind: FailureKind) -> None:
    with pytest.raises(ProviderError) as raised:
        talk(site(server, token=token).driver.start(order()))
    assert raised.value.trouble is kind


@pytest.mark.parametrize("how", ["cut", "empty", "html", "types"])
def test_malformed_response_is_unclear(server: SandboxServer, how: str) -> None:
    server.sandbox.faults.put(NAME, None, Fault(malformed=how))
    with pytest.raises(UnclearError):
        talk(site(server).driver.start(order()))
    assert len(server.sandbox.network.dispatches()) == 1


@pytest.mark.parametrize("first", [False, True])
def test_signed_callbacks_are_accepted(server: SandboxServer, hooks: Hooks, first: bool) -> None:
    variants = {"delivery": "read", "callbacks": "reversed"}
    server.sandbox.faults.put(NAME, None, Fault(double=True, webhook_first=first, variants=variants))
    harness = site(server, public_url=hooks.url)
    hooks.site = harness.site
    harness.begin(PHONE)
    wait_for(hooks, 4)
    assert hooks.statuses == [200] * 4
    assert harness.verifier.check(harness.id, harness.secret, harness.code(PHONE)).ok


@pytest.mark.parametrize("forgery", ["wrong_key", "stale", "unsigned"])
def test_forged_callback_is_rejected(server: SandboxServer, hooks: Hooks, forgery: Any) -> None:
    server.sandbox.faults.put(NAME, None, Fault(webhook_signature=forgery))
    harness = site(server, public_url=hooks.url)
    hooks.site = harness.site
    harness.begin(PHONE)
    wait_for(hooks, 1)
    assert hooks.statuses == [403]


def test_callback_of_an_older_token_is_rejected(server: SandboxServer, hooks: Hooks) -> None:
    harness = site(server, token="OLD", public_url=hooks.url)
    hooks.site = site(server, token="NEW", public_url=hooks.url).site
    harness.begin(PHONE)
    wait_for(hooks, 1)
    assert hooks.statuses == [403]
