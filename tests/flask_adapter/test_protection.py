"""Cookies over https, headers of the pages, and refused forms, on Flask."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from cachelib import SimpleCache
from flask import Flask, Response, session
from flask_session import Session
from flask_wtf import CSRFProtect
from jinja2 import DictLoader

from .sites import PHONE, Made, cookie_line, make, submit, token

LOGIN, CODE = "/phone/login/", "/phone/code/"
HTTPS = {"base_url": "https://localhost"}


def sent(client: Any, path: str, **fields: str) -> Any:
    """Return the response to a form over https."""
    fields["csrf_token"] = token(client.get(path, **HTTPS))
    return client.post(path, data=fields, headers={"Referer": f"https://localhost{path}"}, **HTTPS)


def flags(line: str | None) -> set[str]:
    assert line is not None
    return {flag.strip() for flag in line.split(";")[1:]}


def test_cookies_carry_the_host_prefix_over_https() -> None:
    made = make()
    client = made.app.test_client()
    line = cookie_line(sent(client, LOGIN, phone=PHONE), "__Host-phone_verify")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= flags(line)
    assert "Domain" not in (line or "")
    done = sent(client, CODE, code=made.code)
    assert {"Secure", "HttpOnly", "Path=/"} <= flags(cookie_line(done, "__Host-phone_verify_device"))


def test_cookie_without_the_prefix_is_not_read_over_https() -> None:
    """Plain http and sibling subdomains can set only such a cookie."""
    made = make()
    attacker, victim = made.app.test_client(), made.app.test_client()
    planted = flags_value(cookie_line(submit(attacker, LOGIN, phone=PHONE), "phone_verify"))
    victim.set_cookie("phone_verify", planted)
    id, _, _ = planted.partition(".")
    assert victim.get(f"/phone/v1/verifications/{id}").status_code == 200
    assert victim.get(f"/phone/v1/verifications/{id}", **HTTPS).status_code == 404
    assert victim.get(CODE, **HTTPS).status_code == 302


def flags_value(line: str | None) -> str:
    assert line is not None
    return line.partition("=")[2].partition(";")[0].strip('"')


def test_same_site_follows_the_session_setting() -> None:
    client = make(SESSION_COOKIE_SAMESITE="None").app.test_client()
    assert "SameSite=None" in flags(cookie_line(sent(client, LOGIN, phone=PHONE), "__Host-phone_verify"))


def test_every_page_response_forbids_frames() -> None:
    client = make().app.test_client()
    answers = [
        client.get(LOGIN),
        client.post(LOGIN, data={"phone": PHONE}),  # 403, no token
        client.post(LOGIN, data={"phone": PHONE, "file": (BytesIO(b"x"), "x")}),
        submit(client, LOGIN, phone=PHONE),
        client.get(CODE),
        client.get("/phone/verify/"),
        client.get("/phone/logout/"),
    ]
    assert [answer.status_code for answer in answers[:3]] == [200, 403, 415]
    for answer in answers:
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Frame-Options"] == "DENY"


def test_site_may_allow_frames() -> None:
    answer = make(PHONE_VERIFY_FRAME_ANCESTORS="https://partner.example").app.test_client().get(LOGIN)
    assert "frame-ancestors https://partner.example" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Frame-Options"] == "DENY"  # ignored next to frame-ancestors


@pytest.mark.parametrize("ancestors", ["", "https://partner.example"], ids=["none", "partner"])
def test_site_security_policy_is_kept(ancestors: str) -> None:
    def own(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = "default-src 'self' https://cdn.example"
        return response

    made = make(before=lambda app: app.after_request(own), PHONE_VERIFY_FRAME_ANCESTORS=ancestors)
    answer = made.app.test_client().get(LOGIN)
    assert answer.headers.getlist("Content-Security-Policy") == ["default-src 'self' https://cdn.example"]
    assert answer.headers["X-Frame-Options"] == "DENY"


def test_forms_may_redirect_to_the_rest_of_the_site() -> None:
    made = make(subdomain="id", SERVER_NAME="site.example")
    answer = made.app.test_client().get(LOGIN, base_url="http://id.site.example")
    assert "form-action 'self' http://site.example;" in answer.headers["Content-Security-Policy"]


def protected(app: Flask) -> None:
    """Flask-WTF's check runs before every function of a blueprint, and parses the form."""
    CSRFProtect(app)


