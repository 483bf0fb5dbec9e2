"""Other sessions end with the number, and a sign-in that races a change restores no number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import login, logout
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.http import HttpRequest, HttpResponse
from django.template import Context, Template
from django.test import AsyncClient, Client
from django.utils import timezone

from phone_verify import PhoneNumber
from phone_verify.model import Redeemed
from phone_verify_django import account_policy, accounts, sessions
from phone_verify_django.access import note_check
from phone_verify_django.decorators import phone_verified_required, recent_phone_check_required
from phone_verify_django.middleware import PhoneSessionMiddleware
from phone_verify_django.mixins import PhoneVerifiedRequiredMixin
from phone_verify_django.models import VerifiedPhone
from phone_verify_django.views import LoginView
from tests.clients import Browser

from .conftest import PHONE, Network
from .factories import heard, proof, request_of, somebody
from .test_set_phone import NEW, change, sign_in

pytestmark = pytest.mark.django_db

MIDDLEWARE = "phone_verify_django.middleware.PhoneSessionMiddleware"
OTHER = "+989120000008"


def owner(*phones: str) -> User:
    user = somebody("owner")
    for phone in phones:
        VerifiedPhone.objects.create(user=user, phone=phone, verified_at=timezone.now())
    return user


def session_of(user: User) -> Client:
    """A session of this user that was started by another login method."""
    client = Client()
    client.force_login(user, "django.contrib.auth.backends.ModelBackend")
    return client


def number_seen(client: Client) -> str:
    return client.get("/").content.decode()


@pytest.fixture(autouse=True)
def _passwords_too(settings: Any) -> None:
    settings.AUTHENTICATION_BACKENDS = [*settings.AUTHENTICATION_BACKENDS, "django.contrib.auth.backends.ModelBackend"]


def test_change_of_number_ends_every_other_session(visitor: Browser, network: Network) -> None:
    sign_in(visitor, network)
    other = session_of(User.objects.get())
    assert number_seen(other) == PHONE
    assert change(visitor, network).status == 200
    assert number_seen(other) != NEW
    assert other.get("/phone/v1/session").status_code == 401
    assert visitor.get("/").text == NEW


def test_removed_number_ends_every_other_session() -> None:
    user = owner(PHONE, NEW)
    mine, other = session_of(user), session_of(user)
    request = mine.get("/").wsgi_request
    assert accounts.remove_phone(user, NEW, request)
    request.session.save()
    assert number_seen(mine) == PHONE
    assert number_seen(other) != PHONE


def test_number_taken_by_a_new_owner_ends_sessions(configure: Callable[..., None]) -> None:
    configure(sms="console://", recycled_numbers="newest")
    user = owner(PHONE, NEW)
    session = session_of(user)
    request = request_of(somebody("new owner"))
    VerifiedPhone.objects.update(verified_at=proof(PHONE, minutes=-60).verified_at)
    assert accounts.set_phone(request, proof(PHONE, "confirm")) is not None
    assert number_seen(session) != NEW


def test_row_deleted_in_the_admin_ends_sessions() -> None:
    user = owner(PHONE, NEW)
    session = session_of(user)
    VerifiedPhone.objects.filter(phone=NEW).delete()
    assert number_seen(session) != PHONE


def test_deleted_user_leaves_nothing() -> None:
    user = owner(PHONE)
    accounts.remove_phone(owner_with_password(user), PHONE)
    user.delete()
    assert not VerifiedPhone.objects.exists()


def owner_with_password(user: User) -> User:
    user.set_password("a long word")
    user.save()
    return user


def test_second_number_ends_no_session() -> None:
    user = owner(PHONE)
    mine, other = session_of(user), session_of(user)
    request = mine.get("/").wsgi_request
    assert accounts.set_phone(request, proof(NEW, "confirm")) is not None
    assert number_seen(other) == PHONE


def test_pages_end_sessions_without_the_middleware(visitor: Browser, network: Network, settings: Any) -> None:
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if name != MIDDLEWARE]
    sign_in(visitor, network)
    other = session_of(User.objects.get())
    assert change(visitor, network).status == 200
    assert other.get("/phone/v1/session").status_code == 401
    assert other.get("/phone/verify/").status_code == 302


def test_access_checks_refuse_ended_sessions_sans_middleware(settings: Any) -> None:
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if name != MIDDLEWARE]
    user = owner(PHONE, NEW)
    other = session_of(user)
    request = other.get("/").wsgi_request
    note_check(request, PhoneNumber(PHONE))
    request.session.save()

    def page(request: HttpRequest) -> HttpResponse:
        return HttpResponse("inside")

    class Inside(PhoneVerifiedRequiredMixin):
        def get(self, request: HttpRequest) -> HttpResponse:
            return page(request)

    views = [phone_verified_required(page), recent_phone_check_required(600)(page), Inside.as_view()]
    tag = Template("{% load phone_verify %}{% phone_checked 600 as checked %}{{ checked }}")
    for status, checked in ((200, "True"), (302, "False")):
        request = other.get("/").wsgi_request
        assert [view(request).status_code for view in views] == [status] * 3
        assert tag.render(Context({"request": request})) == checked
        assert accounts.remove_phone(user, NEW) is (status == 200)
    login_page = LoginView.as_view(redirect_authenticated_user=True)
    assert login_page(request).status_code == 200


def test_missing_middleware_is_reported(settings: Any, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("check", "--tag", "phone_verify")
    assert "W006" not in capsys.readouterr().err
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if name != MIDDLEWARE]
    call_command("check", "--tag", "phone_verify")
    said = capsys.readouterr().err
    assert "W006" in said
    assert f"Add '{MIDDLEWARE}' to MIDDLEWARE" in said


def test_middleware_before_the_user_is_refused() -> None:
    middleware = PhoneSessionMiddleware(lambda request: None)
    request = request_of()
    del request.user
    with pytest.raises(ImproperlyConfigured, match="put it after"):
        middleware(request)


def test_ended_session_has_no_user_in_async_views() -> None:
    user = owner(PHONE, NEW)
    client = AsyncClient()
    client.force_login(user, "django.contrib.auth.backends.ModelBackend")
    VerifiedPhone.objects.filter(phone=NEW).delete()

    async def seen() -> Any:
        response = await client.get("/")
        return await response.asgi_request.auser()

    assert not async_to_sync(seen)().is_authenticated


def test_page_without_a_user_lookup_costs_no_query(client: Client, django_assert_num_queries: Any) -> None:
    client.force_login(owner(PHONE))
    with django_assert_num_queries(0):
        client.get("/phone/static/phone_verify.css")


@pytest.mark.parametrize("goes_out", [False, True], ids=["in", "out"])
def test_sign_in_by_another_method_deletes_the_cookie(goes_out: bool) -> None:
    user = owner(PHONE)

    def own_view(request: HttpRequest) -> HttpResponse:
        if goes_out:
            logout(request)
        else:
            login(request, user, "django.contrib.auth.backends.ModelBackend")
        return HttpResponse()

    def answer(path: str, cookie: str = "") -> HttpResponse:
        request = request_of()
        request.path = path
        if cookie:
            request.COOKIES["phone_verify"] = cookie
        response: HttpResponse = PhoneSessionMiddleware(own_view)(request)
        return response

    for path in ("/accounts/login/", "/phone/other/"):
        morsel = answer(path, "x").cookies["phone_verify"]
        assert (morsel.value, morsel["max-age"], morsel["path"]) == ("", 0, "/")
    assert "phone_verify" not in answer("/phone/other/").cookies


class ConcurrentUpdate(account_policy.Accounts):
    """The owner changes the number after a thief's sign-in has found the user."""

    def may_sign_in(self, user: AbstractBaseUser, redeemed: Redeemed) -> bool:
        request = request_of(user)
        assert accounts.set_phone(request, proof(NEW, "change_phone", minutes=1)) is not None
        return True


