"""The site's views that require a number or a recent check."""

from __future__ import annotations

import math
import time
from datetime import timedelta
from typing import Any

import flask_login
import pytest
from flask import Flask, render_template_string, request, session
from flask.views import MethodView
from freezegun import freeze_time

from phone_verify.errors import ConfigurationError
from phone_verify_flask import PhoneVerify, phone_verified_required, recent_phone_check_required
from phone_verify_flask.recent import CHECKED_AT, last_phone_check

from .sites import PHONE, Made, follow, make, proof, submit, target

SESSION = "/phone/v1/session"
OTHER = "+989120000007"
TEN_MINUTES = timedelta(minutes=10)


def site(**more: Any) -> Made:
    """A site with protected views and a custom login."""

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
            """The site's login, which verifies no phone."""
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
def test_phone_login_is_allowed(path: str) -> None:
    client = signed_in(site())
    assert client.get(path).status_code == 200


@ALL
def test_anonymous_visitors_sign_in_and_return(path: str) -> None:
    client = site().app.test_client()
    assert client.get(f"{path}?a=1").location == f"/phone/login/?next={path}?a%3D1"


def test_site_login_page_precedes_ours() -> None:
    made = site()
    made.app.login_manager.login_view = "/own-login"  # type: ignore[attr-defined]
    assert made.app.test_client().get("/orders").location == "/own-login?next=%2Forders"


@pytest.mark.parametrize("view", ["own", "/own-login"], ids=["endpoint", "address"])
def test_site_login_page_links_to_ours_with_its_next(view: str) -> None:
    """The visitor is returned to the page that required the sign-in, not to the site's sign-in page."""
    made = site()
    made.app.login_manager.login_view = view  # type: ignore[attr-defined]

    @made.app.route("/own-login", methods=["GET", "POST"], endpoint="own")
    def own() -> str:
        return render_template_string("{{ phone_verify.login_url() }}")

    client = made.app.test_client()
    assert client.get(client.get("/orders?a=1").location).text == "/phone/login/?next=/orders?a%3D1"
    assert client.post("/own-login?next=/orders").text == "/phone/login/?next=/orders"
    assert client.post("/own-login", data={"next": "/orders"}).text == "/phone/login/?next=/orders"
    assert client.get("/own-login").text == "/phone/login/"
    assert client.get("/own-login?next=https://evil.example/").text == "/phone/login/"


def test_next_in_the_session_is_followed() -> None:
    """Flask-Login's USE_SESSION_FOR_NEXT keeps it out of the address."""
    made = site(USE_SESSION_FOR_NEXT=True)
    made.app.login_manager.login_view = "phone_verify.login"  # type: ignore[attr-defined]
    made.app.add_url_rule("/own-login", "own", lambda: render_template_string("{{ phone_verify.login_url() }}"))
    client = made.app.test_client()
    assert client.get("/orders?a=1").location == "/phone/login/"
    assert 'name="next" value="/orders?a=1"' in client.get("/phone/login/").text
    made.app.login_manager.login_view = "own"  # type: ignore[attr-defined]
    assert client.get("/own-login").text == "/phone/login/?next=/orders?a%3D1"
    with client.session_transaction() as kept:
        kept["next"] = "https://evil.example/"
    assert "evil" not in client.get("/phone/login/").text


def test_deactivated_user_counts_as_anonymous() -> None:
    made = site()
    client = signed_in(made)
    made.users["u0"].active = False
    assert client.get("/orders").location == "/phone/login/?next=/orders"


@ALL
def test_user_without_a_number_verifies_one_first(path: str) -> None:
    made = site()
    signed_in(made)
    made.users["u0"].phone = ""
    client = made.app.test_client()
    client.post("/password/u0")
    assert client.get(path).location == f"/phone/verify/?next={path}"


def test_password_login_has_a_number_but_no_recent_check() -> None:
    made = site()
    signed_in(made)
    client = made.app.test_client()
    client.post("/password/u0")
    assert client.get("/orders").text == "orders"
    assert client.get("/money?a=1").location == "/phone/verify/?next=/money?a%3D1"


