"""The session before and after a login: what is cleared, what is kept, and the effect of an old copy."""

from __future__ import annotations

import re
import threading
from typing import Any
from urllib.parse import parse_qs

import flask_login
import pytest
from flask import Flask, session
from flask.sessions import SecureCookieSessionInterface
from werkzeug.test import Client

from phone_verify.errors import ConfigurationError
from phone_verify.exchange import HttpRequest, HttpResponse
from phone_verify.http.cookies import COOKIE
from phone_verify.testing.transport import FakeTransport
from phone_verify_flask import PhoneVerify

from .sites import KEY, PHONE, Made, follow, is_problem, make, proof, proof_of, start, submit

SESSION = "/phone/v1/session"


def by_api(made: Made, client: Any) -> None:
    assert client.post(SESSION, json={"proof": proof(client, made)}).status_code == 200


def by_pages(made: Made, client: Any) -> None:
    submit(client, "/phone/login/", phone=PHONE)
    assert submit(client, "/phone/code/", code=made.code).status_code == 303


WAYS = pytest.mark.parametrize("way", [by_api, by_pages])


@WAYS
def test_login_clears_the_previous_session(way: Any) -> None:
    made = make()
    client = made.app.test_client()
    client.get("/")
    assert "seen" in client.get("/session").json
    with client.session_transaction() as before:
        before["cart"] = "7"
        before["_user_id"] = "somebody"
    way(made, client)
    keys = client.get("/session").json
    assert "cart" not in keys
    assert "csrf_token" not in keys
    assert client.get("/").text == PHONE


@WAYS
def test_old_session_cookie_copy_gains_nothing(way: Any) -> None:
    made = make()
    client, thief = made.app.test_client(), made.app.test_client()
    client.get("/")
    client.get("/phone/login/")
    old = client.get_cookie("session")
    assert old is not None
    way(made, client)
    new = client.get_cookie("session")
    assert new is not None
    assert new.value != old.value
    thief.set_cookie("session", old.value)
    assert thief.get("/").text == "nobody"


def test_session_holds_no_code_and_no_count() -> None:
    """Restoring an old cookie restores no attempt: the counts are in the store."""
    made = make(PHONE_VERIFY_MAX_ATTEMPTS=2)
    client = made.app.test_client()
    submit(client, "/phone/login/", phone=PHONE)
    session_before, ours = client.get_cookie("session"), client.get_cookie(COOKIE)
    assert session_before is not None
    assert ours is not None
    for left in ("1 attempt left", "No attempts left|Too many incorrect codes"):
        client.set_cookie("session", session_before.value)
        client.set_cookie(COOKIE, ours.value)
        assert re.search(left, follow(client, submit(client, "/phone/code/", code=made.wrong_code)).text)
    client.set_cookie("session", session_before.value)
    submit_again = client.get("/phone/code/")
    assert 'name="code"' not in submit_again.text
    assert client.get("/").text == "nobody"


def test_login_ends_another_users_remember_me() -> None:
    made = make()

    @made.app.get("/remember")
    def remember() -> str:
        flask_login.login_user(made.users["u0"], remember=True)
        return "remembered"

    client = made.app.test_client()
    by_api(made, client)
    client.get("/remember")
    assert client.get_cookie("remember_token") is not None
    other = "+989120000001"
    client.post(SESSION, json={"proof": proof(client, made, other)})
    assert client.get_cookie("remember_token") is None
    client.delete_cookie("session")
    assert client.get("/").text == "nobody"


def test_logout_clears_session_and_remember_me() -> None:
    made = make()

    @made.app.get("/remember")
    def remember() -> str:
        flask_login.login_user(made.users["u0"], remember=True)
        session["cart"] = "7"
        return "remembered"

    client = made.app.test_client()
    for leave in (lambda: client.delete(SESSION), lambda: submit(client, "/phone/logout/")):
        by_api(made, client)
        client.get("/remember")
        leave()
        assert client.get_cookie("remember_token") is None
        assert "cart" not in client.get("/session").json
        assert client.get("/").text == "nobody"


def test_server_side_session_gets_a_new_id() -> None:
    """Like Flask-Session: the interface replaces the id on request, and only for a non-empty session."""

    class Interface(SecureCookieSessionInterface):
        regenerated: list[dict[str, Any]]

        def regenerate(self, session: Any) -> None:
            self.regenerated.append(dict(session))

    made = make()
    interface = Interface()
    interface.regenerated = []
    made.app.session_interface = interface
    by_api(made, made.app.test_client())
    assert [kept["_user_id"] for kept in interface.regenerated] == ["u0"]


def test_refused_login_leaves_the_session_unchanged() -> None:
    made = make()
    client = made.app.test_client()
    by_api(made, client)
    made.find_or_make(proof_of("+989120000001"))[0].active = False
    answer = client.post(SESSION, json={"proof": proof(client, made, "+989120000001")})
    assert is_problem(answer, 403, "login_refused")
    assert client.get("/").text == PHONE


