"""Continuing with the number of the last sign-in on Flask: which users are offered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask_login import login_user

from .sites import PHONE, Made, User, cookie_line, follow, make, submit, target

LOGIN, CODE = "/phone/login/", "/phone/code/"


def sign_in_and_out(client: Any, made: Made, phone: str = PHONE, **fields: str) -> str:
    """Sign in with the box ticked or as `fields` say, and out; return the device's cookie."""
    submit(client, LOGIN, phone=phone)
    answer = submit(client, CODE, code=made.code, **(fields or {"asks_remember": "1", "remember": "1"}))
    assert answer.location == "/"
    submit(client, "/phone/logout/")
    line = cookie_line(answer, "phone_verify_device") or ""
    assert "HttpOnly" in line
    return line.partition("=")[2].partition(";")[0]


def is_offered(client: Any) -> bool:
    return "Continue as" in client.get(LOGIN).text


def test_last_number_is_offered_after_signing_out() -> None:
    made = make()
    client = made.app.test_client()
    sign_in_and_out(client, made)
    page = client.get(LOGIN).text
    assert '<bdi dir="ltr">+98 ••• 00</bdi>' in page
    assert PHONE[3:-2] not in page
    answer = submit(client, LOGIN, **{"continue": "1"})
    assert (answer.status_code, target(answer), len(made.transport.notices)) == (303, CODE, 2)
    assert "912 000" not in client.get(CODE).text
    assert submit(client, CODE, code=made.code).location == "/"
    assert client.get("/").text == PHONE


def test_number_is_not_readable_in_the_cookie_of_a_site_whose_ids_are_numbers() -> None:
    made = make()
    made.users[PHONE] = User(PHONE, PHONE)
    client = made.app.test_client()
    assert PHONE[1:] not in sign_in_and_out(client, made)
    assert is_offered(client)


def remove(made: Made, user: User) -> None:
    del made.users[user.id]


def deactivate(made: Made, user: User) -> None:
    user.active = False


def promote(made: Made, user: User) -> None:
    user.is_admin = True  # type: ignore[attr-defined]


def change_number(made: Made, user: User) -> None:
    user.phone = "+989120000001"


def lose_number(made: Made, user: User) -> None:
    user.phone = ""


@pytest.mark.parametrize("change", [remove, deactivate, promote, change_number, lose_number])
def test_nothing_is_offered_to_users_who_cannot_sign_in(change: Callable[[Made, User], None]) -> None:
    made = make()
    client = made.app.test_client()
    sign_in_and_out(client, made)
    assert is_offered(client)
    change(made, made.users["u0"])
    assert not is_offered(client)
    answer = submit(client, LOGIN, **{"continue": "1"})
    assert (target(answer), len(made.transport.notices)) == (LOGIN, 1)
    assert "Enter your number to continue." in follow(client, answer).text


def test_sign_in_that_ends_with_the_browser_keeps_no_number() -> None:
    made = make()
    client = made.app.test_client()
    sign_in_and_out(client, made, asks_remember="1")
    assert not is_offered(client)


def permanent_sessions(app: Any) -> None:
    from flask import session

    @app.before_request
    def _() -> None:
        session.permanent = True


def test_cleared_box_keeps_no_number_though_sessions_are_permanent() -> None:
    made = make(before=permanent_sessions)
    client = made.app.test_client()
    sign_in_and_out(client, made, asks_remember="1")
    assert not is_offered(client)
    sign_in_and_out(client, made, asks_remember="1", remember="1")
    assert is_offered(client)


def session_lasts(client: Any) -> bool:
    cookie = client.get_cookie("session")
    assert cookie is not None
    return cookie.expires is not None


def test_cleared_box_ends_a_permanent_session_with_the_browser() -> None:
    made = make(before=permanent_sessions)
    client = made.app.test_client()
    for boxes, lasts in (({"asks_remember": "1"}, False), ({"next": "/"}, True)):
        submit(client, LOGIN, phone=PHONE)
        assert submit(client, CODE, code=made.code, **boxes).location == "/"
        for _ in range(2):
            assert session_lasts(client) is lasts
            assert client.get("/").text == PHONE
        submit(client, "/phone/logout/")


