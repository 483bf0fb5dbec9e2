"""The pages: login, code, logout, and the files they show."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from io import RawIOBase
from typing import Any

import pytest
from flask import Flask
from flask_babel import Babel
from flask_wtf import CSRFProtect

from phone_verify.http.cookies import COOKIE
from phone_verify.i18n.languages import LANGUAGES
from phone_verify.i18n.texts import texts_in

from .sites import PHONE, Made, cookie_line, follow, make, submit, target


def test_visitor_signs_in_by_code() -> None:
    made = make()
    client = made.app.test_client()
    answer = submit(client, "/phone/login/", phone="+98 912 000 0000")
    assert (answer.status_code, target(answer)) == (303, "/phone/code/")
    page = client.get("/phone/code/")
    assert page.status_code == 200
    assert "+98 912 000 0000" in page.text  # this session entered it
    assert "+98 912 000 0000" in client.get("/phone/login/").text
    assert "912" not in made.app.test_client().get("/phone/login/").text
    wrong = follow(client, submit(client, "/phone/code/", code=made.wrong_code))
    assert "4 attempts left" in wrong.text
    answer = submit(client, "/phone/code/", code=made.code)
    assert (answer.status_code, answer.location) == (303, "/")
    assert client.get("/").text == PHONE
    assert client.get("/phone/code/").location == "/"


def test_brand_settings_reach_the_page() -> None:
    brand = {"SITE_COLOR": "#5b21b6", "SITE_URL": "/", "SITE_LOGO": "https://cdn.example/a.svg", "TERMS_URL": "/terms/"}
    client = make(**{f"PHONE_VERIFY_{name}": value for name, value in brand.items()}).app.test_client()
    page = client.get("/phone/login/")
    assert "img-src 'self' data: https://cdn.example;" in page.headers["Content-Security-Policy"]
    assert '<a class="pv-home" href="/"><img class="pv-logo" src="https://cdn.example/a.svg"' in page.text
    assert 'href="/terms/"' in page.text
    assert 'href="/phone/static/brand.css"' in page.text
    assert "--pv-accent: #5b21b6" in client.get("/phone/static/brand.css").text


def test_next_channel_is_offered_first_once_it_is_due() -> None:
    made = make(PHONE_VERIFY_TELEGRAM="sandbox://127.0.0.1:8025", PHONE_VERIFY_NEXT_CHANNEL_AFTER=30)
    client = made.app.test_client()
    submit(client, "/phone/login/", phone=PHONE, channel="sms")
    assert 'data-pv-next="30" hidden>' in client.get("/phone/code/").text
    made.clock.move(30)
    page = client.get("/phone/code/").text
    after_form = page[page.index('name="code"') :]
    assert 'data-pv-next="0">' in after_form
    assert after_form.index('name="channel" value="telegram"') < after_form.index("<details")


def test_last_channel_is_preselected_on_a_trusted_device() -> None:
    made = make(PHONE_VERIFY_TELEGRAM="sandbox://127.0.0.1:8025", PHONE_VERIFY_CHANNELS="telegram,sms")
    client = made.app.test_client()
    assert 'value="telegram" checked' in client.get("/phone/login/").text
    submit(client, "/phone/login/", phone=PHONE, channel="sms")
    submit(client, "/phone/code/", code=made.code)
    submit(client, "/phone/logout/")
    assert 'value="sms" checked' in client.get("/phone/login/").text


def test_pages_are_never_cached_or_framed() -> None:
    made = make()
    client = made.app.test_client()
    answers = [
        client.get("/phone/login/"),
        client.post("/phone/login/", data={"phone": PHONE}),
        submit(client, "/phone/login/", phone=PHONE),
        client.get("/phone/code/"),
        submit(client, "/phone/code/", code=made.code),
        client.get("/phone/code/"),
        client.get("/phone/logout/"),
        submit(client, "/phone/logout/"),
    ]
    assert [answer.status_code for answer in answers] == [200, 403, 303, 200, 303, 302, 200, 303]
    for answer in answers:
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Referrer-Policy"] == "same-origin"


@pytest.mark.parametrize("path", ["/phone/login/", "/phone/code/", "/phone/logout/"])
@pytest.mark.parametrize("with_csrf_protect", [False, True])
@pytest.mark.parametrize("enabled", [True, False])
def test_form_without_the_csrf_token_changes_nothing(path: str, with_csrf_protect: bool, enabled: bool) -> None:
    """Whether or not the site uses CSRFProtect, or has disabled it outside of tests."""
    before = CSRFProtect if with_csrf_protect else lambda app: None
    made = make(before=before, WTF_CSRF_ENABLED=enabled, TESTING=enabled)
    client, stranger = made.app.test_client(), made.app.test_client()
    sign_in(made, client)
    made.transport.notices.clear()
    foreign = client.get("/phone/logout/").text.partition('name="csrf_token" value="')[2].partition('"')[0]
    for data in ({}, {"csrf_token": ""}, {"csrf_token": "x"}, {"csrf_token": foreign}):
        sender = stranger if data.get("csrf_token") == foreign else client
        answer = sender.post(path, data={"phone": PHONE, "code": "123456", **data})
        assert answer.status_code == (303 if "csrf_token" in data else 403)
    assert not made.transport.notices
    assert client.get("/").text == PHONE


@pytest.mark.parametrize("with_csrf_protect", [False, True])
def test_csrf_check_can_be_disabled_in_tests(with_csrf_protect: bool) -> None:
    made = make(before=CSRFProtect if with_csrf_protect else lambda app: None, WTF_CSRF_ENABLED=False)
    client = made.app.test_client()
    assert client.post("/phone/login/", data={"phone": PHONE}).location.startswith("/phone/code/")
    assert client.post("/phone/code/", data={"code": made.code}).location == "/"
    assert client.get("/").text == PHONE


def test_csrf_field_name_follows_the_site() -> None:
    made = make(WTF_CSRF_FIELD_NAME="sesame")
    client = made.app.test_client()
    page = client.get("/phone/login/").text
    value = page.partition('name="sesame" value="')[2].partition('"')[0]
    assert client.post("/phone/login/", data={"sesame": value, "phone": PHONE}).status_code == 303


def test_get_of_the_logout_page_does_not_sign_out() -> None:
    made = make()
    client = made.app.test_client()
    sign_in(made, client)
    for method in ("GET", "HEAD"):
        assert client.open("/phone/logout/", method=method).status_code == 200
        assert client.get("/").text == PHONE
    assert submit(client, "/phone/logout/", next="/bye").location == "/bye"
    assert client.get("/").text == "nobody"


def test_inactive_user_is_refused() -> None:
    made = make()
    client, other = made.app.test_client(), made.app.test_client()
    sign_in(made, other)
    made.users["u0"].active = False
    submit(client, "/phone/login/", phone=PHONE)
    answer = follow(client, submit(client, "/phone/code/", code=made.code))
    assert "sign in with this number." in answer.text
    assert client.get("/").text == "nobody"
    assert client.get("/phone/code/").location == "/phone/login/"


def test_site_without_channels_says_so() -> None:
    made = make(PHONE_VERIFY_SMS=None)
    client = made.app.test_client()
    page = client.get("/phone/login/")
    assert page.status_code == 200
    assert "available on this site yet" in page.text
    assert "<form" not in page.text


def test_cookie_holds_the_binding() -> None:
    made = make(PHONE_VERIFY_PUBLIC_URL="https://site.example")
    client = made.app.test_client()
    line = cookie_line(submit(client, "/phone/login/", phone=PHONE), COOKIE)
    assert line is not None
    flags = {flag.strip() for flag in line.split(";")[1:]}
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=3600"} <= flags


def test_cookies_are_not_secure_on_an_http_site() -> None:
    made = make(PHONE_VERIFY_PUBLIC_URL="http://site.example")
    line = cookie_line(submit(made.app.test_client(), "/phone/login/", phone=PHONE), COOKIE)
    assert line is not None
    assert "Secure" not in line


@pytest.mark.parametrize("name", ["phone_verify.css", "phone-verify-client.js"])
def test_style_and_script_are_served_and_cached(name: str) -> None:
    client = make().app.test_client()
    assert f"/phone/static/{name}" in client.get("/phone/login/").text
    answer = client.get(f"/phone/static/{name}")
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "public, max-age=3600"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Set-Cookie" not in answer.headers
    again = client.get(f"/phone/static/{name}", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304


@pytest.mark.parametrize("name", ["other.css", "..%2f__init__.py", "%2e%2e/__init__.py"])
def test_no_other_static_file_is_served(name: str) -> None:
    assert make().app.test_client().get(f"/phone/static/{name}").status_code == 404


def test_refused_requests_get_our_page() -> None:
    made = make()
    client, persian = made.app.test_client(), {"Accept-Language": "fa"}
    made.app.config["MAX_CONTENT_LENGTH"] = 5
    broken = {"wsgi.input": _Broken(), "CONTENT_LENGTH": "9"}
    for answer, status in (
        (client.get("/phone/static/other.css", headers=persian), 404),
        (client.post("/phone/static/phone_verify.css", headers=persian), 405),
        (client.put("/phone/login/", headers=persian), 405),
        (client.post("/phone/login/", data={"phone": "9" * 20}, headers=persian), 413),
        (client.post("/phone/login/", headers=persian, environ_overrides=broken), 400),
    ):
        assert answer.status_code == status
        assert 'lang="fa"' in answer.text
        assert '<a class="pv-button" href="/phone/login/">' in answer.text
        assert "frame-ancestors" in answer.headers["Content-Security-Policy"]
    for answer in (client.put("/phone/login/"), client.options("/phone/login/")):
        assert answer.headers["Allow"] == "GET, HEAD, OPTIONS, POST"


class _Broken(RawIOBase):
    def readinto(self, buffer: Any, /) -> int:
        raise OSError("the client disconnected")


def test_site_template_replaces_ours(tmp_path: object) -> None:
    from jinja2 import DictLoader

    def prepare(app: Flask) -> None:
        app.jinja_loader = DictLoader({"phone_verify/login.html": "mine: {{ urls.login }} {{ site_name }} {{ lang }}"})

    made = make(before=prepare, PHONE_VERIFY_SITE_NAME="Bakery")
    assert made.app.test_client().get("/phone/login/").text == "mine: /phone/login/ Bakery en"


PERSIAN = {"Accept-Language": "fa-IR,fa;q=0.9,en;q=0.5"}


def with_babel(app: Flask) -> None:
    """The site has chosen Russian, regardless of the browser's header."""
    Babel(app, locale_selector=lambda: "ru_RU")


