"""The adapter's part of the JSON API: bodies, methods, errors, cookies, CSRF."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, Response, abort, request
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from flask_wtf import CSRFProtect
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import EnvironBuilder

from phone_verify.api import verifications
from phone_verify.errors import StoreError
from phone_verify.http.cookies import COOKIE, DEVICE_COOKIE
from phone_verify_flask import api_blueprint, calls
from tests import cookie_work

from .sites import PHONE, cookie_line, is_problem, make, proof, start

VERIFICATIONS = "/phone/v1/verifications"
SESSION = "/phone/v1/session"


def test_api_signs_in_and_out() -> None:
    made = make()
    client = made.app.test_client()
    answer = client.post(SESSION, json={"proof": proof(client, made)})
    assert answer.status_code == 200
    assert answer.json == {"user": {"id": "u0", "phone": PHONE}, "created": True}
    assert answer.headers["Cache-Control"] == "no-store"
    assert client.get(SESSION).json == {"user": {"id": "u0", "phone": PHONE}}
    assert client.get("/").text == PHONE
    answer = client.delete(SESSION)
    assert (answer.status_code, answer.data) == (204, b"")
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Content-Type" not in answer.headers
    assert is_problem(client.get(SESSION), 401, "not_signed_in")


class NamedOnly(Response):
    """A site's own class, which names what it passes on, as many do."""

    def __init__(self, response: Any = None, **named: Any) -> None:
        super().__init__(response, **named)


def test_response_class_of_the_site_gets_the_names_that_flask_passes() -> None:
    made = make()
    made.app.response_class = NamedOnly
    with made.app.test_request_context("/phone/v1/health"):  # Flask's test client has its own class
        answer = made.app.full_dispatch_request()
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"


def test_start_and_check_build_one_call_each(monkeypatch: pytest.MonkeyPatch) -> None:
    def copy(*_: object, **__: object) -> Any:
        raise AssertionError("the call was copied")

    monkeypatch.setattr(api_blueprint, "replace", copy)
    monkeypatch.setattr(verifications, "replace", copy)
    made = make()
    assert proof(made.app.test_client(), made)


def test_call_does_not_copy_the_headers() -> None:
    class Environ(dict[str, Any]):
        copies = 0

        def items(self) -> Any:
            self.copies += 1
            return super().items()

    made = make()
    builder = EnvironBuilder(VERIFICATIONS, method="POST", json={"phone": PHONE}, headers={"Accept-Language": "ru"})
    environ, statuses = Environ(builder.get_environ()), []
    made.app(environ, lambda status, headers: statuses.append(status))
    assert (statuses, environ.copies) == (["201 CREATED"], 1)  # Flask's own, for the cookie of the session
    assert "ваш код" in made.transport.notices[-1].message


def test_start_and_check_read_no_user_or_session() -> None:
    made = make()
    client = made.app.test_client()
    proof(client, made)
    assert made.asked == []
    signed_in = made.app.test_client()
    signed_in.post(SESSION, json={"proof": proof(signed_in, made)})
    made.asked.clear()
    answer = signed_in.post(VERIFICATIONS, json={"phone": PHONE})
    assert answer.status_code == 201
    assert made.asked == ["load"], "whose it is has to be known"
    made.asked.clear()
    signed_in.get(SESSION)
    assert made.asked == ["load"]


def test_only_calls_that_need_the_session_touch_it() -> None:
    class Sessions(SecureCookieSessionInterface):
        opened: SecureCookieSession

        def open_session(self, app: Flask, request: Any) -> SecureCookieSession:
            self.opened = SecureCookieSession({"seen": "before"})
            return self.opened

    made = make()
    started = start(made.app.test_client())
    made.app.session_interface = sessions = Sessions()
    one, secret = f"{VERIFICATIONS}/{started['id']}", {"Verification-Secret": started["secret"]}

    def touches(method: str, path: str, **body: Any) -> bool:
        # Without Flask-Login's function after each request, which reads the session.
        with made.app.test_request_context(path, method=method, headers=secret, **body):
            assert made.app.dispatch_request().status_code in (200, 201, 204)
            return sessions.opened.accessed

    assert not touches("GET", one)
    assert not touches("POST", f"{one}/check", json={"code": made.code})
    assert not touches("DELETE", one)
    assert not touches("GET", "/phone/v1/health")
    assert touches("POST", VERIFICATIONS, json={"phone": PHONE})


