"""The site's own views behind a number, and behind a check of it that is not long ago."""

from __future__ import annotations

import math
import time
from datetime import timedelta
from typing import Any

import flask_login
import pytest
from flask import Flask, request, session
from flask.views import MethodView
from freezegun import freeze_time

from phone_verify.errors import ConfigurationError
from phone_verify_flask import PhoneVerify, phone_verified_required, recent_phone_check_required
from phone_verify_flask.recent import CHECKED_AT, last_phone_check

from .sites import PHONE, Made, make, proof, submit

SESSION = "/phone/v1/session"
OTHER = "+989120000007"
TEN_MINUTES = timedelta(minutes=10)


def site(**more: Any) -> Made:
    """A site whose own views are protected, and that has a login of its own."""

    def prepare(app: Flask) -> None:
        @app.route("/orders", methods=["GET", "POST"])
        @phone_verified_required
        def orders() -> str:
            return "orders"

        @app.get("/async")
        @phone_verified_required
        async def by_coroutine() -> str:
            return "async"

        @app.route("/money", methods=["GET", "POST"])
        @recent_phone_check_required(TEN_MINUTES)
        def money() -> str:
            return f"money {request.args.get('a', '')}"

        @app.get("/async-money")
        @recent_phone_check_required(600)
        async def money_by_coroutine() -> str:
            return "async money"

        class Methods(MethodView):
            decorators = (phone_verified_required,)

            def get(self) -> str:
                return "methods"

        app.add_url_rule("/methods", view_func=Methods.as_view("methods"))

        @app.post("/password/<id>")
        def password(id: str) -> str:
            """The site's own login, which checks no phone."""
            flask_login.login_user(made.users[id])
            return "in"

        @app.post("/leave")
        def leave() -> str:
            flask_login.logout_user()
            return "out"

        @app.get("/age")
        def age() -> str:
            return str(last_phone_check())

    made = make(before=prepare, **more)
    return made


def signed_in(made: Made, phone: str = PHONE) -> Any:
    client = made.app.test_client()
    assert client.post(SESSION, json={"proof": proof(client, made, phone)}).status_code == 200
    return client


ALL = pytest.mark.parametrize("path", ["/orders", "/async", "/money", "/async-money", "/methods"])


@ALL
def test_who_signed_in_by_phone_is_let_in(path: str) -> None:
    client = signed_in(site())
    assert client.get(path).status_code == 200


@ALL
def test_strangers_sign_in_and_come_back(path: str) -> None:
    client = site().app.test_client()
    assert client.get(f"{path}?a=1").location == f"/phone/login/?next={path}?a%3D1"


def test_the_sites_own_login_page_goes_before_ours() -> None:
    made = site()
    made.app.login_manager.login_view = "/own-login"  # type: ignore[attr-defined]
    assert made.app.test_client().get("/orders").location == "/own-login?next=%2Forders"


def test_somebody_who_is_not_active_any_more_is_a_stranger() -> None:
    made = site()
    client = signed_in(made)
    made.users["u0"].active = False
    assert client.get("/orders").location == "/phone/login/?next=/orders"


@ALL
def test_a_user_without_a_number_confirms_one_first(path: str) -> None:
    made = site()
    signed_in(made)
    made.users["u0"].phone = ""
    client = made.app.test_client()
    client.post("/password/u0")
    assert client.get(path).location == f"/phone/verify/?next={path}"


def test_a_login_without_a_phone_is_enough_for_a_number_but_not_for_a_check() -> None:
    made = site()
    signed_in(made)
    client = made.app.test_client()
    client.post("/password/u0")
    assert client.get("/orders").text == "orders"
    assert client.get("/money?a=1").location == "/phone/verify/?next=/money?a%3D1"


def test_a_step_up_from_end_to_end_by_the_pages() -> None:
    made = site()
    signed_in(made)
    client = made.app.test_client()
    client.post("/password/u0")
    there = client.get("/money?a=1").location
    answer = submit(client, there, confirm="1", next="/money?a=1")
    assert answer.location.startswith("/phone/code/?next=")
    answer = submit(client, answer.location, code=made.code, next="/money?a=1")
    assert (answer.status_code, answer.location) == (302, "/money?a=1")
    assert client.get(answer.location).text == "money 1"
    assert made.users["u0"].phone == PHONE


