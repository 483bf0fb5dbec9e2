"""A code and a line to call, live side by side in one verification."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from phone_verify.api import representation
from phone_verify.events.record import EventBus, VerificationEvent
from phone_verify.lines import claim_of
from phone_verify.model import (
    Assurance,
    CallState,
    Channel,
    Outcome,
    Reason,
    Receipt,
    Sighting,
)

from .harness import (
    CALL,
    FLASH,
    LINE,
    OTHER_LINE,
    PHONE,
    REFUSED,
    SMS,
    TELEGRAM,
    Caller,
    DeafCaller,
    Driver,
    Harness,
    Remote,
    chat,
    flash,
    sms,
    webhook,
    wrong,
)

pytestmark = pytest.mark.usefixtures("face")

CALLED = Sighting(CallState.CALLED, PHONE)


def lines(*sightings: Sighting) -> Caller:
    return Caller([Receipt("1", line=LINE), Receipt("2", line=OTHER_LINE)], sightings)


def both(code: Driver, call: Driver, first: Channel, **policy: object) -> tuple[Harness, str, str]:
    """Begin on one channel and ask for the other."""
    harness = Harness(code, call, **policy)
    id, secret = harness.begun(first)
    second = CALL if first is not CALL else code.channel
    assert harness.verifier.resend(id, secret, channel=second).ok, "another channel may be begun at once"
    return harness, id, secret


def redeemed(harness: Harness, outcome: Outcome, secret: str) -> tuple[Channel, Assurance, bool]:
    assert outcome.proof is not None
    proved = harness.verifier.redeem(outcome.proof, [secret], ["login"])
    assert proved is not None
    return proved.channel, proved.assurance, proved.short


@pytest.mark.parametrize("first", [SMS, CALL])
def test_late_code_verifies_after_switching_to_a_call(first: Channel) -> None:
    written = sms()
    harness, id, secret = both(written, lines(), first)
    done = harness.verifier.check(id, secret, written.codes[0])
    assert redeemed(harness, done, secret) == (SMS, Assurance.CODE, False)
    assert harness.verifier.poll(id, secret).proof is None, "one proof"


@pytest.mark.parametrize("first", [FLASH, CALL])
def test_call_verifies_after_switching_to_a_code(first: Channel) -> None:
    caller = lines(CALLED)
    harness, id, secret = both(flash("1234"), caller, first)
    assert redeemed(harness, harness.verifier.poll(id, secret), secret) == (CALL, Assurance.CALLER_ID, False)
    assert caller.polled == ["1"], "the reference of the call, not of the code"
    assert harness.verifier.check(id, secret, "1234").reason is Reason.CLOSED


@pytest.mark.parametrize("deaf", [True, False])
def test_webhook_verifies_the_claim_beside_a_code(deaf: bool) -> None:
    call = DeafCaller(Receipt("1", line=LINE)) if deaf else lines(CALLED)
    harness, id, secret = both(sms(), call, CALL)
    assert harness.verifier.receive(call.name, webhook(id="1", line=LINE.e164, caller=PHONE.e164)).verified
    assert harness.verifier.get(id, secret).proof is not None


@pytest.mark.parametrize("first", [SMS, CALL])
def test_expired_line_leaves_the_code_open(first: Channel) -> None:
    written = sms()
    harness, id, secret = both(written, lines(Sighting(CallState.EXPIRED)), first)
    state = harness.verifier.poll(id, secret)
    assert state.verification is not None
    assert state.verification.open
    assert harness.verifier.check(id, secret, written.codes[0]).ok


def test_poll_spares_a_code_whose_receipt_is_on_its_way() -> None:
    written = sms()
    harness = Harness(written, lines(Sighting(CallState.EXPIRED)))
    id, secret = harness.begun(CALL)
    written.on_start = lambda: harness.verifier.poll(id, secret)
    assert harness.verifier.resend(id, secret, channel=SMS).ok
    assert harness.verifier.check(id, secret, written.codes[0]).ok


def test_repeated_webhook_proves_no_claim_after_the_code() -> None:
    written, deaf = sms(), DeafCaller(Receipt("1", line=LINE), Receipt("2", line=LINE))
    harness, id, secret = both(written, deaf, CALL)
    assert harness.verifier.check(id, secret, written.codes[0]).ok
    assert not harness.verifier.receive(deaf.name, webhook(line=LINE.e164, caller=PHONE.e164)).verified
    harness.clock.move(61)
    assert harness.start(CALL).reason is Reason.CHANNEL_UNAVAILABLE
    assert not harness.verifier.receive(deaf.name, webhook(line=LINE.e164, caller=PHONE.e164)).verified


def test_concurrent_orders_of_two_channels_have_separate_codes() -> None:
    slow, written = chat(), sms()
    harness = Harness(slow, written, lines())
    id, secret = harness.begun(CALL)
    slow.on_start = lambda: harness.verifier.resend(id, secret, channel=SMS)
    assert harness.verifier.resend(id, secret, channel=TELEGRAM).ok
    assert harness.verifier.check(id, secret, slow.codes[0]).reason is Reason.WRONG_CODE, "the later SMS replaced it"
    assert harness.verifier.check(id, secret, written.codes[0]).ok


def test_remote_code_is_checked_beside_a_claim() -> None:
    harness, id, secret = both(Remote(True), lines(), SMS)
    assert redeemed(harness, harness.verifier.check(id, secret, "12345"), secret) == (SMS, Assurance.CODE, True)


def test_sms_repeats_its_code_after_a_call_between() -> None:
    written = sms()
    harness, id, secret = both(written, lines(), SMS, resend_after=timedelta(seconds=60))
    harness.clock.move(60)
    assert harness.verifier.resend(id, secret, channel=SMS).ok
    assert written.codes[0] == written.codes[1]


def test_each_channel_waits_for_itself_inside_the_quotas() -> None:
    harness, id, secret = both(sms(), lines(), SMS, sends_per_hour=3)
    for channel in (SMS, CALL):
        early = harness.verifier.resend(id, secret, channel=channel)
        assert (early.reason, early.retry_after) == (Reason.TOO_MANY_REQUESTS, timedelta(seconds=60))
    harness.clock.move(60)
    assert harness.verifier.resend(id, secret, channel=SMS).ok
    assert harness.verifier.resend(id, secret, channel=CALL).retry_after == timedelta(hours=1) - timedelta(seconds=60)


def test_refused_call_keeps_the_code_and_the_channel() -> None:
    written = sms()
    harness = Harness(written, Caller([REFUSED]))
    id, secret = harness.begun(SMS)
    refused = harness.verifier.resend(id, secret, channel=CALL)
    assert refused.reason is Reason.DELIVERY_FAILED
    assert refused.verification is not None
    assert (refused.verification.channel, claim_of(refused.verification)) == (SMS, None)
    assert harness.verifier.check(id, secret, written.codes[0]).ok


def test_taken_line_is_reported_and_keeps_the_code() -> None:
    written = sms()
    harness = Harness(written, Caller([Receipt("1", line=LINE), Receipt("2", line=LINE)]))
    harness.begun(CALL)
    id, secret = harness.begun(SMS)
    refused = harness.verifier.resend(id, secret, channel=CALL)
    assert refused.reason is Reason.CHANNEL_UNAVAILABLE
    assert list(refused.channels) == [SMS, CALL]
    assert harness.verifier.check(id, secret, written.codes[0]).ok


@pytest.mark.parametrize("first", [SMS, CALL])
def test_json_shows_the_code_and_the_line(first: Channel) -> None:
    written = sms()
    harness, id, secret = both(written, lines(), first)
    harness.verifier.check(id, secret, wrong(written.codes[0]))
    shown = representation.verification(harness.verifier.get(id, secret))
    assert shown["channel"] == ("inbound_call" if first is SMS else "sms")
    assert (shown["code_length"], shown["attempts_left"]) == (6, 4)
    assert shown["dial"]["number"] == LINE.e164
    assert shown["resend_in"] == 60
    harness.verifier.cancel(id, secret)
    ended = representation.verification(harness.verifier.get(id, secret))
    assert (ended["status"], ended["dial"], ended["channels"]) == ("cancelled", None, [])


def test_event_names_the_method_that_verified() -> None:
    seen: list[VerificationEvent] = []
    harness = Harness(sms(), lines(CALLED))
    harness.parts = replace(harness.parts, events=EventBus((seen.append,)))
    harness.verifier = Harness.face(harness.parts)
    id, secret = harness.begun(CALL)
    harness.verifier.resend(id, secret, channel=SMS)
    harness.verifier.poll(id, secret)
    assert [(event.verb, event.channel, event.driver) for event in seen] == [
        ("start", "inbound_call", "caller"),
        ("resend", "sms", "sms-1"),
        ("poll", "inbound_call", "caller"),
    ]
