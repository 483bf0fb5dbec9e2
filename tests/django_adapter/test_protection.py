"""Cookies over https, headers of the pages, and refused forms, on Django."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from django import forms
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.files.uploadhandler import MemoryFileUploadHandler
from django.core.signals import got_request_exception
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import include, path
from django.views.debug import ExceptionReporter

from phone_verify.web.messages import Message, Messages
from phone_verify_django.forms import CodeForm
from phone_verify_django.views import CodeView, LoginView
from tests.clients import hidden_token

from .conftest import PHONE, Network

LOGIN, CODE, SIGNUP = (f"/phone/{name}/" for name in ("login", "code", "signup"))
FORM = "application/x-www-form-urlencoded"
POLICY = "frame-ancestors 'none'"
Configure = Callable[..., None]

pytestmark = pytest.mark.django_db


class AvatarForm(forms.Form):
    name = forms.CharField()
    avatar = forms.FileField()


class ColorForm(CodeForm):
    """A field whose error repeats what was typed."""

    color = forms.ChoiceField(choices=[("red", "red")])


class OwnHeaders(LoginView):
    def render_page(self, *args: Any, **kwargs: Any) -> HttpResponse:
        response = super().render_page(*args, **kwargs)
        response.headers["Content-Security-Policy"] = "default-src 'self'"
        return response


urlpatterns = [
    path("own/", OwnHeaders.as_view()),
    path("phone/code/", CodeView.as_view(form_class=ColorForm)),
    path("phone/", include("phone_verify_django.urls")),
]


def csp_middleware(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Like django-csp and Django 6: marks the request, and sets the header unless the view has."""

    def middleware(request: HttpRequest) -> HttpResponse:
        request.csp_nonce = "n"  # type: ignore[attr-defined]
        response = get_response(request)
        response.headers.setdefault("Content-Security-Policy", "default-src 'self' https://cdn.example")
        return response

    return middleware


PARSED: list[str] = []


class Watched(MemoryFileUploadHandler):
    """Record every file whose parsing has started."""

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        PARSED.append(args[1])
        super().new_file(*args, **kwargs)


@pytest.fixture
def strict() -> Client:
    """A client for which Django checks the CSRF token."""
    return Client(enforce_csrf_checks=True, **{"wsgi.multiprocess": False})  # type: ignore[arg-type]


def post(client: Client, place: str, fields: dict[str, str], *, secure: bool = False) -> Any:
    token = hidden_token(client.get(place, secure=secure).content.decode())
    referer = {"HTTP_REFERER": f"https://testserver{place}"}
    return client.post(place, urlencode(fields | token), content_type=FORM, secure=secure, **referer)  # type: ignore[arg-type]


def test_cookies_carry_the_host_prefix_over_https(client: Client, network: Network) -> None:
    cookie = post(client, LOGIN, {"phone": PHONE}, secure=True).cookies["__Host-phone_verify"]
    assert (cookie["path"], cookie["secure"], cookie["samesite"], cookie["domain"]) == ("/", True, "Lax", "")
    done = post(client, CODE, {"code": network.code}, secure=True)
    assert done.status_code in (303, 303)
    device = done.cookies["__Host-phone_verify_device"]
    assert (device["path"], device["secure"], device["domain"]) == ("/", True, "")


def test_cookie_without_the_prefix_is_not_read_over_https(client: Client, network: Network) -> None:
    """Plain http and sibling subdomains can set only such a cookie."""
    post(client, LOGIN, {"phone": PHONE})
    planted = client.cookies["phone_verify"].value
    victim = Client(**{"wsgi.multiprocess": False})  # type: ignore[arg-type]
    victim.cookies["phone_verify"] = planted
    id, _, _ = planted.partition(".")
    assert victim.get(f"/phone/v1/verifications/{id}").status_code == 200
    assert victim.get(f"/phone/v1/verifications/{id}", secure=True).status_code == 404
    assert victim.get(CODE, secure=True).status_code == 302


def test_same_site_follows_the_session_setting(client: Client, network: Network, settings: Any) -> None:
    settings.SESSION_COOKIE_SAMESITE = "None"
    assert post(client, LOGIN, {"phone": PHONE}, secure=True).cookies["__Host-phone_verify"]["samesite"] == "None"


