"""Journeys on a site with allauth.mfa and our pages, in separate pytest runs (test_allauth_mfa.py)."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from allauth.account.middleware import AccountMiddleware
from allauth.account.models import EmailAddress
from allauth.mfa.internal.flows import trust
from allauth.mfa.totp.internal import auth as totp
from asgiref.sync import async_to_sync
from django import forms
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, get_user_model
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.signals import user_logged_in
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.cache import cache
from django.http import HttpResponse
from django.test import AsyncClient, Client
from django.utils import timezone
from django_otp.plugins.otp_static.models import StaticDevice

from phone_verify import Channel, PhoneNumber
from phone_verify.model import Assurance, Redeemed
from phone_verify_django import phones, signals
from phone_verify_django.access import CHECKED_AT
from phone_verify_django.accounts import SIGNED_IN_AT, Accounts, MfaRequiredError, sign_in
from phone_verify_django.allauth import requirements
from phone_verify_django.checks import check_settings
from phone_verify_django.models import VerifiedPhone
from phone_verify_django.pending_login import SESSION_KEY as MARK

PHONE, OTHER = "+989120000000", "+989120000007"
LOGIN, CODE, SESSION = "/phone/login/", "/phone/code/", "/phone/v1/session"
SECOND, PAYOUT, TOKEN = "/accounts/2fa/authenticate/", "/payout/", "/token/"
PASSWORD = "a word of the owner"
TRUSTED_DEVICE = "phone_verify_device"

User = get_user_model()
bridge_only = pytest.mark.skipif(
    "phone_verify_django.allauth" not in settings.INSTALLED_APPS, reason="allauth's own login by code of our bridge"
)
pytestmark = pytest.mark.django_db


class EmailForm(forms.Form):
    """The form of a site whose new users have an email address."""

    email = forms.EmailField()


@pytest.fixture(autouse=True)
def _site(settings: Any) -> None:
    cache.clear()  # django-allauth counts there
    settings.ACCOUNT_RATE_LIMITS = False
    settings.PHONE_VERIFY = {"sms": "console://", "region": "IR", "resend_after": 0}


@pytest.fixture
def sent() -> Iterator[list[str]]:
    """The sign-in signals, in order."""
    found: list[str] = []

    def entered(**_: Any) -> None:
        found.append("user_logged_in")

    def verified(**_: Any) -> None:
        found.append("phone_verified")

    user_logged_in.connect(entered)
    signals.phone_verified.connect(verified)
    yield found
    signals.phone_verified.disconnect(verified)
    user_logged_in.disconnect(entered)


def owner(phone: str = PHONE, *, name: str = "owner", second: bool = True, number: bool = True) -> Any:
    user = User.objects.create_user(name, password=PASSWORD)
    if number:
        long_ago = timezone.now() - timedelta(days=30)
        known = PhoneNumber.parse(phone)
        phones.assign(user, Redeemed(known, "confirm", "default", Channel.SMS, Assurance.CODE, "an-id", long_ago))
    if second:
        totp.TOTP.activate(user, totp.generate_totp_secret())
    return user


def one_time_code(user: Any) -> str:
    (factor,) = user.authenticator_set.all()
    counter = int(time.time()) // 30
    return totp.format_hotp_value(totp.hotp_value(factor.wrap().instance.data["secret"], counter))


def signed_in(client: Client) -> str | None:
    return client.get(SESSION).json().get("user", {}).get("id")


def by_page(client: Client, outbox: Any, phone: str = PHONE, **more: str) -> Any:
    client.post(LOGIN, {"phone": phone, "next": PAYOUT, **more})
    return client.post(CODE, {"code": outbox.last_code(phone), "next": PAYOUT})


def refused_by_page(client: Client, phone_outbox: Any) -> bool:
    """Return whether the pages refuse the sign-in: they lead back to the login page, which says so."""
    answer = by_page(client, phone_outbox)
    page = client.get(answer.headers["Location"]).content.decode()
    return answer.status_code == 303 and "sign in with this number" in page


def post(client: Any, path: str, document: object, secret: str = "") -> Any:
    shown = {"Verification-Secret": secret} if secret else {}
    return client.post(path, json.dumps(document), content_type="application/json", headers=shown)


def proven(client: Any, outbox: Any, phone: str = PHONE) -> tuple[str, str]:
    started = post(client, "/phone/v1/verifications", {"phone": phone}).json()
    path = f"/phone/v1/verifications/{started['id']}/check"
    checked = post(client, path, {"code": outbox.last_code(phone)}, started["secret"])
    return checked.json()["proof"], started["secret"]


def by_proof(client: Client, outbox: Any, path: str = SESSION, phone: str = PHONE) -> Any:
    proof, secret = proven(client, outbox, phone)
    return post(client, path, {"proof": proof}, secret)


def test_page_requires_the_second_factor(client: Client, phone_outbox: Any, sent: list[str]) -> None:
    user = owner()
    assert by_page(client, phone_outbox).headers["Location"] == SECOND
    assert signed_in(client) is None
    assert client.get(PAYOUT).status_code == 302
    assert not sent
    assert not {SIGNED_IN_AT, CHECKED_AT, BACKEND_SESSION_KEY} & set(client.session.keys())
    assert TRUSTED_DEVICE not in client.cookies

    assert client.post(SECOND, {"code": "000000"}).status_code == 200
    assert signed_in(client) is None
    assert client.post(SECOND, {"code": one_time_code(user)}).headers["Location"] == PAYOUT
    assert signed_in(client) == str(user.pk)
    assert client.get(PAYOUT).content == b"PAYOUT"
    assert sent == ["user_logged_in", "phone_verified"]
    assert {SIGNED_IN_AT, CHECKED_AT} <= set(client.session.keys())
    assert client.session[BACKEND_SESSION_KEY] == "phone_verify_django.backends.PhoneBackend"
    assert MARK not in client.session
    assert client.cookies[TRUSTED_DEVICE].value


@pytest.mark.parametrize(("remember", "ends_with_browser"), [("", True), ("on", False)])
def test_remember_choice_applies_after_the_second_factor(
    client: Client, phone_outbox: Any, remember: str, ends_with_browser: bool
) -> None:
    user = owner()
    client.post(LOGIN, {"phone": PHONE})
    client.post(CODE, {"code": phone_outbox.last_code(), "asks_remember": "1", "remember": remember})
    client.post(SECOND, {"code": one_time_code(user)})
    assert signed_in(client) == str(user.pk)
    assert client.session.get_expire_at_browser_close() is ends_with_browser


def test_api_refuses_and_browser_completes(client: Client, phone_outbox: Any, sent: list[str]) -> None:
    user = owner()
    proof, secret = proven(client, phone_outbox)
    answer = post(client, SESSION, {"proof": proof}, secret)
    document = answer.json()
    assert (answer.status_code, document["code"], document["continue_at"]) == (403, "mfa_required", SECOND)
    assert signed_in(client) is None
    assert not sent
    assert TRUSTED_DEVICE not in client.cookies
    assert post(client, SESSION, {"proof": proof}, secret).json()["code"] == "invalid_proof"
    assert Client().post(SECOND, {"code": one_time_code(user)}).headers["Location"] == "/accounts/login/"
    assert client.post(document["continue_at"], {"code": one_time_code(user)}).status_code == 302
    assert signed_in(client) == str(user.pk)
    assert sent == ["user_logged_in", "phone_verified"]


@pytest.mark.django_db(transaction=True)
def test_awaited_api_refuses(phone_outbox: Any) -> None:
    owner()
    client = AsyncClient()

    def send(path: str, document: object, secret: str = "") -> Any:
        shown = {"Verification-Secret": secret} if secret else {}
        return async_to_sync(client.post)(path, json.dumps(document), "application/json", headers=shown)

    path = "/phone/v1/verifications"
    started = send(path, {"phone": PHONE}).json()
    checked = send(f"{path}/{started['id']}/check", {"code": phone_outbox.last_code()}, started["secret"])
    answer = send(SESSION, {"proof": checked.json()["proof"]}, started["secret"])
    assert (answer.status_code, answer.json()["code"]) == (403, "mfa_required")
    assert async_to_sync(client.get)(SESSION).status_code == 401


def test_user_without_second_factor_signs_in(phone_outbox: Any, sent: list[str]) -> None:
    user = owner(second=False)
    client = Client()
    assert by_page(client, phone_outbox).headers["Location"] == PAYOUT
    assert client.get(PAYOUT).status_code == 200
    assert client.cookies[TRUSTED_DEVICE].value
    client = Client()
    assert by_proof(client, phone_outbox).json()["user"]["id"] == str(user.pk)
    assert client.get(PAYOUT).status_code == 200
    assert client.cookies[TRUSTED_DEVICE].value
    assert sent == ["user_logged_in", "phone_verified"] * 2


def test_new_user_signs_in(client: Client, phone_outbox: Any) -> None:
    assert by_page(client, phone_outbox).headers["Location"] == PAYOUT
    assert signed_in(client) == str(User.objects.get().pk)


def test_new_user_without_email_signs_in_by_default(client: Client, phone_outbox: Any, settings: Any) -> None:
    del settings.ACCOUNT_EMAIL_VERIFICATION
    assert by_page(client, phone_outbox).headers["Location"] == PAYOUT
    assert signed_in(client) == str(User.objects.get().pk)


def test_new_user_with_email_verifies_it(
    client: Client, phone_outbox: Any, settings: Any, mailoutbox: Any, sent: list[str]
) -> None:
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
    form = f"{__name__}.EmailForm"
    settings.PHONE_VERIFY = {**settings.PHONE_VERIFY, "signup_form": form}
    signup = by_page(client, phone_outbox).headers["Location"]
    answer = client.post(signup, {"email": "new@site.example", "next": PAYOUT})
    assert answer.headers["Location"] == "/accounts/confirm-email/"
    assert signed_in(client) is None
    assert not sent
    (link,) = re.findall(r"/accounts/confirm-email/\S+", mailoutbox[0].body)
    assert client.post(link).status_code == 302
    assert EmailAddress.objects.get().verified
    assert by_page(Client(), phone_outbox).headers["Location"] == PAYOUT


def test_new_user_without_email_stays_at_its_stage(client: Client, phone_outbox: Any, settings: Any) -> None:
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
    assert by_page(client, phone_outbox).headers["Location"] == "/accounts/confirm-email/"
    assert signed_in(client) is None


@pytest.mark.parametrize(
    ("assurance", "enters"), [(Assurance.CODE, True), (Assurance.CALLER_ID, False)], ids=["code", "call"]
)
def test_inbound_call_is_not_offered_by_allauth(rf: Any, settings: Any, assurance: Assurance, enters: bool) -> None:
    settings.ACCOUNT_LOGIN_BY_CODE_REQUIRED = True
    user = owner(second=False)
    EmailAddress.objects.create(user=user, email="owner@site.example", primary=True, verified=True)
    channel = Channel.SMS if enters else Channel.INBOUND_CALL
    redeemed = Redeemed(
        PhoneNumber.parse(PHONE), "login", "default", channel, assurance, "an-id", timezone.now(), False
    )
    request = rf.get("/")

    def view(request: Any) -> Any:
        try:
            sign_in(request, redeemed)
        except MfaRequiredError as error:
            return error.response
        return HttpResponse("in")

    with_messages = MessageMiddleware(AccountMiddleware(AuthenticationMiddleware(view)))
    answer = SessionMiddleware(with_messages)(request)
    assert (answer.content == b"in") is enters
    assert request.user.is_authenticated is enters
    if not enters:
        assert answer.headers["Location"] == "/accounts/login/code/confirm/"


def test_current_user_is_signed_out_first(client: Client, phone_outbox: Any) -> None:
    """Another user, and the same: the page of a stage is shown only to anonymous visitors."""
    user, present = owner(), owner(OTHER, name="present", second=False)
    for before in (present, user):
        client.force_login(before, "django.contrib.auth.backends.ModelBackend")
        session = client.session
        session["of the user before"] = "kept"
        session.save()
        assert by_page(client, phone_outbox).headers["Location"] == SECOND
        assert signed_in(client) is None
        assert "of the user before" not in client.session
        client.post(SECOND, {"code": one_time_code(user)})
        assert signed_in(client) == str(user.pk)
        cache.clear()  # allauth accepts a code once


def test_user_switches_directly_without_second_factor(client: Client, phone_outbox: Any) -> None:
    owner(OTHER, name="present", second=False)
    user = owner(second=False)
    by_page(client, phone_outbox, OTHER)
    assert by_page(client, phone_outbox).headers["Location"] == PAYOUT
    assert signed_in(client) == str(user.pk)
    assert client.get(PAYOUT).status_code == 200


def test_session_key_changes_when_login_is_pending(client: Client, phone_outbox: Any) -> None:
    owner()
    session = client.session
    session["before"] = "kept"
    session.save()
    client.cookies["sessionid"] = session.session_key
    by_page(client, phone_outbox)
    assert client.session.session_key != session.session_key
    assert client.session["before"] == "kept"


def test_pending_login_survives_removal_of_the_number(client: Client, phone_outbox: Any, sent: list[str]) -> None:
    user = owner()
    by_page(client, phone_outbox)
    phones.remove(None, user, PHONE)
    assert client.post(SECOND, {"code": one_time_code(user)}).status_code == 302
    assert signed_in(client) is None
    assert not VerifiedPhone.objects.exists()
    assert "phone_verified" not in sent


def test_pending_login_refuses_a_user_who_became_staff(client: Client, phone_outbox: Any, sent: list[str]) -> None:
    user = owner()
    by_page(client, phone_outbox)
    User.objects.filter(pk=user.pk).update(is_staff=True)
    assert client.post(SECOND, {"code": one_time_code(user)}).status_code == 302
    assert signed_in(client) is None
    assert "phone_verified" not in sent


class Matching(Accounts):
    """Accounts that trust the numbers in their own table."""

    def find(self, redeemed: Any) -> Any:
        return super().find(redeemed) or User.objects.filter(username="owner").first()


def test_number_is_assigned_when_login_completes(client: Client, phone_outbox: Any, settings: Any) -> None:
    settings.PHONE_VERIFY = {**settings.PHONE_VERIFY, "accounts": Matching}
    user = owner(number=False)
    assert by_page(client, phone_outbox).headers["Location"] == SECOND
    assert not VerifiedPhone.objects.exists()
    client.post(SECOND, {"code": one_time_code(user)})
    assert signed_in(client) == str(user.pk)
    assert phones.phones_of(user) == [PHONE]


def test_another_login_inherits_no_pending_state(client: Client, phone_outbox: Any, sent: list[str]) -> None:
    """By a password, in a session with a pending phone login of the same user."""
    user = owner()
    by_page(client, phone_outbox)
    client.force_login(user, "django.contrib.auth.backends.ModelBackend")
    assert MARK not in client.session
    assert CHECKED_AT not in client.session
    assert client.get(PAYOUT).headers["Location"].startswith("/phone/verify/")
    assert sent == ["user_logged_in"]


def test_mark_is_bound_to_its_user_and_time(client: Client, phone_outbox: Any, settings: Any) -> None:
    user, other = owner(), owner(OTHER, name="other", second=False)
    backend = "django.contrib.auth.backends.ModelBackend"
    for who, seconds, by_phone in ((other, 0, False), (user, 1000, False), (user, 0, True)):
        client = Client()
        by_page(client, phone_outbox)
        session = client.session
        session[MARK] = {**session[MARK], "at": session[MARK]["at"] - seconds}
        session.save()
        client.force_login(who, backend)
        assert (client.session[BACKEND_SESSION_KEY] != backend) is by_phone
        assert MARK not in client.session


@pytest.mark.parametrize("kept", [PHONE, 5, [], {}, {"user": "1"}, {"user": "1", "phone": 5, "at": "x"}])
def test_mark_of_another_version_is_dropped(client: Client, kept: Any) -> None:
    user = owner()
    session = client.session
    session[MARK] = {**kept, "user": str(user.pk)} if isinstance(kept, dict) else kept
    session.save()
    client.cookies["sessionid"] = session.session_key
    client.force_login(user, "django.contrib.auth.backends.ModelBackend")
    assert MARK not in client.session
    assert CHECKED_AT not in client.session


def test_token_is_refused_with_totp(phone_outbox: Any) -> None:
    owner()
    client = Client()
    answer = by_proof(client, phone_outbox, TOKEN)
    assert (answer.status_code, answer.json()["code"]) == (403, "mfa_required")
    assert "continue_at" not in answer.json()
    assert "token" not in answer.json()
    assert not client.session.keys()


def test_token_is_refused_in_trusted_browser(client: Client, phone_outbox: Any, settings: Any) -> None:
    """django-allauth may skip the second factor in a trusted browser; a token leaves the browser."""
    settings.MFA_TRUST_ENABLED = True
    given = trust.IssuedTrust(trust.create_config_fingerprint(owner()), int(time.time()))
    client.cookies["mfa_trusted"] = trust.encode_trust_cookie([given])
    assert by_page(client, phone_outbox).headers["Location"] == PAYOUT
    assert by_proof(client, phone_outbox, TOKEN).json()["code"] == "mfa_required"


def test_token_is_refused_with_confirmed_device(phone_outbox: Any) -> None:
    user = owner(second=False)
    device = StaticDevice.objects.create(user=user, name="codes", confirmed=False)
    assert by_proof(Client(), phone_outbox, TOKEN).status_code == 200
    device.confirmed = True
    device.save()
    answer = by_proof(Client(), phone_outbox, TOKEN)
    assert (answer.status_code, answer.json()["code"]) == (403, "mfa_required")
    # A session is created in any case: there django-otp requires the device.
    assert by_proof(Client(), phone_outbox).status_code == 200


class Skips(Accounts):
    """Accounts whose tokens require no second factor."""

    def may_skip_second_factor(self, user: Any, redeemed: Any) -> bool:
        return bool(redeemed.phone.e164 == PHONE)


def test_accounts_may_skip_second_factor(phone_outbox: Any, settings: Any) -> None:
    settings.PHONE_VERIFY = {**settings.PHONE_VERIFY, "accounts": Skips}
    owner()
    assert by_proof(Client(), phone_outbox, TOKEN).json()["token"] == "for owner"
    client = Client()
    assert by_proof(client, phone_outbox).json()["code"] == "mfa_required"
    assert signed_in(client) is None


def test_unverified_email_waits(phone_outbox: Any, settings: Any) -> None:
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
    user = owner(second=False)
    address = EmailAddress.objects.create(user=user, email="owner@site.example", primary=True, verified=False)
    client = Client()
    assert by_page(client, phone_outbox).headers["Location"] == "/accounts/confirm-email/"
    assert signed_in(client) is None
    client = Client()
    answer = by_proof(client, phone_outbox)
    assert (answer.status_code, answer.json()["code"]) == (403, "mfa_required")
    assert answer.json()["continue_at"] == "/accounts/confirm-email/"
    assert signed_in(client) is None
    client = Client()
    assert by_proof(client, phone_outbox, TOKEN).json()["code"] == "mfa_required"
    assert "account_login" not in client.session
    address.verified = True
    address.save()
    assert by_proof(Client(), phone_outbox, TOKEN).status_code == 200
    assert by_page(Client(), phone_outbox).headers["Location"] == PAYOUT


def test_inactive_user_is_refused(client: Client, phone_outbox: Any) -> None:
    owner()
    User.objects.update(is_active=False)
    assert refused_by_page(client, phone_outbox)
    assert by_proof(client, phone_outbox).json()["code"] == "login_refused"
    assert by_proof(client, phone_outbox, TOKEN).json()["code"] == "login_refused"
    assert "account_login" not in client.session


def test_refused_login_replaces_pending_one(client: Client, phone_outbox: Any, settings: Any) -> None:
    owner(), owner(OTHER, name="other")
    by_page(client, phone_outbox, OTHER)
    settings.ROOT_URLCONF = "shop.without_allauth"
    assert by_proof(client, phone_outbox).json()["code"] == "login_refused"
    assert "account_login" not in client.session


def test_missing_pages_refuse(client: Client, phone_outbox: Any, settings: Any) -> None:
    settings.ROOT_URLCONF = "shop.without_allauth"
    owner()
    assert refused_by_page(client, phone_outbox)
    assert by_proof(client, phone_outbox).json()["code"] == "login_refused"
    assert by_proof(client, phone_outbox, TOKEN).json()["code"] == "mfa_required"
    assert signed_in(client) is None
    assert MARK not in client.session
    (found,) = [message for message in check_settings() if message.id == "phone_verify.E007"]
    assert "mfa_authenticate" in found.msg
    assert "allauth.urls" in (found.hint or "")


def test_headless_site_is_warned(settings: Any) -> None:
    settings.ROOT_URLCONF = "shop.without_allauth"
    settings.HEADLESS_ONLY = True
    assert [message.id for message in requirements.complaints()] == ["phone_verify.W008"]


def test_old_allauth_is_refused(monkeypatch: Any) -> None:
    from django.apps import apps
    from django.core.exceptions import ImproperlyConfigured

    assert not list(requirements.complaints())
    monkeypatch.setattr(requirements, "OLDEST", (999, 0))
    assert [message.id for message in requirements.complaints()] == ["phone_verify.E006"]
    with pytest.raises(ImproperlyConfigured, match=r"65\.14"):
        apps.get_app_config("phone_verify_django").ready()


def by_allauth_code(client: Client, outbox: Any, phone: str = PHONE) -> Any:
    client.post("/accounts/login/code/", {"phone": phone})
    return client.post("/accounts/login/code/confirm/", {"code": outbox.last_code(phone)})


@bridge_only
def test_allauth_code_login_counts_when_it_completes(client: Client, phone_outbox: Any, sent: list[str]) -> None:
    user = owner()
    before = VerifiedPhone.objects.get().verified_at
    assert by_allauth_code(client, phone_outbox).headers["Location"] == SECOND
    assert not sent
    assert VerifiedPhone.objects.get().verified_at == before
    assert CHECKED_AT not in client.session
    client.post(SECOND, {"code": one_time_code(user)})
    assert signed_in(client) == str(user.pk)
    assert sent == ["user_logged_in", "phone_verified"]
    assert VerifiedPhone.objects.get().verified_at > before
    assert CHECKED_AT in client.session
    assert client.session[BACKEND_SESSION_KEY] == "phone_verify_django.backends.PhoneBackend"


@bridge_only
def test_pending_login_opens_no_other_account(client: Client, phone_outbox: Any, settings: Any) -> None:
    """An attacker leaves a login by their phone pending, and signs in with the owner's password."""
    user = owner(second=False)
    owner(OTHER, name="attacker")
    assert by_allauth_code(client, phone_outbox, OTHER).headers["Location"] == SECOND
    settings.ACCOUNT_SIGNUP_FIELDS = ["phone*", "password1*"]
    settings.ACCOUNT_AUTHENTICATED_LOGIN_REDIRECTS = False  # allauth shows its login page although a login is pending
    client.post("/accounts/login/", {"login": PHONE, "password": PASSWORD})
    assert signed_in(client) == str(user.pk)
    assert CHECKED_AT not in client.session
    assert MARK not in client.session
    assert client.session[BACKEND_SESSION_KEY] != "phone_verify_django.backends.PhoneBackend"
    assert client.get(PAYOUT).headers["Location"].startswith("/phone/verify/")
