"""Sinch: the shared suite, the table of error codes, flash calls, and signed callbacks."""

import base64
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from phone_verify.codes import Keyring
from phone_verify.drivers.dsn import load_driver, parse_dsn
from phone_verify.drivers.sinch import Sinch
from phone_verify.errors import ConfigurationError, FailureKind, ProviderError, UnclearError
from phone_verify.exchange import HttpRequest, HttpResponse, Rejected, WebhookRequest
from phone_verify.model import Channel, DeliveryReport, DeliveryState, Order, Receipt, Started
from phone_verify.parts import Components
from phone_verify.phone import PhoneNumber
from phone_verify.policy import Policy
from phone_verify.routing import Router
from phone_verify.stores.memory import MemoryStore
from phone_verify.testing.drivers import DriverSuite, overhear
from phone_verify.testing.transport import FakeTransport
from phone_verify.verifier.blocking import Verifier
from tests.cases import in_one_test

PHONE = PhoneNumber("+15005550006")
SECRET = "MDEyMzQ1Njc4OWFiY2RlZg=="
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


class TestSinch(DriverSuite):
    driver = Sinch
    dsn = (
        "sinch://FAKE%2FKey%2B1:%2B%2F8AFAKEsecret%2F0123456789AA%3D@127.0.0.1:8025/base?tls=off&caller=%2B1815654xxxx"
    )
    variants = ("auth=basic", "code_length=4", "locale=en-US&name=sinch-2")
    samples = Path(__file__).parent / "samples" / "sinch"
    phone = "+15005550006"


#: The vendor's codes with the resulting failure kind.
TABLE = """
    40001 bad_number
    40003 bad_number
    40100 configuration
    40101 configuration
    40102 configuration
    40104 configuration
    40107 configuration
    40200 balance
    40300 bad_number
    40303 configuration
    40400 configuration
    40900 unknown
    42200 configuration
    42201 unknown
    42900 rate
    42901 rate
    50000 transient
    50300 transient
    50301 transient
"""
ERRORS = [(int(code), kind) for code, kind in map(str.split, TABLE.strip().splitlines())]


def load(options: str = "", credentials: str = f"FAKE-KEY:{SECRET.replace('=', '%3D')}") -> Sinch:
    query = f"?{options}" if options else ""
    driver = load_driver(parse_dsn(f"sinch://{credentials}@default{query}", "PHONE_VERIFY_SMS"))
    assert isinstance(driver, Sinch)
    return driver


def order(channel: Channel = Channel.SMS, seconds: int = 120, key: str = "") -> Order:
    return Order(PHONE, channel, timedelta(seconds=seconds), key=key)


def accepted(driver: Sinch, an_order: Order) -> tuple[Receipt, dict[str, object]]:
    receipt, asked = overhear(driver.start(an_order), [HttpResponse(200, {}, b'{"id": "v1"}')])
    assert isinstance(asked[0], HttpRequest)
    return receipt, json.loads(asked[0].body or b"")


@in_one_test
@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize(("code", "trouble"), ERRORS)
def test_every_code_is_mapped(code: int, trouble: str, status: int) -> None:
    body = json.dumps({"errorCode": code, "message": "m", "reference": ""}).encode()
    result, _ = overhear(load().start(order()), [HttpResponse(status, {}, body)])
    assert isinstance(result, ProviderError)
    assert result.trouble is FailureKind(trouble)


#: Computed independently, by a recipe that gives the vendor's own test value.
BODY = b'{"event":"VerificationResultEvent","id":"v1","method":"sms","status":"SUCCESSFUL"}'
SIGNATURE = "N/LzHc9KPIL7/Nto2pFND8td+B+rG2AuvjKK6Ubap5g="


def webhook(
    signature: str = SIGNATURE, body: bytes = BODY, late: int = 0, method: str = "POST", key: str = "FAKE-KEY"
) -> WebhookRequest:
    headers = {
        "authorization": f"Application {key}:{signature}",
        "x-timestamp": "2026-01-01T00:00:00Z",
        "content-type": "application/json",
    }
    url = "https://site.example/hooks/sinch"
    return WebhookRequest(method, [], headers, body, url, NEW_YEAR + timedelta(seconds=late))


