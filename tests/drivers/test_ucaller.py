"""uCaller: the shared suite, the table of errors, the idempotency key, and calls that are reported."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from phone_verify.drivers.dsn import load_driver, parse_dsn
from phone_verify.drivers.ucaller import Ucaller
from phone_verify.errors import ConfigurationError, FailureKind, ProviderError
from phone_verify.exchange import HttpRequest, HttpResponse
from phone_verify.model import Channel, CodeSource, Order
from phone_verify.phone import PhoneNumber
from phone_verify.testing.drivers import DriverSuite, overhear
from tests.cases import in_one_test


class TestUcaller(DriverSuite):
    driver = Ucaller
    dsn = "ucaller://FAKE%2FKEY%2B1:9%2F01@127.0.0.1:8025/base?tls=off"
    variants = ("name=ucaller-2&timeout=5",)
    samples = Path(__file__).parent / "samples" / "ucaller"
    phone = "+79990000001"


#: The error codes of a published client, with the resulting failure kind.
TABLE = """
    0 configuration
    1 configuration
    2 configuration
    3 bad_number
    4 configuration
    5 transient
    9 bad_number
    10 configuration
    11 unknown
    12 unknown
    13 unknown
    18 rate
    19 rate
    20 bad_number
    401 configuration
    405 configuration
    429 rate
    500 transient
    1001 configuration
    1002 balance
    1003 configuration
    1004 configuration
    1005 configuration
    -1 unknown
    77 unknown
"""
ERRORS = [(int(code), kind) for code, kind in map(str.split, TABLE.strip().splitlines())]
URL = "https://site.example/phone/webhooks/ucaller/secret"


def load(credentials: str = "FAKE-KEY:900001") -> Ucaller:
    driver = load_driver(parse_dsn(f"ucaller://{credentials}@default", "PHONE_VERIFY_FLASH_CALL"))
    assert isinstance(driver, Ucaller)
    return driver


def order(channel: Channel = Channel.FLASH_CALL, key: str = "") -> Order:
    return Order(PhoneNumber("+79990000001"), channel, timedelta(minutes=2), "4821", webhook_url=URL, key=key)


@in_one_test
@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("channel", [Channel.FLASH_CALL, Channel.INBOUND_CALL])
@pytest.mark.parametrize(("code", "trouble"), ERRORS)
def test_every_error_is_mapped(channel: Channel, code: int, trouble: str, status: int) -> None:
    body = json.dumps({"status": False, "error": "no, 79990000001", "code": code}).encode()
    result, _ = overhear(load().start(order(channel)), [HttpResponse(status, {}, body)])
    assert isinstance(result, ProviderError)
    assert result.trouble is FailureKind(trouble)
    assert "999000" not in result.detail


@pytest.mark.parametrize("key", ["", "k" * 44 + ".1", "k" * 64])
def test_key_of_the_order_is_the_idempotency_key(key: str) -> None:
    _, asked = overhear(load().start(order(key=key)), [HttpResponse(200)])
    assert isinstance(asked[0], HttpRequest)
    sent = json.loads(asked[0].body or b"")
    assert sent.get("unique", "") == key


def test_code_has_four_digits() -> None:
    ability = load().abilities[Channel.FLASH_CALL]
    assert (ability.code_source, ability.shortest, ability.longest) == (CodeSource.LOCAL, 4, 4)


@pytest.mark.parametrize("credentials", ["FAKE%20KEY:900001", "FAKE-KEY:9%0A1", "FAKE-KEY:%D0%BA"])
def test_credentials_that_fit_into_no_header_are_refused(credentials: str) -> None:
    with pytest.raises(ConfigurationError, match="PHONE_VERIFY_FLASH_CALL") as raised:
        load(credentials)
    assert "FAKE" not in str(raised.value)


def test_default_host_is_the_providers() -> None:
    assert load().base_url == "https://api.ucaller.ru"
