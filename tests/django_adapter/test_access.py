"""Views that require a verified number, or a recent check."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.test import Client, RequestFactory
from django.utils import timezone
from django.views.generic import View

from phone_verify.http import session_time
from phone_verify_django.access import CHECKED_AT, last_phone_check
from phone_verify_django.decorators import recent_phone_check_required
from phone_verify_django.mixins import RecentPhoneCheckRequiredMixin
from phone_verify_django.models import VerifiedPhone
from tests.clients import Browser

from . import custom_site
from .conftest import PHONE, Network
from .test_set_phone import sign_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_urls")]

VERIFY, CODE, LOGIN = "/phone/verify/", "/phone/code/", "/phone/login/"


class Clock:
    """The clock of the checks, set by the tests."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(session_time, "time", clock)
    return clock


@pytest.fixture
def own_urls(settings: Any) -> None:
    settings.ROOT_URLCONF = custom_site.__name__


def with_phone(name: str = "somebody", phone: str = PHONE) -> User:
    user = User.objects.create_user(name)
    VerifiedPhone.objects.create(user=user, phone=phone, verified_at=timezone.now())
    return user


every_view = pytest.mark.parametrize("path", [*custom_site.VERIFIED, *custom_site.RECENT])
recent_view = pytest.mark.parametrize("path", custom_site.RECENT)
verified_view = pytest.mark.parametrize("path", custom_site.VERIFIED)


@every_view
def test_anonymous_visitor_signs_in_first(visitor: Browser, path: str) -> None:
    assert visitor.get(f"/{path}?a=b").location == f"{LOGIN}?next=/{path}%3Fa%3Db"


@every_view
def test_user_without_a_number_verifies_one(client: Client, path: str) -> None:
    client.force_login(User.objects.create_user("somebody"))
    assert client.get(f"/{path}?a=b")["Location"] == f"{VERIFY}?next=/{path}%3Fa%3Db"


@verified_view
def test_verified_number_suffices_for_any_login_method(client: Client, path: str) -> None:
    client.force_login(with_phone())
    assert client.get(f"/{path}").content == b"GET let in"


@every_view
def test_phone_login_is_allowed(visitor: Browser, network: Network, path: str) -> None:
    sign_in(visitor, network)
    assert visitor.get(f"/{path}").text == "GET let in"


@recent_view
def test_stale_check_is_renewed_by_one_button(visitor: Browser, network: Network, clock: Clock, path: str) -> None:
    sign_in(visitor, network)
    clock.now += 600
    assert visitor.get(f"/{path}").status == 200
    clock.now += 1
    to_verify = visitor.get(f"/{path}").location
    assert to_verify == f"{VERIFY}?next=/{path}"
    network.clock.move(120)
    assert visitor.post_form(to_verify, confirm="1", next=f"/{path}").location.startswith(CODE)
    assert visitor.get(f"/{path}").status == 302  # a code that was sent is not yet verified
    assert visitor.post_form(CODE, code=network.code, next=f"/{path}").location == f"/{path}"
    assert visitor.get(f"/{path}").text == "GET let in"


@recent_view
def test_other_login_method_is_not_a_check(client: Client, path: str) -> None:
    client.force_login(with_phone())
    assert client.get(f"/{path}")["Location"] == f"{VERIFY}?next=/{path}"


@recent_view
def test_removed_number_is_not_a_check(visitor: Browser, network: Network, path: str) -> None:
    sign_in(visitor, network)
    VerifiedPhone.objects.all().delete()
    assert visitor.get(f"/{path}").status == 302


@pytest.mark.parametrize("path", ["verified-or-403", "recent-or-403", "recent-view-or-403"])
def test_view_may_answer_403_instead(client: Client, path: str) -> None:
    assert client.get(f"/{path}").status_code == 403
    client.force_login(User.objects.create_user("somebody"))
    assert client.get(f"/{path}").status_code == 403