def test_known_signature_is_accepted() -> None:
    report = DeliveryReport("sms:v1", DeliveryState.DELIVERED, "SUCCESSFUL")
    for request in (webhook(), webhook(late=300), webhook(late=-300)):
        assert load().parse_webhook(request) == report
        assert load("auth=basic").parse_webhook(request) == report


@pytest.mark.parametrize(
    "request_",
    [
        webhook(late=301),
        webhook(late=-301),
        webhook(body=BODY + b" "),
        webhook(method="PUT"),
        webhook(key="FAKE-KEZ"),
        webhook(SIGNATURE[:-2] + "A="),
        webhook(""),
        webhook("ключ"),
    ],
)
def test_other_signature_is_rejected(request_: WebhookRequest) -> None:
    assert isinstance(load().parse_webhook(request_), Rejected)


def test_path_alone_of_the_url_is_signed() -> None:
    for url in ("https://other.example:8443/hooks/sinch?a=1", "http://site.example/hooks/sinch#a"):
        assert isinstance(load().parse_webhook(replace(webhook(), url=url)), DeliveryReport)
    for url in ("", "//[", "https://site.example", "https://site.example/hooks/sinch/"):
        assert isinstance(load().parse_webhook(replace(webhook(), url=url)), Rejected)


def test_secret_that_is_not_base64_refuses_every_order() -> None:
    driver = load(credentials="FAKE-KEY:FAKE-SECRET")
    for exchange in (driver.start(order()), driver.check(PHONE, "4821", "sms:v1"), driver.delivery("sms:v1")):
        result, asked = overhear(exchange, ())
        assert asked == []
        assert isinstance(result, ProviderError)
        assert result.trouble is FailureKind.CONFIGURATION
        assert "Base64" in str(result)
    assert isinstance(driver.parse_webhook(webhook()), Rejected)
    basic = load("auth=basic", "FAKE-KEY:FAKE-SECRET")
    assert accepted(basic, order())[0] == Receipt("sms:v1")


def test_signature_without_an_offset_is_in_utc() -> None:
    driver, stamp = load(), "2026-01-01T00:00:00"
    key = base64.b64decode(SECRET)
    signature = driver.signature(key, "POST", "/hooks/sinch", "application/json", stamp, BODY)
    request = webhook(signature)
    same = replace(request, headers={**request.headers, "x-timestamp": stamp})
    assert isinstance(driver.parse_webhook(same), DeliveryReport)


def test_reference_is_the_key_of_the_order() -> None:
    assert accepted(load(), order(key="A" * 44 + ".2"))[1]["reference"] == "A" * 44 + ".2"


@pytest.mark.parametrize(("seconds", "expiry"), [(45, "00:00:45"), (120, "00:02:00"), (3725, "01:02:05")])
def test_code_expires_with_the_order(seconds: int, expiry: str) -> None:
    assert accepted(load(), order(seconds=seconds))[1]["smsOptions"] == {"expiry": expiry, "codeType": "Numeric"}


@pytest.mark.parametrize(
    ("caller", "length", "hint", "typed", "reported"),
    [
        ("%2B1815654xxxx", 4, "+1815654", "0001", "+18156540001"),
        ("%2B46xxxxxxxx", 8, "+46", "00000001", "+4600000001"),
        ("xxxx", 4, None, "0001", "0001"),
        ("number", None, None, "18156540001", "+18156540001"),
    ],
)
def test_caller_is_reported_as_the_option_says(
    caller: str, length: int | None, hint: str | None, typed: str, reported: str
) -> None:
    driver = load(f"caller={caller}")
    assert driver.abilities[Channel.FLASH_CALL].fixed_length == length
    assert accepted(driver, order(Channel.FLASH_CALL))[0] == Receipt("flashCall:v1", caller_hint=hint)
    _, asked = overhear(driver.check(PHONE, typed, "flashCall:v1"), [HttpResponse(200)])
    assert isinstance(asked[0], HttpRequest)
    assert json.loads(asked[0].body or b"") == {"method": "flashCall", "flashCall": {"cli": reported}}


def test_flash_calls_need_the_caller() -> None:
    assert set(load().abilities) == {Channel.SMS, Channel.VOICE, Channel.WHATSAPP}
    assert accepted(load("caller=xxxx"), order())[0].caller_hint is None


