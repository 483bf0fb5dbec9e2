"""Journeys on a site with django-allauth, in a separate pytest run (test_allauth.py) with other settings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from allauth.core import context
from allauth.core.exceptions import ImmediateHttpResponse
from django.contrib.auth import BACKEND_SESSION_KEY, get_user_model
from django.contrib.auth.signals import user_logged_in
from django.contrib.messages.storage.fallback import FallbackStorage
from django.core.cache import cache
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.utils import timezone

from phone_verify import Channel, ClientFacts, PhoneNumber, Refusal, SendOrder
from phone_verify.model import Assurance, Redeemed
from phone_verify_django import phones, signals
from phone_verify_django.access import CHECKED_AT
from phone_verify_django.accounts import Accounts
from phone_verify_django.allauth.adapter import PhoneVerifyAccountAdapter
from phone_verify_django.allauth.apps import complaints
from phone_verify_django.allauth.models import ClaimedPhone
from phone_verify_django.backends import PhoneBackend
from phone_verify_django.models import VerificationRow, VerifiedPhone
from phone_verify_django.otp import first_factor
from phone_verify_django.pending_login import SESSION_KEY as MARK
from phone_verify_django.site import current_site

PHONE, OTHER = "+989120000000", "+989120000007"
SIGN_UP, LOGIN, VERIFY = "/accounts/signup/", "/accounts/login/code/", "/accounts/phone/verify/"
CONFIRM, CHANGE = "/accounts/login/code/confirm/", "/accounts/phone/change/"

User = get_user_model()
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _site(settings: Any) -> None:
    cache.clear()  # django-allauth counts there
    settings.ACCOUNT_RATE_LIMITS = False
    settings.PHONE_VERIFY = {"sms": "console://", "region": "IR", "resend_after": 0}


def wrong(code: str) -> str:
    return str((int(code) + 1) % 10 ** len(code)).zfill(len(code))


def said(response: Any) -> str:
    """Return the text of the page, or of the page that a redirect leads to."""
    return re.sub(r"<[^>]*>", " ", response.content.decode())


def proof(phone: str, days: int) -> Redeemed:
    """A verification of this phone, this many days ago."""
    when = timezone.now() - timedelta(days=days)
    return Redeemed(PhoneNumber(phone), "confirm", "default", Channel.SMS, Assurance.CODE, "id", when)


def owner(phone: str = PHONE) -> Any:
    user = User.objects.create_user("owner", password="a word of the owner")
    phones.assign(user, proof(phone, 30))
    return user


def signed_in(client: Client) -> str | None:
    return client.get("/phone/v1/session").json().get("user", {}).get("phone")


def test_user_signs_up_in_and_out(client: Client, phone_outbox: Any) -> None:
    """A number entered in national form with Persian digits is verified, and signs in again later."""
    assert client.post(SIGN_UP, {"phone": "۰۹۱۲ ۰۰۰ ۰۰۰۰"}).headers["Location"] == VERIFY
    assert ClaimedPhone.objects.get().phone == PHONE
    assert not VerifiedPhone.objects.exists()
    code = phone_outbox.last_code(PHONE)
    assert "Incorrect code" in said(client.post(VERIFY, {"code": wrong(code)}))
    assert client.post(VERIFY, {"code": code}).headers["Location"] == CHANGE
    assert signed_in(client) == PHONE
    assert VerifiedPhone.objects.get().user == User.objects.get()
    assert not ClaimedPhone.objects.exists()
    assert PHONE in client.get(CHANGE).content.decode()
    client.post("/accounts/logout/")

    assert signed_in(client) is None
    assert client.post(LOGIN, {"phone": PHONE}).headers["Location"] == CONFIRM
    assert client.post(CONFIRM, {"code": phone_outbox.last_code(PHONE)}).headers["Location"] == CHANGE
    assert signed_in(client) == PHONE
    assert User.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_journey_works_with_atomic_requests(client: Client, phone_outbox: Any, monkeypatch: Any) -> None:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    assert client.post(SIGN_UP, {"phone": PHONE}).headers["Location"] == VERIFY
    code = phone_outbox.last_code(PHONE)
    assert "Incorrect code" in said(client.post(VERIFY, {"code": wrong(code)}))
    (id, secret), *_ = client.session["phone_verify_allauth_begun"].values()
    assert current_site().verifier.get(id, secret).verification.attempts_left == 4
    assert client.post(VERIFY, {"code": code}).headers["Location"] == CHANGE
    assert signed_in(client) == PHONE


def test_session_holds_no_code(client: Client, phone_outbox: Any) -> None:
    owner()
    client.post(LOGIN, {"phone": PHONE})
    kept = str(dict(client.session.items()))
    assert "login_code" in kept or "login_by_code" in kept
    assert phone_outbox.last_code() not in kept


def test_session_value_is_not_accepted_as_a_code(client: Client, phone_outbox: Any, settings: Any) -> None:
    """Also with django-allauth's form, as its headless app uses it: that one fails closed."""
    owner()
    client.post(LOGIN, {"phone": PHONE})
    mark = PhoneVerifyAccountAdapter().generate_phone_verification_code(user=User.objects.get(), phone=PHONE)
    assert mark in str(dict(client.session.items()))
    assert client.post(CONFIRM, {"code": mark}).status_code == 200
    settings.ACCOUNT_FORMS = {}
    for typed in (mark, PHONE, PHONE[1:], phone_outbox.last_code()):
        client = Client()
        client.post(LOGIN, {"phone": PHONE})
        assert client.post(CONFIRM, {"code": typed}).status_code == 200
        assert signed_in(client) is None


