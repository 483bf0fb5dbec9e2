"""Twilio Verify: the shared suite, the table of error codes, and codes of our own."""

import json
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from phone_verify.drivers.dsn import load_driver, parse_dsn
from phone_verify.drivers.twilio_verify import TwilioVerify
from phone_verify.errors import ConfigurationError, FailureKind, ProviderError
from phone_verify.exchange import HttpRequest, HttpResponse
from phone_verify.model import Channel, CodeSource, Order
from phone_verify.phone import PhoneNumber
from phone_verify.testing.drivers import DriverSuite, overhear
from tests.cases import in_one_test

ACCOUNT = "AC00000000000000000000000000000001"
SERVICE = "VA00000000000000000000000000000001"
PHONE = PhoneNumber("+15005550006")


class TestTwilioVerify(DriverSuite):
    driver = TwilioVerify
    dsn = f"twilio-verify://{ACCOUNT}:FAKE%2FToken%2B1@127.0.0.1:8025/base?tls=off&service={SERVICE}"
    variants = ("code_length=4&locale=fr", "name=verify-2&timeout=5")
    samples = Path(__file__).parent / "samples" / "twilio_verify"
    phone = "+15005550006"


#: The vendor's codes with the failure kind of a start, and what a check makes of them.
TABLE = """
    60200 bad_number    bad_number
    60205 bad_number    bad_number
    60413 bad_number    bad_number
    20003 configuration configuration
    20404 configuration wrong
    60201 configuration wrong
    60204 configuration configuration
    60217 configuration configuration
    60238 configuration configuration
    60252 configuration configuration
    60605 configuration configuration
    20429 rate          rate
    60202 rate          wrong
    60203 rate          rate
    60207 rate          rate
    60212 rate          rate
    60410 rate          rate
    20500 transient     transient
    12345 unknown       unknown
"""
ERRORS = [tuple(line.split()) for line in TABLE.strip().splitlines()]


def load(options: str = "", credentials: str = f"{ACCOUNT}:FAKE-TOKEN") -> TwilioVerify:
    dsn = f"twilio-verify://{credentials}@default?service={SERVICE}{options}"
    driver = load_driver(parse_dsn(dsn, "PHONE_VERIFY_SMS"))
    assert isinstance(driver, TwilioVerify)
    return driver


@in_one_test
@pytest.mark.parametrize(("code", "at_start", "at_check"), ERRORS, ids=[code for code, *_ in ERRORS])
def test_every_code_is_mapped(code: str, at_start: str, at_check: str) -> None:
    """The same code may be a refusal of a send and a verdict about a code."""
    body = json.dumps({"code": int(code), "message": "m", "status": 400}).encode()
    result, _ = overhear(load().start(Order(PHONE, Channel.SMS, timedelta(120))), [HttpResponse(400, {}, body)])
    assert isinstance(result, ProviderError)
    assert result.trouble is FailureKind(at_start)
    result, _ = overhear(load().check(PHONE, "482193", "VE1"), [HttpResponse(400, {}, body)])
    if at_check == "wrong":
        assert result is False
    else:
        assert isinstance(result, ProviderError)
        assert result.trouble is FailureKind(at_check)


def test_length_of_the_codes_is_an_option() -> None:
    assert {ability.fixed_length for ability in load().abilities.values()} == {None}
    assert {ability.fixed_length for ability in load("&code_length=10").abilities.values()} == {10}


def test_custom_code_is_checked_here() -> None:
    driver = load("&custom_code=on")
    assert {ability.code_source for ability in driver.abilities.values()} == {CodeSource.LOCAL}
    assert set(driver.abilities) == {Channel.SMS, Channel.VOICE, Channel.WHATSAPP}
    order = Order(PHONE, Channel.VOICE, timedelta(120), "4821")
    _, asked = overhear(driver.start(order), [HttpResponse(200)])
    assert isinstance(asked[0], HttpRequest)
    sent = dict(parse_qsl((asked[0].body or b"").decode()))
    assert sent == {"To": PHONE.e164, "Channel": "call", "CustomCode": "4821"}


def test_code_of_twilio_is_not_closed() -> None:
    """Another verification of the number may share it."""
    assert overhear(load().close("VE1", verified=False), ()) == (None, [])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("timeout=5", "service"),
        ("service=XX1", "VA"),
        (f"service={SERVICE}&code_length=3", "4, 5"),
        (f"service={SERVICE}&locale=english", "pt-BR"),
        (f"service={SERVICE}&custom_code=1", "on or off"),
    ],
)
def test_unusable_settings_are_reported(options: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=f"PHONE_VERIFY_SMS.*{says}") as raised:
        load_driver(parse_dsn(f"twilio-verify://{ACCOUNT}:FAKE@default?{options}", "PHONE_VERIFY_SMS"))
    assert "FAKE" not in str(raised.value)


def test_default_host_is_the_providers() -> None:
    assert load().base_url == "https://verify.twilio.com"