def test_length_of_codes_is_an_option() -> None:
    assert load().abilities[Channel.SMS].fixed_length is None
    assert load("code_length=6").abilities[Channel.WHATSAPP].fixed_length == 6


@pytest.mark.parametrize("lost", [UnclearError("late"), HttpResponse(200, {}, b"{}")])
def test_unclear_order_is_checked_by_our_key(lost: UnclearError | HttpResponse) -> None:
    """By its number, the newest verification would be checked, which may be another client's."""
    driver = load()
    placed = order(Channel.VOICE)
    result, _ = overhear(driver.start(placed), [lost])
    assert isinstance(result, UnclearError)
    assert result.reference == f"callout:?{placed.key}"
    found = {"id": "v1", "reference": placed.key, "status": "PENDING"}
    replies = [
        HttpResponse(200, {}, json.dumps({**found, "status": status}).encode()) for status in ("PENDING", "SUCCESSFUL")
    ]
    right, asked = overhear(driver.check(PHONE, "4821", result.reference), replies)
    assert right is True
    assert [request.url.rpartition("/verifications/")[2] for request in asked if isinstance(request, HttpRequest)] == [
        f"reference/{placed.key}", "id/v1",
    ]  # fmt: skip


def signed(driver: Sinch, document: dict[str, object], at: datetime) -> WebhookRequest:
    body, stamp, key = json.dumps(document).encode(), at.isoformat(), base64.b64decode(SECRET)
    signature = driver.signature(key, "POST", "/hook", "application/json", stamp, body)
    headers = {
        "authorization": f"Application FAKE-KEY:{signature}",
        "x-timestamp": stamp,
        "content-type": "application/json",
    }
    return WebhookRequest("POST", [], headers, body, "https://site.example/hook")


def test_only_orders_of_the_site_are_allowed() -> None:
    """Sinch asks while it answers the request that starts the verification."""
    driver, phone = load(), PhoneNumber("+989120000000")
    replies: list[Mapping[str, object] | None] = []

    def answer(request: HttpRequest) -> HttpResponse:
        sent = json.loads(request.body or b"")
        for changes in ({}, {"reference": "A" * 44 + ".1"}, {"identity": {"endpoint": "+989120000001"}}):
            question = {"event": "VerificationRequestEvent", "id": "v1", "method": "sms", **sent, **changes}
            result = verifier.receive("sinch", signed(driver, question, datetime.now(UTC)))
            replies.append(result.reply)
        return HttpResponse(200, {}, b'{"id": "v1"}')

    verifier = Verifier(
        Components(
            policy=Policy(),
            keyring=Keyring(["k-key-for-tests-0123456789abcdef"]),
            store=MemoryStore(),
            transport=FakeTransport([answer]),
            router=Router({Channel.SMS: [driver]}, ticks=time.monotonic),
            texts=lambda *_: "",
            webhook_url=lambda *_: None,
        )
    )
    assert isinstance(verifier.start(phone, channel=Channel.SMS), Started)
    assert replies == [{"action": "allow"}, {"action": "deny"}, {"action": "deny"}]


@pytest.mark.parametrize(
    ("dsn", "says"),
    [
        ("sinch://FAKE%20KEY:FAKE@default", "application_key"),
        ("sinch://FAKE@default", "APPLICATION_KEY:APPLICATION_SECRET"),
        ("sinch://FAKE:FAKE@default?caller=1815654xxxx", "caller.*xxxx"),
        ("sinch://FAKE:FAKE@default?caller=%2B1815654", "caller.*xxxx"),
        ("sinch://FAKE:FAKE@default?caller=xxx", "caller.*xxxx"),
        ("sinch://FAKE:FAKE@default?code_length=3", "4 to 9"),
        ("sinch://FAKE:FAKE@default?locale=english", "en-US"),
        ("sinch://FAKE:FAKE@default?auth=none", "signed, basic"),
    ],
)
def test_unusable_settings_are_reported(dsn: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=f"PHONE_VERIFY_SMS.*{says}") as raised:
        load_driver(parse_dsn(dsn, "PHONE_VERIFY_SMS"))
    assert "FAKE" not in str(raised.value)


def test_default_host_is_the_providers() -> None:
    assert load().base_url == "https://verification.api.sinch.com"