def test_guesses_are_counted_across_sessions(phone_outbox: Any, settings: Any) -> None:
    settings.PHONE_VERIFY = {**settings.PHONE_VERIFY, "max_failures": 4, "sends_per_hour": 0}
    owner()
    for _ in range(2):
        client = Client()
        client.post(LOGIN, {"phone": PHONE})
        for _ in range(2):
            client.post(CONFIRM, {"code": wrong(phone_outbox.last_code())})
    begun = Client()
    answer = begun.post(LOGIN, {"phone": PHONE}, follow=True)
    assert "get another code yet" in said(answer)
    assert len(phone_outbox) == 2
    assert client.post(CONFIRM, {"code": phone_outbox.last_code()}).status_code in (200, 302)
    assert signed_in(client) is None


def test_send_limit_is_shown_with_its_wait(client: Client, phone_outbox: Any, settings: Any) -> None:
    settings.PHONE_VERIFY = {**settings.PHONE_VERIFY, "sends_per_hour": 2}
    for _ in range(3):
        answer = Client().post(LOGIN, {"phone": PHONE}, follow=True)
    assert answer.redirect_chain == [(LOGIN, 302)]
    assert "Try again in 60 minutes" in said(answer)
    assert len(phone_outbox) == 2
    assert Client().post(LOGIN, {"phone": OTHER}).headers["Location"] == CONFIRM


def test_site_decides_before_a_code_is_sent(client: Client, phone_outbox: Any, settings: Any) -> None:
    asked = []

    def refuse(order: SendOrder, facts: ClientFacts) -> Refusal | None:
        asked.append((order.purpose, order.by_client, facts.address, dict(facts.extra)))
        return None if facts.extra.get("captcha") == "solved" else Refusal("Solve the captcha.")

    settings.PHONE_VERIFY = {**settings.PHONE_VERIFY, "before_send": refuse}
    answer = client.post(SIGN_UP, {"phone": PHONE, "captcha": "wrong"})
    assert "Solve the captcha." in said(client.get(answer.headers["Location"]))
    assert not phone_outbox
    assert client.post(SIGN_UP, {"phone": PHONE, "captcha": "solved"}).headers["Location"] == VERIFY
    assert len(phone_outbox) == 1
    assert [extra for *_, extra in asked] == [{"captcha": "wrong"}, {"captcha": "solved"}]
    assert {facts[1:3] for facts in asked} == {(True, "127.0.0.1")}


def test_refused_country_is_reported(client: Client, phone_outbox: Any, settings: Any) -> None:
    settings.PHONE_VERIFY = {**settings.PHONE_VERIFY, "allowed_regions": "RU"}
    for path in (LOGIN, SIGN_UP):
        assert "send codes to this number" in said(client.post(path, {"phone": PHONE}, follow=True))
    assert not phone_outbox