def test_step_up_by_the_pages_works() -> None:
    made = site()
    signed_in(made)
    client = made.app.test_client()
    client.post("/password/u0")
    there = client.get("/money?a=1").location
    answer = submit(client, there, confirm="1", next="/money?a=1")
    assert target(answer).startswith("/phone/code/?next=")
    answer = submit(client, target(answer), code=made.code, next="/money?a=1")
    assert (answer.status_code, answer.location) == (303, "/money?a=1")
    assert client.get(answer.location).text == "money 1"
    assert made.users["u0"].phone == PHONE


def test_check_expires() -> None:
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


def test_check_ends_with_its_user() -> None:
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


def test_remembered_session_is_not_a_check() -> None:
    made = site()
    client = made.app.test_client()
    submit(client, "/phone/login/", phone=PHONE)
    submit(client, "/phone/code/", code=made.code, asks_remember="1", remember="1")
    assert client.get_cookie("remember_token") is not None
    with client.session_transaction() as kept:
        kept.pop("_user_id")  # as after a session that has ended, with our key left over
    assert client.get("/").text == PHONE
    assert client.get("/money").location == "/phone/verify/?next=/money"


def test_unchecked_box_sets_no_remember_cookie() -> None:
    made = site()
    client = made.app.test_client()
    submit(client, "/phone/login/", phone=PHONE)
    submit(client, "/phone/code/", code=made.code, asks_remember="1")
    assert client.get("/").text == PHONE
    assert client.get_cookie("remember_token") is None


@pytest.mark.parametrize("value", [None, True, "1", 1e12, pytest.param(time.time(), id="now"), -1, 10**12, [1]])
def test_future_check_time_does_not_count(value: object) -> None:
    made = site()
    client = signed_in(made)
    with client.session_transaction() as kept:
        kept[CHECKED_AT] = value
    assert client.get("/money").status_code == 303


def test_old_session_copy_keeps_its_age() -> None:
    made = site()
    with freeze_time("2030-01-01 12:00") as time:
        client = signed_in(made)
        old = client.get_cookie("session").value
        time.tick(timedelta(minutes=11))
        client.set_cookie("session", old)
        assert client.get("/money").status_code == 303


def test_late_form_returns_to_its_page() -> None:
    made = site()
    signed_in(made)
    client = made.app.test_client()
    client.post("/password/u0")
    here = {"Referer": "http://localhost/money?a=1"}
    assert client.post("/money", headers=here).location == "/phone/verify/?next=/money?a%3D1"
    elsewhere = {"Referer": "https://evil.example/money"}
    assert client.post("/money", headers=elsewhere).location == "/phone/verify/"


@pytest.mark.parametrize("login_view", [None, "/own-login"])
def test_json_client_gets_401_or_403(login_view: str | None) -> None:
    made = site()
    made.app.login_manager.login_view = login_view  # type: ignore[attr-defined]
    signed_in(made)
    client, wants = made.app.test_client(), {"Accept": "application/json"}
    assert client.get("/orders", headers=wants).status_code == 401
    client.post("/password/u0")
    assert client.get("/money", headers=wants).status_code == 403
    assert client.post("/money", json={}).status_code == 403
    assert client.get("/orders", headers=wants).status_code == 200


def test_verify_page_requires_the_set_phone_callback() -> None:
    made = site()
    signed_in(made)
    made.app.extensions["phone_verify"].accounts.set_phone = None
    client = made.app.test_client()
    client.post("/password/u0")
    assert client.get("/money").status_code == 403


def test_return_url_is_complete_below_another_application() -> None:
    client = site().app.test_client()
    answer = client.get("/orders", base_url="http://localhost/shop")
    assert answer.location == "/shop/phone/login/?next=/shop/orders"


@pytest.mark.parametrize("age", [0, -1, True, None, "600", timedelta(0), timedelta(seconds=-1), math.nan, math.inf])
def test_invalid_max_age_is_refused_at_decoration(age: Any) -> None:
    with pytest.raises(ConfigurationError, match="max_age: use a timedelta or a positive number of seconds"):
        recent_phone_check_required(age)


def test_decorated_view_keeps_its_name() -> None:
    @phone_verified_required
    def orders() -> None: ...

    assert orders.__name__ == "orders"


