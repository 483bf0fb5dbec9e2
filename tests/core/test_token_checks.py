"""Recent verifications of clients with a token: for one token, user and number, for 15 minutes."""

from __future__ import annotations

import pytest

from phone_verify.phone import PhoneNumber

from .harness import OTHER_PHONE, PHONE, Harness

TOKEN, USER = "a-token", "7"


@pytest.fixture
def harness(face: None) -> Harness:
    return Harness()


def test_check_counts_for_its_token_user_and_number(harness: Harness) -> None:
    verifier = harness.verifier
    assert not verifier.has_token_check(TOKEN, USER, [PHONE])
    verifier.note_token_check(TOKEN, USER, PHONE)
    assert verifier.has_token_check(TOKEN, USER, [OTHER_PHONE, PHONE])
    assert not verifier.has_token_check("other", USER, [PHONE])
    assert not verifier.has_token_check(TOKEN, "8", [PHONE])
    assert not verifier.has_token_check(TOKEN, USER, [OTHER_PHONE])
    assert not verifier.has_token_check(TOKEN, USER, [])


def test_user_and_token_are_not_one_text(harness: Harness) -> None:
    harness.verifier.note_token_check("b c", "a", PHONE)
    assert not harness.verifier.has_token_check("c", "a b", [PHONE])


@pytest.mark.parametrize(("seconds", "counts"), [(899, True), (901, False)])
def test_check_counts_for_15_minutes(harness: Harness, seconds: int, counts: bool) -> None:
    harness.verifier.note_token_check(TOKEN, USER, PHONE)
    harness.clock.move(seconds)
    assert harness.verifier.has_token_check(TOKEN, USER, [PHONE]) is counts


def test_later_check_counts_from_then(harness: Harness) -> None:
    """The window of a counter does not move: each of the last five has its own."""
    for _ in range(5):
        harness.verifier.note_token_check(TOKEN, USER, PHONE)
        harness.clock.move(160)
    harness.verifier.note_token_check(TOKEN, USER, PHONE)  # the sixth: no window is free, and five count
    harness.clock.move(800 - 160)
    assert harness.verifier.has_token_check(TOKEN, USER, [PHONE])
    harness.clock.move(110)
    assert not harness.verifier.has_token_check(TOKEN, USER, [PHONE])
    harness.verifier.note_token_check(TOKEN, USER, PHONE)
    assert harness.verifier.has_token_check(TOKEN, USER, [PHONE])


def test_renumbered_phone_is_one_phone(harness: Harness) -> None:
    old = PhoneNumber.stored("+22997000000")
    assert old.current.e164 == "+2290197000000"
    harness.verifier.note_token_check(TOKEN, USER, old)
    assert harness.verifier.has_token_check(TOKEN, USER, [old.current])


def test_store_holds_neither_token_nor_number(harness: Harness) -> None:
    harness.verifier.note_token_check("the-secret-token", USER, PHONE)
    kept = repr(vars(harness.store))
    assert "the-secret-token" not in kept
    assert PHONE.e164[1:] not in kept
