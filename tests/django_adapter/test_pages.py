"""The pages through Django's test client, as a browser without JavaScript uses them."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in
from django.core.signals import got_request_exception
from django.db import connection
from django.http import HttpRequest
from django.test import Client
from django.urls import clear_script_prefix, set_script_prefix
from django.utils import timezone
from django.views.debug import ExceptionReporter

from phone_verify.i18n.languages import LANGUAGES
from phone_verify.i18n.texts import texts_in
from phone_verify_django.models import VerifiedPhone
from tests.clients import Browser

from .conftest import PHONE, Network

Configure = Callable[..., None]

pytestmark = pytest.mark.django_db

LOGIN, CODE, LOGOUT = "/phone/login/", "/phone/code/", "/phone/logout/"


def test_visitor_signs_in_by_code_and_out_by_button(visitor: Browser, network: Network) -> None:
    answer = visitor.post_form(LOGIN, phone="+98 912 000 0000")
    assert (answer.status, answer.location) == (303, CODE)
    page = visitor.get(CODE)
    assert page.status == 200
    assert "+98 912 000 0000" in page.text  # this session entered it
    assert "+98 912 000 0000" in visitor.get(LOGIN).text
    assert network.code not in page.text
    assert "no-store" in page.headers["cache-control"]
    assert page.headers["x-frame-options"] == "DENY"
    answer = visitor.follow(visitor.post_form(CODE, code=network.wrong))
    assert "4 attempts left" in answer.text
    answer = visitor.post_form(CODE, code=network.code)
    assert (answer.status, answer.location) == (303, "/")
    assert visitor.get(CODE).location == "/"  # its proof has been used
    assert visitor.get("/").text == PHONE
    assert visitor.get(LOGIN).status == 200
    assert visitor.get(LOGOUT).status == 200
    assert visitor.get("/").text == PHONE
    assert visitor.post_form(LOGOUT).location == LOGIN
    assert visitor.get("/").text == "nobody"


def test_brand_settings_reach_the_page(visitor: Browser, configure: Configure) -> None:
    configure(site_color="#5b21b6", site_url="/", site_logo="https://cdn.example/a.svg", terms_url="/terms/")
    page = visitor.get(LOGIN)
    assert "img-src 'self' data: https://cdn.example;" in page.headers["content-security-policy"]
    assert '<a class="pv-home" href="/"><img class="pv-logo" src="https://cdn.example/a.svg"' in page.text
    assert 'href="/terms/"' in page.text
    [style] = re.findall(r'href="(/phone/static/brand\.css\?v=\w+)"', page.text)
    assert "--pv-accent: #5b21b6" in visitor.get(style).text


def test_next_channel_is_offered_first_once_it_is_due(visitor: Browser, network: Network, configure: Configure) -> None:
    configure(sms="console://", telegram="sandbox://127.0.0.1:8025", next_channel_after=30)
    visitor.post_form(LOGIN, phone=PHONE, channel="sms")
    assert 'data-pv-next="30" hidden>' in visitor.get(CODE).text
    network.clock.move(30)
    page = visitor.get(CODE).text
    after_form = page[page.index('name="code"') :]
    assert 'data-pv-next="0">' in after_form
    assert after_form.index('name="channel" value="telegram"') < after_form.index("<details")


def test_last_channel_is_preselected_on_a_trusted_device(
    visitor: Browser, network: Network, configure: Configure
) -> None:
    configure(sms="console://", telegram="sandbox://127.0.0.1:8025", channels="telegram,sms")
    assert 'value="telegram" checked' in visitor.get(LOGIN).text
    visitor.post_form(LOGIN, phone=PHONE, channel="sms")
    assert visitor.post_form(CODE, code=network.code).location == "/"
    assert visitor.post_form(LOGOUT).status == 303
    assert 'value="sms" checked' in visitor.get(LOGIN).text


def test_same_number_shows_its_open_verification(visitor: Browser, network: Network) -> None:
    for _ in range(2):
        assert visitor.post_form(LOGIN, phone=PHONE).location == CODE
    assert network.sent == 1


def test_resend_is_a_button(visitor: Browser, network: Network) -> None:
    visitor.post_form(LOGIN, phone=PHONE)
    answer = visitor.follow(visitor.post_form(CODE, resend="1"))
    assert "You can get a new code in 60 seconds." in answer.text
    network.clock.move(60)
    assert "Code resent." in visitor.follow(visitor.post_form(CODE, resend="1")).text
    assert network.sent == 2


def test_page_without_a_verification_leads_to_login(visitor: Browser, network: Network) -> None:
    assert visitor.get(f"{CODE}?next=/there").location == f"{LOGIN}?next=%2Fthere"


def test_forms_require_the_csrf_token(visitor: Browser, network: Network) -> None:
    for path in (LOGIN, CODE, LOGOUT):
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        assert visitor._carrier.send("POST", path, f"phone={quote(PHONE)}".encode(), form).status == 403
    assert network.sent == 0


def test_forms_require_the_token_without_middleware(visitor: Browser, network: Network, settings: Any) -> None:
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "Csrf" not in name]
    test_forms_require_the_csrf_token(visitor, network)


def test_other_methods_are_refused(client: Client) -> None:
    for path in (LOGIN, CODE, LOGOUT):
        answer = client.put(path)
        assert (answer.status_code, answer["Allow"]) == (405, "GET, HEAD, POST")
        assert_clear_page(answer)
        assert client.head(path).status_code in (200, 302)


def assert_clear_page(answer: Any) -> None:
    """It is our page, in the visitor's language, with a link to go on."""
    assert answer["Content-Type"].startswith("text/html")
    assert "frame-ancestors" in answer["Content-Security-Policy"]
    assert answer["Cache-Control"].endswith("private")
    assert '<a class="pv-button" href="/phone/login/">' in answer.content.decode()


