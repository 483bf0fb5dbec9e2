"""The trusted-device cookie: its phones, its lifetime, and its effect."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phone_verify.codes import Keyring
from phone_verify.model import Reason, Started
from phone_verify.phone import PhoneNumber
from phone_verify.tokens.proof import Proofs
from phone_verify.tokens.trusted_device import TRUSTED_FOR, TrustedDevices
from tests.cases import in_one_test

from .harness import FLASH, OTHER_PHONE, PHONE, Harness, flash, sms

OLD, NEW, TAG = (
    "an-old-secret-key-0123456789abcdef",
    "the-new-secret-key-0123456789abcdef",
    "t-key-for-tests-0123456789abcdef",
)
NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
PHONES = [PhoneNumber(f"+98912000000{n}") for n in range(5)]
KEYRING = Keyring([OLD], TAG)
TAGS = [KEYRING.tag(phone) for phone in PHONES]
KNOWN = TrustedDevices(KEYRING, "https://site.example")


def test_trusted_device_lasts_180_days_for_its_phone() -> None:
    shown = KNOWN.remember("", TAGS[0], NOW)
    assert KNOWN.recognizes(shown, TAGS[0], NOW)
    assert not KNOWN.recognizes(shown, TAGS[1], NOW)
    assert timedelta(days=180) == TRUSTED_FOR
    assert KNOWN.recognizes(shown, TAGS[0], NOW + TRUSTED_FOR - timedelta(seconds=1))
    assert not KNOWN.recognizes(shown, TAGS[0], NOW + TRUSTED_FOR + timedelta(seconds=1))
    assert not KNOWN.recognizes(shown, TAGS[0], NOW - timedelta(seconds=31)), "from the future"


def test_trusted_device_cookie_holds_no_number() -> None:
    assert PHONES[0].e164[1:] not in KNOWN.remember("", TAGS[0], NOW)


def test_trusted_device_keeps_the_last_three_phones() -> None:
    shown = ""
    for day, tag in enumerate(TAGS[:4]):
        shown = KNOWN.remember(shown, tag, NOW + timedelta(days=day))
    assert [KNOWN.recognizes(shown, tag, NOW + timedelta(days=4)) for tag in TAGS] == [False, True, True, True, False]
    shown = KNOWN.remember(shown, TAGS[3], NOW + timedelta(days=100))
    late = NOW + timedelta(days=181, hours=12)
    assert [KNOWN.recognizes(shown, tag, late) for tag in TAGS] == [False, False, True, True, False]
    assert len(shown) < 400, "every request carries it"


def test_trusted_device_follows_key_rotation() -> None:
    shown = KNOWN.remember("", TAGS[0], NOW)
    both, later = (TrustedDevices(Keyring(keys, TAG), "https://site.example") for keys in ([NEW, OLD], [NEW]))
    assert both.recognizes(shown, TAGS[0], NOW)
    assert not later.recognizes(shown, TAGS[0], NOW)
    assert later.recognizes(both.remember(shown, TAGS[1], NOW), TAGS[1], NOW)


def test_trusted_device_is_bound_to_site_and_signature_kind() -> None:
    shown = KNOWN.remember("", TAGS[0], NOW)
    assert not TrustedDevices(KEYRING, "https://other.example").recognizes(shown, TAGS[0], NOW)
    assert not KNOWN.recognizes(Proofs(KEYRING, "https://site.example").sign(TAGS[0], "login", NOW), TAGS[0], NOW)


@given(st.text(max_size=1100))
def test_any_cookie_text_is_handled(shown: str) -> None:
    assert not KNOWN.recognizes(shown, TAGS[0], NOW)
    assert KNOWN.recognizes(KNOWN.remember(shown, TAGS[0], NOW), TAGS[0], NOW)


@in_one_test
@pytest.mark.parametrize("place", range(0, 56, 5))
def test_altered_cookie_is_not_trusted(place: int) -> None:
    shown = KNOWN.remember("", TAGS[0], NOW)
    changed = "A" if shown[place] != "A" else "B"
    assert not KNOWN.recognizes(shown[:place] + changed + shown[place + 1 :], TAGS[0], NOW)


def test_trusted_and_other_devices_have_separate_limits() -> None:
    harness = Harness(sms(), sends_per_hour=2)
    shown = harness.verifier.remember_device("", PHONE)
    for trusted_device in ("", shown):
        for _ in range(2):
            assert harness.verifier.start(PHONE, trusted_device=trusted_device).ok
        assert harness.verifier.start(PHONE, trusted_device=trusted_device).reason is Reason.TOO_MANY_REQUESTS
    for _ in range(2):
        assert harness.verifier.start(OTHER_PHONE, trusted_device=shown).ok
    assert harness.verifier.start(OTHER_PHONE, trusted_device=shown).reason is Reason.TOO_MANY_REQUESTS, (
        "another phone's"
    )


def test_resend_counts_in_the_budget_of_its_start() -> None:
    harness = Harness(sms(), sends_per_hour=2, resend_after=timedelta(0))
    shown = harness.verifier.remember_device("", PHONE)
    for _ in range(2):
        assert harness.verifier.start(PHONE).ok
    started = harness.verifier.start(PHONE, trusted_device=shown)
    assert isinstance(started, Started)
    assert harness.verifier.resend(started.verification.id, started.secret).ok
    refused = harness.verifier.resend(started.verification.id, started.secret)
    assert refused.reason is Reason.TOO_MANY_REQUESTS


def test_shared_quotas_treat_trusted_devices_alike() -> None:
    harness = Harness(sms(), sends_per_hour_total=1)
    assert harness.verifier.start(PHONE).ok
    refused = harness.verifier.start(PHONE, trusted_device=harness.verifier.remember_device("", PHONE))
    assert refused.reason is Reason.TOO_MANY_REQUESTS


def test_trusted_device_skips_no_step_and_expires() -> None:
    harness = Harness(flash("1234", "1234", "1234"), sends_per_hour=1)
    shown = harness.verifier.remember_device("", PHONE)
    started = harness.verifier.start(PHONE, trusted_device=shown)
    assert isinstance(started, Started)
    assert (started.verification.attempts_left, started.proof) == (3, None)
    assert started.verification.channel is FLASH
    harness.clock.move(TRUSTED_FOR.total_seconds() + 31)
    again = harness.verifier.start(PHONE, trusted_device=shown)
    assert isinstance(again, Started)
    assert again.verification.trusted is False


def test_device_user_is_read_from_the_last_sign_in_only() -> None:
    first = KNOWN.remember("", TAGS[0], NOW, "17")
    assert KNOWN.user_of(first, NOW) == ("17", TAGS[0])
    second = KNOWN.remember(first, TAGS[1], NOW, "a user of some longer name: 0123456789abcdef")
    assert KNOWN.user_of(second, NOW) == ("a user of some longer name: 0123456789abcdef", TAGS[1])
    assert KNOWN.recognizes(second, TAGS[0], NOW)
    silent = KNOWN.remember(second, TAGS[0], NOW)
    assert KNOWN.user_of(silent, NOW) is None
    assert KNOWN.user_of(f"{first}~sms", NOW) == ("17", TAGS[0]), "what a caller appends does not matter"


def test_device_user_is_not_readable_in_the_token() -> None:
    """On some sites the id of a user is the number."""
    token = KNOWN.remember("", TAGS[0], NOW, PHONES[0].e164)
    sealed = token.rpartition("~")[2]
    assert PHONES[0].e164[1:] not in token
    assert PHONES[0].e164.encode() not in urlsafe_b64decode(sealed + "==")
    assert KNOWN.user_of(token, NOW) == (PHONES[0].e164, TAGS[0])
    assert len(KNOWN.remember(token, TAGS[1], NOW, "x" * 128)) < 600


def test_device_user_is_bound_to_its_sign_in() -> None:
    own, other = KNOWN.remember("", TAGS[0], NOW, "17"), KNOWN.remember("", TAGS[1], NOW, "18")
    entry, foreign = own.partition("~")[0], other.partition("~")[2]
    assert KNOWN.user_of(f"{entry}~{foreign}", NOW) is None, "swapped between two devices"
    renewed = KNOWN.remember("", TAGS[0], NOW + timedelta(days=1)).partition("~")[0]
    assert KNOWN.user_of(f"{renewed}~{own.partition('~')[2]}", NOW + timedelta(days=1)) is None
    assert KNOWN.user_of(own, NOW + TRUSTED_FOR + timedelta(seconds=31)) is None, "it ends with the sign-in's trust"
    assert TrustedDevices(KEYRING, "https://other.example").user_of(own, NOW) is None
    both, later = (TrustedDevices(Keyring(keys, TAG), "https://site.example") for keys in ([NEW, OLD], [NEW]))
    assert both.user_of(own, NOW) == ("17", TAGS[0])
    assert later.user_of(own, NOW) is None


@given(st.integers(0, 200), st.sampled_from("Aa0_-~.é"))
def test_changed_device_user_is_not_recognized(place: int, changed: str) -> None:
    token = KNOWN.remember("", TAGS[0], NOW, "17")
    sealed = token.index("~") + 1
    place = sealed + place % (len(token) - sealed)
    altered = token[:place] + changed + token[place + 1 :]
    found = KNOWN.user_of(altered, NOW)
    assert found in (None, ("17", TAGS[0]))
    assert found is None or urlsafe_b64decode(altered[sealed:] + "=") == urlsafe_b64decode(token[sealed:] + "=")


def test_forgotten_device_user_leaves_the_other_phones() -> None:
    token = KNOWN.remember(KNOWN.remember("", TAGS[0], NOW), TAGS[1], NOW, "17")
    left = KNOWN.forget_user(f"{token}~sms", NOW)
    assert [KNOWN.recognizes(left, tag, NOW) for tag in TAGS[:2]] == [True, False]
    assert KNOWN.user_of(left, NOW) is None
    assert KNOWN.forget_user(KNOWN.remember("", TAGS[0], NOW, "17"), NOW) == ""
    assert KNOWN.forget_user("garbage~x~~", NOW) == ""


def test_user_id_that_is_too_long_is_not_kept() -> None:
    assert KNOWN.user_of(KNOWN.remember("", TAGS[0], NOW, "x" * 129), NOW) is None