@pytest.mark.parametrize(
    "typed", ["", "12", "nobody", "+98912000000000000000", "٠" * 70, "\x00", "+982100000000 ext 7"]
)
def test_invalid_number_is_reported(client: Client, typed: str) -> None:
    for path in (LOGIN, SIGN_UP):
        answer = client.post(path, {"phone": typed})
        assert answer.status_code == 200
        assert answer.context["form"].errors["phone"]


@pytest.mark.parametrize("typed", ["", "1", "x" * 100, "\x00", "١٢٣", "✆+989120000000"])
def test_malformed_code_is_reported(client: Client, phone_outbox: Any, typed: str) -> None:
    owner()
    client.post(LOGIN, {"phone": PHONE})
    assert client.post(CONFIRM, {"code": typed}).context["form"].errors["code"]
    assert client.post(CONFIRM, {"code": phone_outbox.last_code()}).status_code == 302


def test_resend_repeats_the_code(client: Client, phone_outbox: Any, settings: Any) -> None:
    settings.ACCOUNT_LOGIN_BY_CODE_SUPPORTS_RESEND = True
    owner()
    client.post(LOGIN, {"phone": PHONE})
    client.post(CONFIRM, {"action": "resend"})
    first, second = phone_outbox
    assert first.code == second.code
    assert client.post(CONFIRM, {"code": second.code}).status_code == 302


def test_only_the_owner_learns_whether_a_number_is_registered(client: Client, phone_outbox: Any) -> None:
    """Both get a code; the right one reveals whether the number is registered."""
    owner(OTHER)
    known, unknown = Client(), Client()
    pages = []
    for browser, phone in ((known, OTHER), (unknown, PHONE)):
        answer = browser.post(LOGIN, {"phone": phone}, follow=True)
        pages.append(re.sub(r'name="csrfmiddlewaretoken" value="[^"]*"', "", said(answer)).replace(phone, ""))
    assert pages[0] == pages[1]
    assert [message.phone for message in phone_outbox] == [OTHER, PHONE]
    code = phone_outbox.last_code(PHONE)
    assert "Incorrect code" in said(unknown.post(CONFIRM, {"code": wrong(code)}))
    assert "not assigned to any user" in said(unknown.post(CONFIRM, {"code": code}))
    assert signed_in(unknown) is None
    taken = Client()
    assert taken.post(SIGN_UP, {"phone": OTHER}).headers["Location"] == VERIFY
    assert "already registered" in said(taken.post(VERIFY, {"code": phone_outbox.last_code(OTHER)}))
    assert signed_in(taken) is None
    assert User.objects.count() == 1


def test_entering_a_number_claims_nothing(client: Client, phone_outbox: Any, settings: Any) -> None:
    """An attacker signs up with another person's number and a password; the owner's sign-up is unaffected."""
    settings.ACCOUNT_SIGNUP_FIELDS = ["phone*", "password1*"]
    stranger = Client()
    stranger.post(SIGN_UP, {"phone": PHONE, "password1": "a word of the stranger"})
    client.post(SIGN_UP, {"phone": PHONE, "password1": "a word of the owner"})
    assert client.post(VERIFY, {"code": phone_outbox.last_code(PHONE)}).status_code == 302
    assert signed_in(client) == PHONE
    for word, inside in (("a word of the stranger", None), ("a word of the owner", PHONE)):
        visitor = Client()
        visitor.post("/accounts/login/", {"login": PHONE, "password": word})
        assert signed_in(visitor) == inside
    # The attacker's code belongs to another verification, and arrives too late.
    stranger.post(VERIFY, {"code": phone_outbox[0].code})
    assert signed_in(stranger) is None
    assert VerifiedPhone.objects.get().user.check_password("a word of the owner")


def test_unfinished_signup_continues_by_password(client: Client, phone_outbox: Any, settings: Any) -> None:
    settings.ACCOUNT_LOGIN_METHODS = {"username"}
    settings.ACCOUNT_SIGNUP_FIELDS = ["username*", "phone*", "password1*"]
    fields = {"username": "somebody", "phone": PHONE, "password1": "a long word of mine"}
    Client().post(SIGN_UP, fields)
    answer = client.post("/accounts/login/", {"login": "somebody", "password": fields["password1"]})
    assert answer.headers["Location"] == VERIFY
    assert signed_in(client) is None
    client.post(VERIFY, {"code": phone_outbox.last_code(PHONE)})
    assert signed_in(client) == PHONE