def test_form_that_django_cannot_parse_gets_our_page(settings: Any, network: Network) -> None:
    client = Client(enforce_csrf_checks=True)
    settings.DATA_UPLOAD_MAX_NUMBER_FIELDS, settings.LANGUAGE_CODE = 3, "fa"
    form, kind = "a=1&b=2&c=3&d=4", "application/x-www-form-urlencoded"
    answer = client.post(LOGIN, form, content_type=kind)
    assert answer.status_code == 400
    assert 'lang="fa"' in answer.content.decode()
    assert_clear_page(answer)
    ours = {"Sec-Fetch-Site": "same-origin"}
    settings.LANGUAGE_CODE = "en"
    answer = client.post(LOGIN, form, content_type=kind, headers=ours)
    assert (answer.status_code, answer["Location"]) == (303, LOGIN)
    assert "did not arrive completely" in client.get(LOGIN).content.decode()


@pytest.mark.parametrize("wanted", ["/there?a=b", "http://testserver/there", "there/"])
def test_next_is_kept_until_login(visitor: Browser, network: Network, wanted: str) -> None:
    assert quote(wanted, safe="") in visitor.post_form(LOGIN, phone=PHONE, next=wanted).location.replace("/?", "?")
    answer = visitor.post_form(f"{CODE}?next={quote(wanted)}", code=network.code, next=wanted)
    assert answer.headers["location"] == wanted


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example/",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "http:evil.example",
        "http:///evil.example",
        "javascript:alert(1)",
        "\x08//evil.example",
        "https://testserver@evil.example",
    ],
)
def test_next_leads_to_no_other_host(visitor: Browser, network: Network, wanted: str) -> None:
    assert visitor.post_form(LOGIN, phone=PHONE, next=wanted).location == CODE
    assert "evil" not in visitor.get(f"{LOGIN}?next={quote(wanted)}").text
    answer = visitor.post_form(CODE, code=network.code, next=wanted)
    assert answer.headers["location"] == "/"
    assert visitor.post_form(LOGOUT, next=wanted).headers["location"] == LOGIN


def test_next_never_downgrades_to_http(client: Client) -> None:
    page = client.get(LOGIN, {"next": "http://testserver/there"}, secure=True)
    assert "there" not in page.content.decode()
    page = client.get(LOGIN, {"next": "https://testserver/there"}, secure=True)
    assert "there" in page.content.decode()


def test_inactive_user_is_refused(visitor: Browser, network: Network) -> None:
    user = User.objects.create_user("gone", is_active=False)
    VerifiedPhone.objects.create(user=user, phone=PHONE, verified_at=timezone.now())
    visitor.post_form(LOGIN, phone=PHONE)
    answer = visitor.follow(visitor.post_form(CODE, code=network.code))
    assert "sign in with this number" in answer.text
    assert visitor.get("/").text == "nobody"


def test_site_without_channels_says_so(visitor: Browser, configure: Configure) -> None:
    configure()
    page = visitor.get(LOGIN)
    assert page.status == 200
    assert "available on this site yet" in page.text


def test_store_outage_is_shown(visitor: Browser, network: Network, configure: Configure) -> None:
    configure(sms="console://", store="sqlite:////nonexistent/folder/verifications.sqlite3")
    answer = visitor.follow(visitor.post_form(LOGIN, phone=PHONE))
    assert "went wrong on our side" in answer.text
    assert network.sent == 0


