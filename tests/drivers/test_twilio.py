"""Twilio: the shared suite, the table of error codes, and the signature of webhooks."""

import hashlib
import json
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

import pytest

from phone_verify.drivers.dsn import load_driver, parse_dsn
from phone_verify.drivers.kinds.vendor_signatures import twilio_signature
from phone_verify.drivers.twilio import Twilio
from phone_verify.errors import ConfigurationError, FailureKind, ProviderError
from phone_verify.exchange import FORM, HttpRequest, HttpResponse, Rejected, WebhookRequest
from phone_verify.model import Channel, DeliveryReport, DeliveryState, Order
from phone_verify.phone import PhoneNumber
from phone_verify.testing.drivers import DriverSuite, overhear
from tests.cases import in_one_test

ACCOUNT = "AC00000000000000000000000000000001"
PHONE = PhoneNumber("+15005550006")


class TestTwilio(DriverSuite):
    driver = Twilio
    dsn = f"twilio://{ACCOUNT}:FAKE%2FToken%2B1@127.0.0.1:8025/base?tls=off&sender=%2B15005550001"
    variants = (
        "whatsapp_sender=%2B15005550002&content_sid=HX00000000000000000000000000000001",
        "name=twilio-2&timeout=5",
    )
    samples = Path(__file__).parent / "samples" / "twilio"
    phone = "+15005550006"


#: The vendor's codes with the resulting failure kind.
TABLE = """
    21211 bad_number
    21610 bad_number
    21614 bad_number
    30005 bad_number
    30006 bad_number
    30002 balance
    20003 configuration
    21408 configuration
    21606 configuration
    21659 configuration
    63016 configuration
    20429 rate
    30001 transient
    30003 transient
    30008 transient
    30007 unknown
    12345 unknown
"""
ERRORS = [(int(code), kind) for code, kind in map(str.split, TABLE.strip().splitlines())]


def load(options: str = "sender=%2B15005550001", credentials: str = f"{ACCOUNT}:FAKE-TOKEN") -> Twilio:
    driver = load_driver(parse_dsn(f"twilio://{credentials}@default?{options}", "PHONE_VERIFY_SMS"))
    assert isinstance(driver, Twilio)
    return driver


def order(channel: Channel = Channel.SMS, seconds: int = 120) -> Order:
    return Order(PHONE, channel, timedelta(seconds=seconds), "482193", "482193 is your code.")


def asked(driver: Twilio, an_order: Order) -> HttpRequest:
    _, requests = overhear(driver.start(an_order), [HttpResponse(200)])
    assert isinstance(requests[0], HttpRequest)
    return requests[0]


def fields(driver: Twilio, an_order: Order) -> dict[str, str]:
    return dict(parse_qsl((asked(driver, an_order).body or b"").decode()))


@in_one_test
@pytest.mark.parametrize("status", [400, 201])
@pytest.mark.parametrize(("code", "trouble"), ERRORS)
def test_every_code_is_mapped(code: int, trouble: str, status: int) -> None:
    """Of a refusal, and of a message that has failed when it is accepted."""
    failed = {"sid": "SM1", "status": "failed", "error_code": code}
    body = {"code": code, "message": "m", "status": 400} if status == 400 else failed
    result, _ = overhear(load().start(order()), [HttpResponse(status, {}, json.dumps(body).encode())])
    assert isinstance(result, ProviderError)
    assert result.trouble is FailureKind(trouble)


def webhook(signature: str, url: str, form: dict[str, str], body: bytes | None = None) -> WebhookRequest:
    headers = {"x-twilio-signature": signature}
    if body is None:
        headers["content-type"] = FORM
    return WebhookRequest("POST", list(form.items()), headers, body or urlencode(form).encode(), url)


#: The vendor's own test value, and one that was computed independently.
VECTORS = [
    (
        "12345",
        "https://mycompany.com/myapp.php?foo=1&bar=2",
        {
            "CallSid": "CA1234567890ABCDE",
            "Caller": "+14158675309",
            "Digits": "1234",
            "From": "+14158675309",
            "To": "+18005551212",
        },
        "RSOYDt4T1cUTdK1PDd93/VVr8B8=",
        None,
    ),
    (
        "FAKE_AUTH_TOKEN",
        "https://example.com/hooks/twilio",
        {"MessageSid": "SM00000000000000000000000000000001", "MessageStatus": "delivered", "To": "+15005550006"},
        "s10iHaj1S45HyM6fqYqSoCln2RI=",
        DeliveryReport("SM00000000000000000000000000000001", DeliveryState.DELIVERED, "delivered"),
    ),
]


