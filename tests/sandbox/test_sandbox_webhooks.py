"""Requests to webhooks: with a query, a form or JSON, signed with a key at a time, and as faults spoil them."""

import json
import threading
from base64 import b64decode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
from werkzeug.serving import make_server
from werkzeug.test import Client
from werkzeug.wrappers import Request

from phone_verify.sandbox import Sandbox
from phone_verify.sandbox.faults import Fault
from phone_verify.sandbox.protocols import PROVIDERS
from phone_verify.sandbox.protocols.base import Visit
from phone_verify.sandbox.webhooks import FORM, STALE, Hook, Reply, asker, hmac_base64, sha256_hex

from .conftest import Clock

Planned = list[tuple[float, Callable[[], object]]]
URL = "http://127.0.0.1:8000/hook/SECRET"
KEY = "the-key"


def sign(hook: Hook, now: datetime, key: str) -> Hook:
    return hook.with_headers(X_Time=now.isoformat(), X_Signature=f"{key}:{hook.body.decode()}")


def signed() -> Hook:
    return Hook.with_form(URL, {"status": "delivered", "id": "7"}).signed_by(sign, KEY)


def test_every_module_with_a_provider_is_a_protocol() -> None:
    assert list(PROVIDERS) == sorted(PROVIDERS)
    assert {"amoot", "evand", "ferzz", "ssms", "telefon-ip"} <= set(PROVIDERS)


def test_no_two_protocols_share_a_path() -> None:
    seen: dict[tuple[str, str], str] = {}
    for provider in PROVIDERS.values():
        for route in provider.routes:
            owner = seen.setdefault((route.method, route.path), provider.name)
            assert owner == provider.name, (
                f"{route.path} also belongs to {owner}: reachable under /{provider.name} only"
            )


def test_fields_come_by_query_form_or_json() -> None:
    assert Hook.with_query(f"{URL}?a=b", [("c", "d e"), ("c", "f")]).url == f"{URL}?a=b&c=d+e&c=f"
    form = Hook.with_form(URL, {"a": "+1"})
    assert (form.method, form.content_type, form.body) == ("POST", FORM, b"a=%2B1")
    assert json.loads(Hook.with_json(URL, {"a": [1]}).body) == {"a": [1]}


def test_webhook_is_signed_when_it_is_sent(clock: Clock) -> None:
    sent = signed().at(clock())
    assert dict(sent.headers) == {"X-Time": clock().isoformat(), "X-Signature": "the-key:status=delivered&id=7"}
    assert signed().at(clock(), "stale").headers["X-Time"] == (clock() - STALE).isoformat()
    assert "the-key:" not in signed().at(clock(), "wrong_key").headers["X-Signature"]
    assert dict(signed().at(clock(), "unsigned").headers) == {}
    assert KEY not in repr(signed())
    assert "SECRET" not in repr(signed())


def test_digests_have_their_usual_forms() -> None:
    # RFC 4231, test case 2, and FIPS 180-4.
    expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert b64decode(hmac_base64(b"Jefe", b"what do ya want for nothing?", "sha256")).hex() == expected
    assert sha256_hex(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@dataclass
class Receiver:
    """A site that keeps what its webhook receives."""

    url: str = ""
    received: list[tuple[str, str, str, bytes]] = field(default_factory=list)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        kind, signature = environ.get("CONTENT_TYPE", ""), environ.get("HTTP_X_SIGNATURE", "")
        self.received.append((environ["REQUEST_METHOD"], kind, signature, body))
        start_response("204 No Content", [])
        return []


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    server = make_server("127.0.0.1", 0, receiver, threaded=True)
    receiver.url = f"http://127.0.0.1:{server.server_port}/hook/SECRET"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield receiver
    server.shutdown()
    thread.join()
    server.server_close()


def test_signed_body_arrives_at_the_site(receiver: Receiver, clock: Clock) -> None:
    hook = replace(signed(), url=receiver.url).at(clock())
    assert asker(frozenset())(hook) == 204
    assert receiver.received == [("POST", FORM, "the-key:status=delivered&id=7", b"status=delivered&id=7")]


@pytest.mark.parametrize(
    ("fault", "signature", "delay"),
    [
        (Fault(), "the-key:", None),
        (Fault(webhook_signature="wrong_key"), "the-key-rotated:", None),
        (Fault(webhook_delay=4.0), "the-key:", 4.0),
        (Fault(double=True), "the-key:", None),
    ],
    ids=["none", "wrong_key", "delay", "double"],
)
def test_faults_reach_the_webhooks_of_a_request(
    sandbox: Sandbox, hooks: list[Hook], planned: Planned, fault: Fault, signature: str, delay: float | None
) -> None:
    request = Request.from_values("/")
    visit = Visit(PROVIDERS["amoot"], request, {}, sandbox.network, sandbox.faults)
    visit.fault = fault
    visit.report(signed())
    sandbox._report(visit)
    if delay:
        assert hooks == []
        ((seconds, send),) = planned
        assert seconds == delay
        send()
    assert len(hooks) == (2 if fault.double else 1)
    assert hooks[0].headers["X-Signature"].startswith(signature)


def test_deliveries_with_a_body_are_listed_without_secrets(sandbox: Sandbox, client: Client) -> None:
    for hook in (signed(), Hook.with_json(URL, {"id": 7, "token": "x" * 20, "nested": {"code": "1"}})):
        sandbox._send_hook(hook)
    newest, oldest = client.get("/api/webhooks/deliveries").get_json()["deliveries"]
    assert (oldest["method"], oldest["url"]) == ("POST", "http://127.0.0.1:8000/hook/***")
    assert oldest["params"] == {"status": "delivered", "id": "7"}
    assert newest["params"] == {"id": "7", "token": "***"}


@pytest.mark.parametrize(
    ("headers", "basic", "bearer"),
    [
        ({}, ("", ""), ""),
        ({"Authorization": "Basic QUM6VE9LRU4="}, ("AC", "TOKEN"), ""),
        ({"Authorization": "bearer KEY"}, ("", ""), "KEY"),
        ({"Authorization": "Basic %%"}, ("", ""), ""),
    ],
)
def test_credentials_are_read_from_the_header(
    sandbox: Sandbox, headers: dict[str, str], basic: tuple[str, str], bearer: str
) -> None:
    request = Request.from_values("/", headers=headers)
    visit = Visit(PROVIDERS["amoot"], request, {}, sandbox.network, sandbox.faults)
    assert (visit.basic(), visit.scheme("Bearer")) == (basic, bearer)


@pytest.mark.parametrize(
    ("acknowledgement", "reply", "accepted"),
    [
        (None, Reply(200, b"anything"), True),
        (None, Reply(204), False),
        (None, None, False),
        (b"100", Reply(200, b"100\n"), True),
        (b"100", Reply(200, b"OK"), False),
        (b"100", Reply(500, b"100"), False),
    ],
)
def test_webhook_is_repeated_until_the_site_accepts_it(
    sandbox: Sandbox,
    hooks: list[Hook],
    replies: list[Reply | None],
    planned: Planned,
    acknowledgement: bytes | None,
    reply: Reply | None,
    accepted: bool,
) -> None:
    replies.extend([reply, reply])
    sandbox._send_hook(replace(signed(), repeats=(1.0, 8.0), acknowledgement=acknowledgement))
    if accepted:
        assert planned == []
        return
    for _ in range(2):
        planned[-1][1]()
    assert [seconds for seconds, _ in planned] == [1.0, 8.0]
    assert len(hooks) == 3