def test_custom_pages_may_be_named(client: Client) -> None:
    assert client.get("/elsewhere")["Location"] == "/other-login/?next=/elsewhere"
    client.force_login(with_phone())
    assert client.get("/elsewhere")["Location"] == "/other-verify/?next=/elsewhere"


@pytest.mark.parametrize("path", ["recent", "recent-view"])
def test_visitor_returns_to_the_page_of_the_form(client: Client, path: str) -> None:
    client.force_login(with_phone())
    answer = client.post(f"/{path}?a=b", {"amount": "100"})
    assert answer["Location"] == f"{VERIFY}?next=/{path}%3Fa%3Db"


def test_custom_login_page_comes_first(client: Client, settings: Any) -> None:
    settings.LOGIN_URL = "/accounts/login/"
    for path in ("recent", "recent-view"):
        assert client.get(f"/{path}")["Location"] == f"/accounts/login/?next=/{path}"


@pytest.mark.parametrize("max_age", [0, -1, True, None, "600", timedelta(0), timedelta(seconds=-1), math.nan, math.inf])
def test_invalid_max_age_is_refused(max_age: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match="max_age: use a timedelta or a positive number of seconds"):
        recent_phone_check_required(max_age)
    view: Callable[..., Any] = type("Odd", (RecentPhoneCheckRequiredMixin, View), {"max_age": max_age}).as_view()
    with pytest.raises(ImproperlyConfigured, match="max_age"):
        view(RequestFactory().get("/"))


SESSIONS = [
    "django.contrib.sessions.backends.db",
    "django.contrib.sessions.backends.cache",
    "django.contrib.sessions.backends.signed_cookies",
]


@pytest.mark.parametrize("engine", SESSIONS)
class TestAnotherUser:
    pytestmark = pytest.mark.django_db

    @pytest.fixture(autouse=True)
    def _engine(self, engine: str, settings: Any) -> None:
        settings.SESSION_ENGINE = engine

    def test_check_is_not_inherited_by_the_next_user(self, client: Client, network: Network) -> None:
        client.post(LOGIN, {"phone": PHONE, "terms": "on"})
        client.post(CODE, {"code": network.code})
        assert client.get("/recent").status_code == 200
        client.force_login(with_phone("other", "+989120000008"))  # without signing out
        assert client.get("/recent").status_code == 302
        assert CHECKED_AT not in client.session

    def test_check_ends_at_logout(self, client: Client, network: Network) -> None:
        client.post(LOGIN, {"phone": PHONE, "terms": "on"})
        client.post(CODE, {"code": network.code})
        client.post("/phone/logout/")
        client.force_login(User.objects.get())
        assert client.get("/recent").status_code == 302

    def test_old_cookie_copy_gains_no_time(self, client: Client, network: Network, clock: Clock) -> None:
        client.post(LOGIN, {"phone": PHONE, "terms": "on"})
        client.post(CODE, {"code": network.code})
        copy = client.cookies["sessionid"].value
        clock.now += 601
        assert client.get("/recent").status_code == 302
        thief = Client()
        thief.cookies["sessionid"] = copy
        assert thief.get("/recent").status_code == 302


def test_unreadable_time_is_not_a_check(client: Client, clock: Clock) -> None:
    user = with_phone()
    client.force_login(user)
    for kept, known in [(clock.now + 3, True), (clock.now + 6, False), ("1", False), (True, False), (None, False)]:
        session = client.session
        session[CHECKED_AT] = int(kept) if isinstance(kept, float) else kept
        session.save()
        request = client.get("/").wsgi_request
        assert (last_phone_check(request) is not None) == known
        assert client.get("/recent").status_code == (200 if known else 302)


def test_check_is_not_a_django_otp_factor(visitor: Browser, network: Network) -> None:
    sign_in(visitor, network)
    begun = visitor.get("/recent")
    assert begun.status == 200
    from django.contrib.sessions.models import Session

    assert "otp_device_id" not in Session.objects.get().get_decoded()
