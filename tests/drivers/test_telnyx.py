"""Telnyx: the shared suite, the table of error codes, and the signature of webhooks."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from phone_verify.drivers.dsn import load_driver, parse_dsn
from phone_verify.drivers.telnyx import Telnyx
from phone_verify.errors import ConfigurationError, FailureKind, ProviderError, UnclearError
from phone_verify.exchange import HttpRequest, HttpResponse, Rejected, WebhookRequest
from phone_verify.model import Channel, CodeSource, DeliveryReport, DeliveryState, Order
from phone_verify.phone import PhoneNumber
from phone_verify.testing.drivers import DriverSuite, overhear
from tests.cases import in_one_test

PROFILE = "12ade33a-0000-473b-b055-b3c836e1c292"
PUBLIC_KEY = "A6EHv%2FPOEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg%3D"
PHONE = PhoneNumber("+15005550006")


class TestTelnyx(DriverSuite):
    driver = Telnyx
    dsn = f"telnyx://KEY0FAKE%2F1%2B@127.0.0.1:8025/base?tls=off&profile={PROFILE}&public_key={PUBLIC_KEY}"
    variants = ("flash_digits=4&whatsapp_digits=6", "name=telnyx-2&timeout=5")
    samples = Path(__file__).parent / "samples" / "telnyx"
    phone = "+15005550006"


#: The vendor's codes with the resulting failure kind; the one for no money is assumed.
TABLE = """
    10002 bad_number
    10004 configuration
    10005 configuration
    10007 transient
    10008 transient
    10009 configuration
    10010 configuration
    10011 rate
    10015 configuration
    10016 bad_number
    20100 balance
    12345 unknown
