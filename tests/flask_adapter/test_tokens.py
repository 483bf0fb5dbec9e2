"""Tokens on Flask, where the scenarios do not reach: times, other users, errors of the site's functions."""

from __future__ import annotations

import time
from typing import Any

import pytest
from flask import Flask
from flask_login import current_user

from phone_verify.errors import ConfigurationError, StoreError
from phone_verify_flask import PhoneVerify
from phone_verify_flask.signals import phone_changed, phone_verified
from tests.site_tokens import KEY, sign
from tests.site_tokens import make as make_token

from .sites import PHONE, Made, is_problem, make, proof, start

NEW = "+989120000007"
SESSION, SET_PHONE, TOKEN = "/phone/v1/session", "/phone/v1/session/phone", "/phone/v1/token"


def tokens(**config: Any) -> Made:
    """A site that issues and accepts tokens."""
    extension = PhoneVerify()
    made = make(extension=extension, PHONE_VERIFY_RESEND_AFTER=0, **config)
    extension.token_for_user(make_token)
    extension.user_for_token(made.user_for_token)
    return made


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def exchange(made: Made, phone: str = PHONE) -> Any:
    client = made.app.test_client()
    return client.post(TOKEN, json={"proof": proof(client, made, phone)})


def redeemed(made: Made, token: str, phone: str, purpose: str = "change_phone") -> Any:
    """Prove a number with this token and redeem the proof."""
    client, headers = made.app.test_client(), bearer(token)
    begun = start(client, phone, purpose, headers=headers)
    answer = client.post(f"/phone/v1/verifications/{begun['id']}/check", json={"code": made.code})
    return client.put(SET_PHONE, json={"proof": answer.json["proof"]}, headers=headers)


def test_site_without_tokens_answers_404_and_uses_no_proof_up() -> None:
    made = make()
    client = made.app.test_client()
    found = proof(client, made)
    assert is_problem(client.post(TOKEN, json={"proof": found}), 404, "not_found")
    assert client.post(TOKEN, data="x").status_code == 415
    assert client.post(SESSION, json={"proof": found}).status_code == 200


def test_site_without_user_for_token_reads_no_header() -> None:
    made = make()
    client = made.app.test_client()
    client.post(SESSION, json={"proof": proof(client, made)})
    assert client.get(SESSION, headers=bearer("of a proxy")).status_code == 200


@pytest.mark.parametrize("case", ["audience", "key", "user", "cut", "text"])
def test_foreign_token_is_401(made: Made, case: str) -> None:
    token = {
        "audience": sign("u0", audience="another"),
        "key": sign("u0", key="another-key-0123456789-abcdef-0123"),
        "user": sign("u9"),
        "cut": sign("u0")[:-1],
        "text": KEY,
    }[case]
    exchange(made)
    answer = made.app.test_client().get(SESSION, headers=bearer(token))
    assert is_problem(answer, 401, "not_signed_in")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.fixture
def made() -> Made:
    return tokens()


