"""Purposes that require several channels: one proof of all of them, and no way around."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from phone_verify.api import representation
from phone_verify.drivers.base import Ability
from phone_verify.errors import StoreError
from phone_verify.external import codes, forms
from phone_verify.model import Assurance, CallState, Channel, CodeSource, Outcome, Reason, Receipt, Sighting, Started
from phone_verify.phone import PhoneNumber
from phone_verify.policy import HARD_LIFE
from phone_verify.purposes import CodeLimits
from phone_verify.testing.stores import run
from phone_verify.verifier.blocking import Verifier

from .harness import (
    CALL,
    FLASH,
    LINE,
    OTHER_LINE,
    OTHER_PHONE,
    PHONE,
    REFUSED,
    SMS,
    TELEGRAM,
    Caller,
    Driver,
    Harness,
    chat,
    flash,
    sms,
)

pytestmark = pytest.mark.usefixtures("face")

ROOT = Path(__file__).parents[2]
WIRE = "wire_transfer"
CALLED = Sighting(CallState.CALLED, PHONE)
FIXED = PhoneNumber("+982188776655")


def lines(*sightings: Sighting) -> Caller:
    return Caller([Receipt(str(n), line=LINE) for n in range(9)], sightings)


def site(*drivers: Driver, needs: tuple[Channel, ...] = (SMS, CALL), purpose: str = WIRE, **more: Any) -> Harness:
    return Harness(*drivers, required_channels={purpose: needs}, **more)


def by_code(harness: Harness, driver: Driver, channel: Channel = SMS, **more: Any) -> tuple[Outcome, str]:
    """Verify the phone by a code for the purpose, and return the outcome and the secret."""
    more.setdefault("purpose", WIRE)
    id, secret = harness.begun(channel, **more)
    return harness.verifier.check(id, secret, driver.codes[-1]), secret


def followed(harness: Harness, done: Outcome, secret: str, channel: Channel | None = None, **more: Any) -> Outcome:
    """Start the verification that continues a finished one."""
    more = {"purpose": WIRE, "proof": done.proof, "shown": [secret], **more}
    return harness.start(channel, **more)


def redeem(harness: Harness, done: Outcome, *secrets: str, purpose: str = WIRE, **more: Any) -> Any:
    assert done.proof is not None
    return harness.verifier.redeem(done.proof, secrets, [purpose], **more)


def test_code_and_call_together_give_one_proof() -> None:
    written, caller = sms(), lines(CALLED)
    harness = site(written, caller)
    first, secret = by_code(harness, written)
    assert (first.ok, list(first.channels_left)) == (True, [CALL])
    assert redeem(harness, first, secret) is None
    second = followed(harness, first, secret)
    assert isinstance(second, Started)
    assert (second.verification.channel, list(second.channels_left)) == (CALL, [CALL])
    done = harness.verifier.poll(second.verification.id, second.secret)
    assert list(done.channels_left) == []
    proved = redeem(harness, done, second.secret)
    assert (proved.channel, proved.assurance) == (CALL, Assurance.CALLER_ID)
    assert redeem(harness, done, second.secret) is None, "one proof"


def test_call_may_come_first() -> None:
    written, caller = sms(), lines(CALLED)
    harness = site(written, caller, needs=(SMS, CALL))
    id, secret = harness.begun(CALL, purpose=WIRE)
    first = harness.verifier.poll(id, secret)
    assert list(first.channels_left) == [SMS]
    assert redeem(harness, first, secret) is None
    second = followed(harness, first, secret)
    assert isinstance(second, Started)
    done = harness.verifier.check(second.verification.id, second.secret, written.codes[0])
    assert redeem(harness, done, second.secret).channel is SMS


def test_three_channels_follow_each_other() -> None:
    written, ringing, caller = sms(), flash("1234"), lines(CALLED)
    harness = site(written, ringing, caller, needs=(SMS, FLASH, CALL))
    done, secret = by_code(harness, written)
    assert list(done.channels_left) == [FLASH, CALL]
    second = followed(harness, done, secret)
    assert isinstance(second, Started)
    done = harness.verifier.check(second.verification.id, second.secret, "1234")
    assert list(done.channels_left) == [CALL]
    assert redeem(harness, done, second.secret) is None
    third = followed(harness, done, second.secret)
    assert isinstance(third, Started)
    done = harness.verifier.poll(third.verification.id, third.secret)
    assert redeem(harness, done, third.secret) is not None


def test_same_channel_twice_counts_once() -> None:
    written = sms()
    harness = site(written, lines())
    first, secret = by_code(harness, written)
    assert followed(harness, first, secret, SMS).reason is Reason.CHANNEL_UNAVAILABLE
    again, other = by_code(harness, written)
    assert list(again.channels_left) == [CALL]
    assert redeem(harness, again, other, secret) is None


def test_switching_to_the_call_proves_the_call_alone() -> None:
    written, caller = sms(), lines(CALLED)
    harness = site(written, caller)
    id, secret = harness.begun(SMS, purpose=WIRE)
    assert harness.verifier.resend(id, secret, channel=CALL).ok
    done = harness.verifier.poll(id, secret)
    assert list(done.channels_left) == [SMS]
    assert redeem(harness, done, secret) is None


def test_resend_of_the_second_step_stays_on_what_is_left() -> None:
    written, caller = sms(), lines(CALLED)
    harness = site(written, caller, chat())
    first, secret = by_code(harness, written)
    second = followed(harness, first, secret)
    assert isinstance(second, Started)
    assert list(second.channels) == [CALL]
    id = second.verification.id
    for channel in (SMS, TELEGRAM):
        assert harness.verifier.resend(id, second.secret, channel=channel).reason is Reason.CHANNEL_UNAVAILABLE
    harness.clock.move(60)
    assert harness.verifier.resend(id, second.secret).verification.channel is CALL  # type: ignore[union-attr]


def test_channel_that_is_not_required_is_refused() -> None:
    harness = site(sms(), lines(), chat(), preference=[TELEGRAM])
    assert harness.start(TELEGRAM, purpose=WIRE).reason is Reason.CHANNEL_UNAVAILABLE
    started = harness.start(purpose=WIRE)
    assert isinstance(started, Started)
    assert (started.verification.channel, list(started.channels)) == (SMS, [SMS, CALL])
    assert harness.start(TELEGRAM).ok, "other purposes are not affected"


def test_number_that_one_channel_cannot_reach_is_refused_first() -> None:
    written = sms()
    harness = site(written, lines())
    assert harness.start(CALL, FIXED, purpose=WIRE).reason is Reason.DESTINATION_NOT_ALLOWED
    assert harness.start(CALL, FIXED).ok
    assert written.orders == []


@pytest.mark.parametrize(
    "change",
    [
        {"phone": OTHER_PHONE},
        {"purpose": "login"},
        {"subject": "another user"},
        {"subject": ""},
        {"shown": []},
        {"shown": ["A" * 22]},
        {"proof": "not a proof"},
        {"proof": ""},
    ],
    ids=str,
)
def test_step_is_continued_only_by_its_own_client(change: dict[str, Any]) -> None:
    written, caller = sms(), lines()
    harness = site(written, caller)
    first, secret = by_code(harness, written, subject="a user")
    refused = followed(harness, first, secret, **{"subject": "a user", **change})
    assert refused.reason is Reason.INVALID_PROOF
    assert caller.orders == [], "nothing is sent"
    assert followed(harness, first, secret, subject="a user").ok, "the proof is still good"


def test_sign_in_is_continued_by_the_same_user_only() -> None:
    written = sms()
    harness = site(written, lines(), purpose="login")
    first, secret = by_code(harness, written, purpose="login")
    refused = followed(harness, first, secret, purpose="login", subject="a user")
    assert refused.reason is Reason.INVALID_PROOF


def test_step_is_continued_once_and_within_five_minutes() -> None:
    written, caller = sms(), lines()
    harness = site(written, caller)
    first, secret = by_code(harness, written)
    assert followed(harness, first, secret).ok
    assert followed(harness, first, secret).reason is Reason.INVALID_PROOF
    late, other = by_code(harness, written)
    harness.clock.move(300)
    assert followed(harness, late, other).reason is Reason.INVALID_PROOF


def test_refused_order_keeps_the_proof_of_the_first_step() -> None:
    written = sms()
    caller = Caller([REFUSED, Receipt("2", line=LINE)])
    harness = site(written, caller)
    first, secret = by_code(harness, written)
    assert followed(harness, first, secret).reason is Reason.DELIVERY_FAILED
    assert followed(harness, first, secret).ok


def test_two_starts_with_one_proof_leave_one_verification() -> None:
    written, caller = sms(), Caller([Receipt("1", line=LINE), Receipt("2", line=OTHER_LINE)])
    harness = site(written, caller)
    first, secret = by_code(harness, written)
    inner: list[Outcome] = []

    def race() -> None:
        caller.on_start = lambda: None
        inner.append(followed(harness, first, secret))

    caller.on_start = race
    outer = followed(harness, first, secret)
    assert [outcome.ok for outcome in inner] == [True]
    assert (outer.reason, outer.verification) == (Reason.INVALID_PROOF, None)
    assert run(harness.store.claimant("caller", LINE, harness.clock())) is not None
    assert run(harness.store.claimant("caller", OTHER_LINE, harness.clock())) is None, "the other was cancelled"


def test_store_that_fails_to_consume_the_proof_reveals_no_secret() -> None:
    written, caller = sms(), lines()
    harness = site(written, caller)
    first, secret = by_code(harness, written)

    async def fails(*_: Any) -> None:
        raise StoreError("down")

    harness.store.redeem = fails
    with pytest.raises(StoreError):
        followed(harness, first, secret)


def test_proof_is_not_accepted_where_nothing_is_required() -> None:
    written = sms()
    harness = site(written, lines())
    plain, secret = by_code(harness, written, purpose="login")
    assert followed(harness, plain, secret, purpose="login").reason is Reason.INVALID_PROOF
    assert redeem(harness, plain, secret, purpose="login") is not None


def test_finished_proof_starts_nothing_more() -> None:
    written, caller = sms(), lines(CALLED)
    harness = site(written, caller)
    first, secret = by_code(harness, written)
    second = followed(harness, first, secret)
    assert isinstance(second, Started)
    done = harness.verifier.poll(second.verification.id, second.secret)
    assert followed(harness, done, second.secret).reason is Reason.INVALID_PROOF
    assert redeem(harness, done, second.secret) is not None


@pytest.mark.parametrize("purpose", ["login", "signup", "confirm", "change_phone", WIRE])
def test_half_a_proof_is_neither_foreseen_nor_redeemed(purpose: str) -> None:
    written = sms()
    harness = site(written, lines(), purpose=purpose)
    done, secret = by_code(harness, written, purpose=purpose, subject="a user")
    assert done.proof is not None
    assert harness.verifier.foresee(done.proof, [secret], [purpose], subject="a user") is None
    assert redeem(harness, done, secret, purpose=purpose, subject="a user") is None


def test_requirement_applies_to_proofs_from_before_it() -> None:
    written = sms()
    harness = site(written, lines())
    done, secret = by_code(harness, written)
    before = Harness(written, lines(), store=harness.store)
    before.parts = replace(harness.parts, policy=replace(harness.parts.policy, required_channels={}))
    before.verifier = Harness.face(before.parts)
    assert redeem(harness, done, secret) is None
    assert redeem(before, done, secret) is not None, "the rule was the only refusal"


@pytest.mark.parametrize(("named", "other"), [("login", "signup"), ("change_phone", "confirm")])
def test_purpose_with_the_same_effect_is_no_way_around(named: str, other: str) -> None:
    written = sms()
    harness = site(written, lines(), chat(), purpose=named)
    assert harness.start(TELEGRAM, purpose=other).reason is Reason.CHANNEL_UNAVAILABLE
    done, secret = by_code(harness, written, purpose=other)
    assert list(done.channels_left) == [CALL]
    assert redeem(harness, done, secret, purpose=other) is None


def guess(harness: Harness, written: Driver, times: int, purpose: str, **more: Any) -> Any:
    """Give wrong codes, and return the last outcome."""
    outcome = None
    while times:
        id, secret = harness.begun(SMS, purpose=purpose, **more)
        for _ in range(min(times, 5)):
            times -= 1
            wrong = str((int(written.codes[-1]) + 1) % 10**6).zfill(6)
            outcome = harness.verifier.check(id, secret, wrong)
    return outcome


@pytest.mark.parametrize(("purpose", "subject"), [("login", ""), (WIRE, "a user"), (WIRE, "")])
def test_first_channel_clears_no_wrong_answers_of_the_second(purpose: str, subject: str) -> None:
    """Otherwise a forged caller ID would give new guesses at the code, without limit."""
    written, caller = sms(), lines(CALLED, CALLED)
    harness = site(written, caller, purpose=purpose)
    guess(harness, written, 15, purpose, subject=subject)
    id, secret = harness.begun(CALL, purpose=purpose, subject=subject)
    assert harness.verifier.poll(id, secret).proof is not None
    guess(harness, written, 5, purpose, subject=subject)
    assert harness.start(SMS, purpose=purpose, subject=subject).reason is Reason.TOO_MANY_REQUESTS


@pytest.mark.parametrize(("purpose", "other"), [("login", "guest"), (WIRE, "confirm")])
def test_purpose_that_requires_less_clears_no_wrong_answers(purpose: str, other: str) -> None:
    written, caller = sms(), lines(CALLED)
    harness, subject = site(written, caller, purpose=purpose), "" if purpose == "login" else "a user"
    guess(harness, written, 15, purpose, subject=subject)
    id, secret = harness.begun(CALL, purpose=other, subject=subject)
    assert harness.verifier.poll(id, secret).proof is not None
    guess(harness, written, 5, purpose, subject=subject)
    assert harness.start(SMS, purpose=purpose, subject=subject).reason is Reason.TOO_MANY_REQUESTS


def test_last_channel_clears_the_wrong_answers() -> None:
    written, caller = sms(), lines(CALLED, CALLED)
    harness = site(written, caller)
    guess(harness, written, 15, WIRE)
    first, secret = by_code(harness, written)
    second = followed(harness, first, secret)
    assert isinstance(second, Started)
    assert harness.verifier.poll(second.verification.id, second.secret).proof is not None
    guess(harness, written, 19, WIRE)
    assert harness.start(SMS, purpose=WIRE).ok


def test_codes_have_the_length_of_the_purpose_with_the_same_effect() -> None:
    written = sms()
    harness = Harness(written, code_limits={"login": CodeLimits(8)})
    for purpose, length in (("login", 8), ("signup", 8), (WIRE, 6)):
        assert harness.start(purpose=purpose).ok
        assert len(written.codes[-1]) == length


def test_half_a_proof_is_refused_if_the_record_was_read_too_early() -> None:
    written = sms()
    harness = site(written, lines())
    done, secret = by_code(harness, written)

    async def finds_nothing(*_: Any) -> None:
        return None

    harness.store.get = finds_nothing
    assert redeem(harness, done, secret) is None


def test_proofs_are_consumed_in_one_place() -> None:
    """The rule holds for every way to redeem, as long as no other module asks a store to do it."""
    callers = {
        path.relative_to(ROOT).as_posix()
        for package in ("phone_verify", "phone_verify_django", "phone_verify_flask")
        for path in (ROOT / package).rglob("*.py")
        if re.search(r"store\.redeem\(", path.read_text("utf-8"))
    }
    callers = {path for path in callers if not path.startswith("phone_verify/testing/stores/")}
    callers -= {"phone_verify/stores/threaded.py"}
    assert callers == {"phone_verify/verifier/redemption.py"}


def test_form_reports_that_a_channel_is_left() -> None:
    written = sms()
    verifier = Verifier(site(written, lines()).parts)
    outcome, held = forms.send_code(verifier, PHONE, WIRE, begun=forms.NO_VERIFICATION)
    assert outcome.ok
    said = forms.verify_code(verifier, held, PHONE, WIRE, written.codes[-1])
    assert isinstance(said, Outcome)
    assert (said.reason, said.proof, list(said.channels_left)) == (Reason.CHANNELS_LEFT, None, [CALL])


def test_code_of_another_package_proves_no_channel() -> None:
    harness = site(sms(), lines())
    started, held = codes.register_code(Verifier(harness.parts), PHONE, WIRE, "123456", ttl=HARD_LIFE)
    assert held is not None, started
    done = harness.verifier.check(held.id, held.secret, "123456")
    assert list(done.channels_left) == [SMS, CALL]
    assert redeem(harness, done, held.secret) is None


def test_json_names_what_is_left_for_these_purposes_only() -> None:
    written, caller = sms(), lines(CALLED)
    harness = site(written, caller)
    plain, _ = by_code(harness, written, purpose="login")
    assert "channels_left" not in representation.verification(plain)
    first, secret = by_code(harness, written)
    assert representation.verification(first)["channels_left"] == ["inbound_call"]
    second = followed(harness, first, secret)
    assert representation.verification(second)["channels_left"] == ["inbound_call"]
    assert isinstance(second, Started)
    done = harness.verifier.poll(second.verification.id, second.secret)
    assert representation.verification(done)["channels_left"] == []


def test_driver_of_two_channels_proves_them_one_by_one() -> None:
    both = sms()
    voice = Driver("voice", Channel.VOICE, Ability(CodeSource.LOCAL))
    harness = site(both, voice, needs=(SMS, Channel.VOICE))
    first, secret = by_code(harness, both)
    second = followed(harness, first, secret)
    assert isinstance(second, Started)
    done = harness.verifier.check(second.verification.id, second.secret, both.codes[0])
    assert done.reason is Reason.WRONG_CODE, "the first code is not the second"
    done = harness.verifier.check(second.verification.id, second.secret, voice.codes[0])
    assert redeem(harness, done, second.secret).channel is Channel.VOICE