class ByName(account_policy.Accounts):
    """Accounts that find a user by another attribute."""

    def find(self, redeemed: Redeemed) -> AbstractBaseUser | None:
        return User.objects.filter(username="owner").first()


def test_sign_in_that_races_a_change_is_refused(configure: Callable[..., None]) -> None:
    configure(sms="console://", accounts=f"{__name__}.ConcurrentUpdate")
    user, request = owner(PHONE), request_of()
    with heard() as told:
        assert accounts.sign_in(request, proof(PHONE)) is None
    assert accounts.phones_of(user) == [NEW]
    assert "_auth_user_id" not in request.session
    assert told == []


def test_user_found_otherwise_gets_the_number(configure: Callable[..., None]) -> None:
    configure(sms="console://", accounts=f"{__name__}.ByName")
    user = owner(NEW)
    assert accounts.sign_in(request_of(), proof(PHONE)) is not None
    assert accounts.phones_of(user) == [NEW, PHONE]


class OvertakenSession(SessionStore):
    """The owner changes the number while Django cycles the key of the thief's session."""

    def cycle_key(self) -> None:
        owner_now = User.objects.get()
        assert accounts.set_phone(request_of(owner_now), proof(NEW, "change_phone", minutes=1)) is not None
        super().cycle_key()


def test_session_overtaken_by_a_change_has_ended() -> None:
    """The change happens after the number was read, and before the session starts."""
    user, request = owner(PHONE), request_of()
    request.session = OvertakenSession()
    accounts.sign_in(request, proof(PHONE))
    assert request.user == user
    assert accounts.signed_in(request) is None
    assert accounts.phones_of(user) == [NEW]


def sign_out_others(request: HttpRequest, user: User) -> None:
    sessions.end_others(request)


def change_number(request: HttpRequest, user: User) -> None:
    assert accounts.set_phone(request, proof("+989120000009", "change_phone")) is not None


@pytest.mark.parametrize("late", [sign_out_others, change_number])
def test_running_request_revives_no_ended_session(late: Callable[[HttpRequest, User], None]) -> None:
    user = owner(PHONE, NEW)
    mine, other = session_of(user), session_of(user)
    under_way = other.get("/").wsgi_request
    assert accounts.remove_phone(user, NEW, mine.get("/").wsgi_request)
    late(under_way, user)
    under_way.session.save()
    other.cookies["sessionid"] = str(under_way.session.session_key)
    assert number_seen(other) == "nobody"