def change(client: Client, phone: str) -> Any:
    return client.post(CHANGE, {"phone": phone})


def test_user_changes_the_number(client: Client, phone_outbox: Any, settings: Any) -> None:
    settings.ACCOUNT_REAUTHENTICATION_REQUIRED = False
    told = []

    def tell(old: PhoneNumber, new: PhoneNumber, **_: Any) -> None:
        told.append((old.e164, new.e164))

    signals.phone_changed.connect(tell)
    user = owner()
    client.force_login(user, "allauth.account.auth_backends.AuthenticationBackend")
    assert change(client, OTHER).headers["Location"] == VERIFY
    assert signed_in(client) == PHONE
    assert "Incorrect code" in said(client.post(VERIFY, {"code": wrong(phone_outbox.last_code())}))
    assert client.post(VERIFY, {"code": phone_outbox.last_code(OTHER)}).headers["Location"] == CHANGE
    assert signed_in(client) == OTHER
    assert phones.phones_of(user) == [OTHER]
    assert told == [(PHONE, OTHER)]
    assert CHECKED_AT not in client.session, "a number that was added in the session proves nothing in it"


def test_number_change_is_bound_to_its_user(client: Client, phone_outbox: Any, settings: Any) -> None:
    settings.ACCOUNT_REAUTHENTICATION_REQUIRED = False
    user = owner()
    client.force_login(user, "allauth.account.auth_backends.AuthenticationBackend")
    change(client, OTHER)
    row = VerificationRow.objects.get(phone=OTHER)
    assert row.subject == current_site().verifier.flows.keyring.subject(str(user.pk))
    VerificationRow.objects.update(subject=current_site().verifier.flows.keyring.subject("another"))
    client.post(VERIFY, {"code": phone_outbox.last_code(OTHER)})
    assert phones.phones_of(user) == [PHONE]


def test_wrong_codes_count_for_the_address(client: Client, phone_outbox: Any, settings: Any) -> None:
    settings.PHONE_VERIFY = {**settings.PHONE_VERIFY, "wrong_per_hour_per_address": 1}
    owner()
    client.post(LOGIN, {"phone": PHONE})
    client.post(CONFIRM, {"code": wrong(phone_outbox.last_code())})
    assert "Too many attempts" in said(client.post(CONFIRM, {"code": phone_outbox.last_code()}))
    assert signed_in(client) is None


def test_visitors_leave_a_fifth_of_the_quota(client: Client, phone_outbox: Any, settings: Any) -> None:
    settings.PHONE_VERIFY = {**settings.PHONE_VERIFY, "sends_per_hour_total": 5}
    answers = [said(Client().post(LOGIN, {"phone": f"+98912000000{n}"}, follow=True)) for n in range(6)]
    assert ["get another code yet" in answer for answer in answers] == [False] * 4 + [True] * 2


def test_login_by_one_of_several_numbers_keeps_the_others(client: Client, phone_outbox: Any) -> None:
    user = owner()
    before = proof(OTHER, 1)
    phones.assign(user, before)
    client.post(LOGIN, {"phone": OTHER})
    client.post(CONFIRM, {"code": phone_outbox.last_code(OTHER)})
    assert signed_in(client) == PHONE
    assert phones.phones_of(user) == [PHONE, OTHER]
    assert VerifiedPhone.objects.get(phone=OTHER).verified_at > before.verified_at


def test_unregistered_number_leaves_no_mark(client: Client, phone_outbox: Any, settings: Any) -> None:
    """An attacker verifies a number without an account, then signs in with the owner's password."""
    settings.ACCOUNT_SIGNUP_FIELDS = ["phone*", "password1*"]
    owner()
    client.post(LOGIN, {"phone": OTHER})
    code = phone_outbox.last_code(OTHER)
    assert "not assigned to any user" in said(client.post(CONFIRM, {"code": code}))
    assert MARK not in client.session
    while client.post(CONFIRM, {"code": wrong(code)}).status_code != 302:
        pass  # allauth ends the attempt
    client.post("/accounts/login/", {"login": PHONE, "password": "a word of the owner"})
    assert signed_in(client) == PHONE
    assert CHECKED_AT not in client.session
    assert client.session[BACKEND_SESSION_KEY] != "phone_verify_django.backends.PhoneBackend"