def test_inactive_user_is_refused_and_signed_out() -> None:
    made = make()
    client = made.app.test_client()
    client.post(SESSION, json={"proof": proof(client, made)})
    made.users["u0"].active = False
    assert is_problem(client.get(SESSION), 401, "not_signed_in")
    other = made.app.test_client()
    assert is_problem(other.post(SESSION, json={"proof": proof(other, made)}), 403, "login_refused")
    assert other.get("/").text == "nobody"


def test_site_may_close_signup() -> None:
    """A callback that refuses a user returns None, or None and False."""
    for nobody in (None, (None, False)):
        made = make()
        made.app.extensions["phone_verify"].accounts.user_for_phone = lambda redeemed, nobody=nobody: nobody
        client = made.app.test_client()
        assert is_problem(client.post(SESSION, json={"proof": proof(client, made)}), 403, "login_refused")


@pytest.mark.parametrize("phone_of", [lambda user: None, lambda user: "+989120000009"])
def test_site_may_define_the_users_number(phone_of: Callable[[Any], str | None]) -> None:
    made = make()
    made.app.extensions["phone_verify"].accounts.phone_for_user = phone_of
    client = made.app.test_client()
    client.post(SESSION, json={"proof": proof(client, made)})
    assert client.get(SESSION).json == {"user": {"id": "u0", "phone": phone_of(None)}}


def test_user_without_the_flag_is_not_new() -> None:
    made = make()
    accounts = made.app.extensions["phone_verify"].accounts
    accounts.user_for_phone = lambda redeemed: made.find_or_make(redeemed)[0]
    client = made.app.test_client()
    assert client.post(SESSION, json={"proof": proof(client, made)}).json["created"] is False


# Methods and paths


@pytest.mark.parametrize(
    "path", ["v1/", "v1/nothing", "v1//verifications", "v1/verifications/", "v1/a\nb", "webhooks/"]
)
def test_unknown_path_is_a_problem(path: str) -> None:
    client = make().app.test_client()
    for method in ("GET", "POST", "OPTIONS", "BREW"):
        assert is_problem(client.open(f"/phone/{path}", method=method), 404, "not_found")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "GET", "HEAD", "TRACE", "BREW"])
def test_unknown_method_is_a_problem(method: str) -> None:
    answer = make().app.test_client().open(VERIFICATIONS, method=method)
    assert answer.status_code == 405
    assert answer.content_type == "application/problem+json"
    assert answer.headers["Allow"] == "POST"


def test_head_is_get_without_the_body() -> None:
    client = make().app.test_client()
    answer = client.head("/phone/v1/openapi.json")
    assert (answer.status_code, answer.data) == (200, b"")
    assert client.head(SESSION).status_code == 401


def test_api_paths_shadow_no_site_path() -> None:
    """A catch-all rule of the site still gets all other paths."""

    def prepare(app: Flask) -> None:
        app.add_url_rule("/<path:rest>", "everything", lambda rest: rest)

    client = make(before=prepare).app.test_client()
    assert client.get("/phone/other").text == "phone/other"
    assert is_problem(client.get("/phone/v1/x"), 404, "not_found")
    assert client.get("/phone/login/").status_code == 200


# Bodies


@pytest.mark.parametrize("config", [{}, {"MAX_CONTENT_LENGTH": 10}, {"MAX_CONTENT_LENGTH": 10**9}])
def test_api_body_limit_holds_besides_the_sites(config: dict[str, int]) -> None:
    made = make(**config)
    client = made.app.test_client()
    start(client)
    just = b'{"phone": "%s"}' % (b"x" * (16 * 1024 - 13))
    assert len(just) == 16 * 1024
    for body, status, code in ((just, 400, "invalid_phone"), (just + b" ", 413, "too_large")):
        answer = client.post(VERIFICATIONS, data=body, content_type="application/json")
        assert is_problem(answer, status, code)
    path = "/phone/webhooks/console/" + made.app.extensions["phone_verify"].site.webhook_secrets[0]
    assert client.post(path, data=b"x" * 64 * 1024, content_type="text/plain").text == "OK"
    assert is_problem(client.post(path, data=b"x" * (64 * 1024 + 1), content_type="text/plain"), 413, "too_large")