def test_the_check_grows_old() -> None:
    made = site()
    with freeze_time("2030-01-01 12:00") as time:
        client = signed_in(made)
        time.tick(timedelta(minutes=10))
        assert client.get("/money").status_code == client.get("/async-money").status_code == 200
        time.tick(timedelta(seconds=1))
        assert client.get("/money").location == "/phone/verify/?next=/money"
        assert client.get("/async-money").location == "/phone/verify/?next=/async-money"
        made.clock.move(601)
        client.put(f"{SESSION}/phone", json={"proof": proof(client, made, purpose="confirm")})
        assert client.get("/money").status_code == 200


def test_the_check_goes_with_its_user() -> None:
    made = site()
    signed_in(made, OTHER)
    client = signed_in(made)
    assert client.get("/money").status_code == 200
    client.post("/password/u0")
    assert client.get("/money").status_code == 303
    client = signed_in(made)
    client.post("/leave")
    client.post("/password/u0")
    assert client.get("/money").status_code == 303


def test_remembered_is_not_checked() -> None:
    made = site()
    client = made.app.test_client()
    submit(client, "/phone/login/", phone=PHONE)
    submit(client, "/phone/code/", code=made.code, asks_remember="1", remember="1")
    assert client.get_cookie("remember_token") is not None
    with client.session_transaction() as kept:
        kept.pop("_user_id")  # as after a session that has ended, with our key left over
    assert client.get("/").text == PHONE
    assert client.get("/money").location == "/phone/verify/?next=/money"


def test_without_the_box_nobody_is_remembered() -> None:
    made = site()
    client = made.app.test_client()
    submit(client, "/phone/login/", phone=PHONE)
    submit(client, "/phone/code/", code=made.code, asks_remember="1")
    assert client.get("/").text == PHONE
    assert client.get_cookie("remember_token") is None


@pytest.mark.parametrize("value", [None, True, "1", 1e12, pytest.param(time.time(), id="now"), -1, 10**12, [1]])
def test_only_a_time_that_has_been_counts(value: object) -> None:
    made = site()
    client = signed_in(made)
    with client.session_transaction() as kept:
        kept[CHECKED_AT] = value
    assert client.get("/money").status_code == 303


def test_an_old_copy_of_the_session_is_as_old_as_it_is() -> None:
    made = site()
    with freeze_time("2030-01-01 12:00") as time:
        client = signed_in(made)
        old = client.get_cookie("session").value
        time.tick(timedelta(minutes=11))
        client.set_cookie("session", old)
        assert client.get("/money").status_code == 303


def test_a_form_that_came_too_late_goes_back_to_its_page() -> None:
    made = site()
    signed_in(made)
    client = made.app.test_client()
    client.post("/password/u0")
    here = {"Referer": "http://localhost/money?a=1"}
    assert client.post("/money", headers=here).location == "/phone/verify/?next=/money?a%3D1"
    elsewhere = {"Referer": "https://evil.example/money"}
    assert client.post("/money", headers=elsewhere).location == "/phone/verify/"


def test_a_client_that_wants_json_is_told_by_status() -> None:
    made = site()
    signed_in(made)
    client, wants = made.app.test_client(), {"Accept": "application/json"}
    assert client.get("/orders", headers=wants).status_code == 401
    client.post("/password/u0")
    assert client.get("/money", headers=wants).status_code == 403
    assert client.post("/money", json={}).status_code == 403
    assert client.get("/orders", headers=wants).status_code == 200


def test_where_nobody_can_be_given_a_number_the_page_is_of_no_use() -> None:
    made = site()
    signed_in(made)
    made.app.extensions["phone_verify"].accounts.set_phone = None
    client = made.app.test_client()
    client.post("/password/u0")
    assert client.get("/money").status_code == 403


def test_below_another_application_the_way_back_is_whole() -> None:
    client = site().app.test_client()
    answer = client.get("/orders", base_url="http://localhost/shop")
    assert answer.location == "/shop/phone/login/?next=/shop/orders"


@pytest.mark.parametrize("age", [0, -1, True, None, "600", timedelta(0), timedelta(seconds=-1), math.nan, math.inf])
def test_a_span_that_is_none_is_refused_where_it_is_written(age: Any) -> None:
    with pytest.raises(ConfigurationError, match="max_age: use a timedelta or a positive number of seconds"):
        recent_phone_check_required(age)