def test_login_does_not_give_removed_number_back(client: Client, phone_outbox: Any) -> None:
    user = owner()
    client.post(LOGIN, {"phone": PHONE})
    phones.assign(user, proof(OTHER, 0), replace_existing=True)
    client.post(CONFIRM, {"code": phone_outbox.last_code(PHONE)})
    assert signed_in(client) is None
    assert phones.phones_of(user) == [OTHER]


class NotByPhone(Accounts):
    """Accounts that refuse a user."""

    def may_sign_in(self, user: Any, redeemed: Any) -> bool:
        return user.username != "owner"


def test_site_accounts_hooks_are_called(client: Client, phone_outbox: Any, settings: Any) -> None:
    settings.PHONE_VERIFY = {**settings.PHONE_VERIFY, "accounts": NotByPhone}
    owner()
    client.post(LOGIN, {"phone": PHONE})
    assert "sign in with this number" in said(client.post(CONFIRM, {"code": phone_outbox.last_code()}))
    assert signed_in(client) is None


def test_change_to_another_users_number_is_refused(client: Client, phone_outbox: Any) -> None:
    owner(OTHER)
    user = User.objects.create_user("somebody")
    client.force_login(user, "allauth.account.auth_backends.AuthenticationBackend")
    change(client, OTHER)
    assert "already registered" in said(client.post(VERIFY, {"code": phone_outbox.last_code(OTHER)}))
    assert VerifiedPhone.objects.get().user.username == "owner"


def test_code_for_one_number_verifies_no_other(client: Client, phone_outbox: Any) -> None:
    """Nor does one that was sent for another purpose, even in a tampered session."""
    owner()
    verifier = current_site().verifier
    for phone, purpose in ((OTHER, "login"), (PHONE, "confirm")):
        client = Client()
        client.post(LOGIN, {"phone": PHONE})
        begun = verifier.start(PhoneNumber(phone), purpose=purpose)
        session = client.session
        session["phone_verify_allauth_begun"] = {f"login {PHONE}": [begun.verification.id, begun.secret]}
        session.save()
        assert "Incorrect code" in said(client.post(CONFIRM, {"code": phone_outbox.last_code()}))
        assert signed_in(client) is None


def test_proof_is_consumed(client: Client, phone_outbox: Any) -> None:
    user = owner()
    client.post(LOGIN, {"phone": PHONE})
    (kept,) = client.session["phone_verify_allauth_begun"].values()
    client.post(CONFIRM, {"code": phone_outbox.last_code()})
    outcome = current_site().verifier.get(*kept)
    assert outcome.verification is not None
    assert outcome.proof is None
    assert user.pk


def test_same_phone_is_not_both_factors(client: Client, phone_outbox: Any) -> None:
    """The session is one of our backend, by which `phone_verify_django.otp` recognizes it."""
    owner()
    client.post(LOGIN, {"phone": PHONE})
    client.post(CONFIRM, {"code": phone_outbox.last_code()})
    assert client.session[BACKEND_SESSION_KEY] == "phone_verify_django.backends.PhoneBackend"
    assert MARK not in client.session
    assert first_factor.is_used_in(client.session, PhoneNumber(PHONE))
    assert CHECKED_AT in client.session, "and the number is proved as by our own pages"
    by_password = Client()
    by_password.force_login(User.objects.get(), "allauth.account.auth_backends.AuthenticationBackend")
    assert not first_factor.is_used_in(by_password.session, PhoneNumber(PHONE))


class OwnBackend(PhoneBackend):
    """A custom subclass of our backend."""


@pytest.fixture
def watched() -> Iterator[None]:
    """The startup of the app `phone_verify_django.otp`."""
    first_factor.connect()
    yield
    user_logged_in.disconnect(dispatch_uid="phone_verify_django.otp")


