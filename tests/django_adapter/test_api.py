"""The API through Django's test client: request in, response and database out."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import aauthenticate, authenticate, get_user_model
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.models import Session
from django.db import OperationalError, connection
from django.test import Client, RequestFactory
from django.urls import clear_script_prefix, set_script_prefix
from django.utils import timezone

from phone_verify import PhoneNumber
from phone_verify.api import verifications
from phone_verify.exchange import HttpResponse
from phone_verify.testing.transport import FakeTransport
from phone_verify_django import api_views, calls
from phone_verify_django.models import VerifiedPhone
from phone_verify_django.site import current_site
from phone_verify_django.testing import override
from tests import cookie_work
from tests.clients import Browser, DjangoCarrier

from .conftest import PHONE, Network, verified
from .factories import session_steps

Configure = Callable[..., None]

pytestmark = pytest.mark.django_db


def start(client: Client, body: object = None, **more: Any) -> Any:
    """Start with Django's client."""
    content = body if isinstance(body, bytes) else json.dumps(body or {"phone": PHONE}).encode()
    return client.generic("POST", "/phone/v1/verifications", content, content_type="application/json", **more)


def test_user_signs_in_by_code_and_out(visitor: Browser, network: Network) -> None:
    done = verified(visitor, network)
    assert visitor.call("GET", "v1/session").json()["code"] == "not_signed_in"
    answer = visitor.call("POST", "v1/session", {"proof": done["proof"]})
    assert answer.status == 200
    user = User.objects.get()
    assert answer.json() == {"user": {"id": str(user.pk), "phone": PHONE}, "created": True}
    assert VerifiedPhone.objects.get().user == user
    assert not user.has_usable_password()
    assert PHONE not in user.username
    assert visitor.call("GET", "v1/session").json() == {"user": {"id": str(user.pk), "phone": PHONE}}
    assert visitor.call("HEAD", "v1/session").status == 200
    assert visitor.call("DELETE", "v1/session").status == 204
    assert visitor.call("GET", "v1/session").status == 401