def test_every_page_response_forbids_frames(strict: Client, network: Network) -> None:
    answers = [
        strict.get(LOGIN),
        strict.post(LOGIN, {"phone": PHONE}),  # 415
        strict.post(LOGIN, urlencode({"phone": PHONE}), content_type=FORM),  # 403, no token
        Client().put(LOGIN),
        post(strict, LOGIN, {"phone": PHONE}),
        strict.get(CODE),
        strict.get("/phone/verify/"),
        strict.get("/phone/logout/"),
        strict.get(SIGNUP),
    ]
    assert [answer.status_code for answer in answers[:6]] == [200, 415, 403, 405, 303, 200]
    for answer in answers:
        assert POLICY in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Frame-Options"] == "DENY"


def test_site_may_allow_frames(client: Client, network: Network, configure: Configure) -> None:
    configure(sms="console://", frame_ancestors=["https://partner.example"])
    answer = client.get(LOGIN)
    assert "frame-ancestors https://partner.example" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Frame-Options"] == "DENY"  # ignored next to frame-ancestors


@pytest.mark.parametrize("ancestors", [[], ["https://partner.example"]], ids=["none", "partner"])
def test_site_security_policy_is_kept(
    client: Client, network: Network, settings: Any, configure: Configure, ancestors: list[str]
) -> None:
    configure(sms="console://", frame_ancestors=ancestors)
    settings.ROOT_URLCONF = __name__
    assert client.get("/own/").headers["Content-Security-Policy"] == "default-src 'self'"
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.csp_middleware"]
    answer = Client().get(LOGIN)
    assert answer.headers["Content-Security-Policy"] == "default-src 'self' https://cdn.example"
    assert answer.headers["X-Frame-Options"] == "DENY"


def test_forms_may_lead_to_the_sites_other_hosts(client: Client, network: Network, settings: Any) -> None:
    settings.LOGIN_REDIRECT_URL = "https://app.example/home"
    assert "form-action 'self' https://app.example;" in client.get(LOGIN).headers["Content-Security-Policy"]


@pytest.mark.parametrize("page", ["login", "code", "verify", "logout", "signup"])
def test_files_are_refused_before_they_are_parsed(strict: Client, network: Network, settings: Any, page: str) -> None:
    settings.FILE_UPLOAD_HANDLERS = [f"{__name__}.Watched"]
    PARSED.clear()
    answer = strict.post(f"/phone/{page}/", {"phone": PHONE, "more": SimpleUploadedFile("x", b"x" * 200_000)})
    assert answer.status_code == 415
    assert b"does not accept files" in answer.content
    assert b'href="/phone/login/"' in answer.content
    assert PARSED == []


@pytest.mark.parametrize("page", ["login", "code", "verify", "logout", "signup"])
def test_long_forms_are_refused(client: Client, network: Network, page: str) -> None:
    answer = client.post(f"/phone/{page}/", "phone=" + "9" * 64 * 1024, content_type=FORM)
    assert answer.status_code == 413
    assert b"too large" in answer.content
    assert answer.headers["Cache-Control"].startswith("max-age=0")


def test_csrf_token_is_still_required(strict: Client, network: Network) -> None:
    strict.get(LOGIN)
    assert strict.post(LOGIN, urlencode({"phone": PHONE}), content_type=FORM).status_code == 403
    assert network.sent == 0
    assert post(strict, LOGIN, {"phone": PHONE}).status_code == 303


@pytest.mark.parametrize("in_sessions", [False, True])
@pytest.mark.parametrize("type", [FORM, "multipart/form-data; boundary=x"])
def test_forged_forms_set_no_cookie(
    strict: Client, network: Network, settings: Any, type: str, in_sessions: bool
) -> None:
    """The browser posts another site's form without the session's cookie: a new one would sign the visitor out."""
    settings.CSRF_USE_SESSIONS = in_sessions
    [engine] = settings.TEMPLATES
    own = {"phone_verify/refused.html": "{% csrf_token %}"}  # the site's base has a form, for example for the language
    loaders = [("django.template.loaders.locmem.Loader", own)]
    settings.TEMPLATES = [{**engine, "APP_DIRS": False, "OPTIONS": {**engine["OPTIONS"], "loaders": loaders}}]
    answer = strict.post(LOGIN, urlencode({"phone": PHONE}), content_type=type, HTTP_SEC_FETCH_SITE="cross-site")  # type: ignore[misc]
    assert answer.status_code in (403, 415)
    assert not answer.cookies