# The page for the current number


def test_number_change_by_the_pages_works() -> None:
    made = site()
    client = signed_in(made)
    answer = submit(client, "/phone/verify/", phone=OTHER)
    assert target(answer) == "/phone/code/"
    answer = submit(client, "/phone/code/", code=made.code)
    assert (answer.status_code, answer.location) == (303, "/phone/verify/")
    page = client.get("/phone/verify/")
    assert "Your number is verified." in page.text
    assert client.get("/").text == OTHER
    assert client.get_cookie("phone_verify_device") is not None


def test_number_of_another_user_cannot_be_taken() -> None:
    made = site()
    signed_in(made, OTHER)
    client = signed_in(made)
    submit(client, "/phone/verify/", phone=OTHER)
    answer = follow(client, submit(client, "/phone/code/", code=made.code))
    assert "This number belongs to another account." in answer.text
    assert client.get("/").text == PHONE


def test_stale_session_confirms_but_cannot_change_the_number() -> None:
    made = site()
    client = signed_in(made)
    with client.session_transaction() as kept:
        kept["_phone_verify_signed_in_at"] -= 901
        kept["_phone_verify_checked_at"] -= 901
    page = follow(client, submit(client, "/phone/verify/", phone=OTHER))
    assert "verify your current number first" in page.text
    assert target(submit(client, "/phone/verify/", confirm="1")) == "/phone/code/"
    assert submit(client, "/phone/code/", code=made.code).location == "/phone/verify/"


def test_anonymous_visitor_of_the_page_signs_in_first() -> None:
    made = site()
    client = made.app.test_client()
    assert client.get("/phone/verify/?next=/money").location.startswith("/phone/login/?next=%2Fphone%2Fverify%2F")
    made.app.login_manager.login_view = "/own-login"  # type: ignore[attr-defined]
    assert client.get("/phone/verify/").location == "/own-login?next=%2Fphone%2Fverify%2F"


def test_form_without_the_csrf_token_assigns_no_number() -> None:
    made = site()
    client = signed_in(made)
    made.transport.notices.clear()
    assert client.post("/phone/verify/", data={"phone": OTHER}).status_code == 403
    assert made.transport.notices == []


def test_test_number_is_not_assigned_to_staff_by_pages() -> None:
    made = site(PHONE_VERIFY_TEST_PASSCODES=f"{OTHER}=482193@2030-12-31")
    client = signed_in(made)
    made.users["u0"].is_staff = True  # type: ignore[attr-defined]
    submit(client, "/phone/verify/", phone=OTHER)
    assert submit(client, "/phone/code/", code="482193").status_code == 303
    assert client.get("/").text == PHONE


def test_code_page_keeps_the_proof_without_the_callback() -> None:
    made = make()
    client = made.app.test_client()
    client.post(SESSION, json={"proof": proof(client, made)})
    submit(client, "/phone/verify/", phone=OTHER)
    accounts = made.app.extensions["phone_verify"].accounts
    kept, accounts.set_phone = accounts.set_phone, None
    assert client.get("/phone/code/").location == "/"
    accounts.set_phone = kept
    assert submit(client, "/phone/code/", code=made.code).location == "/phone/verify/"


def test_current_session_survives_a_number_change() -> None:
    made = site()
    client = signed_in(made)
    with client.session_transaction() as kept:
        kept["cart"] = "7"
    submit(client, "/phone/verify/", phone=OTHER)
    submit(client, "/phone/code/", code=made.code)
    assert "cart" in client.get("/session").json


def test_site_without_flask_login_allows_no_user() -> None:
    app = Flask("site")
    app.config.update(SECRET_KEY="a-key-of-the-tests-0123456789abcdef", PHONE_VERIFY_STORE="memory:")
    PhoneVerify(app)
    app.add_url_rule("/orders", view_func=phone_verified_required(lambda: "orders"), endpoint="orders")
    assert app.test_client().get("/orders").location == "/phone/login/?next=/orders"
    with app.test_request_context("/"):
        session[CHECKED_AT] = 1
        assert last_phone_check() is None