def test_start_and_check_build_one_call_each(
    visitor: Browser, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copy(*_: object, **__: object) -> Any:
        raise AssertionError("the call was copied")

    monkeypatch.setattr(api_views, "replace", copy)
    monkeypatch.setattr(verifications, "replace", copy)
    assert verified(visitor, network)["proof"]


def test_call_does_not_copy_the_headers(network: Network) -> None:
    request = RequestFactory().post("/", {"phone": PHONE}, content_type="application/json")
    assert api_views.api(request, "v1/verifications").status_code == 201
    assert "headers" not in vars(request)  # Django's copy, made at the first use


def test_second_login_finds_user_and_updates_the_date(visitor: Browser, network: Network) -> None:
    for created in (True, False):
        network.clock.move(120)
        answer = visitor.call("POST", "v1/session", {"proof": verified(visitor, network)["proof"]})
        assert answer.json()["created"] is created
    assert User.objects.count() == 1
    assert VerifiedPhone.objects.get().verified_at == network.clock()


def test_login_cycles_the_session_key_and_sends_signal(visitor: Browser, network: Network) -> None:
    heard = []

    def hear(sender: object, user: User, **_: object) -> None:
        heard.append(user)

    client = visitor._carrier._client  # type: ignore[attr-defined]
    session = client.session
    session["seen"] = "before"
    session.save()
    before = session.session_key
    user_logged_in.connect(hear)
    try:
        visitor.call("POST", "v1/session", {"proof": verified(visitor, network)["proof"]})
    finally:
        user_logged_in.disconnect(hear)
    assert heard == [User.objects.get()]
    assert client.session.session_key != before
    assert not Session.objects.filter(session_key=before).exists()
    assert PHONE not in str(dict(client.session))


def test_inactive_user_is_refused(visitor: Browser, network: Network) -> None:
    user = User.objects.create_user("gone", is_active=False)
    VerifiedPhone.objects.create(user=user, phone=PHONE, verified_at=timezone.now())
    proof = verified(visitor, network)["proof"]
    answer = visitor.call("POST", "v1/session", {"proof": proof})
    assert (answer.status, answer.json()["code"]) == (403, "login_refused")
    assert answer.headers["cache-control"] == "no-store"
    assert visitor.call("POST", "v1/session", {"proof": proof}).json()["code"] == "invalid_proof"
    assert visitor.call("GET", "v1/session").status == 401


def test_deactivated_user_is_signed_out(visitor: Browser, network: Network) -> None:
    visitor.call("POST", "v1/session", {"proof": verified(visitor, network)["proof"]})
    User.objects.update(is_active=False)
    assert visitor.call("GET", "v1/session").status == 401


def test_user_without_a_phone_has_none(client: Client) -> None:
    user = User.objects.create_user("root")
    client.force_login(user)
    assert client.get("/phone/v1/session").json() == {"user": {"id": str(user.pk), "phone": None}}


def test_missing_backend_creates_no_user_and_is_logged(
    visitor: Browser, network: Network, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
    answer = visitor.call("POST", "v1/session", {"proof": verified(visitor, network)["proof"]})
    assert (answer.status, answer.json()["code"]) == (403, "login_refused")
    assert "phone_verify_django.backends.PhoneBackend" in caplog.text
    assert not get_user_model().objects.exists()


def test_backend_accepts_no_password() -> None:
    User.objects.create_user("somebody", password="a password")
    assert authenticate(username="somebody", password="a password") is None
    assert async_to_sync(aauthenticate)(username="somebody", password="a password") is None


def test_start_without_session_reads_no_user_or_session(
    client: Client, network: Network, configure: Configure, django_assert_num_queries: Any
) -> None:
    configure(sms="console://", store="memory:")
    with django_assert_num_queries(0):
        answer = start(client)
    assert answer.status_code == 201
    assert answer["Vary"] == "Origin"


def test_only_calls_that_need_the_session_touch_it(
    client: Client, visitor: Browser, network: Network, configure: Configure
) -> None:
    configure(sms="console://", resend_after=0)
    client.force_login(User.objects.create_user("someone"))
    session = {"Cookie": f"sessionid={client.cookies['sessionid'].value}"}
    with session_steps() as steps:
        started = visitor.call("POST", "v1/verifications", {"phone": PHONE}).json()
        one = f"v1/verifications/{started['id']}"
        assert steps == []
        for method, path, fields in (
            ("GET", one, None),
            ("POST", f"{one}/check", {"code": network.code}),
            ("DELETE", one, None),
            ("GET", "v1/health", None),
        ):
            answer = visitor.call(method, path, fields, headers=session, secret=started["secret"])
            assert answer.status in (200, 204)
            assert (steps, answer.headers.get("vary")) == ([], "Origin")
        # The session of a user knows what it has started.
        assert visitor.call("POST", "v1/verifications", {"phone": PHONE}, headers=session).status == 201
        assert steps == ["load", "save"]


def test_header_secret_leaves_the_cookies_alone(
    visitor: Browser, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request has both cookies: neither is decoded, signed or set."""
    signed_in = visitor.call("POST", "v1/session", {"proof": verified(visitor, network)["proof"]})
    assert "phone_verify_device" in signed_in.cookies
    network.clock.move(120)
    work = cookie_work.noted(monkeypatch, calls)
    started = visitor.call("POST", "v1/verifications", {"phone": PHONE}).json()
    one, secret = f"v1/verifications/{started['id']}", started["secret"]
    assert {"decode", "encode", "set phone_verify", "phone_verify.known_browser"} <= set(work)
    work.clear()
    for method, path, fields, status in (
        ("GET", one, None, 200),
        ("POST", f"{one}/check", {"code": network.wrong}, 422),
        ("POST", f"{one}/check", {"code": network.code}, 200),
        ("DELETE", one, None, 204),
    ):
        answer = visitor.call(method, path, fields, secret=secret)
        assert (answer.status, answer.cookies) == (status, {})
    assert work == ["phone_verify.proof.login"], "the proof in the response"
    work.clear()
    assert visitor.call("GET", one).status == 200
    assert "decode" in work


def test_binding_cookie_is_httponly_and_scoped(visitor: Browser, network: Network) -> None:
    cookie = visitor.call("POST", "v1/verifications", {"phone": PHONE}).cookies["phone_verify"]
    flags = [part.strip().lower() for part in cookie.split(";")[1:]]
    assert {"httponly", "path=/", "samesite=lax", "max-age=3600"} <= set(flags)
    assert "secure" not in flags


def test_binding_cookie_is_secure_over_https(visitor: Browser, network: Network, configure: Configure) -> None:
    configure(sms="console://", public_url="https://site.example")
    assert "Secure" in visitor.call("POST", "v1/verifications", {"phone": PHONE}).cookies["phone_verify"]


def test_empty_binding_cookie_is_deleted(visitor: Browser, network: Network) -> None:
    visitor.post_form("/phone/login/", phone=PHONE)
    current_site().verifier.erase(PhoneNumber(PHONE))
    answer = visitor.get("/phone/code/")
    assert (answer.status, answer.location) == (302, "/phone/login/")
    assert "Max-Age=0" in answer.cookies["phone_verify"]
    assert "Path=/" in answer.cookies["phone_verify"]


def test_cross_site_request_changes_nothing(visitor: Browser, network: Network) -> None:
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        answer = visitor.call("POST", "v1/verifications", {"phone": PHONE}, headers=headers)
        assert (answer.status, answer.json()["code"]) == (403, "cross_site")
    assert network.sent == 0
    assert visitor.call("POST", "v1/verifications", {"phone": PHONE}, headers={"Origin": "http://testserver"}).status


def test_body_is_read_up_to_its_limit(visitor: Browser, network: Network, settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
    assert visitor.call("POST", "v1/verifications", {"phone": PHONE}).status == 201
    answer = visitor.call("POST", "v1/verifications", body=b'{"phone": "' + b"9" * 16 * 1024)
    assert (answer.status, answer.json()["code"]) == (413, "too_large")
    answer = visitor.call("POST", "webhooks/nobody/secret", body=b"x" * 65 * 1024)
    assert (answer.status, answer.json()["code"]) == (404, "not_found")
    assert network.sent == 1


class Broken(BytesIO):
    """A connection that breaks."""

    def read(self, size: int | None = -1) -> bytes:
        raise OSError("the connection is gone")


@pytest.mark.parametrize("stream", [Broken(), BytesIO()], ids=["broken", "ended"])
def test_truncated_body_is_refused(client: Client, network: Network, stream: BytesIO) -> None:
    answer = start(client, **{"wsgi.input": stream})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert network.sent == 0


def test_chunked_body_is_read(client: Client, network: Network) -> None:
    body = BytesIO(json.dumps({"phone": PHONE}).encode())
    answer = start(client, **{"wsgi.input": body, "wsgi.input_terminated": True, "CONTENT_LENGTH": ""})
    assert answer.status_code == 201


@pytest.mark.parametrize("path", ["v1/", "v1/nothing", "v1/a/b/c/d", "webhooks/amoot", "v1/line%0Abreak"])
def test_unknown_path_is_a_problem_response(visitor: Browser, path: str) -> None:
    answer = visitor.call("GET", path)
    assert (answer.status, answer.json()["code"]) == (404, "not_found")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"


def test_wrong_method_is_a_problem_response(visitor: Browser) -> None:
    answer = visitor.call("PUT", "v1/verifications")
    assert (answer.status, answer.json()["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"


def test_memory_store_with_several_processes_is_refused(
    network: Network, configure: Configure, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    configure(sms="console://", store="memory:")
    assert start(client).status_code == 201
    for _ in range(2):
        answer = start(client, **{"wsgi.multiprocess": True})
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert answer["Retry-After"]
    assert network.sent == 1
    assert sum("PHONE_VERIFY['store']" in record.getMessage() for record in caplog.records if record.levelno > 30) >= 1


def test_nothing_is_sent_while_the_store_is_down(client: Client, network: Network, configure: Configure) -> None:
    configure(sms="console://", store="sqlite:////nonexistent/folder/verifications.sqlite3")
    answer = start(client)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert network.sent == 0
    answer = client.get("/phone/v1/health")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert answer["Retry-After"]
    assert "nonexistent" not in answer.content.decode()


@pytest.mark.parametrize(("peer", "statuses"), [("10.0.0.9", [201, 201, 429]), ("203.0.113.9", [201, 429, 429])])
def test_named_header_counts_from_trusted_networks(
    peer: str, statuses: list[int], client: Client, network: Network, configure: Configure
) -> None:
    configure(
        sms="console://",
        trusted_networks="10.0.0.0/8",
        client_address_header="CF-Connecting-IP",
        sends_per_hour_per_address=1,
    )
    sent = [
        start(client, {"phone": f"+98912000000{n}"}, REMOTE_ADDR=peer, HTTP_CF_CONNECTING_IP=f"192.0.2.{n // 2}:{n}")
        for n in (1, 2, 3)
    ]
    assert [answer.status_code for answer in sent] == statuses


@pytest.mark.parametrize(
    ("host", "named"),
    [("shop-b.example", "shop-b.example"), ("shop-a.example", "shop-a.example"), ("testserver", "shop-a.example")],
)
def test_message_names_the_listed_host_of_the_request(
    host: str, named: str, network: Network, configure: Configure, settings: Any
) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    configure(sms="console://", public_url="http://shop-a.example", other_public_urls=["http://shop-b.example"])
    client = Client(HTTP_HOST=host, **{"wsgi.multiprocess": False})  # type: ignore[arg-type]
    assert start(client).status_code == 201
    client.post("/phone/login/", {"phone": "+989120000001"})
    texts = [notice.text for notice in network.transport.notices]
    assert [text.splitlines()[-1].split()[0] for text in texts] == [f"@{named}"] * 2


def test_start_without_a_channel_says_so(visitor: Browser, configure: Configure) -> None:
    configure()
    answer = visitor.call("POST", "v1/verifications", {"phone": PHONE})
    assert (answer.status, answer.json()["code"]) == (503, "unavailable")


def test_provider_gets_the_webhook_url(client: Client, configure: Configure) -> None:
    """The webhook URL is the public URL with our route below it; a call to it succeeds."""
    configure(
        inbound_call="telefon-ip://FAKE-TOKEN@default",
        public_url="https://site.example",
        webhook_secret="not-a-secret-0123456789",
    )
    transport = FakeTransport([HttpResponse(500)])
    with override(transport=transport):
        set_script_prefix("/under/")  # as WSGI does; the test client does not
        start(client, {"phone": "+79990000001"})
        clear_script_prefix()
        told = json.loads(transport.requests[0].body or b"")
        assert told["webhook"] == "https://site.example/under/phone/webhooks/telefon-ip/not-a-secret-0123456789"
        answer = client.post("/phone/webhooks/telefon-ip/not-a-secret-0123456789", {"event": "unknown"})
    assert (answer.status_code, answer.content) == (200, b"OK")
    assert client.get("/phone/webhooks/telefon-ip/another").status_code == 404


def test_no_log_holds_a_code_a_key_or_a_number(
    visitor: Browser, network: Network, caplog: pytest.LogCaptureFixture, settings: Any
) -> None:
    with caplog.at_level(logging.DEBUG):
        begun = visitor.call("POST", "v1/verifications", {"phone": PHONE}).json()
        codes = [network.code, network.wrong]
        visitor.call("POST", f"v1/verifications/{begun['id']}/check", {"code": network.wrong})
        done = visitor.call("POST", f"v1/verifications/{begun['id']}/check", {"code": network.code}).json()
        visitor.call("POST", "v1/session", {"proof": done["proof"]})
    ours = [record for record in caplog.records if not record.name.startswith("django.db")]
    text = "\n".join(f"{record.getMessage()} {record.__dict__}" for record in ours)
    for secret in (*codes, PHONE[1:], PHONE[3:], settings.SECRET_KEY, begun["secret"], done["proof"]):
        assert secret not in text


def test_django_log_holds_no_webhook_secret(
    visitor: Browser, configure: Configure, caplog: pytest.LogCaptureFixture
) -> None:
    """Django logs the path of every refusal; the secret of a webhook is part of its path."""
    configure(sms="console://", webhook_secret="not-a-secret-0123456789")
    assert visitor.call("PUT", "webhooks/console/not-a-secret-0123456789").status == 405
    assert visitor.call("POST", "webhooks/console/not-a-secret-0123456789", body=b"x" * 65 * 1024).status == 413
    assert "not-a-secret-0123456789" not in caplog.text


def test_database_outage_at_login_signs_nobody_in(
    visitor: Browser, network: Network, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(**_: object) -> None:
        raise OperationalError("no connection for somebody's name")

    proof = verified(visitor, network)["proof"]
    user_logged_in.connect(fail)
    try:
        answer = visitor.call("POST", "v1/session", {"proof": proof})
    finally:
        user_logged_in.disconnect(fail)
    assert (answer.status, answer.json()["code"]) == (503, "unavailable")
    assert "unavailable: OperationalError" in caplog.text
    assert "somebody" not in caplog.text
    assert visitor.call("GET", "v1/session").status == 401


def test_openapi_description_is_served(visitor: Browser) -> None:
    assert visitor.call("GET", "v1/openapi.json").json()["openapi"].startswith("3.1")


class TestATransactionOfTheSites:
    """With ATOMIC_REQUESTS no spent count is restored."""

    pytestmark = pytest.mark.django_db(transaction=True)

    @pytest.fixture(autouse=True)
    def _atomic_requests(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)

    def test_provider_is_called_outside_transactions(
        self, visitor: Browser, network: Network, configure: Configure
    ) -> None:
        seen = []

        def answer(_: object) -> HttpResponse:
            seen.append(connection.in_atomic_block)
            return HttpResponse(500)

        configure(sms="amoot://FAKE@default")
        network.transport.answers.append(answer)
        visitor.call("POST", "v1/verifications", {"phone": PHONE})
        assert seen == [False]

    def test_error_after_a_wrong_code_leaves_it_counted(self, visitor: Browser, network: Network) -> None:
        begun = visitor.call("POST", "v1/verifications", {"phone": PHONE}).json()
        path = f"v1/verifications/{begun['id']}"
        assert visitor.call("POST", f"{path}/check", {"code": network.wrong}).json()["attempts_left"] == 4
        assert visitor.call("GET", path).json()["attempts_left"] == 4

    def test_error_after_the_right_code_leaves_it_used(self, visitor: Browser, network: Network) -> None:
        def fail(**_: object) -> None:
            raise RuntimeError("a receiver of the site's is broken")

        done = verified(visitor, network)
        user_logged_in.connect(fail)
        try:
            answer = visitor.call("POST", "v1/session", {"proof": done["proof"]})
        finally:
            user_logged_in.disconnect(fail)
        assert (answer.status, answer.json()["code"]) == (500, "internal_error")
        assert visitor.call("GET", "v1/session").status == 401
        assert visitor.call("POST", "v1/session", {"proof": done["proof"]}).json()["code"] == "invalid_proof"
        assert (
            visitor.call("POST", f"v1/verifications/{done['id']}/check", {"code": network.code}).json()["code"]
            == "closed"
        )


def test_concurrent_logins_create_one_user(transactional_db: None, network: Network) -> None:
    visitors = [Browser(DjangoCarrier()) for _ in range(4)]
    proofs = [verified(visitor, network)["proof"] for visitor in visitors]
    barrier, answers = threading.Barrier(len(visitors)), []

    def sign_in(visitor: Browser, proof: str) -> None:
        try:
            barrier.wait(10)
            answers.append(visitor.call("POST", "v1/session", {"proof": proof}))
        finally:
            connection.close()

    threads = [threading.Thread(target=sign_in, args=pair) for pair in zip(visitors, proofs, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [answer.status for answer in answers] == [200] * len(visitors)
    assert len({answer.json()["user"]["id"] for answer in answers}) == 1
    assert sorted(answer.json()["created"] for answer in answers) == [False, False, False, True]
    assert User.objects.count() == VerifiedPhone.objects.count() == 1
