"""Tokens in the header `Authorization`, and what the site's functions for tokens may return."""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from typing import Any

import pytest

from phone_verify import PhoneNumber
from phone_verify.api import ApiRequest
from phone_verify.errors import ConfigurationError, StoreError
from phone_verify.http.bearer import checked_token, note_sign_in, token_of, user_and_age
from tests.cases import in_one_test

PHONE = PhoneNumber("+989120000000")


@in_one_test
@pytest.mark.parametrize(
    ("header", "token"),
    [
        (None, None),
        ("", None),
        ("  ", None),
        ("Bearer abc", "abc"),
        ("bearer  abc ", "abc"),
        ("Token abc:d=", "abc:d="),
        ("Bearer", ""),
        ("Bearer a b", ""),
        ("Bearer a\tb", ""),
        ("Bearer a\n", "a"),
        ("Bearer \xe9", ""),
        ("Bearer \x7f", ""),
        ("Bearer \u06f1", ""),
        ("Basic dXNlcjpwYXNz", None),
        ("BASIC dXNlcjpwYXNz", None),
        ('Digest username="x", response="y"', None),
        ("Negotiate abc", None),
        ("NTLM abc", None),
    ],
)
def test_token_is_what_no_browser_sends_by_itself(header: str | None, token: str | None) -> None:
    assert token_of(header) == token


def test_user_may_come_with_the_time_of_the_sign_in() -> None:
    assert user_and_age("user") == ("user", None)
    assert user_and_age(None) == (None, None)
    user, age = user_and_age(("user", int(time.time()) - 60))
    assert user == "user"
    assert age is not None
    assert timedelta(seconds=59) < age < timedelta(seconds=70)


@pytest.mark.parametrize("at", [None, "now", True, 1.5])
def test_invalid_time_of_the_sign_in_is_unknown(at: object) -> None:
    assert user_and_age(("user", at)) == ("user", None)


def test_future_time_of_the_sign_in_is_unknown() -> None:
    assert user_and_age(("user", int(time.time()) + 3600)) == ("user", None)


def test_other_results_name_the_function() -> None:
    with pytest.raises(ConfigurationError, match="user_for_token returned 3 values"):
        user_and_age(("user", 1, 2))


@pytest.mark.parametrize("token", ["abc", {"access": "a", "expires_in": 300}, {"a": {"b": ["c"]}}])
def test_token_is_a_text_or_a_mapping(token: Any) -> None:
    assert checked_token(token) == token


@pytest.mark.parametrize("token", [None, "", {}, b"abc", 5, ["a"], {"at": PHONE}, {"x": float}])
def test_other_tokens_are_refused_without_their_value(token: object) -> None:
    with pytest.raises(ConfigurationError, match="function for tokens") as caught:
        checked_token(token)
    assert "9120000" not in str(caught.value)
    assert "abc" not in str(caught.value)


def test_token_is_in_no_repr() -> None:
    assert "secret-token" not in repr(ApiRequest("GET", "v1/session", token="secret-token"))


class _Verifier:
    def __init__(self, error: Exception | None = None) -> None:
        self.noted: list[str] = []
        self.error = error

    def note_token_check(self, token: str, user_id: str, phone: PhoneNumber) -> None:
        if self.error:
            raise self.error
        self.noted.append(token)


@pytest.mark.parametrize(
    ("token", "noted"),
    [
        ("short", ["short"]),
        ({"access": "a" * 20, "refresh": "r" * 20, "token_type": "Bearer", "n": 5}, ["a" * 20, "r" * 20]),
        ({f"t{n}": f"{n}" * 20 for n in range(9)}, [f"{n}" * 20 for n in range(4)]),
    ],
)
def test_sign_in_is_noted_for_the_issued_tokens(token: Any, noted: list[str]) -> None:
    verifier: Any = _Verifier()
    note_sign_in(verifier, token, "7", PHONE)
    assert verifier.noted == noted


def test_store_outage_does_not_lose_the_token(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        note_sign_in(_Verifier(StoreError("no answer")), "secret-token", "7", PHONE)  # type: ignore[arg-type]
    assert "did not note" in caplog.text
    assert "secret-token" not in caplog.text