class Counting(io.RawIOBase):
    """An endless body that counts the bytes read."""

    def __init__(self) -> None:
        self.count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = min(len(buffer), 1000)
        buffer[:size] = b"x" * size
        self.count += size
        return size


def test_endless_body_is_read_up_to_the_limit() -> None:
    made, body = make(), Counting()
    answer = made.app.test_client().post(
        VERIFICATIONS,
        content_type="application/json",
        headers={"Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input": body, "wsgi.input_terminated": True},
    )
    assert is_problem(answer, 413, "too_large")
    assert body.count == 16 * 1024 + 1


def test_declared_oversized_body_is_not_read() -> None:
    made, body = make(), Counting()
    answer = made.app.test_client().post(
        VERIFICATIONS,
        content_type="application/json",
        environ_overrides={"wsgi.input": body, "CONTENT_LENGTH": str(10**9)},
    )
    assert is_problem(answer, 413, "too_large")
    assert body.count == 0


def test_chunked_body_is_read() -> None:
    made = make()
    answer = made.app.test_client().post(
        VERIFICATIONS,
        content_type="application/json",
        headers={"Transfer-Encoding": "chunked"},
        environ_overrides={
            "wsgi.input": io.BytesIO(b'{"phone": "%s"}' % PHONE.encode()),
            "wsgi.input_terminated": True,
        },
    )
    assert answer.status_code == 201


