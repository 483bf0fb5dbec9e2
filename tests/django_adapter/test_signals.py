"""The core's events as Django's signals."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User

from phone_verify.events.opentelemetry import OpenTelemetry
from phone_verify.events.record import VerificationEvent
from phone_verify.exchange import HttpResponse
from phone_verify.verifier import reporting
from phone_verify_django import signals
from phone_verify_django.signals import delivery_failed, limit_alarm, verification_failed, verification_locked
from tests.clients import Browser, DjangoCarrier

from .conftest import PHONE, Network
from .factories import heard

Configure = Callable[..., None]

pytestmark = pytest.mark.django_db

ALL = (verification_failed, verification_locked, delivery_failed, limit_alarm)


@pytest.fixture
def browser(network: Network) -> Browser:
    return Browser(DjangoCarrier())


def begun(browser: Browser) -> str:
    answer = browser.call("POST", "v1/verifications", {"phone": PHONE})
    assert answer.status == 201
    return f"v1/verifications/{answer.json()['id']}/check"


def test_wrong_code_is_signalled_and_the_last_locks(browser: Browser, network: Network) -> None:
    check = begun(browser)
    with heard(*ALL) as told:
        browser.call("POST", check, {"code": "nonsense"})
        assert told == []
        for _ in range(5):
            browser.call("POST", check, {"code": network.wrong})
    assert [one["signal"] for one in told] == [verification_failed] * 5 + [verification_locked]
    happened = told[-1]["happened"]
    assert told[-1]["sender"] is type(happened) is VerificationEvent
    assert (happened.verb, happened.outcome, happened.status) == ("check", "wrong_code", "exhausted")
    assert PHONE[4:] not in str(told)
    assert network.code not in str(told)


def test_number_with_too_many_wrong_answers_is_locked(browser: Browser, network: Network, configure: Configure) -> None:
    configure(sms="console://", max_failures=2)
    check = begun(browser)
    with heard(*ALL) as told:
        for _ in range(3):
            browser.call("POST", check, {"code": network.wrong})
    assert [one["signal"] for one in told] == [verification_failed] * 2 + [verification_locked]
    assert told[-1]["happened"].outcome == "too_many_requests"


def test_success_sends_no_failure_signal(browser: Browser, network: Network) -> None:
    with heard(*ALL) as told:
        assert browser.call("POST", begun(browser), {"code": network.code}).status == 200
        browser.call("POST", "v1/verifications", {"phone": PHONE})
    assert told == []


def test_event_is_built_only_for_receivers(browser: Browser, network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    built = []

    def build(*args: Any, **more: Any) -> VerificationEvent:
        built.append(args)
        return VerificationEvent(*args, **more)

    monkeypatch.setattr(reporting, "VerificationEvent", build)
    # It receives all events, and is on once another test has loaded the SDK.
    monkeypatch.setattr(OpenTelemetry, "on", False)
    check = begun(browser)
    browser.call("POST", check, {"code": network.wrong})
    assert built == []
    with heard(verification_failed) as told:
        browser.call("POST", check, {"code": network.wrong})
        browser.call("POST", check, {"code": network.code})
    assert (built, len(told)) == ([("check", "wrong_code")], 1)


def test_failed_delivery_is_signalled(browser: Browser, network: Network, configure: Configure) -> None:
    configure(sms="amoot://FAKE@default")
    network.transport.answers.append(HttpResponse(500))
    with heard(*ALL) as told:
        assert browser.call("POST", "v1/verifications", {"phone": PHONE}).status == 502
    assert [one["signal"] for one in told] == [delivery_failed]


@pytest.mark.parametrize(
    ("happened", "told"),
    [
        (VerificationEvent("resend", "delivery_failed"), [delivery_failed]),
        (VerificationEvent("alarm", "80"), [limit_alarm]),
        (VerificationEvent("start", "too_many_requests"), []),
        (VerificationEvent("resend", "too_many_requests"), []),
        (VerificationEvent("check", "closed", status="exhausted"), []),
        (VerificationEvent("check", "provider_unavailable", status="exhausted"), []),
        (VerificationEvent("poll", "wrong_code"), []),
    ],
)
def test_which_events_are_signals(happened: VerificationEvent, told: list[Any]) -> None:
    with heard(*ALL) as heard_now:
        signals.on_event(happened)
    assert [one["signal"] for one in heard_now] == told


def test_receiver_that_fails_stops_nothing(
    browser: Browser, network: Network, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(**_: object) -> None:
        raise RuntimeError("a receiver of the site's is broken")

    check = begun(browser)
    verification_failed.connect(fail)
    try:
        with heard(verification_failed) as told:
            assert browser.call("POST", check, {"code": network.wrong}).status == 422
    finally:
        verification_failed.disconnect(fail)
    assert len(told) == 1
    assert "a receiver of the site's is broken" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_receiver_may_query_the_database_under_asgi(visitor: Browser, network: Network) -> None:
    asked = threading.Event()
    counted: list[int] = []

    def ask(**_: object) -> None:
        counted.append(User.objects.count())
        asked.set()

    check = begun(visitor)
    verification_failed.connect(ask)
    try:
        assert visitor.call("POST", check, {"code": network.wrong}).status == 422
        assert asked.wait(20)
    finally:
        verification_failed.disconnect(ask)
    assert counted == [0]
