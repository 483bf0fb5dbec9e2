"""The page of the current number through Django's test client: confirm, change, and every refusal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from phone_verify_django.access import CHECKED_AT
from phone_verify_django.accounts import phone_of, signed_in_for
from phone_verify_django.models import VerifiedPhone
from tests.clients import Answer, Browser, hidden_token

from .conftest import PHONE, Network
from .test_set_phone import NEW, age, sign_in

pytestmark = pytest.mark.django_db

VERIFY, CODE, LOGIN = "/phone/verify/", "/phone/code/", "/phone/login/"


def begin(visitor: Browser, network: Network, path: str = VERIFY, **fields: str) -> Answer:
    network.clock.move(120)
    return visitor.post_form(path, **fields)


def test_current_number_is_confirmed(visitor: Browser, network: Network) -> None:
    sign_in(visitor, network)
    before = Session.objects.get().session_key
    page = visitor.get(VERIFY)
    assert page.status == 200
    assert "+98 ••••••••00" in page.text
    assert PHONE not in page.text
    assert "no-store" in page.headers["cache-control"]
    assert "is verified" not in page.text
    assert begin(visitor, network, confirm="1").location == CODE
    assert visitor.post_form(CODE, code=network.wrong).status == 303
    assert visitor.post_form(CODE, code=network.code).location == VERIFY
    assert "Your number is verified." in visitor.get(VERIFY).text
    assert [found.phone for found in VerifiedPhone.objects.all()] == [PHONE]
    assert Session.objects.get().session_key != before
    assert visitor.get("/").text == PHONE


@pytest.mark.parametrize("next", ["", "/there?a=b"])
def test_number_is_changed(visitor: Browser, network: Network, next: str) -> None:
    sign_in(visitor, network)
    assert begin(visitor, network, phone="+98 912 000 0007", next=next).location.startswith(CODE)
    page = visitor.get(CODE)
    assert 'href="/phone/verify/"' in page.text  # "Change number"
    assert 'name="remember"' not in page.text
    assert visitor.post_form(CODE, code=network.code, next=next).location == (next or VERIFY)
    assert [found.phone for found in VerifiedPhone.objects.all()] == [NEW]
    assert User.objects.count() == 1
    assert visitor.get("/").text == NEW


def test_user_without_a_number_gets_one(network: Network, client: Client) -> None:
    client.force_login(User.objects.create_user("somebody"))
    assert b'name="confirm"' not in client.get(VERIFY).content
    assert client.post(VERIFY, {"phone": PHONE})["Location"].startswith(CODE)
    assert client.post(CODE, {"code": network.code})["Location"] == VERIFY
    assert phone_of(User.objects.get()) == PHONE


def test_number_of_another_user_is_refused_after_the_code(visitor: Browser, network: Network) -> None:
    other = User.objects.create_user("other")
    VerifiedPhone.objects.create(user=other, phone=NEW, verified_at=timezone.now())
    sign_in(visitor, network)
    assert begin(visitor, network, phone=NEW).location == CODE
    answer = visitor.follow(visitor.post_form(CODE, code=network.code))
    assert "This number belongs to another account." in answer.text
    assert 'action="/phone/verify/"' in answer.text
    assert visitor.get("/").text == PHONE
    assert phone_of(other) == NEW


def test_anonymous_visitor_signs_in_and_returns(visitor: Browser, network: Network) -> None:
    for answer in (visitor.get(f"{VERIFY}?next=/there"), visitor.post_form(f"{VERIFY}?next=/there", confirm="1")):
        assert answer.status in (302, 403)  # without a page no token can be posted
    location = visitor.get(f"{VERIFY}?next=/there").location
    assert location == f"{LOGIN}?next=%2Fphone%2Fverify%2F%3Fnext%3D%252Fthere"
    visitor.post_form(location, phone=PHONE, next="/phone/verify/?next=%2Fthere")
    back = visitor.post_form(CODE, code=network.code, next="/phone/verify/?next=%2Fthere").location
    assert back == "/phone/verify/?next=%2Fthere"
    assert 'name="next" value="/there"' in visitor.get(back).text


def test_site_login_page_comes_first(client: Client, settings: Any) -> None:
    settings.LOGIN_URL = "/accounts/login/"
    assert client.get(VERIFY)["Location"] == "/accounts/login/?next=%2Fphone%2Fverify%2F"
    client.force_login(User.objects.create_user("somebody"))
    session = client.session
    session["phone_verify_signed_in_at"] -= 1000
    session.save()
    assert b'href="/accounts/login/?next=/phone/verify/"' in client.get(VERIFY).content


@pytest.mark.parametrize("seconds", [901, None])
def test_stale_session_confirms_but_cannot_change(visitor: Browser, network: Network, seconds: int | None) -> None:
    sign_in(visitor, network)
    age(seconds)
    page = visitor.get(VERIFY)
    assert 'name="phone"' not in page.text
    assert "verify your current number first" in page.text
    sent = network.sent
    answer = visitor.follow(begin(visitor, network, phone=NEW))
    assert "verify your current number first" in answer.text
    assert network.sent == sent
    assert begin(visitor, network, confirm="1").location == CODE
    assert "Your number is verified." in visitor.follow(visitor.post_form(CODE, code=network.code)).text
    assert 'name="phone"' in visitor.get(VERIFY).text


def test_session_grown_stale_meanwhile_gets_no_number(visitor: Browser, network: Network) -> None:
    sign_in(visitor, network)
    begin(visitor, network, phone=NEW)
    age(901)
    fields = {**hidden_token(visitor.get(VERIFY).text), "code": network.code}
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Referer": f"http://localhost{CODE}"}
    assert visitor._carrier.send("POST", CODE, urlencode(fields).encode(), headers).location == VERIFY
    assert [found.phone for found in VerifiedPhone.objects.all()] == [PHONE]


def test_test_number_is_not_assigned_to_staff(
    visitor: Browser, network: Network, configure: Callable[..., None]
) -> None:
    sign_in(visitor, network)
    User.objects.update(is_staff=True)
    configure(sms="console://", test_passcodes=f"{NEW}=482193@2030-12-31", test_passcodes_in_production=NEW)
    assert visitor.post_form(VERIFY, phone=NEW).location == CODE
    assert visitor.post_form(CODE, code="482193").status == 303
    assert [found.phone for found in VerifiedPhone.objects.all()] == [PHONE]


def test_forms_require_the_token_and_a_page_method(visitor: Browser, network: Network, client: Client) -> None:
    sign_in(visitor, network)
    sent = network.sent
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert visitor._carrier.send("POST", VERIFY, b"confirm=1", form).status == 403
    assert network.sent == sent
    assert client.put(VERIFY).status_code == 405
    assert client.head(VERIFY).status_code == 302


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"phone": ""},
        {"phone": "\x00"},
        {"phone": "9" * 5000},
        {"phone": "+98 912 000 0007 ext. 2"},
        {"phone": NEW, "channel": "carrier pigeon"},
        {"confirm": "1", "channel": "\ud800".encode("utf-8", "surrogatepass").decode("latin-1")},
        {"confirm": ""},
        {"phone": NEW, "next": "//evil.example"},
    ],
)
def test_any_posted_form_gets_a_response(visitor: Browser, network: Network, fields: dict[str, str]) -> None:
    sign_in(visitor, network)
    answer = begin(visitor, network, **fields)
    assert answer.status in (303, 400, 409)
    assert "evil" not in answer.headers.get("location", "")


def test_check_time_is_recorded_by_all_three_paths(visitor: Browser, network: Network) -> None:
    def noted() -> int | None:
        session = Session.objects.get()
        data = session.get_decoded()
        found = data.pop(CHECKED_AT, None)
        session.session_data = Session.get_session_store_class()().encode(data)
        session.save()
        return found  # type: ignore[no-any-return]

    sign_in(visitor, network)
    assert isinstance(noted(), int)
    begin(visitor, network, confirm="1")
    assert noted() is None
    visitor.post_form(CODE, code=network.code)
    assert isinstance(noted(), int)
    network.clock.move(120)
    begun = visitor.call("POST", "v1/verifications", {"phone": PHONE, "purpose": "confirm"}).json()
    proof = visitor.call("POST", f"v1/verifications/{begun['id']}/check", {"code": network.code}).json()["proof"]
    assert noted() is None
    assert visitor.call("PUT", "v1/session/phone", {"proof": proof}).status == 200
    assert isinstance(noted(), int)


def test_anonymous_page_view_records_no_check(client: Client) -> None:
    client.get(VERIFY)
    assert CHECKED_AT not in client.session
    assert signed_in_for(client.get("/").wsgi_request) is None
