"""Sign-up with custom fields: after the proof, before the user exists."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session

from phone_verify.model import Assurance
from phone_verify_django import pending_signup
from phone_verify_django.accounts import phone_of
from phone_verify_django.models import VerifiedPhone
from phone_verify_django.signals import phone_verified
from tests.clients import Answer, Browser, hidden_token

from .conftest import PHONE, Network, verified
from .factories import heard, proof, request_of, somebody

LOGIN, CODE, SIGNUP = (f"/phone/{name}/" for name in ("login", "code", "signup"))
FORM = "tests.django_adapter.custom_accounts.NameForm"
MODEL_FORM = "tests.django_adapter.custom_accounts.UserForm"
Configure = Callable[..., None]

pytestmark = pytest.mark.django_db


@pytest.fixture
def form(configure: Configure) -> None:
    configure(sms="console://", signup_form=FORM)


def proven(visitor: Browser, network: Network, **fields: str) -> Any:
    """Return the response of the code page to the right code."""
    network.clock.move(120)
    assert visitor.post_form(LOGIN, phone=PHONE, **fields).status == 303
    return visitor.post_form(CODE, code=network.code, **fields)


def posting(visitor: Browser) -> Callable[..., Answer]:
    """Return a function that submits the currently shown page in a later state."""
    page = visitor.get(SIGNUP)
    assert page.status == 200

    def post(**fields: str) -> Answer:
        client = visitor._carrier._client  # type: ignore[attr-defined]
        client.cookies["csrftoken"] = cookie
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Referer": f"http://localhost{SIGNUP}"}
        return visitor._carrier.send("POST", SIGNUP, urlencode(fields | hidden_token(page.text)).encode(), headers)

    cookie = visitor._carrier._client.cookies["csrftoken"].value  # type: ignore[attr-defined]
    return post


def aged(**changes: object) -> None:
    """Change the pending sign-up in the only session."""
    session = Session.objects.get().get_decoded()
    session[pending_signup.SESSION_KEY].update(changes)
    Session.objects.update(session_data=Session.get_session_store_class()().encode(session))


def test_new_user_completes_the_form_first(visitor: Browser, network: Network, form: None) -> None:
    answer = proven(visitor, network, next="/?basket=1")
    assert (answer.status, answer.location) == (303, f"{SIGNUP}?next=%2F%3Fbasket%3D1")
    assert not User.objects.exists()
    assert visitor.call("GET", "v1/session").status == 401
    page = visitor.get(answer.location)
    assert page.status == 200
    assert page.headers["cache-control"].endswith("no-store, must-revalidate, private")
    for shown in ('name="first_name"', "Create your account", "+98 ••••••••00", 'value="/?basket=1"', "pv-input"):
        assert shown in page.text
    assert PHONE[1:] not in page.text
    with heard(phone_verified) as told:
        answer = visitor.post_form(answer.location, first_name="Mina", next="/?basket=1", password="a long pass word")
    assert (answer.status, answer.headers["location"]) == (303, "/?basket=1")
    user = User.objects.get()
    assert (user.first_name, phone_of(user)) == ("Mina", PHONE)
    assert user.check_password("a long pass word")
    assert user.username.startswith("phone-")
    assert [one["user"] for one in told] == [user]
    assert visitor.call("GET", "v1/session").json()["user"] == {"id": str(user.pk), "phone": PHONE}
    assert "phone_verify_device" in " ".join(answer.cookies), "as after any sign-in"
    again = visitor.get(SIGNUP)
    assert (again.status, again.location) == (302, LOGIN)


def test_existing_user_sees_no_form(visitor: Browser, network: Network, form: None) -> None:
    VerifiedPhone.objects.create(user=somebody("a"), phone=PHONE, verified_at=network.clock())
    assert proven(visitor, network).location == "/"
    assert visitor.get("/").text == PHONE


def test_session_gets_a_new_key_before_and_after(visitor: Browser, network: Network, form: None) -> None:
    """A client that has the old key has neither the form nor the login."""
    session = visitor._carrier._client.session  # type: ignore[attr-defined]
    session["seen"] = "before"
    session.save()
    keys = [session.session_key]
    proven(visitor, network)
    keys.append(Session.objects.get().session_key)
    visitor.post_form(SIGNUP, first_name="Mina")
    keys.append(Session.objects.get().session_key)
    assert len(set(keys)) == 3
    assert pending_signup.SESSION_KEY not in Session.objects.get().get_decoded()


def test_invalid_form_shows_errors_and_creates_no_user(visitor: Browser, network: Network, form: None) -> None:
    proven(visitor, network)
    answer = visitor.follow(visitor.post_form(SIGNUP, first_name=""))
    assert "This field is required." in answer.text
    assert 'aria-invalid="true"' in answer.text
    somebody("mina")
    answer = visitor.follow(visitor.post_form(SIGNUP, first_name="Mina", username="mina"))
    assert "already exists" in answer.text
    answer = visitor.follow(visitor.post_form(SIGNUP, first_name="Mina", username="mina?"))
    assert 'value="mina?"' in answer.text, "what was typed is kept"
    assert "valid username" in answer.text
    assert User.objects.count() == 1
    assert visitor.post_form(SIGNUP, first_name="Mina", username="mina2").status == 303
    assert User.objects.get(username="mina2").first_name == "Mina"


def test_form_gives_no_rights(visitor: Browser, network: Network, form: None) -> None:
    proven(visitor, network)
    visitor.post_form(SIGNUP, first_name="Mina", is_staff="1")
    user = User.objects.get()
    assert not user.is_staff
    assert not user.has_usable_password()


def test_model_form_of_the_user_model_works(visitor: Browser, network: Network, configure: Configure) -> None:
    configure(sms="console://", signup_form=MODEL_FORM)
    proven(visitor, network)
    somebody("mina")
    assert visitor.post_form(SIGNUP, username="mina").status == 303
    assert visitor.post_form(SIGNUP, username="mina2").status == 303
    assert phone_of(User.objects.get(username="mina2")) == PHONE


@pytest.mark.parametrize("age", [-60, 601])
def test_pending_signup_lasts_ten_minutes(visitor: Browser, network: Network, form: None, age: int) -> None:
    proven(visitor, network)
    since = Session.objects.get().get_decoded()[pending_signup.SESSION_KEY]["since"]
    aged(since=since - age)
    answer = visitor.get(f"{SIGNUP}?next=/there")
    assert (answer.status, answer.location) == (302, f"{LOGIN}?next=%2Fthere")
    assert not User.objects.exists()


@pytest.mark.parametrize("changes", [{"phone": 7}, {"since": "x"}, {"channel": "pigeon"}, {"verified_at": None}])
def test_unreadable_pending_signup_is_dropped(
    visitor: Browser, network: Network, form: None, changes: dict[str, object]
) -> None:
    proven(visitor, network)
    aged(**changes)
    assert visitor.get(SIGNUP).status == 302


def test_old_copy_of_a_cookie_session_gains_nothing(
    visitor: Browser, network: Network, form: None, settings: Any
) -> None:
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    proven(visitor, network)
    client = visitor._carrier._client  # type: ignore[attr-defined]
    page, old = visitor.get(SIGNUP), client.cookies["sessionid"].value
    assert page.status == 200
    post = posting(visitor)
    assert visitor.post_form(SIGNUP, first_name="Mina").headers["location"] == "/"
    visitor.call("DELETE", "v1/session")
    for copied in (visitor.get, lambda _: post(first_name="Mina")):
        client.cookies["sessionid"] = old
        assert copied(SIGNUP).location == LOGIN
    assert visitor.call("GET", "v1/session").status == 401
    assert User.objects.count() == 1


@pytest.mark.parametrize("moves", ["keep", "newest"])
@pytest.mark.parametrize("purpose", ["login", "signup"])
def test_number_taken_meanwhile_restarts_signup(
    visitor: Browser, network: Network, configure: Configure, moves: str, purpose: str
) -> None:
    configure(sms="console://", signup_form=FORM, recycled_numbers=moves)
    proven(visitor, network)
    aged(purpose=purpose)
    post = posting(visitor)
    VerifiedPhone.objects.create(user=somebody("faster"), phone=PHONE, verified_at=network.clock())
    assert post(first_name="Mina").location == LOGIN
    assert visitor.call("GET", "v1/session").status == 401
    assert [user.username for user in User.objects.all()] == ["faster"]


def test_form_requires_the_csrf_token(visitor: Browser, network: Network, form: None) -> None:
    proven(visitor, network)
    body = b"first_name=Mina"
    sent = {"Content-Type": "application/x-www-form-urlencoded"}
    assert visitor._carrier.send("POST", SIGNUP, body, sent).status == 403
    assert not User.objects.exists()


def test_page_without_pending_signup_leads_to_login(visitor: Browser, configure: Configure) -> None:
    assert visitor.get(SIGNUP).location == LOGIN
    configure(sms="console://", signup_form=FORM)
    assert visitor.get(f"{SIGNUP}?next=//evil.example").location == LOGIN


def test_api_sends_a_new_user_to_the_page(visitor: Browser, network: Network, form: None) -> None:
    answer = visitor.call("POST", "v1/session", {"proof": verified(visitor, network)["proof"]})
    assert (answer.status, answer.json()["code"]) == (403, "login_refused")
    assert "Create an account first" in answer.json()["detail"]
    assert visitor.call("GET", "v1/session").status == 401
    assert visitor.get(SIGNUP).status == 200
    assert visitor.post_form(SIGNUP, first_name="Mina").status == 303
    assert visitor.get("/").text == PHONE


def test_closed_signup_applies_with_a_form(visitor: Browser, network: Network, configure: Configure) -> None:
    configure(sms="console://", signup_form=FORM, accounts="tests.django_adapter.custom_accounts.Own")
    phone = "+989120000099"
    visitor.post_form(LOGIN, phone=phone)
    assert visitor.post_form(CODE, code=network.code).status == 303
    assert visitor.get(SIGNUP).location == LOGIN
    assert not User.objects.exists()


def test_refused_user_is_shown_the_reason(visitor: Browser, network: Network, configure: Configure) -> None:
    configure(sms="console://", signup_form=FORM, accounts="tests.django_adapter.custom_accounts.Own")
    proven(visitor, network)
    answer = visitor.post_form(SIGNUP, first_name="Mina", username="banned")
    assert visitor.call("GET", "v1/session").status == 401
    assert answer.location == LOGIN, "the account is made, and starting again tells the rest"
    assert proven(visitor, network).status == 303


@pytest.mark.parametrize("tag", ["fa", "ru", "ar"])
def test_page_uses_the_site_language(visitor: Browser, network: Network, form: None, settings: Any, tag: str) -> None:
    settings.LANGUAGE_CODE = tag
    proven(visitor, network)
    page = visitor.get(SIGNUP).text
    assert f'lang="{tag}"' in page
    assert "Create" not in page


def test_pending_signup_ends_with_another_login(visitor: Browser, network: Network, form: None) -> None:
    proven(visitor, network)
    client = visitor._carrier._client  # type: ignore[attr-defined]
    client.force_login(somebody("a"))
    assert visitor.get(SIGNUP).location == LOGIN


def test_old_format_proof_creates_no_second_user() -> None:
    """The model itself refuses, if all other checks fail."""
    from phone_verify_django.accounts import sign_up

    from .factories import request_of

    assert sign_up(request_of(), proof(PHONE)) is not None
    assert sign_up(request_of(), proof(PHONE)) is None
    assert User.objects.count() == 1


@pytest.mark.parametrize("weak", [{"short": True}, {"by_test_number": True}, {"assurance": Assurance.CALLER_ID}])
def test_pending_signup_keeps_its_assurance(form: None, weak: dict[str, Any]) -> None:
    """So the rules for staff apply after the form too."""
    request, redeemed = request_of(), proof(PHONE, "signup", **weak)
    assert pending_signup.save(request, redeemed)
    found = pending_signup.load(request)
    assert found is not None
    assert found.redeemed == redeemed