@pytest.mark.parametrize("ours", [[f"{__name__}.OwnBackend"], []], ids=["subclass", "none"])
@pytest.mark.usefixtures("watched")
def test_same_phone_is_not_both_factors_by_other_backends(
    client: Client, phone_outbox: Any, settings: Any, ours: list[str]
) -> None:
    settings.AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend", *ours]
    owner()
    client.post(LOGIN, {"phone": PHONE})
    client.post(CONFIRM, {"code": phone_outbox.last_code()})
    assert signed_in(client) == PHONE
    assert client.session[BACKEND_SESSION_KEY] == settings.AUTHENTICATION_BACKENDS[-1]
    assert first_factor.is_used_in(client.session, PhoneNumber(PHONE))
    assert not first_factor.is_used_in(client.session, PhoneNumber(OTHER))


def test_inactive_user_is_refused(client: Client, phone_outbox: Any) -> None:
    owner()
    User.objects.update(is_active=False)
    client.post(LOGIN, {"phone": PHONE})
    client.post(CONFIRM, {"code": phone_outbox.last_code()})
    assert signed_in(client) is None


def test_test_number_does_not_sign_in_staff(settings: Any) -> None:
    owner()
    last_day = (timezone.now() + timedelta(days=7)).date()
    fixed = {"test_passcodes": f"{PHONE}=482193@{last_day}", "test_passcodes_in_production": PHONE}
    settings.PHONE_VERIFY = {**settings.PHONE_VERIFY, **fixed}
    for is_staff, inside in ((True, None), (False, PHONE)):
        client = Client()
        User.objects.update(is_staff=is_staff)
        client.post(LOGIN, {"phone": PHONE})
        client.post(CONFIRM, {"code": "482193"})
        assert signed_in(client) == inside


@pytest.mark.parametrize(("opened", "inside"), [(False, None), (True, PHONE)])
def test_staff_do_not_sign_in_by_phone_alone(
    client: Client, phone_outbox: Any, settings: Any, opened: bool, inside: str | None
) -> None:
    settings.PHONE_VERIFY = {**settings.PHONE_VERIFY, "staff_sign_in_by_phone": opened}
    owner()
    User.objects.update(is_superuser=True)
    client.post(LOGIN, {"phone": PHONE})
    answer = client.post(CONFIRM, {"code": phone_outbox.last_code()})
    assert ("sign in with this number" in said(answer)) is not opened
    assert signed_in(client) == inside


def test_staff_confirm_numbers_except_by_a_test_number(client: Client, settings: Any) -> None:
    user = owner()
    User.objects.update(is_staff=True)
    client.force_login(user, "allauth.account.auth_backends.AuthenticationBackend")
    last_day = (timezone.now() + timedelta(days=7)).date()
    fixed = {"test_passcodes": f"{OTHER}=482193@{last_day}", "test_passcodes_in_production": OTHER}
    settings.PHONE_VERIFY = {**settings.PHONE_VERIFY, **fixed}
    change(client, OTHER)
    answer = client.post(VERIFY, {"code": "482193"}, follow=True)
    assert (answer.status_code, "be added to your account" in said(answer)) == (200, True)
    assert phones.phones_of(user) == [PHONE]


def test_number_without_a_proof_is_not_verified(settings: Any, rf: Any) -> None:
    """Only our verification in this request assigns a number to a user."""
    user, request = owner(), rf.post("/")
    request.session, request.user = Client().session, user
    request._messages = FallbackStorage(request)
    with context.request_context(request), pytest.raises(ImmediateHttpResponse):
        PhoneVerifyAccountAdapter(request).set_phone_verified(user, OTHER)
    assert phones.phones_of(user) == [PHONE]


def test_visitor_signs_in_by_flash_call(client: Client, phone_sandbox: Any, settings: Any) -> None:
    """A channel whose codes django-allauth could not generate."""
    settings.PHONE_VERIFY = {"inbound_call": phone_sandbox.dsn, "flash_call": phone_sandbox.dsn}
    owner()
    client.post(LOGIN, {"phone": PHONE})
    code = phone_sandbox.handset(PHONE).code()
    assert len(code) == 4
    client.post(CONFIRM, {"code": code})
    assert signed_in(client) == PHONE