def test_sign_in_by_another_method_forgets_the_cleared_box() -> None:
    def with_password(app: Any) -> None:
        permanent_sessions(app)

        @app.route("/password")
        def _() -> str:
            login_user(made.users["u0"])
            return ""

    made = make(before=with_password)
    client = made.app.test_client()
    submit(client, LOGIN, phone=PHONE)
    submit(client, CODE, code=made.code, asks_remember="1")
    client.get("/password")
    assert session_lasts(client)


def test_page_without_the_box_offers_the_number_if_sessions_are_permanent() -> None:
    for before, offers in ((permanent_sessions, True), (lambda app: None, False)):
        made = make(before=before)
        client = made.app.test_client()
        sign_in_and_out(client, made, next="/")
        assert is_offered(client) is offers


@pytest.mark.parametrize("permanent", [True, False])
def test_api_sign_in_offers_the_number_if_sessions_are_permanent(permanent: bool) -> None:
    def prepare(app: Any) -> None:
        from flask import session

        @app.before_request
        def _() -> None:
            session.permanent = permanent

    made = make(before=prepare)
    client = made.app.test_client()
    begun = client.post("/phone/v1/verifications", json={"phone": PHONE}).json
    done = client.post(f"/phone/v1/verifications/{begun['id']}/check", json={"code": made.code}).json
    assert client.post("/phone/v1/session", json={"proof": done["proof"]}).status_code == 200
    submit(client, "/phone/logout/")
    assert is_offered(client) == permanent


def test_forged_cookie_loads_no_user() -> None:
    made = make()
    owner, other = made.app.test_client(), made.app.test_client()
    mine = sign_in_and_out(owner, made)
    theirs = sign_in_and_out(other, made, "+989120000001")
    visitor = made.app.test_client()
    (entry, sealed, _), (_, foreign, _) = mine.split("~"), theirs.split("~")
    made.asked.clear()
    for cookie in ("", "u0~u0~sms", f"{entry}~{foreign}~sms", f"{entry}~u0~sms", f"{sealed}~sms", "~" * 50, "x" * 3000):
        visitor.set_cookie("phone_verify_device", cookie, path="/phone/")
        assert not is_offered(visitor), cookie
    assert made.asked == []


def test_cookie_of_another_site_is_not_accepted() -> None:
    made, other = make(), make(SECRET_KEY="another-key-of-the-tests-0123456789")
    cookie = sign_in_and_out(made.app.test_client(), made)
    other.users["u0"] = User("u0", PHONE)
    visitor = other.app.test_client()
    visitor.set_cookie("phone_verify_device", cookie, path="/phone/")
    assert not is_offered(visitor)


def test_login_page_is_shown_if_the_user_loader_fails() -> None:
    made = make()
    client = made.app.test_client()
    sign_in_and_out(client, made)

    @made.app.login_manager.user_loader  # type: ignore[attr-defined]
    def fail(id: str) -> None:
        raise RuntimeError("down")

    page = client.get(LOGIN)
    assert page.status_code == 200
    assert "Continue as" not in page.text


def test_setting_switches_it_off() -> None:
    made = make(PHONE_VERIFY_OFFER_LAST_NUMBER=False)
    client = made.app.test_client()
    assert sign_in_and_out(client, made).count("~") == 1
    assert not is_offered(client)


def test_press_needs_the_token_of_a_form() -> None:
    made = make()
    client = made.app.test_client()
    sign_in_and_out(client, made)
    for field in ("continue", "forget"):
        answer = client.post(LOGIN, data={field: "1"}, headers={"Sec-Fetch-Site": "cross-site"})
        assert answer.status_code == 403
    assert (len(made.transport.notices), is_offered(client)) == (1, True)
