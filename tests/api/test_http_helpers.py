"""HTTP helpers of the API: client addresses, binding cookies, cross-site requests, texts."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from phone_verify.api import bodies
from phone_verify.http import cookies
from phone_verify.http.call import ApiRequest, ApiResponse
from phone_verify.http.headers import EnvironHeaders
from phone_verify.http.qr import svg_data_uri
from phone_verify.i18n.messages import message_writer
from phone_verify.model import Channel


def pair(n: int) -> tuple[str, str]:
    return f"{n}".rjust(44, "A"), f"{n}".rjust(22, "s")


def test_cookie_keeps_the_last_five_verifications() -> None:
    cookie = ""
    for n in range(7):
        cookie = cookies.with_pair(cookie, *pair(n))
    assert cookies.pairs(cookie) == [pair(n) for n in (6, 5, 4, 3, 2)]
    assert cookies.pairs(cookies.with_pair(cookie, *pair(3)))[0] == pair(3)
    assert cookies.pairs(cookies.without_pair(cookie, pair(6)[0])) == [pair(n) for n in (5, 4, 3, 2)]


@given(st.text(max_size=300))
def test_any_cookie_text_is_read_without_error(text: str) -> None:
    assert cookies.pairs(text) == [] or all(len(id) == 44 and len(secret) == 22 for id, secret in cookies.pairs(text))


def test_headers_have_names_in_lower_case() -> None:
    environ = {
        "HTTP_USER_AGENT": "app",
        "CONTENT_TYPE": "text/plain",
        "HTTP_X_A": "",
        "SERVER_NAME": "x",
        "wsgi.input": 1,
    }
    headers = EnvironHeaders(environ)
    assert dict(headers) == {"user-agent": "app", "content-type": "text/plain", "x-a": ""}
    assert [headers.get(name) for name in ("user-agent", "content-type", "origin", "server-name")] == [
        "app",
        "text/plain",
        None,
        None,
    ]
    assert ("x-a" in headers, "server-name" in headers, len(headers)) == (True, False, 3)


def test_header_with_underscore_is_not_the_content_type() -> None:
    headers = EnvironHeaders({"HTTP_CONTENT_TYPE": "text/html", "HTTP_CONTENT_LENGTH": "1"})
    assert (dict(headers), headers.get("content-type")) == ({}, None)


def test_secret_header_precedes_the_cookie() -> None:
    id, secret = pair(1)
    cookie = cookies.with_pair("", id, secret)
    assert cookies.secret_for(ApiRequest("GET", "", cookie=cookie), id) == secret
    assert cookies.secret_for(ApiRequest("GET", "", {"verification-secret": "other"}, cookie=cookie), id) == "other"
    assert cookies.secret_for(ApiRequest("GET", "", {"verification-secret": ""}, cookie=cookie), id) == ""


@given(st.binary(max_size=200))
def test_any_body_is_parsed_or_refused(body: bytes) -> None:
    read = bodies.parse_body(ApiRequest("POST", "", {"content-type": "application/json"}, body=body), ["code"])
    assert isinstance(read, ApiResponse) or set(read) == {"code"}


def test_sms_ends_with_the_origin_bound_line() -> None:
    life = timedelta(seconds=300)
    text = message_writer("Shop", "shop.example")(Channel.SMS, "012345", life, None)
    assert text.splitlines()[-1] == "@shop.example #012345"
    assert "Shop" in text.splitlines()[0]
    assert "@" not in message_writer("Shop", None)(Channel.SMS, "012345", life, None)
    assert "@" not in message_writer("Shop", "shop.example")(Channel.TELEGRAM, "012345", life, None)


def test_qr_code_is_an_inline_svg() -> None:
    uri = svg_data_uri("tel:+79990000001")
    assert uri.startswith("data:image/svg+xml")
    assert "http://" not in uri.replace("http://www.w3.org", "").replace("http%3A//www.w3.org", "")