def test_proof_signs_in_once() -> None:
    made = make()
    client = made.app.test_client()
    good = proof(client, made)
    assert client.post(SESSION, json={"proof": good}).status_code == 200
    client.delete(SESSION)
    assert is_problem(client.post(SESSION, json={"proof": good}), 400, "invalid_proof")


@pytest.mark.race
def test_concurrent_uses_of_a_proof_sign_in_once(tmp_path: Any) -> None:
    made = make(PHONE_VERIFY_STORE=f"sqlite:///{tmp_path / 'store.sqlite3'}")
    client = made.app.test_client()
    good = proof(client, made)
    cookie = client.get_cookie(COOKIE)
    assert cookie is not None
    gate, statuses = threading.Barrier(8), []

    def try_once() -> None:
        other: Client = made.app.test_client()
        other.set_cookie(COOKIE, cookie.value)
        gate.wait(10)
        statuses.append(other.post(SESSION, json={"proof": good}).status_code)

    threads = [threading.Thread(target=try_once) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(statuses) == [200, *[400] * 7]


# Required configuration for sign-in


def test_stranger_is_sent_to_sign_in_where_numbers_cannot_be_changed() -> None:
    made = make()
    made.app.extensions["phone_verify"].accounts.set_phone = None
    answer = made.app.test_client().get("/phone/verify/")
    assert (answer.status_code, "/phone/login/" in answer.headers["Location"]) == (302, True)


def test_missing_user_callback_error_says_what_to_write() -> None:
    made = make()
    made.app.extensions["phone_verify"].accounts.user_for_phone = None
    client = made.app.test_client()
    for ask in (
        lambda: client.get("/phone/login/"),
        lambda: client.get("/phone/code/"),
        lambda: client.post(SESSION, json={"proof": "x"}),
    ):
        with pytest.raises(ConfigurationError, match=r"@phone_verify\.user_for_phone"):
            ask()


def test_missing_flask_login_error_says_what_to_write() -> None:
    app = Flask("site")
    app.config.update(SECRET_KEY=KEY, PHONE_VERIFY_STORE="memory:", PHONE_VERIFY_SMS="console://", TESTING=True)
    phone_verify = PhoneVerify()
    phone_verify.init_app(app, transport=FakeTransport())
    phone_verify.user_for_phone(lambda redeemed: None)
    client = app.test_client()
    with pytest.raises(ConfigurationError, match=r"LoginManager\(app\)"):
        client.get("/phone/login/")
    # Verifying a number requires no users.
    start(client)
    assert is_problem(client.get(SESSION), 401, "not_signed_in")
    assert client.delete(SESSION).status_code == 204


def test_proof_is_kept_while_login_is_impossible() -> None:
    made = make(TESTING=False)
    client = made.app.test_client()
    good = proof(client, made)
    accounts = made.app.extensions["phone_verify"].accounts
    find_or_make, accounts.user_for_phone = accounts.user_for_phone, None
    assert is_problem(client.post(SESSION, json={"proof": good}), 500, "internal_error")
    accounts.user_for_phone = find_or_make
    assert client.post(SESSION, json={"proof": good}).status_code == 200


# The traces of a login


def test_login_logs_no_code_key_or_number(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    caplog.set_level("DEBUG")
    made = make(
        TESTING=False,
        PHONE_VERIFY_SMS="amoot://SECRET-TOKEN@default",
        PHONE_VERIFY_STORE=f"sqlite:///{tmp_path / 'store.sqlite3'}",
        PHONE_VERIFY_RESEND_AFTER=0,
    )
    codes = []

    def deliver(request: HttpRequest) -> HttpResponse:
        fields = parse_qs((request.body or b"").decode())
        codes.append(fields["OptionalCode"][0])
        return HttpResponse(200, {}, b'{"Status": "Success", "Data": {"MessageID": 600000001}}')

    def refuse(request: HttpRequest) -> HttpResponse:
        return HttpResponse(500, {}, b"cannot send " + (request.body or b""))

    made.transport.answers = [refuse, deliver, deliver, deliver]
    client = made.app.test_client()
    assert "send a code right now" in follow(client, submit(client, "/phone/login/", phone=PHONE)).text
    assert submit(client, "/phone/login/", phone=PHONE).status_code == 303
    submit(client, "/phone/code/", resend="1")
    submit(client, "/phone/code/", code=str((int(codes[-1]) + 1) % 10**6).zfill(6))
    assert submit(client, "/phone/code/", code=codes[-1]).status_code == 303
    client.post("/phone/login/", data={"phone": PHONE})
    begun = start(client)
    answer = client.post(f"/phone/v1/verifications/{begun['id']}/check", json={"code": codes[-1]})
    good = answer.json["proof"]
    client.post(SESSION, json={"proof": good})
    client.post(SESSION, json={"proof": good})
    made.app.extensions["phone_verify"].accounts.user_for_phone = None
    client.post(SESSION, json={"proof": good})
    submit(client, "/phone/logout/")
    site = made.app.extensions["phone_verify"].site
    written = " ".join(f"{record.getMessage()} {record.exc_text} {vars(record)}" for record in caplog.records)
    written += repr(made.app.extensions["phone_verify"]) + "".join(capfd.readouterr())
    assert "amoot" in written
    for secret in (
        PHONE[3:],
        "SECRET-TOKEN",
        KEY,
        begun["secret"],
        good,
        *codes,
        *site.webhook_secrets,
    ):
        assert secret not in written


REVIEWER = {"PHONE_VERIFY_TEST_PASSCODES": f"{PHONE}=482193@2030-12-31"}


def by_test_number(made: Made) -> Any:
    client = made.app.test_client()
    id = start(client)["id"]
    checked = client.post(f"/phone/v1/verifications/{id}/check", json={"code": "482193"})
    return client.post(SESSION, json={"proof": checked.json["proof"]})


def test_test_number_signs_in_without_a_message() -> None:
    made = make(**REVIEWER)
    assert by_test_number(made).status_code == 200
    assert made.transport.notices == []


def test_test_number_in_production_is_refused_at_startup() -> None:
    with pytest.raises(ConfigurationError, match="TEST_PASSCODES_IN_PRODUCTION"):
        make(TESTING=False, **REVIEWER)
    assert make(TESTING=False, PHONE_VERIFY_TEST_PASSCODES_IN_PRODUCTION=PHONE, **REVIEWER)


def change(made: Made, client: Any, phone: str = "+989120000007", purpose: str = "change_phone") -> Any:
    return client.put(f"{SESSION}/phone", json={"proof": proof(client, made, phone, purpose=purpose)})


@pytest.mark.parametrize(("seconds", "status"), [(840, 200), (901, 403), (None, 403)])
def test_stale_session_signs_in_again_before_a_change(seconds: int | None, status: int) -> None:
    made = make()
    client = made.app.test_client()
    by_api(made, client)
    with client.session_transaction() as kept:
        for moment in ("_phone_verify_signed_in_at", "_phone_verify_checked_at"):
            kept[moment] -= seconds or 0
            if seconds is None:
                del kept[moment]
    response = change(made, client)
    assert response.status_code == status
    assert (client.get("/").text == PHONE) is (status == 403)
    if status == 403:
        assert is_problem(response, 403, "reauthentication_required")


@pytest.mark.parametrize(("phone", "status"), [("+989120000007", 200), ("+989120000009", 403)])
def test_lost_number_follows_the_site_callback(phone: str, status: int) -> None:
    extension = PhoneVerify()
    extension.may_change_without_old(lambda user, redeemed: redeemed.phone.e164 != "+989120000009")
    made = make(extension=extension)
    client = made.app.test_client()
    by_api(made, client)
    with client.session_transaction() as kept:
        for moment in ("_phone_verify_signed_in_at", "_phone_verify_checked_at"):
            kept[moment] -= 901
    response = change(made, client, phone)
    assert response.status_code == status
    assert client.get("/").text == (phone if status == 200 else PHONE)
    if status == 403:
        assert is_problem(response, 403, "reauthentication_required")


def test_proof_is_kept_without_the_set_phone_callback() -> None:
    made = make()
    client = made.app.test_client()
    by_api(made, client)
    accounts = made.app.extensions["phone_verify"].accounts
    kept, accounts.set_phone = accounts.set_phone, None
    proven = proof(client, made, "+989120000007", purpose="change_phone")
    with pytest.raises(ConfigurationError, match="set_phone_for_user"):
        client.put(f"{SESSION}/phone", json={"proof": proven})
    accounts.set_phone = kept
    assert client.put(f"{SESSION}/phone", json={"proof": proven}).status_code == 200


def test_test_number_is_not_assigned_to_staff() -> None:
    new = "+989120000007"
    made = make(PHONE_VERIFY_TEST_PASSCODES=f"{new}=482193@2030-12-31")
    client = made.app.test_client()
    by_api(made, client)
    next(iter(made.users.values())).is_staff = True  # type: ignore[attr-defined]
    id = client.post("/phone/v1/verifications", json={"phone": new, "purpose": "change_phone"}).json["id"]
    checked = client.post(f"/phone/v1/verifications/{id}/check", json={"code": "482193"})
    response = client.put(f"{SESSION}/phone", json={"proof": checked.json["proof"]})
    assert is_problem(response, 400, "invalid_proof")