"""
ERRORS = [tuple(line.split()) for line in TABLE.strip().splitlines()]


def load(options: str = "", profile: str = PROFILE) -> Telnyx:
    driver = load_driver(parse_dsn(f"telnyx://KEY0FAKE@default?profile={profile}{options}", "PHONE_VERIFY_SMS"))
    assert isinstance(driver, Telnyx)
    return driver


def order(channel: Channel = Channel.SMS, seconds: int = 120) -> Order:
    return Order(PHONE, channel, timedelta(seconds=seconds), "482193")


@in_one_test
@pytest.mark.parametrize("status", [200, 422])
@pytest.mark.parametrize(("code", "trouble"), ERRORS, ids=[code for code, _ in ERRORS])
def test_every_code_is_mapped(code: str, trouble: str, status: int) -> None:
    body = json.dumps({"errors": [{"code": code, "title": "t", "detail": "d"}]}).encode()
    result, _ = overhear(load().start(order()), [HttpResponse(status, {}, body)])
    assert isinstance(result, ProviderError)
    assert result.trouble is FailureKind(trouble)


#: A signature that was made with OpenSSL.
BODY = b'{"data":{"event_type":"verify.delivered","payload":{"id":"v1","custom_code":"25565"}}}'
SIGNATURE = "hmu3ekhCd7/edBYGkm4uT7abVGgd8/iG834iN/hczxn1wTiOosaXC1RibrLgaed3krvEAiELuSPyuzbdc/dBDA=="
SIGNED_AT = datetime(2026, 1, 1, tzinfo=UTC)


def webhook(signature: str = SIGNATURE, body: bytes = BODY, time: str = "1767225600", late: int = 0) -> WebhookRequest:
    headers = {"telnyx-timestamp": time, "telnyx-signature-ed25519": signature}
    return WebhookRequest("POST", [], headers, body, received_at=SIGNED_AT + timedelta(seconds=late))


def test_known_signature_is_accepted() -> None:
    report = DeliveryReport("v1", DeliveryState.DELIVERED, "verify.delivered")
    for request in (webhook(), webhook(late=300), webhook(late=-300)):
        assert load(f"&public_key={PUBLIC_KEY}").parse_webhook(request) == report


@in_one_test
@pytest.mark.parametrize(
    "request_",
    [
        webhook(late=301),
        webhook(late=-301),
        webhook(body=BODY + b" "),
        webhook(time="1767225601"),
        webhook(time="01767225600"),
        webhook(SIGNATURE[1:]),
        webhook(SIGNATURE.swapcase()),
        webhook(""),
        webhook("ключ"),
        replace(webhook(), received_at=None),
    ],
)
def test_other_signature_is_rejected(request_: WebhookRequest) -> None:
    assert isinstance(load(f"&public_key={PUBLIC_KEY}").parse_webhook(request_), Rejected)


def test_webhook_is_rejected_without_the_public_key() -> None:
    assert load().parse_webhook(webhook()) == Rejected("write the option public_key to check signatures")


def test_public_key_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("phone_verify.drivers.kinds.signed_token.find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=r"public_key.*phone-verify\[webhooks\]"):
        load(f"&public_key={PUBLIC_KEY}")
    load()


def test_our_code_is_in_no_report() -> None:
    """The provider puts it into its webhooks in clear."""
    report = load(f"&public_key={PUBLIC_KEY}").parse_webhook(webhook())
    assert isinstance(report, DeliveryReport)
    assert "25565" not in repr(report)
    assert "25565" not in repr(webhook())


@pytest.mark.parametrize("channel", list(Channel))
def test_only_sms_and_voice_carry_our_code(channel: Channel) -> None:
    driver = load()
    ability = driver.abilities.get(channel)
    if ability is None:
        return
    _, asked = overhear(driver.start(order(channel, 95)), [HttpResponse(200)])
    assert isinstance(asked[0], HttpRequest)
    sent = json.loads(asked[0].body or b"")
    assert sent["timeout_secs"] == 95
    assert ("custom_code" in sent) is (ability.code_source is CodeSource.LOCAL) is (channel in ("sms", "voice"))


def test_unclear_order_can_be_checked_by_its_number() -> None:
    driver = load()
    result, _ = overhear(driver.start(order(Channel.FLASH_CALL)), [HttpResponse(200, {}, b"{}")])
    assert isinstance(result, UnclearError)
    answer = HttpResponse(200, {}, b'{"data": {"response_code": "accepted"}}')
    right, asked = overhear(driver.check(PHONE, "4821", result.reference), [answer])
    assert right is True
    assert isinstance(asked[0], HttpRequest)
    assert json.loads(asked[0].body or b"") == {"code": "4821", "verify_profile_id": PROFILE}


def test_length_of_the_providers_codes_is_an_option() -> None:
    for options, flash, whatsapp in (("", None, None), ("&flash_digits=4&whatsapp_digits=6", 4, 6)):
        abilities = load(options).abilities
        assert abilities[Channel.FLASH_CALL].fixed_length == flash
        assert abilities[Channel.WHATSAPP].fixed_length == whatsapp


@pytest.mark.parametrize(
    ("dsn", "says"),
    [
        ("telnyx://FAKE@default", "profile=12ade33a"),
        ("telnyx://FAKE@default?profile=login", "UUID"),
        (f"telnyx://FAKE%20KEY@default?profile={PROFILE}", "api_key"),
        (f"telnyx://FAKE@default?profile={PROFILE}&public_key=FAKE", "32 bytes"),
        (f"telnyx://FAKE@default?profile={PROFILE}&public_key=%2B%2B%2B", "32 bytes"),
        (f"telnyx://FAKE@default?profile={PROFILE}&flash_digits=3", "4 to 9"),
        (f"telnyx://FAKE@default?profile={PROFILE}&whatsapp_digits=ten", "4 to 9"),
    ],
)
def test_unusable_settings_are_reported(dsn: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=f"PHONE_VERIFY_SMS.*{says}") as raised:
        load_driver(parse_dsn(dsn, "PHONE_VERIFY_SMS"))
    assert "FAKE" not in str(raised.value)


def test_default_host_is_the_providers() -> None:
    assert load().base_url == "https://api.telnyx.com"