def test_stale_forms_stay_out_of_error_reports(
    strict: Client, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception while a form is returned to its page: its fields were read outside the view."""
    reports = []

    def report(request: HttpRequest, **_: object) -> None:
        reporter = ExceptionReporter(request, *sys.exc_info())
        reports.append(reporter.get_traceback_html() + reporter.get_traceback_text())

    def fail(_: Messages, message: Message) -> None:
        raise RuntimeError("the sessions of the site are down")

    monkeypatch.setattr(Messages, "keep", fail)
    got_request_exception.connect(report)
    strict.raise_request_exception = False
    code = "".join(["4711", "00"])  # reports show the source of this test
    fields = {"phone": PHONE, "code": code, "csrfmiddlewaretoken": "x"}
    same = {"HTTP_SEC_FETCH_SITE": "same-origin"}
    assert strict.post(LOGIN, urlencode(fields), content_type=FORM, **same).status_code == 500  # type: ignore[arg-type]
    got_request_exception.disconnect(report)
    assert "sessions of the site" in reports[0]
    for secret in (PHONE, PHONE[1:], code):
        assert secret not in reports[0]


def test_long_fields_stay_out_of_the_session(client: Client, network: Network, settings: Any) -> None:
    settings.ROOT_URLCONF = __name__
    client.post(LOGIN, {"phone": PHONE})
    before, long = len(json.dumps(dict(client.session))), "x" * 10_000
    for tab in range(6):
        fields = {"code": "1", "phone": long, "channel": long, "color": long, "verification": f"{tab}{long}"}
        answer = client.post(CODE, fields)
        assert (answer.status_code, answer["Location"]) == (303, CODE)
    assert len(json.dumps(dict(client.session))) < before + 2000


def test_form_of_a_code_page_is_not_restored_at_login(client: Client, network: Network, settings: Any) -> None:
    """The page of a verification that the session does not hold leads to the login page, with the message only."""
    settings.ROOT_URLCONF = __name__
    fields = {"code": "1", "color": "blue", "verification": "a" * 44, "phone": "12"}
    answer = client.get(client.post(CODE, fields)["Location"])
    assert answer["Location"] == LOGIN
    answer = client.get(LOGIN)
    assert b"blue is not one of the available choices" in answer.content
    assert answer.context["form"].errors == {}


def test_form_without_a_length_is_limited(network: Network) -> None:
    """Under ASGI a chunked body has arrived completely before Django is called."""
    from django.test import AsyncRequestFactory

    from phone_verify_django.views import LoginView as View

    for size, status in ((100_000, 413), (10, 403)):
        request = AsyncRequestFactory().generic("POST", LOGIN, "phone=" + "9" * size, content_type=FORM)
        del request.META["CONTENT_LENGTH"]
        assert View.as_view()(request).status_code == status


def test_sign_up_form_may_take_files(network: Network, strict: Client, configure: Configure, settings: Any) -> None:
    settings.FILE_UPLOAD_HANDLERS = [f"{__name__}.Watched"]
    PARSED.clear()
    configure(sms="console://", signup_form=f"{__name__}.AvatarForm")
    avatar = {"name": "", "avatar": SimpleUploadedFile("x", b"x" * 200_000)}
    assert strict.post(SIGNUP, avatar).status_code == 415, "no number waits"
    assert PARSED == []
    post(strict, LOGIN, {"phone": PHONE})
    assert post(strict, CODE, {"code": network.code}).status_code == 303
    token = hidden_token(strict.get(SIGNUP).content.decode())
    avatar["avatar"].seek(0)  # type: ignore[union-attr]
    answer = strict.post(SIGNUP, avatar | token)
    assert answer.status_code == 303
    assert b"This field is required" in strict.get(SIGNUP).content
    assert PARSED == ["x"]
    assert strict.post(SIGNUP, {"more": SimpleUploadedFile("x", b"x" * 11 * 1024 * 1024)}).status_code == 413
    assert PARSED == ["x"]


def test_django_test_client_posts_work_by_default(client: Client, network: Network) -> None:
    assert client.post(LOGIN, {"phone": PHONE}).status_code == 303
    assert client.post(CODE, {"code": network.code}).status_code == 303
    assert client.get("/").content.decode() == PHONE