def test_a_view_keeps_its_name() -> None:
    @phone_verified_required
    def orders() -> None: ...

    assert orders.__name__ == "orders"


# The page for the own number


def test_a_change_of_number_by_the_pages() -> None:
    made = site()
    client = signed_in(made)
    answer = submit(client, "/phone/verify/", phone=OTHER)
    assert answer.location == "/phone/code/"
    answer = submit(client, "/phone/code/", code=made.code)
    assert (answer.status_code, answer.location) == (302, "/phone/verify/")
    page = client.get("/phone/verify/")
    assert "Your number is confirmed." in page.text
    assert client.get("/").text == OTHER
    assert client.get_cookie("phone_verify_device", path="/phone/") is not None


def test_nobody_takes_somebody_elses_number() -> None:
    made = site()
    signed_in(made, OTHER)
    client = signed_in(made)
    submit(client, "/phone/verify/", phone=OTHER)
    answer = submit(client, "/phone/code/", code=made.code)
    assert answer.status_code == 409
    assert "Somebody else has this number." in answer.text
    assert client.get("/").text == PHONE


def test_a_sign_in_of_long_ago_changes_no_number_but_confirms_the_own() -> None:
    made = site()
    client = signed_in(made)
    with client.session_transaction() as kept:
        kept["_phone_verify_signed_in_at"] -= 901
        kept["_phone_verify_checked_at"] -= 901
    assert submit(client, "/phone/verify/", phone=OTHER).status_code == 403
    assert submit(client, "/phone/verify/", confirm="1").location == "/phone/code/"
    assert submit(client, "/phone/code/", code=made.code).location == "/phone/verify/"


def test_a_stranger_at_the_page_signs_in_first() -> None:
    made = site()
    client = made.app.test_client()
    assert client.get("/phone/verify/?next=/money").location.startswith("/phone/login/?next=%2Fphone%2Fverify%2F")
    made.app.login_manager.login_view = "/own-login"  # type: ignore[attr-defined]
    assert client.get("/phone/verify/").location == "/own-login?next=%2Fphone%2Fverify%2F"


def test_a_form_without_the_token_gives_no_number() -> None:
    made = site()
    client = signed_in(made)
    made.transport.notices.clear()
    assert client.post("/phone/verify/", data={"phone": OTHER}).status_code == 400
    assert made.transport.notices == []


def test_a_fixed_code_gives_no_number_to_staff_by_the_pages() -> None:
    made = site(PHONE_VERIFY_TEST_PASSCODES=f"{OTHER}=482193@2030-12-31")
    client = signed_in(made)
    made.users["u0"].is_staff = True  # type: ignore[attr-defined]
    submit(client, "/phone/verify/", phone=OTHER)
    assert submit(client, "/phone/code/", code="482193").status_code == 400
    assert client.get("/").text == PHONE


def test_without_the_sites_own_function_the_code_page_burns_no_proof() -> None:
    made = make()
    client = made.app.test_client()
    client.post(SESSION, json={"proof": proof(client, made)})
    submit(client, "/phone/verify/", phone=OTHER)
    accounts = made.app.extensions["phone_verify"].accounts
    kept, accounts.set_phone = accounts.set_phone, None
    assert client.get("/phone/code/").location == "/phone/login/"
    accounts.set_phone = kept
    assert submit(client, "/phone/code/", code=made.code).location == "/phone/verify/"


def test_the_signed_in_users_session_is_kept_when_the_number_changes() -> None:
    made = site()
    client = signed_in(made)
    with client.session_transaction() as kept:
        kept["cart"] = "7"
    submit(client, "/phone/verify/", phone=OTHER)
    submit(client, "/phone/code/", code=made.code)
    assert "cart" in client.get("/session").json


def test_a_site_without_flask_login_has_nobody_to_let_in() -> None:
    app = Flask("site")
    app.config.update(SECRET_KEY="a-key-of-the-tests-0123456789abcdef", PHONE_VERIFY_STORE="memory:")
    PhoneVerify(app)
    app.add_url_rule("/orders", view_func=phone_verified_required(lambda: "orders"), endpoint="orders")
    assert app.test_client().get("/orders").location == "/phone/login/?next=/orders"
    with app.test_request_context("/"):
        session[CHECKED_AT] = 1
        assert last_phone_check() is None