@pytest.mark.parametrize(
    ("before", "headers", "lang", "direction"),
    [
        (lambda app: None, PERSIAN, "fa", "rtl"),
        (lambda app: None, {}, "en", "ltr"),
        (with_babel, PERSIAN, "ru", "ltr"),
        (with_babel, {}, "ru", "ltr"),
    ],
    ids=["browser", "nobody", "site before browser", "site"],
)
def test_pages_use_the_site_or_browser_language(
    before: Callable[[Flask], None], headers: dict[str, str], lang: str, direction: str
) -> None:
    made = make(before=before)
    client = made.app.test_client()
    page = client.get("/phone/logout/", headers=headers).text
    assert f'<html lang="{lang}" dir="{direction}">' in page
    page = client.get("/phone/login/", headers=headers).text
    assert f'<html lang="{lang}" dir="{direction}">' in page
    form = {"phone": PHONE, "csrf_token": page.partition('name="csrf_token" value="')[2].partition('"')[0]}
    assert client.post("/phone/login/", data=form, headers=headers).status_code == 303
    texts = texts_in(LANGUAGES[lang])
    page = client.get("/phone/code/", headers=headers).text
    assert f'<html lang="{lang}" dir="{direction}">' in page
    assert texts.page["lead_code"] in page
    assert f'data-pv-digits="{LANGUAGES[lang].digits}"' in page
    text = made.transport.notices[-1].text
    [code] = re.findall("[0-9]{6}", text)
    assert texts.message(code, timedelta(minutes=5), "") in text
    answer = client.post("/phone/v1/verifications", json={"phone": "12"}, headers=headers)
    assert answer.json["detail"] == texts.page["invalid_phone"]


def sign_in(made: Made, client: object) -> None:
    submit(client, "/phone/login/", phone=PHONE)
    assert submit(client, "/phone/code/", code=made.code).status_code == 303
