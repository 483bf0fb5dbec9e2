"""Webhooks with signatures, requests signed with the time, and questions of providers about orders."""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from phone_verify.drivers.base import Ability, OrderQuestion
from phone_verify.exchange import FORM, HttpRequest, HttpResponse, Rejected, WebhookRequest
from phone_verify.model import CodeSource, DeliveryReport, DeliveryState, Receipt
from phone_verify.phone import PhoneNumber
from phone_verify.transports.base import HttpTransport, intercepted

from .harness import PHONE, SMS, Driver, Harness

KEY = b"FAKE-KEY"
LONGEST_AGE = timedelta(minutes=5)


class Signing(Driver):
    """A driver whose provider signs its webhooks: URL, time and body."""

    def __init__(self) -> None:
        super().__init__("signing", SMS, Ability(CodeSource.LOCAL), [Receipt("7")] * 3)

    def parse_webhook(self, request: WebhookRequest) -> OrderQuestion | DeliveryReport | Rejected | None:
        sent = request.headers.get("x-time", "")
        signature = hmac.new(KEY, request.url.encode() + sent.encode() + request.body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(signature, request.headers.get("x-signature", "")):
            return Rejected("the signature is missing or wrong")
        assert request.received_at is not None
        if abs(request.received_at - datetime.fromisoformat(sent)) > LONGEST_AGE:
            return Rejected("the signature is too old")
        document = request.json()
        if "key" in document:
            return OrderQuestion(document["key"], PhoneNumber(document["phone"]), {"ok": True}, {"ok": False})
        return DeliveryReport("7", DeliveryState.DELIVERED)


def signed(body: bytes, at: datetime, url: str = "https://site.example/hook") -> WebhookRequest:
    sent = at.isoformat()
    signature = hmac.new(KEY, url.encode() + sent.encode() + body, hashlib.sha256).hexdigest()
    return WebhookRequest("POST", [], {"x-time": sent, "x-signature": signature}, body, url)


def test_signed_webhook_is_accepted_and_a_forged_one_rejected(caplog: pytest.LogCaptureFixture) -> None:
    harness = Harness(Signing())
    caplog.set_level(logging.WARNING)
    request = signed(b"{}", harness.clock())
    assert harness.verifier.receive("signing", request).rejected is False
    for forged in (
        WebhookRequest("POST", [], {}, b"{}", request.url),
        WebhookRequest("POST", [], request.headers, b'{"a": 1}', request.url),
        WebhookRequest("POST", [], request.headers, b"{}", "https://site.example/other"),
        signed(b"{}", harness.clock() - timedelta(minutes=6)),
        signed(b"{}", harness.clock() + timedelta(minutes=6)),
    ):
        assert harness.verifier.receive("signing", forged).rejected
    # Once an hour: anyone with the URL can send any number of them.
    assert caplog.text.count("a webhook for signing was rejected") == 1


@pytest.mark.parametrize(
    ("changes", "allowed"),
    [
        ({}, True),
        ({"phone": "+989120000009"}, False),
        ({"key": "x.1"}, False),
        ({"key": "A" * 44 + ".1"}, False),
        ({"key": ""}, False),
    ],
)
def test_question_about_an_order_is_answered_by_its_key(changes: Mapping[str, str], allowed: bool) -> None:
    driver = Signing()
    harness = Harness(driver)
    harness.begun()
    asked = {"key": driver.orders[-1].key, "phone": PHONE.e164, **changes}
    body = str(asked).replace("'", '"').encode()
    assert harness.verifier.receive("signing", signed(body, harness.clock())).reply == {"ok": allowed}


def test_question_about_an_order_that_is_over_is_denied() -> None:
    driver = Signing()
    harness = Harness(driver)
    id, secret = harness.begun()
    first = driver.orders[-1].key
    harness.clock.move(60)
    assert harness.verifier.resend(id, secret).ok
    second = driver.orders[-1].key

    def replies() -> list[object]:
        bodies = [f'{{"key": "{key}", "phone": "{PHONE.e164}"}}'.encode() for key in (first, second)]
        return [harness.verifier.receive("signing", signed(body, harness.clock())).reply for body in bodies]

    assert first != second
    assert replies() == [{"ok": False}, {"ok": True}]
    harness.verifier.cancel(id, secret)
    assert replies() == [{"ok": False}, {"ok": False}]


def test_request_is_signed_with_the_time_when_it_is_sent() -> None:
    request = HttpRequest("GET", "http://127.0.0.1/", {"A": "1"}, sign=lambda now: {"X-Time": now.isoformat()})
    seen: list[HttpRequest] = []

    def answer(sent: object) -> HttpResponse:
        assert isinstance(sent, HttpRequest)
        seen.append(sent)
        return HttpResponse(200)

    before = datetime.now(UTC)
    with intercepted(answer):
        coroutine = HttpTransport().send(request, 1.0)
        with pytest.raises(StopIteration):
            coroutine.send(None)
    assert seen[0].headers["A"] == "1"
    assert before <= datetime.fromisoformat(seen[0].headers["X-Time"]) <= datetime.now(UTC)


def test_form_of_a_webhook_is_read_apart_from_its_query() -> None:
    form = WebhookRequest("POST", [("a", "1"), ("b", "2")], {"content-type": FORM}, b"b=2", "https://s.example/?a=1")
    assert form.form == [("b", "2")]
    assert WebhookRequest("POST", [("a", "1")], {"content-type": "application/json"}, b"{}").form == ()
    assert WebhookRequest("POST", [], {}, b'{"a": 1}').json() == {"a": 1}
    assert WebhookRequest("POST", [], {}, b"\xff").json() is None


def test_webhook_values_are_not_in_its_repr() -> None:
    request = signed(b'{"phone": "+989120000000"}', datetime.now(UTC))
    assert "9120000000" not in repr(request)
    assert "site.example" not in repr(request)