def test_mount_follows_the_script_prefix(network: Network) -> None:
    """Below a path prefix of the server, links and forms include it."""
    client = Client(SCRIPT_NAME="/under", **{"wsgi.multiprocess": False})  # type: ignore[arg-type]
    page = client.get(LOGIN).content.decode()
    for place in ('action="/under/phone/login/"', 'href="/under/phone/static/', 'src="/under/phone/static/'):
        assert place in page
    answer = client.post(LOGIN, {"phone": PHONE})
    assert answer["Location"].startswith("/under/phone/code/?verification=")
    assert answer.cookies["phone_verify"]["path"] == "/"
    assert "/under/phone/code/" in client.get(CODE).content.decode()
    set_script_prefix("/under/")  # as WSGI does; the test client does not
    answer = client.post(CODE, {"code": network.code})
    clear_script_prefix()
    assert answer["Location"] == "/under/"


def test_static_files_are_cached_until_they_change(client: Client, settings: Any) -> None:
    page = client.get(LOGIN).content.decode()
    for address in re.findall(r'(?:href|src)="(/phone/static/[^"]*)"', page):
        answer = client.get(address)
        assert answer.status_code == 200
        assert "immutable" in answer["Cache-Control"]
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert client.get(address, headers={"If-None-Match": answer["ETag"]}).status_code == 304
        assert client.get(address.partition("?")[0])["Cache-Control"] == "no-cache"
    settings.LANGUAGE_CODE = "fa"
    for answer, status in (
        (client.get("/phone/static/settings.py"), 404),
        (client.post("/phone/static/phone_verify.css"), 405),
    ):
        assert answer.status_code == status
        assert 'lang="fa"' in answer.content.decode()
        assert_clear_page(answer)


PERSIAN = {"Accept-Language": "fa-IR,fa;q=0.9,en;q=0.5"}


@pytest.mark.parametrize(
    ("with_middleware", "site_speaks", "lang", "direction"),
    [(True, "en", "fa", "rtl"), (False, "en-us", "en", "ltr"), (False, "ar", "ar", "rtl"), (False, "de", "en", "ltr")],
)
def test_pages_and_messages_use_djangos_language(
    network: Network, settings: Any, with_middleware: bool, site_speaks: str, lang: str, direction: str
) -> None:
    """Without LocaleMiddleware that is LANGUAGE_CODE, regardless of the browser's header."""
    settings.LANGUAGE_CODE = site_speaks
    if with_middleware:
        settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.middleware.locale.LocaleMiddleware"]
    client = Client(headers=PERSIAN, **{"wsgi.multiprocess": False})  # type: ignore[arg-type]
    for path in (LOGIN, LOGOUT):
        assert f'<html lang="{lang}" dir="{direction}">' in client.get(path).content.decode()
    assert client.post(LOGIN, {"phone": PHONE}).status_code == 303
    texts = texts_in(LANGUAGES[lang])
    page = client.get(CODE).content.decode()
    assert f'<html lang="{lang}" dir="{direction}">' in page
    assert texts.page["lead_code"] in page
    assert f'data-pv-digits="{LANGUAGES[lang].digits}"' in page
    assert texts.message(network.code, timedelta(minutes=5), "") in network.transport.notices[-1].text
    answer = client.post("/phone/v1/verifications", {"phone": "12"}, content_type="application/json")
    assert answer.json()["detail"] == texts.page["invalid_phone"]


class TestAnErrorOfTheSites:
    """An exception of the site just after the right code."""

    pytestmark = pytest.mark.django_db(transaction=True)

    @pytest.fixture(autouse=True)
    def _broken(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        def fail(**_: object) -> None:
            raise RuntimeError("a receiver of the site's is broken")

        monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
        user_logged_in.connect(fail)
        yield
        user_logged_in.disconnect(fail)

    def test_code_stays_used_and_out_of_error_reports(self, visitor: Browser, network: Network) -> None:
        reports = []

        def report(request: HttpRequest, **_: object) -> None:
            reporter = ExceptionReporter(request, *sys.exc_info())
            reports.append(reporter.get_traceback_html() + reporter.get_traceback_text())

        got_request_exception.connect(report)
        visitor._carrier._client.raise_request_exception = False  # type: ignore[attr-defined]
        answer = visitor.post_form(LOGIN, phone=PHONE)
        binding = answer.cookies["phone_verify"].partition("=")[2].partition(";")[0]
        assert visitor.post_form(CODE, code=network.code).status == 500
        assert visitor.get("/").text == "nobody"
        id = binding.partition(".")[0]
        answer = visitor.call("POST", f"v1/verifications/{id}/check", {"code": network.code})
        assert (answer.status, answer.json()["code"]) == (410, "closed")
        got_request_exception.disconnect(report)
        assert len(reports) == 1
        assert "a receiver of the site" in reports[0]
        for secret in (network.code, PHONE, PHONE[1:], binding, binding.partition(".")[2]):
            assert secret not in reports[0]