@pytest.fixture(params=[True, False], ids=["with CSRFProtect", "alone"])
def made(request: pytest.FixtureRequest) -> Made:
    return make(before=protected) if request.param else make()


def watch(app: Flask) -> list[str]:
    """Record every file part that is parsed."""
    parsed: list[str] = []

    class Watched(app.request_class):  # type: ignore[name-defined,misc]
        def _get_file_stream(self, *args: Any, **kwargs: Any) -> Any:
            parsed.append("file")
            return BytesIO()

    app.request_class = Watched
    return parsed


@pytest.mark.parametrize("page", ["login", "code", "verify", "logout"])
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_files_are_refused_before_they_are_parsed(made: Made, page: str, method: str) -> None:
    parsed = watch(made.app)
    for size in (10, 200_000):
        data = {"phone": PHONE, "file": (BytesIO(b"x" * size), "x")}
        answer = made.app.test_client().open(f"/phone/{page}/", method=method, data=data)
        assert answer.status_code == 415
        assert "does not accept files" in answer.text
        assert 'href="/phone/login/"' in answer.text
    assert parsed == []


@pytest.mark.parametrize("page", ["login", "code", "verify", "logout"])
def test_long_forms_are_refused(made: Made, page: str) -> None:
    client = made.app.test_client()
    answer = client.post(f"/phone/{page}/", data={"phone": "9" * 64 * 1024})
    assert answer.status_code == 413
    assert "too large" in answer.text
    assert answer.headers["Cache-Control"] == "no-store"


def permanent(app: Flask) -> None:
    """The site's sessions outlive the browser."""

    @app.before_request
    def lasts() -> None:
        session.permanent = True


def on_the_server(app: Flask) -> None:
    """Flask-Session, whose sessions are permanent by default."""
    app.config.update(SESSION_TYPE="cachelib", SESSION_CACHELIB=SimpleCache())
    Session(app)


@pytest.mark.parametrize("sessions", [lambda app: None, permanent, on_the_server], ids=["", "permanent", "server"])
@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_forged_forms_set_no_cookie(made: Made, kind: str, sessions: Callable[[Flask], None]) -> None:
    """The browser posts another site's form without the session's cookie: a new one would sign the visitor out."""
    sessions(made.app)
    CSRFProtect(made.app)
    made.app.jinja_loader = DictLoader({"phone_verify/refused.html": "{{ csrf_token() }}"})
    headers = {"Sec-Fetch-Site": "cross-site", "Content-Type": kind}
    answer = made.app.test_client().post(LOGIN, data=b"phone=1", headers=headers)
    assert answer.status_code in (403, 415)
    assert answer.text
    assert not answer.headers.getlist("Set-Cookie")


def test_form_without_a_length_is_limited(made: Made) -> None:
    client = made.app.test_client()
    chunked = {"environ_base": {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}}
    for size, status in ((100_000, 413), (10, 403)):  # 403: no token
        answer = client.post(
            LOGIN,
            input_stream=BytesIO(b"phone=" + b"9" * size),
            content_type="application/x-www-form-urlencoded",
            **chunked,
        )
        assert answer.status_code == status
    value = token(client.get(LOGIN))
    body = f"phone=%2B989120000000&csrf_token={value}".encode()
    answer = client.post(LOGIN, input_stream=BytesIO(body), content_type="application/x-www-form-urlencoded", **chunked)
    assert answer.status_code == 303


class Broken(BytesIO):
    """The body of a visitor who disconnects."""

    def read(self, size: int | None = -1, /) -> bytes:
        raise OSError("connection reset")


@pytest.mark.parametrize(
    ("path", "type"),
    [(LOGIN, "application/x-www-form-urlencoded"), ("/phone/v1/verifications", "application/json")],
)
def test_broken_body_is_a_bad_request(made: Made, path: str, type: str) -> None:
    terminated = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
    answer = made.app.test_client().post(path, input_stream=Broken(), content_type=type, environ_base=terminated)
    assert answer.status_code == 400