@pytest.mark.parametrize(("token", "url", "form", "signature", "report"), VECTORS)
def test_known_signature_is_accepted(
    token: str, url: str, form: dict[str, str], signature: str, report: DeliveryReport | None
) -> None:
    driver = load(credentials=f"{ACCOUNT}:{token}")
    assert driver.parse_webhook(webhook(signature, url, form)) == report
    assert driver.parse_webhook(webhook(signature, url.replace(".com/", ".com:443/"), form)) == report
    for other in (signature[:-2] + "A=", "", "ключ"):
        assert isinstance(driver.parse_webhook(webhook(other, url, form)), Rejected)
    assert isinstance(load().parse_webhook(webhook(signature, url, form)), Rejected)
    assert isinstance(driver.parse_webhook(webhook(signature, "", form)), Rejected)
    assert isinstance(driver.parse_webhook(webhook(signature, url, {**form, "Extra": "1"})), Rejected)


def test_body_that_is_no_form_needs_its_digest() -> None:
    body, driver = b'{"a": 1}', load()
    for digest, is_signed in ((hashlib.sha256(body).hexdigest(), True), ("0" * 64, False)):
        url = f"https://site.example/hook?bodySHA256={digest}"
        signature = twilio_signature(driver.auth_token, url).decode()
        result = driver.parse_webhook(webhook(signature, url, {}, body))
        assert result is None if is_signed else isinstance(result, Rejected)


def test_digest_that_is_no_ascii_is_rejected() -> None:
    url = "https://site.example/hook?bodySHA256=%D0%BA"
    assert isinstance(load().parse_webhook(webhook("", url, {}, b"{}")), Rejected)


def test_repeated_fields_are_signed_once_and_in_order() -> None:
    driver, url = load(), "https://site.example/hook"
    signature = twilio_signature(driver.auth_token, f"{url}A1A2").decode()
    fields = [("A", "2"), ("A", "1"), ("A", "2")]
    request = WebhookRequest(
        "POST", fields, {"x-twilio-signature": signature, "content-type": FORM}, urlencode(fields).encode(), url
    )
    assert driver.parse_webhook(request) is None


def test_api_key_needs_the_account_and_its_token_for_webhooks() -> None:
    options = f"sender=%2B15005550001&account_id={ACCOUNT}"
    driver = load(options, "SK1:FAKE-SECRET")
    assert f"/Accounts/{ACCOUNT}/" in asked(driver, order()).url
    _, url, form, signature, report = VECTORS[1]
    assert isinstance(driver.parse_webhook(webhook(signature, url, form)), Rejected)
    known = load(f"{options}&webhook_token=FAKE_AUTH_TOKEN", "SK1:FAKE-SECRET")
    assert known.parse_webhook(webhook(signature, url, form)) == report
    assert "FAKE_AUTH_TOKEN" not in repr(known)
    assert "FAKE_AUTH_TOKEN" not in known.redact("FAKE_AUTH_TOKEN")


def test_messaging_service_replaces_the_sender() -> None:
    sent = fields(load("messaging_service=MG00000000000000000000000000000001"), order())
    assert sent["MessagingServiceSid"] == "MG00000000000000000000000000000001"
    assert "From" not in sent


@pytest.mark.parametrize(("seconds", "told"), [(0, "1"), (60, "60"), (90000, "36000")])
def test_message_is_dropped_after_the_life_of_the_code(seconds: int, told: str) -> None:
    assert fields(load(), order(seconds=seconds))["ValidityPeriod"] == told


def test_notice_is_an_sms() -> None:
    _, requests = overhear(load().notice(PHONE, "Changed."), [HttpResponse(201, {}, b'{"sid": "SM1"}')])
    assert isinstance(requests[0], HttpRequest)
    sent = dict(parse_qsl((requests[0].body or b"").decode()))
    assert sent == {"To": PHONE.e164, "From": "+15005550001", "Body": "Changed."}


@pytest.mark.parametrize(
    ("options", "credentials", "says"),
    [
        ("timeout=5", f"{ACCOUNT}:FAKE", "sender"),
        ("sender=%2B15005550001&messaging_service=MG01", f"{ACCOUNT}:FAKE", "exclude"),
        ("whatsapp_sender=%2B15005550001", f"{ACCOUNT}:FAKE", "content_sid"),
        ("sender=%2B15005550001", "SK1:FAKE", "account_id"),
        ("sender=a-name-that-is-too-long", f"{ACCOUNT}:FAKE", "sender"),
        ("messaging_service=XX1", f"{ACCOUNT}:FAKE", "MG"),
        ("sender=%2B15005550001&webhook_token=", f"{ACCOUNT}:FAKE", "write the secret"),
        ("whatsapp_sender=Shop&content_sid=HX01", f"{ACCOUNT}:FAKE", "E.164"),
    ],
)
def test_unusable_settings_are_reported(options: str, credentials: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=f"PHONE_VERIFY_SMS.*{says}") as raised:
        load(options, credentials)
    assert "FAKE" not in str(raised.value)


def test_default_host_is_the_providers() -> None:
    assert load().base_url == "https://api.twilio.com"
