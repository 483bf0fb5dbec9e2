"""A verification that the session did not start: planted in the browser's cookie, or left there by another user."""

from __future__ import annotations

from typing import Any

import pytest

from phone_verify.http.cookies import COOKIE, pairs

from .sites import token
from .test_decorators import OTHER, PHONE, Made, signed_in, site, submit

API = "/phone/v1/verifications"


def plant(made: Made, victim: Any, start: Any) -> None:
    """Verify the started verification, and put its pair into the victim's browser."""
    headers = {"Verification-Secret": start["secret"]}
    answer = made.app.test_client().post(f"{API}/{start['id']}/check", json={"code": made.code}, headers=headers)
    assert answer.status_code == 200
    victim.set_cookie(COOKIE, f"{start['id']}.{start['secret']}")


@pytest.mark.parametrize("purpose", ["confirm", "change_phone"])
def test_anonymous_visitor_cannot_start_a_number_change(purpose: str) -> None:
    answer = site().app.test_client().post(API, json={"phone": OTHER, "purpose": purpose})
    assert (answer.status_code, answer.json["code"]) == (401, "not_signed_in")


def test_planted_number_is_not_assigned_to_the_victim() -> None:
    made = site()
    victim, attacker = signed_in(made), signed_in(made, OTHER)
    started = attacker.post(API, json={"phone": "+989120000008", "purpose": "confirm"}).json
    plant(made, victim, started)
    assert victim.get("/phone/code/").location == "/"
    posted = {"called": "1", "csrf_token": token(victim.get("/phone/verify/"))}
    assert victim.post("/phone/code/", data=posted).location == "/"
    checked = victim.get(f"{API}/{started['id']}").json
    answer = victim.put("/phone/v1/session/phone", json={"proof": checked["proof"]})
    assert (answer.status_code, answer.json["code"]) == (400, "invalid_proof")
    assert victim.get("/").text == PHONE


def test_planted_login_does_not_sign_the_victim_in() -> None:
    made = site()
    victim = signed_in(made)
    plant(made, victim, made.app.test_client().post(API, json={"phone": OTHER}).json)
    assert victim.get("/phone/code/").location == "/"
    posted = {"called": "1", "csrf_token": token(victim.get("/phone/verify/"))}
    assert victim.post("/phone/code/", data=posted).location == "/"
    assert victim.get("/").text == PHONE


def test_planted_start_does_not_count_as_open_for_the_victim() -> None:
    made = site()
    victim = made.app.test_client()
    planted = made.app.test_client().post(API, json={"phone": PHONE}).json
    victim.set_cookie(COOKIE, f"{planted['id']}.{planted['secret']}")
    submit(victim, "/phone/login/", phone=PHONE)
    newest = pairs(victim.get_cookie(COOKIE).value)[0][0]
    assert newest != planted["id"], "the attacker could wait for the victim's code"


def test_next_user_of_a_browser_gets_no_leftover_proof() -> None:
    made = site()
    browser = signed_in(made)
    submit(browser, "/phone/verify/", confirm="1")
    assert browser.get_cookie(COOKIE).value
    submit(browser, "/phone/logout/")
    assert browser.get_cookie(COOKIE) is None
    assert browser.get("/phone/code/").location == "/phone/login/"
