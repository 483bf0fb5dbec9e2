"""sms.ir: the shared suite, and the tables of errors and states."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from phone_verify.drivers.dsn import load_driver, parse_dsn
from phone_verify.drivers.sms_ir import SmsIr
from phone_verify.errors import ConfigurationError, FailureKind, ProviderError
from phone_verify.exchange import HttpRequest, HttpResponse
from phone_verify.model import Channel, DeliveryReport, DeliveryState, Order
from phone_verify.phone import PhoneNumber
from phone_verify.testing.drivers import DriverSuite, overhear
from tests.cases import in_one_test


class TestSmsIr(DriverSuite):
    driver = SmsIr
    dsn = "sms-ir://FAKE%2FKEY%2B1@127.0.0.1:8025/base?tls=off&template=100000"
    variants = ("parameter=OTP", "foreign=digits", "name=sms-ir-2&timeout=5")
    samples = Path(__file__).parent / "samples" / "sms_ir"
    phone, abroad = "+989120000000", "+79000000000"


#: The statuses of the provider's docs, with the resulting failure kind.
TABLE = """
    0 transient
    10 configuration
    11 configuration
    12 configuration
    13 configuration
    14 configuration
    20 rate
    101 configuration
    102 balance
    103 configuration
    104 bad_number
    105 configuration
    106 configuration
    107 configuration
    108 configuration
    109 configuration
    110 configuration
    111 unknown
    112 unknown
    113 configuration
    114 configuration
    115 bad_number
    116 configuration
    117 configuration
    118 configuration
    119 configuration
    123 configuration
    -1 unknown
    2 unknown
"""
ERRORS = [(int(code), kind) for code, kind in map(str.split, TABLE.strip().splitlines())]
STATES = {
    1: DeliveryState.DELIVERED,
    **dict.fromkeys((2, 4, 6), DeliveryState.UNDELIVERED),
    **dict.fromkeys((0, 3, 5, 99), DeliveryState.OPEN),
}


def load(options: str = "template=100000", key: str = "FAKE-KEY") -> SmsIr:
    driver = load_driver(parse_dsn(f"sms-ir://{key}@default?{options}", "PHONE_VERIFY_SMS"))
    assert isinstance(driver, SmsIr)
    return driver


def order() -> Order:
    return Order(PhoneNumber("+989120000000"), Channel.SMS, timedelta(minutes=2), "482193")


@in_one_test
@pytest.mark.parametrize("http", [200, 400])
@pytest.mark.parametrize(("status", "kind"), ERRORS)
def test_every_error_is_mapped(status: int, kind: str, http: int) -> None:
    for written in (status, str(status)):
        body = json.dumps({"status": written, "message": "خطا 09120000000", "data": None}).encode()
        result, _ = overhear(load().start(order()), [HttpResponse(http, {}, body)])
        assert isinstance(result, ProviderError)
        assert result.trouble is FailureKind(kind)
        assert "912000" not in result.detail
        assert (f"code {status}" in result.detail) is (str(status) in SmsIr.errors)


def test_table_of_errors_has_no_other_codes() -> None:
    assert {code for code, _ in map(str.split, TABLE.strip().splitlines())} - {"-1", "2"} == set(SmsIr.errors)


@pytest.mark.parametrize(("written", "state"), STATES.items())
def test_every_state_is_mapped(written: int, state: DeliveryState) -> None:
    body = json.dumps({"status": 1, "data": {"messageId": 7, "deliveryState": written}}).encode()
    report, _ = overhear(load().delivery("7"), [HttpResponse(200, {}, body)])
    assert isinstance(report, DeliveryReport)
    assert report.state is state


def test_reference_is_one_segment_of_the_url() -> None:
    _, (request,) = overhear(load().delivery("../credit?x"), [HttpResponse(200)])
    assert isinstance(request, HttpRequest)
    assert request.url == "https://api.sms.ir/v1/send/..%2Fcredit%3Fx"


def test_unusable_settings_are_reported() -> None:
    for dsn in (
        "sms-ir://FAKE@default",
        "sms-ir://FAKE@default?template=login",
        "sms-ir://FAKE@default?template=",
        "sms-ir://FAKE@default?template=1&parameter=a%20b",
        "sms-ir://FAKE@default?template=1&foreign=all",
        "sms-ir://FAKE%20KEY@default?template=1",
    ):
        with pytest.raises(ConfigurationError, match="PHONE_VERIFY_SMS") as raised:
            load_driver(parse_dsn(dsn, "PHONE_VERIFY_SMS"))
        assert "FAKE" not in str(raised.value)


def test_default_host_is_the_providers() -> None:
    assert load().base_url == "https://api.sms.ir"
