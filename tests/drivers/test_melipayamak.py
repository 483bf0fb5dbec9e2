"""Melipayamak: the shared suite, the tables of errors and states, and what is an id."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from phone_verify.drivers.dsn import load_driver, parse_dsn
from phone_verify.drivers.melipayamak import Melipayamak
from phone_verify.errors import ConfigurationError, FailureKind, ProviderError
from phone_verify.exchange import HttpRequest, HttpResponse
from phone_verify.model import Channel, DeliveryReport, DeliveryState, Order, Receipt
from phone_verify.phone import PhoneNumber
from phone_verify.testing.drivers import DriverSuite, overhear
from tests.cases import in_one_test


class TestMelipayamak(DriverSuite):
    driver = Melipayamak
    dsn = "melipayamak://FAKE%2Fuser:FAKE%20pass%2B1@127.0.0.1:8025/base?tls=off&template=100000"
    variants = ("foreign=digits", "name=melipayamak-2&timeout=5")
    samples = Path(__file__).parent / "samples" / "melipayamak"
    phone, abroad = "+989120000000", "+79000000000"


#: The codes of the vendor's own clients, with the resulting failure kind.
TABLE = """
    0 configuration
    2 balance
    3 rate
    4 rate
    5 configuration
    6 transient
    7 configuration
    9 configuration
    10 configuration
    11 transient
    12 configuration
    14 configuration
    16 bad_number
    17 configuration
    35 bad_number
    -1 configuration
    -2 configuration
    -3 configuration
    -4 configuration
    -5 configuration
    -6 transient
    -7 configuration
    -10 configuration
    8 unknown
    -99 unknown
"""
ERRORS = [(int(code), kind) for code, kind in map(str.split, TABLE.strip().splitlines())]
STATES = {
    1: DeliveryState.DELIVERED,
    **dict.fromkeys((2, 16), DeliveryState.UNDELIVERED),
    **dict.fromkeys((0, 3, 8, 35, 100, 200, 400), DeliveryState.OPEN),
}
ID = "3456789012345678"


def load(options: str = "template=100000") -> Melipayamak:
    driver = load_driver(parse_dsn(f"melipayamak://FAKE-USER:FAKE-PASSWORD@default?{options}", "PHONE_VERIFY_SMS"))
    assert isinstance(driver, Melipayamak)
    return driver


def order() -> Order:
    return Order(PhoneNumber("+989120000000"), Channel.SMS, timedelta(minutes=2), "482193")


def answered(value: object, status: object = 1, http: int = 200) -> HttpResponse:
    document = {"Value": value, "RetStatus": status, "StrRetStatus": "خطا 09120000000"}
    return HttpResponse(http, {}, json.dumps(document).encode())


@in_one_test
@pytest.mark.parametrize("status", [1, 0, 35, "1", "35"])
@pytest.mark.parametrize(("code", "kind"), ERRORS)
def test_error_in_place_of_the_id_is_mapped(code: int, kind: str, status: object) -> None:
    for value in (code, str(code)):
        result, _ = overhear(load().start(order()), [answered(value, status)])
        assert isinstance(result, ProviderError)
        known = str(code) in Melipayamak.errors
        of_status = FailureKind.CONFIGURATION if status == 0 else None
        assert result.trouble is (FailureKind(kind) if known else of_status or FailureKind.UNKNOWN)
        assert "912000" not in result.detail


@in_one_test
@pytest.mark.parametrize("http", [200, 400])
@pytest.mark.parametrize(("code", "kind"), ERRORS)
def test_error_in_the_status_alone_is_mapped(code: int, kind: str, http: int) -> None:
    for status in (code, str(code)):
        for exchange in (load().start(order()), load().account(), load().delivery(ID)):
            result, _ = overhear(exchange, [answered("", status, http)])
            assert isinstance(result, ProviderError)
            # "InvalidData" comes with any error, and says nothing about the number.
            assert result.trouble is (FailureKind.UNKNOWN if code == 35 else FailureKind(kind))


def test_table_of_errors_has_no_other_codes() -> None:
    assert {code for code, _ in map(str.split, TABLE.strip().splitlines())} - {"8", "-99"} == set(Melipayamak.errors)


@in_one_test
@pytest.mark.parametrize(("written", "state"), STATES.items())
def test_every_state_is_mapped(written: int, state: DeliveryState) -> None:
    for value in (written, str(written)):
        report, _ = overhear(load().delivery(ID), [answered(value)])
        assert isinstance(report, DeliveryReport)
        assert report.state is state


@in_one_test
@pytest.mark.parametrize("digits", range(1, 20))
def test_number_of_digits_decides_what_is_an_id(digits: int) -> None:
    value = "3" * digits
    result, _ = overhear(load().start(order()), [answered(value)])
    assert isinstance(result, Receipt if digits >= 15 else ProviderError)
    assert not isinstance(result, Receipt) or result.reference == value


def test_nothing_is_in_the_url() -> None:
    for exchange in (load().start(order()), load().delivery(ID), load().account()):
        request = next(exchange)
        assert isinstance(request, HttpRequest)
        assert not any(part in request.url for part in ("FAKE", "912000", "482193", ID, "?"))


def test_unusable_settings_are_reported() -> None:
    for dsn in (
        "melipayamak://FAKE:FAKE@default",
        "melipayamak://FAKE@default?template=1",
        "melipayamak://FAKE:FAKE@default?template=login",
        "melipayamak://FAKE:FAKE@default?template=",
        "melipayamak://FAKE:FAKE@default?template=1&foreign=all",
    ):
        with pytest.raises(ConfigurationError, match="PHONE_VERIFY_SMS") as raised:
            load_driver(parse_dsn(dsn, "PHONE_VERIFY_SMS"))
        assert "FAKE" not in str(raised.value)


def test_default_host_is_the_providers() -> None:
    assert load().base_url == "https://rest.payamak-panel.com"