class Broken(io.RawIOBase):
    """A body that a server cannot parse; each server raises different errors."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        raise RuntimeError("invalid chunk size")


@pytest.mark.parametrize("body", [io.BytesIO(b""), io.BytesIO(b"{"), Broken()])
def test_truncated_body_is_a_problem(body: io.IOBase) -> None:
    made = make()
    client = made.app.test_client()
    id = start(client)["id"]
    answer = client.post(
        f"{VERIFICATIONS}/{id}/resend",
        content_type="application/json",
        environ_overrides={"wsgi.input": body, "CONTENT_LENGTH": "20"},
    )
    assert is_problem(answer, 400, "invalid_request")
    assert len(made.transport.notices) == 1


# Errors


def test_callback_error_is_a_problem_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    made = make(TESTING=False)
    made.app.extensions["phone_verify"].accounts.user_for_phone = lambda redeemed: 1 / 0
    client = made.app.test_client()
    assert is_problem(client.post(SESSION, json={"proof": proof(client, made)}), 500, "internal_error")
    assert "ZeroDivisionError" in caplog.text
    assert client.get("/").text == "nobody"


def test_site_error_handlers_do_not_apply_to_the_api() -> None:
    def prepare(app: Flask) -> None:
        for status in (404, 405, 413, 500):
            app.register_error_handler(status, lambda error: ("<h1>our own page</h1>", error.code))

    client = make(before=prepare).app.test_client()
    assert is_problem(client.get("/phone/v1/x"), 404, "not_found")
    assert is_problem(client.get(VERIFICATIONS), 405, "method_not_allowed")
    assert is_problem(client.post(VERIFICATIONS, data=b"x" * 20000, content_type="application/json"), 413, "too_large")
    assert client.get("/phone/nothing").text == "<h1>our own page</h1>"


def test_site_before_request_may_refuse() -> None:
    def prepare(app: Flask) -> None:
        app.before_request(lambda: abort(418) if request.headers.get("X-Robot") else None)

    client = make(before=prepare).app.test_client()
    assert client.get(SESSION, headers={"X-Robot": "yes"}).status_code == 418


def test_store_outage_is_503_and_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made = make()
    store = made.app.extensions["phone_verify"].site.verifier._flows._store
    client = made.app.test_client()
    id = start(client)["id"]

    async def down(*args: object) -> None:
        raise StoreError("no answer")

    for verb in ("count", "open", "spend", "get", "redeem"):
        monkeypatch.setattr(store, verb, down)
    answers = [
        client.post(VERIFICATIONS, json={"phone": PHONE}),
        client.post(f"{VERIFICATIONS}/{id}/check", json={"code": made.code}),
        client.post(f"{VERIFICATIONS}/{id}/resend"),
        client.get(f"{VERIFICATIONS}/{id}"),
        client.get("/phone/v1/health"),
    ]
    for answer in answers:
        assert is_problem(answer, 503, "unavailable")
        assert int(answer.headers["Retry-After"]) > 0
    assert len(made.transport.notices) == 1


def test_memory_store_is_refused_with_several_processes(caplog: pytest.LogCaptureFixture) -> None:
    made = make()
    client = made.app.test_client()
    for _ in range(2):
        answer = client.post(VERIFICATIONS, json={"phone": PHONE}, environ_overrides={"wsgi.multiprocess": True})
        assert is_problem(answer, 503, "unavailable")
    assert not made.transport.notices
    told = [record.getMessage() for record in caplog.records if record.module == "memory"]
    assert len(told) == 1
    assert "PHONE_VERIFY_STORE" in told[0]


# CSRF


@pytest.mark.parametrize("when", ["before", "after", "never"])
def test_api_requires_no_csrf_token(when: str) -> None:
    made = make(before=CSRFProtect if when == "before" else lambda app: None)
    if when == "after":
        CSRFProtect(made.app)
    client = made.app.test_client()
    assert client.post(SESSION, json={"proof": proof(client, made)}).status_code == 200
    assert client.delete(SESSION).status_code == 204
    path = "/phone/webhooks/console/" + made.app.extensions["phone_verify"].site.webhook_secrets[0]
    assert client.post(path, data={"a": "b"}).text == "OK"


def test_rest_of_the_site_stays_protected() -> None:
    made = make(before=CSRFProtect)
    made.app.add_url_rule("/order", "order", lambda: "ordered", methods=["POST"])
    client = made.app.test_client()
    start(client)
    assert client.post("/order").status_code == 400


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}])
def test_cross_site_request_is_refused(headers: dict[str, str]) -> None:
    made = make()
    client = made.app.test_client()
    assert is_problem(client.post(VERIFICATIONS, json={"phone": PHONE}, headers=headers), 403, "cross_site")
    client.post(SESSION, json={"proof": proof(client, made)})
    assert is_problem(client.delete(SESSION, headers=headers), 403, "cross_site")
    assert client.get("/").text == PHONE


@pytest.mark.parametrize("origin", ["http://localhost", "https://public.example"])
def test_same_origin_request_is_allowed(origin: str) -> None:
    made = make(PHONE_VERIFY_PUBLIC_URL="https://public.example")
    start(made.app.test_client(), headers={"Origin": origin})


# Cookie and address


def test_header_secret_leaves_the_cookies_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The request has both cookies: neither is decoded, signed or set."""
    made = make()
    client = made.app.test_client()
    client.post(SESSION, json={"proof": proof(client, made)})
    assert client.get_cookie(DEVICE_COOKIE) is not None
    made.clock.move(120)
    work = cookie_work.noted(monkeypatch, calls)
    started = start(client)
    one, headers = f"{VERIFICATIONS}/{started['id']}", {"Verification-Secret": started["secret"]}
    assert {"decode", "encode", "set phone_verify", "phone_verify.known_browser"} <= set(work)
    work.clear()
    for method, path, fields, status in (
        ("GET", one, None, 200),
        ("POST", f"{one}/check", {"code": made.wrong_code}, 422),
        ("POST", f"{one}/check", {"code": made.code}, 200),
        ("DELETE", one, None, 204),
    ):
        answer = client.open(path, method=method, json=fields, headers=headers)
        assert (answer.status_code, answer.headers.getlist("Set-Cookie")) == (status, [])
    assert work == ["phone_verify.proof.login"], "the proof in the response"
    work.clear()
    assert client.get(one).status_code == 200
    assert "decode" in work


def test_empty_binding_cookie_is_deleted() -> None:
    client = make().app.test_client()
    client.set_cookie(COOKIE, f"{'A' * 44}.{'s' * 22}")  # of a verification purged long ago
    with client.session_transaction() as kept:
        kept["_phone_verify_started"] = ["A" * 44]
    answer = client.get("/phone/code/")
    assert answer.location == "/phone/login/"
    line = cookie_line(answer, COOKIE)
    assert line is not None
    assert "Max-Age=0" in line
    assert client.get_cookie(COOKIE) is None


