"""Africa's Talking: the shared suite, the table of status codes, and the empty list of recipients."""

import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from phone_verify.drivers.africastalking import AfricasTalking
from phone_verify.drivers.dsn import load_driver, parse_dsn
from phone_verify.errors import ConfigurationError, FailureKind, ProviderError, UnclearError
from phone_verify.exchange import HttpRequest, HttpResponse
from phone_verify.model import Channel, Order, Receipt
from phone_verify.phone import PhoneNumber
from phone_verify.testing.drivers import DriverSuite, overhear
from tests.cases import in_one_test

PHONE = PhoneNumber("+254712345678")


class TestAfricasTalking(DriverSuite):
    driver = AfricasTalking
    dsn = "africastalking://FAKE%2Fuser:FAKE%2FKey%2B1@127.0.0.1:8025/base?tls=off"
    variants = ("sender=Example", "name=africa-2&timeout=5")
    samples = Path(__file__).parent / "samples" / "africastalking"
    phone = "+254712345678"


#: The codes of the vendor's table with the resulting failure kind, and some that are not in it.
TABLE = """
    401 configuration
    402 configuration
    403 bad_number
    404 bad_number
    405 balance
    406 bad_number
    407 unknown
    409 bad_number
    500 transient
    501 transient
    502 transient
    99 unknown
    103 unknown
    408 unknown
"""
ERRORS = [(int(code), kind) for code, kind in map(str.split, TABLE.strip().splitlines())]


def load(options: str = "timeout=5", credentials: str = "sandbox:FAKE-KEY", host: str = "default") -> AfricasTalking:
    driver = load_driver(parse_dsn(f"africastalking://{credentials}@{host}?{options}", "PHONE_VERIFY_SMS"))
    assert isinstance(driver, AfricasTalking)
    return driver


ORDER = Order(PHONE, Channel.SMS, timedelta(seconds=120), "482193", "482193 is your code.")


def response(code: object, status: str = "Success", http: int = 201) -> HttpResponse:
    recipient = {"statusCode": code, "number": PHONE.e164, "status": status, "cost": "KES 0.8000", "messageId": "ATX1"}
    data = {"Message": "Sent to 1/1 Total Cost: KES 0.8000", "Recipients": [recipient]}
    return HttpResponse(http, {}, json.dumps({"SMSMessageData": data}).encode())


@in_one_test
@pytest.mark.parametrize(("code", "trouble"), ERRORS)
def test_every_code_is_mapped(code: int, trouble: str) -> None:
    """Its text does not decide: texts differ between sources."""
    for status in ("Success", "InvalidPhoneNumber"):
        result, _ = overhear(load().start(ORDER), [response(code, status)])
        assert isinstance(result, ProviderError)
        assert result.trouble is FailureKind(trouble)


@pytest.mark.parametrize("code", [100, 101, 102])
@pytest.mark.parametrize("status", ["Success", "InvalidPhoneNumber"])
def test_accepted_codes_are_a_success(code: int, status: str) -> None:
    result, _ = overhear(load().start(ORDER), [response(code, status)])
    assert result == Receipt("ATX1", price=Decimal("0.8000"), currency="KES")


@pytest.mark.parametrize("code", [True, 101.0, [101], None, ""])
def test_other_codes_are_unclear(code: object) -> None:
    result, _ = overhear(load().start(ORDER), [response(code)])
    assert isinstance(result, UnclearError)


def test_notice_is_an_sms() -> None:
    for answer, kind in ((response(101), type(None)), (response(403), ProviderError), (response(None), UnclearError)):
        result, asked = overhear(load("sender=Example").notice(PHONE, "Changed."), [answer])
        assert isinstance(result, kind)
        assert isinstance(asked[0], HttpRequest)
        sent = dict(parse_qsl((asked[0].body or b"").decode()))
        assert sent == {
            "username": "sandbox",
            "to": PHONE.e164,
            "message": "Changed.",
            "bulkSMSMode": "1",
            "from": "Example",
        }


def test_key_and_number_are_not_in_the_url() -> None:
    _, asked = overhear(load().start(ORDER), [response(101)])
    assert isinstance(asked[0], HttpRequest)
    assert asked[0].url == "https://api.africastalking.com/version1/messaging"


@pytest.mark.parametrize(
    ("options", "credentials", "says"),
    [
        ("sender=a-name", "FAKE:FAKE", "short code"),
        ("sender=A%20name%20of%2012", "FAKE:FAKE", "short code"),
        ("sender=", "FAKE:FAKE", "short code"),
        ("timeout=5", "FAKE", "USERNAME:API_KEY"),
        ("timeout=5", "FAKE:FAKE%20KEY", "api_key"),
    ],
)
def test_unusable_settings_are_reported(options: str, credentials: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=f"PHONE_VERIFY_SMS.*{says}") as raised:
        load(options, credentials)
    assert "FAKE" not in str(raised.value)


def test_default_host_is_the_providers() -> None:
    assert load().base_url == "https://api.africastalking.com"
    assert load(host="api.sandbox.africastalking.com").base_url == "https://api.sandbox.africastalking.com"