def test_expired_token_is_401(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    token = exchange(made).json["token"]
    client = made.app.test_client()
    assert client.get(SESSION, headers=bearer(token)).status_code == 200
    now = time.time() + 3700
    monkeypatch.setattr("itsdangerous.timed.time.time", lambda: now)
    assert is_problem(client.get(SESSION, headers=bearer(token)), 401, "not_signed_in")


def test_inactive_user_has_no_token(made: Made) -> None:
    token = exchange(made).json["token"]
    made.users["u0"].active = False
    client = made.app.test_client()
    assert is_problem(client.get(SESSION, headers=bearer(token)), 401, "not_signed_in")
    assert is_problem(exchange(made), 403, "login_refused")


def test_staff_get_no_token_by_phone_alone(made: Made) -> None:
    exchange(made)
    made.users["u0"].is_staff = True  # type: ignore[attr-defined]
    assert is_problem(exchange(made), 403, "login_refused")


def test_closed_signup_gives_no_token(made: Made) -> None:
    made.app.extensions["phone_verify"].accounts.user_for_phone = lambda redeemed: None
    assert is_problem(exchange(made), 403, "login_refused")


def test_present_number_is_verified_by_the_same_token(made: Made) -> None:
    """That of another token of the user, and that of a session, do not count."""
    exchange(made)
    token, other = sign("u0", signed_in_at=int(time.time())), sign("u0", signed_in_at=1)
    assert is_problem(redeemed(made, token, NEW), 403, "reauthentication_required")
    assert redeemed(made, other, PHONE, "confirm").status_code == 200
    client = made.app.test_client()
    client.post(SESSION, json={"proof": proof(client, made)})
    assert is_problem(redeemed(made, token, NEW), 403, "reauthentication_required")
    made.clock.move(3700)
    assert redeemed(made, token, PHONE, "confirm").status_code == 200
    made.clock.move(890)
    assert redeemed(made, token, NEW).status_code == 200
    assert made.users["u0"].phone == NEW
    # The new number was not the user's before, so that it is verified before the next change.
    assert is_problem(redeemed(made, token, PHONE), 403, "reauthentication_required")


def test_exchange_counts_for_15_minutes(made: Made) -> None:
    token = exchange(made).json["token"]
    made.clock.move(901)
    assert is_problem(redeemed(made, token, NEW), 403, "reauthentication_required")
    assert redeemed(made, token, PHONE, "confirm").status_code == 200
    assert redeemed(made, token, NEW).status_code == 200


@pytest.mark.parametrize(("seconds", "status"), [(800, 200), (1000, 403), (None, 403)])
def test_first_number_needs_a_recent_sign_in(made: Made, seconds: int | None, status: int) -> None:
    exchange(made)
    made.users["u0"].phone = ""
    at = None if seconds is None else int(time.time()) - seconds
    assert redeemed(made, sign("u0", signed_in_at=at), NEW).status_code == status


def test_site_may_change_without_the_old_number(made: Made) -> None:
    asked = []

    def may_change(user: Any, redeemed: Any) -> bool:
        asked.append((user.id, current_user.id))
        return True

    exchange(made)
    made.app.extensions["phone_verify"].accounts.may_change_without_old = may_change
    assert redeemed(made, sign("u0", signed_in_at=1), NEW).status_code == 200
    assert asked == [("u0", "u0")]


def test_change_ends_all_sessions_also_that_of_the_request(made: Made) -> None:
    browser = made.app.test_client()
    browser.post(SESSION, json={"proof": proof(browser, made)})
    token = exchange(made).json["token"]
    begun = start(browser, NEW, "change_phone", headers=bearer(token))
    checked = browser.post(f"/phone/v1/verifications/{begun['id']}/check", json={"code": made.code})
    answer = browser.put(SET_PHONE, json={"proof": checked.json["proof"]}, headers=bearer(token))
    assert answer.status_code == 200
    assert not [line for line in answer.headers.getlist("Set-Cookie") if line.startswith("session=")]
    assert is_problem(browser.get(SESSION), 401, "not_signed_in")
    assert browser.get(SESSION, headers=bearer(token)).json["user"]["phone"] == NEW


def test_signals_are_sent_with_the_user_of_the_token(made: Made) -> None:
    said: list[Any] = []
    token = exchange(made).json["token"]

    def verified(app: Flask, user: Any, **_: Any) -> None:
        said.append(("verified", user.id, current_user.id))

    def changed(app: Flask, user: Any, **_: Any) -> None:
        said.append(("changed", user.id, current_user.id))

    with phone_verified.connected_to(verified), phone_changed.connected_to(changed):
        assert redeemed(made, token, NEW).status_code == 200
    assert said == [("verified", "u0", "u0"), ("changed", "u0", "u0")]


def test_request_with_a_token_reads_no_session(made: Made) -> None:
    token = exchange(made).json["token"]
    other = made.app.test_client()
    other.post(SESSION, json={"proof": proof(other, made, NEW)})
    made.asked.clear()
    assert other.get(SESSION, headers=bearer(token)).json["user"]["phone"] == PHONE
    assert is_problem(other.get(SESSION, headers=bearer("x")), 401, "not_signed_in")
    start(other, PHONE, "confirm", headers=bearer(token))
    assert made.asked == [], "the session's user was not loaded"
    assert other.get(SESSION).json["user"]["phone"] == NEW


def test_error_of_the_function_says_nothing_and_uses_the_proof_up(made: Made, caplog: pytest.LogCaptureFixture) -> None:
    def fail(user: Any, redeemed: Any) -> str:
        raise RuntimeError("the site's own")

    made.app.config["PROPAGATE_EXCEPTIONS"] = False
    made.app.extensions["phone_verify"].accounts.token_for_user = fail
    client = made.app.test_client()
    found = proof(client, made)
    answer = client.post(TOKEN, json={"proof": found})
    assert is_problem(answer, 500, "internal_error")
    assert "the site's own" not in answer.text
    assert "the site's own" in caplog.text
    made.app.extensions["phone_verify"].accounts.token_for_user = make_token
    assert is_problem(client.post(TOKEN, json={"proof": found}), 400, "invalid_proof")


@pytest.mark.parametrize("token", [None, "", 5, object()])
def test_function_must_return_a_token(made: Made, token: Any) -> None:
    made.app.extensions["phone_verify"].accounts.token_for_user = lambda user, redeemed: token
    with pytest.raises(ConfigurationError, match="function for tokens"):
        exchange(made)


def test_functions_may_be_async(made: Made) -> None:
    async def make(user: Any, redeemed: Any) -> dict[str, str]:
        return {"access": make_token(user, redeemed)}

    async def find(token: str) -> Any:
        return made.user_for_token(token)

    accounts = made.app.extensions["phone_verify"].accounts
    accounts.token_for_user, accounts.user_for_token = make, find
    token = exchange(made).json["token"]["access"]
    assert made.app.test_client().get(SESSION, headers=bearer(token)).json["user"]["phone"] == PHONE
    assert redeemed(made, token, NEW).status_code == 200


def test_store_outage_at_the_change_is_503(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    token = exchange(made).json["token"]
    client = made.app.test_client()
    begun = start(client, NEW, "change_phone", headers=bearer(token))
    checked = client.post(f"/phone/v1/verifications/{begun['id']}/check", json={"code": made.code})

    async def fail(*_: Any) -> Any:
        raise StoreError("no answer")

    monkeypatch.setattr("phone_verify.stores.memory.MemoryStore.count", fail)
    answer = client.put(SET_PHONE, json={"proof": checked.json["proof"]}, headers=bearer(token))
    assert is_problem(answer, 503, "unavailable")
    assert made.users["u0"].phone == PHONE