def test_login_removes_other_verifications_from_the_cookie() -> None:
    made = make()
    client = made.app.test_client()
    other = start(client, "+989120000001")["id"]
    client.post(SESSION, json={"proof": proof(client, made)})
    assert client.get(f"{VERIFICATIONS}/{other}").status_code == 404


def test_client_address_is_the_peer_unless_proxies_trusted() -> None:
    def starts(trusted: int) -> list[int]:
        made = make(PHONE_VERIFY_TRUSTED_PROXIES=trusted, PHONE_VERIFY_SENDS_PER_HOUR_PER_ADDRESS=1)
        client = made.app.test_client()
        return [
            client.post(
                VERIFICATIONS,
                json={"phone": f"+98912000000{n}"},
                headers={"X-Forwarded-For": f"192.0.2.{n}"},
                environ_overrides={"REMOTE_ADDR": "198.51.100.1"},
            ).status_code
            for n in range(2)
        ]

    assert starts(0) == [201, 429]
    assert starts(1) == [201, 201]


@pytest.mark.parametrize(("peer", "statuses"), [("10.0.0.9", [201, 201, 429]), ("203.0.113.9", [201, 429, 429])])
def test_named_header_counts_from_trusted_networks(peer: str, statuses: list[int]) -> None:
    made = make(
        PHONE_VERIFY_TRUSTED_NETWORKS="10.0.0.0/8",
        PHONE_VERIFY_CLIENT_ADDRESS_HEADER="CF-Connecting-IP",
        PHONE_VERIFY_SENDS_PER_HOUR_PER_ADDRESS=1,
    )
    client = made.app.test_client()
    sent = [
        client.post(
            VERIFICATIONS,
            json={"phone": f"+98912000000{n}"},
            headers={"CF-Connecting-IP": f"192.0.2.{n // 2}:{n}"},
            environ_overrides={"REMOTE_ADDR": peer},
        ).status_code
        for n in (1, 2, 3)
    ]
    assert sent == statuses


@pytest.mark.parametrize(("peer", "statuses"), [("10.0.0.9", [201, 201]), ("203.0.113.9", [201, 429])])
def test_proxy_fix_does_not_replace_the_peer_of_trusted_networks(peer: str, statuses: list[int]) -> None:
    """It reads X-Forwarded-For unless its `x_for` is 0: anyone who reaches the server could choose an address."""
    made = make(PHONE_VERIFY_TRUSTED_NETWORKS="10.0.0.0/8", PHONE_VERIFY_SENDS_PER_HOUR_PER_ADDRESS=1)
    made.app.wsgi_app = ProxyFix(made.app.wsgi_app, x_proto=1)  # type: ignore[method-assign]
    client = made.app.test_client()
    sent = [
        client.post(
            VERIFICATIONS,
            json={"phone": f"+98912000000{n}"},
            headers={"X-Forwarded-For": f"192.0.2.{n}"},
            environ_overrides={"REMOTE_ADDR": peer},
        ).status_code
        for n in (1, 2)
    ]
    assert sent == statuses


@pytest.mark.parametrize(
    ("host", "named"),
    [("shop-b.example", "shop-b.example"), ("shop-a.example", "shop-a.example"), ("evil.example", "shop-a.example")],
)
def test_message_names_the_listed_host_of_the_request(host: str, named: str) -> None:
    made = make(
        PHONE_VERIFY_PUBLIC_URL="http://shop-a.example",
        PHONE_VERIFY_OTHER_PUBLIC_URLS="http://shop-b.example",
        WTF_CSRF_ENABLED=False,
    )
    client = made.app.test_client()
    base = {"base_url": f"http://{host}"}
    assert client.post(VERIFICATIONS, json={"phone": PHONE}, **base).status_code == 201
    assert client.post("/phone/login/", data={"phone": "+989120000001"}, **base).status_code == 303
    texts = [notice.text for notice in made.transport.notices]
    assert [text.splitlines()[-1].split()[0] for text in texts] == [f"@{named}"] * 2