@pytest.mark.parametrize(
    ("refusal", "says"),
    [("CreditNotEnough", "can&#x27;t send a code"), ("Mobile_Invalid", "send a code to this number")],
)
def test_provider_refusal_is_reported(
    client: Client, phone_sandbox: Any, settings: Any, refusal: str, says: str
) -> None:
    settings.PHONE_VERIFY = {"sms": phone_sandbox.dsn}
    phone_sandbox.fault("amoot", refuse=refusal)
    assert says in said(client.post(LOGIN, {"phone": PHONE}, follow=True))


def test_email_and_phone_logins_coexist(client: Client, phone_outbox: Any, mailoutbox: Any, settings: Any) -> None:
    settings.ACCOUNT_LOGIN_METHODS = {"phone", "email"}
    user = owner()
    user.email = "owner@site.example"
    user.save()
    client.post(LOGIN, {"phone": PHONE})
    assert client.post(CONFIRM, {"code": phone_outbox.last_code()}).status_code == 302
    assert signed_in(client) == PHONE
    client = Client()
    client.post(LOGIN, {"email": user.email})
    (found,) = re.findall(r"^\s*([A-Z]{4}-[A-Z]{4})\s*$", mailoutbox[0].body, re.MULTILINE)
    assert client.post(CONFIRM, {"code": phone_outbox.last_code()}).status_code == 200
    client.post(CONFIRM, {"code": found})
    assert signed_in(client) == PHONE


def test_erasing_a_number_removes_its_claim(client: Client, phone_outbox: Any) -> None:
    client.post(SIGN_UP, {"phone": PHONE})
    call_command("phone_verify_erase", PHONE, "--yes", stdout=StringIO())
    assert not ClaimedPhone.objects.exists()


def test_unavailable_store_is_reported(client: Client, settings: Any) -> None:
    settings.PHONE_VERIFY = {"sms": "console://", "store": "redis://127.0.0.1:1/0"}
    answer = client.post(LOGIN, {"phone": PHONE}, follow=True)
    assert "went wrong on our side" in said(answer)


@pytest.mark.parametrize(
    ("name", "value", "id"),
    [
        ("ACCOUNT_ADAPTER", "allauth.account.adapter.DefaultAccountAdapter", "E001"),
        ("ACCOUNT_ADAPTER", "nowhere.Adapter", "E001"),
        ("ACCOUNT_FORMS", {}, "E002"),
        ("ACCOUNT_FORMS", {"verify_phone": "phone_verify_django.allauth.forms.VerifyPhoneForm"}, "E002"),
        ("INSTALLED_APPS", ["allauth.headless"], "W003"),
        ("ACCOUNT_LOGIN_BY_CODE_SUPPORTS_RESEND", True, "W004"),
    ],
)
def test_missing_requirements_are_reported(settings: Any, name: str, value: Any, id: str) -> None:
    assert list(complaints()) == []
    if name == "INSTALLED_APPS":
        value = [*settings.INSTALLED_APPS, *value]
        settings.HEADLESS_ONLY = False
    setattr(settings, name, value)
    (complaint,) = complaints()
    assert complaint.id == f"phone_verify_allauth.{id}"
    assert complaint.hint
    if complaint.is_serious():
        from django.apps import apps

        with pytest.raises(ImproperlyConfigured, match="ACCOUNT_"):
            apps.get_app_config("phone_verify_allauth").ready()


@pytest.mark.parametrize("purpose", ["login", "change"])
def test_number_of_a_former_plan_stays_its_users(client: Client, phone_outbox: Any, purpose: str) -> None:
    """Benin added 01 to every number in 2024: the stored number, and what its user types today."""
    user = User.objects.create_user("owner", password="a word of the owner")
    VerifiedPhone.objects.create(user=user, phone="+22997000000", verified_at=timezone.now() - timedelta(days=900))
    if purpose == "login":
        assert client.post(LOGIN, {"phone": "+229 01 97 00 00 00"}).headers["Location"] == CONFIRM
        assert client.post(CONFIRM, {"code": phone_outbox.last_code()}).headers["Location"] == CHANGE
    else:
        client.force_login(user)
        client.post("/phone/verify/", {"confirm": "1"})
        client.post("/phone/code/", {"code": phone_outbox.last_code()})
    assert signed_in(client) == "+2290197000000"
    assert VerifiedPhone.objects.get().user == User.objects.get() == user
