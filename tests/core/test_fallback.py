"""Orders that move to another channel by themselves: when, once, and inside all quotas."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from phone_verify.before_send import BeforeSend, ClientFacts, Refusal, SendOrder
from phone_verify.config.settings import Settings
from phone_verify.config.site import build_site
from phone_verify.errors import ConfigurationError, FailureKind, ProviderError
from phone_verify.model import Channel, Outcome, Status, Verification
from phone_verify.policy import Fallback
from phone_verify.verifier.blocking import Verifier

from .harness import FLASH, SMS, Harness, flash, sms

KEY = "a-key-for-tests-0123456789-0123456789"
AFTER = {FLASH: Fallback(SMS, timedelta(seconds=30))}


def record_of(outcome: Outcome) -> Verification:
    assert outcome.verification is not None
    return outcome.verification


@pytest.mark.usefixtures("face")
def test_order_moves_once_when_the_user_does_not_answer() -> None:
    texts = sms()
    harness = Harness(flash("4821"), texts, fallbacks=AFTER)
    id, secret = harness.begun(FLASH)
    harness.clock.move(29)
    assert record_of(harness.verifier.poll(id, secret, may_send=True)).channel is FLASH
    assert texts.orders == []
    harness.clock.move(1)
    # Without leave to send, as for a request of another site, nothing is sent.
    assert record_of(harness.verifier.poll(id, secret)).channel is FLASH
    assert texts.orders == []
    moved = record_of(harness.verifier.poll(id, secret, may_send=True))
    assert (moved.channel, moved.sends, moved.status) == (SMS, 2, Status.SENT)
    for _ in range(5):
        harness.clock.move(20)
        harness.verifier.poll(id, secret, may_send=True)
    assert len(texts.orders) == 1
    [order] = texts.orders
    assert harness.verifier.check(id, secret, order.code).ok


def test_order_does_not_move_after_a_resend_or_an_end() -> None:
    texts = sms()
    harness = Harness(flash("4821", "4822", "4823"), texts, fallbacks=AFTER, resend_after=timedelta(seconds=5))
    id, secret = harness.begun(FLASH)
    harness.clock.move(10)
    assert harness.verifier.resend(id, secret, channel=FLASH).ok
    harness.clock.move(60)
    harness.verifier.poll(id, secret, may_send=True)
    other, other_secret = harness.begun(FLASH)
    assert harness.verifier.cancel(other, other_secret).ok
    harness.clock.move(60)
    harness.verifier.poll(other, other_secret, may_send=True)
    assert texts.orders == []


def test_move_counts_in_the_quotas_and_a_refused_one_is_not_repeated() -> None:
    texts = sms()
    harness = Harness(flash("4821"), texts, fallbacks=AFTER, sends_per_hour_per_address=1)
    id, secret = harness.begun(FLASH, address="198.51.100.7", by_client=True)
    harness.clock.move(30)
    for _ in range(3):
        outcome = harness.verifier.poll(id, secret, may_send=True, address="198.51.100.7")
        assert (outcome.ok, record_of(outcome).channel) == (True, FLASH)
    assert texts.orders == []


def test_hook_is_asked_once() -> None:
    asked: list[SendOrder] = []

    def hook(order: SendOrder, client: ClientFacts) -> Refusal | None:
        asked.append(order)
        return Refusal() if order.is_resend else None

    texts = sms()
    harness = Harness(flash("4821"), texts, fallbacks=AFTER)
    harness.parts = replace(harness.parts, before_send=BeforeSend(lambda: hook))
    harness.verifier = Verifier(harness.parts)
    id, secret = harness.begun(FLASH)
    harness.clock.move(30)
    for _ in range(3):
        assert harness.verifier.poll(id, secret, may_send=True).ok
    assert [(order.is_resend, order.channel, order.by_client) for order in asked[1:]] == [(True, SMS, True)]
    assert texts.orders == []


def test_provider_that_refuses_the_move_leaves_the_call() -> None:
    harness = Harness(flash("4821"), sms(ProviderError(FailureKind.BALANCE, "empty")), fallbacks=AFTER)
    id, secret = harness.begun(FLASH)
    harness.clock.move(30)
    assert harness.verifier.poll(id, secret, may_send=True).ok
    assert harness.verifier.check(id, secret, "4821").ok


def test_polls_at_the_same_time_send_one_message() -> None:
    texts = sms()
    harness = Harness(flash("4821"), texts, fallbacks=AFTER)
    id, secret = harness.begun(FLASH)
    harness.clock.move(30)
    # Each process has its own memory of what it has tried.
    processes = [Verifier(harness.parts) for _ in range(20)]
    barrier = threading.Barrier(len(processes))

    def poll(verifier: Verifier) -> None:
        barrier.wait(10)
        verifier.poll(id, secret, may_send=True)

    threads = [threading.Thread(target=poll, args=(each,)) for each in processes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(texts.orders) == 1


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("flash_call:sms", "like flash_call:sms:30"),
        ("flash_call:sms:soon", "like flash_call:sms:30"),
        ("flash_call:fax:30", "like flash_call:sms:30"),
        ("flash_call:sms:9", "10 to 120 seconds"),
        ("flash_call:sms:121", "10 to 120 seconds"),
        ("sms:sms:30", "name another channel"),
        ("flash_call:sms:30,flash_call:sms:40", "two fallbacks"),
        ("flash_call:sms:30", "names flash_call, but no driver carries it"),
    ],
)
def test_unusable_setting_is_reported(value: str, says: str) -> None:
    given: dict[str, Any] = {
        "sms": "console://",
        "fallbacks": value,
        "secret_keys": KEY,
    }
    with pytest.raises(ConfigurationError, match="PHONE_VERIFY_FALLBACKS") as raised:
        build_site(Settings.from_mapping(given))
    assert says in str(raised.value)


def test_wait_that_lets_two_processes_send_is_reported() -> None:
    given: dict[str, Any] = {
        "sms": "console://",
        "voice": "python:builtins.print",
        "fallbacks": "voice:sms:30",
        "secret_keys": KEY,
    }
    build_site(Settings.from_mapping({**given, "resend_after": "10"}))
    with pytest.raises(ConfigurationError, match="RESEND_AFTER is too short for PHONE_VERIFY_FALLBACKS"):
        build_site(Settings.from_mapping({**given, "resend_after": "9"}))


def test_setting_is_read() -> None:
    settings = Settings.from_mapping({"fallbacks": "flash_call:sms:30"})
    assert settings.policy.fallbacks == {Channel.FLASH_CALL: Fallback(Channel.SMS, timedelta(seconds=30))}


def test_time_of_the_move_is_known_until_it_has_happened() -> None:
    harness = Harness(flash("4821"), sms(), fallbacks=AFTER)
    id, secret = harness.begun(FLASH)
    fallbacks = harness.verifier.flows.fallbacks
    record = record_of(harness.verifier.get(id, secret))
    assert fallbacks.due_at(record) == record.created_at + timedelta(seconds=30)
    harness.clock.move(30)
    harness.verifier.poll(id, secret, may_send=True)
    assert fallbacks.due_at(record_of(harness.verifier.get(id, secret))) is None
