"""Ghasedak: the shared suite, the tables of errors and states, and names of fields in any case."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from phone_verify.drivers.dsn import load_driver, parse_dsn
from phone_verify.drivers.ghasedak import Ghasedak
from phone_verify.errors import ConfigurationError, FailureKind, ProviderError
from phone_verify.exchange import HttpRequest, HttpResponse
from phone_verify.model import Channel, DeliveryReport, DeliveryState, Order, Receipt
from phone_verify.phone import PhoneNumber
from phone_verify.testing.drivers import DriverSuite, overhear
from tests.cases import in_one_test


class TestGhasedak(DriverSuite):
    driver = Ghasedak
    dsn = "ghasedak://FAKE%2FKEY%2B1@127.0.0.1:8025/base?tls=off&template=login"
    variants = ("parameter=otp", "foreign=digits", "name=ghasedak-2&timeout=5")
    samples = Path(__file__).parent / "samples" / "ghasedak"
    phone, abroad = "+989120000000", "+79000000000"


#: The assumed status codes, with the resulting failure kind.
TABLE = {
    **dict.fromkeys((401, 403), FailureKind.CONFIGURATION),
    **dict.fromkeys((402, 418), FailureKind.BALANCE),
    429: FailureKind.RATE,
}
#: The `SendStatus` of the vendor's Python client.
DELIVERED, UNDELIVERED = {14}, {1, 6, 7, 8, 12, 13, 15, 16}


def load(options: str = "template=login") -> Ghasedak:
    driver = load_driver(parse_dsn(f"ghasedak://FAKE-KEY@default?{options}", "PHONE_VERIFY_SMS"))
    assert isinstance(driver, Ghasedak)
    return driver


def order(channel: Channel = Channel.SMS) -> Order:
    return Order(PhoneNumber("+989120000000"), channel, timedelta(minutes=2), "482193")


def cased(document: Any, change: Any) -> Any:
    """Return the document with the names of its fields changed."""
    if isinstance(document, dict):
        return {change(name): cased(value, change) for name, value in document.items()}
    return [cased(value, change) for value in document] if isinstance(document, list) else document


def answered(document: object, status: int = 200) -> HttpResponse:
    return HttpResponse(status, {}, json.dumps(document).encode())


@in_one_test
@pytest.mark.parametrize("channel", [Channel.SMS, Channel.VOICE])
@pytest.mark.parametrize("http", [200, 400])
@pytest.mark.parametrize("code", [*TABLE, 400, 404, 1])
def test_every_error_is_mapped(code: int, http: int, channel: Channel) -> None:
    for written in (code, str(code)):
        body = {"IsSuccess": False, "StatusCode": written, "Message": "خطا 09120000000", "Data": None}
        result, _ = overhear(load().start(order(channel)), [answered(body, http)])
        assert isinstance(result, ProviderError)
        assert result.trouble is TABLE.get(code, FailureKind.UNKNOWN)
        assert "912000" not in result.detail


def test_table_of_errors_has_no_other_codes() -> None:
    assert {str(code): kind for code, kind in TABLE.items()} == Ghasedak.errors


@in_one_test
@pytest.mark.parametrize("status", range(20))
def test_every_state_is_mapped(status: int) -> None:
    item = {"MessageId": "7", "Status": status}
    report, _ = overhear(load().delivery("7"), [answered({"IsSuccess": True, "Data": {"Items": [item]}})])
    assert isinstance(report, DeliveryReport)
    assert (report.state is DeliveryState.DELIVERED) is (status in DELIVERED)
    assert (report.state is DeliveryState.UNDELIVERED) is (status in UNDELIVERED)
    assert report.said == (f"status {status}" if status < 18 else "other status")


@pytest.mark.parametrize("change", [str.lower, str.upper, str.title, str.swapcase])
def test_case_of_field_names_does_not_matter(change: Any) -> None:
    accepted = {"IsSuccess": True, "StatusCode": 200, "Data": {"Items": [{"MessageId": 7, "Cost": 850}]}}
    receipt, _ = overhear(load().start(order()), [answered(cased(accepted, change))])
    assert isinstance(receipt, Receipt)
    assert receipt.reference == "7"
    refused = {"IsSuccess": False, "StatusCode": 402, "Message": "-"}
    result, _ = overhear(load().start(order()), [answered(cased(refused, change))])
    assert isinstance(result, ProviderError)
    assert result.trouble is FailureKind.BALANCE


@pytest.mark.parametrize("channel", [Channel.SMS, Channel.VOICE])
def test_key_of_the_order_is_our_reference(channel: Channel) -> None:
    request = next(load().start(replace(order(channel), key="our-key")))
    assert isinstance(request, HttpRequest)
    assert json.loads(request.body or b"")["Receptors"] == [{"Mobile": "09120000000", "ClientReferenceId": "our-key"}]


def test_unusable_settings_are_reported() -> None:
    for dsn in (
        "ghasedak://FAKE@default",
        "ghasedak://FAKE@default?template=",
        "ghasedak://FAKE@default?template=login&parameter=a%20b",
        "ghasedak://FAKE@default?template=login&foreign=all",
        "ghasedak://FAKE%20KEY@default?template=login",
    ):
        with pytest.raises(ConfigurationError, match="PHONE_VERIFY_SMS") as raised:
            load_driver(parse_dsn(dsn, "PHONE_VERIFY_SMS"))
        assert "FAKE" not in str(raised.value)


def test_default_host_is_the_providers() -> None:
    assert load().base_url == "https://gateway.ghasedak.me"
