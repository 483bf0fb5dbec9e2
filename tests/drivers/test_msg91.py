"""MSG91: the shared suite, the texts of errors, and the request."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from phone_verify.drivers.dsn import load_driver, parse_dsn
from phone_verify.drivers.msg91 import Msg91
from phone_verify.errors import ConfigurationError, FailureKind, ProviderError
from phone_verify.exchange import HttpRequest, HttpResponse
from phone_verify.model import Channel, CodeSource, Order
from phone_verify.phone import PhoneNumber
from phone_verify.testing.drivers import DriverSuite, overhear
from tests.cases import in_one_test

PHONE = PhoneNumber("+919900000000")


class TestMsg91(DriverSuite):
    driver = Msg91
    dsn = "msg91://FAKE%2FKey%2B1@127.0.0.1:8025/base?tls=off&template_id=FAKE0001"
    variants = ("sender=EXMPLE", "name=msg91-2&timeout=5")
    samples = Path(__file__).parent / "samples" / "msg91"
    phone = "+919900000000"


#: The texts of the sources, in several spellings, with the resulting failure kind.
ERRORS = [
    ("Invalid authkey", "configuration"),
    ("invalid AuthKey", "configuration"),
    ("Template ID missing", "configuration"),
    ("template not approved for this mobile", "configuration"),
    ("Mobile no. empty or not numeric", "bad_number"),
    ("MOBILE NO. EMPTY OR NOT NUMERIC", "bad_number"),
    ("Mobile no. not found", "bad_number"),
    ("Low balance", "balance"),
    ("Max limit reached for this otp verification", "rate"),
    # They answer the provider's check and retry, which are not used.
    ("OTP not match", "unknown"),
    ("OTP expired", "unknown"),
    ("otp_expired", "unknown"),
    ("already verified", "unknown"),
    ("No OTP request found to retryotp", "unknown"),
]


def load(options: str = "template_id=FAKE0001", key: str = "FAKE-KEY") -> Msg91:
    driver = load_driver(parse_dsn(f"msg91://{key}@default?{options}", "PHONE_VERIFY_SMS"))
    assert isinstance(driver, Msg91)
    return driver


def order(seconds: float = 120) -> Order:
    return Order(PHONE, Channel.SMS, timedelta(seconds=seconds), "482193")


@in_one_test
@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize(("text", "trouble"), ERRORS)
def test_every_text_is_mapped(text: str, trouble: str, status: int) -> None:
    body = json.dumps({"type": "error", "message": text}).encode()
    result, _ = overhear(load().start(order()), [HttpResponse(status, {}, body)])
    assert isinstance(result, ProviderError)
    assert result.trouble is FailureKind(trouble)


def test_code_is_ours() -> None:
    assert load().abilities[Channel.SMS].code_source is CodeSource.LOCAL


@pytest.mark.parametrize(
    ("seconds", "minutes"), [(0, 1), (59, 1), (60, 1), (60.5, 2), (61, 2), (120, 2), (86400, 1440), (100000, 1440)]
)
def test_validity_covers_the_life_of_the_code(seconds: float, minutes: int) -> None:
    _, asked = overhear(load().start(order(seconds)), [HttpResponse(200)])
    assert isinstance(asked[0], HttpRequest)
    assert json.loads(asked[0].body or b"")["otp_expiry"] == minutes


def test_key_code_and_number_are_not_in_the_url() -> None:
    _, asked = overhear(load().start(order()), [HttpResponse(200)])
    assert isinstance(asked[0], HttpRequest)
    assert asked[0].url == "https://control.msg91.com/api/v5/otp"


@pytest.mark.parametrize(
    ("options", "key", "says"),
    [
        ("timeout=5", "FAKE", "template_id"),
        ("template_id=", "FAKE", "its id"),
        ("template_id=a%20b", "FAKE", "its id"),
        ("template_id=1&sender=", "FAKE", "letters and digits"),
        ("template_id=1&sender=AN-EXAMPLE", "FAKE", "letters and digits"),
        ("template_id=1", "FAKE:FAKE", "AUTHKEY"),
        ("template_id=1", "FAKE%20KEY", "authkey"),
    ],
)
def test_unusable_settings_are_reported(options: str, key: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=f"PHONE_VERIFY_SMS.*{says}") as raised:
        load(options, key)
    assert "FAKE" not in str(raised.value)


def test_default_host_is_the_providers() -> None:
    assert load().base_url == "https://control.msg91.com"
