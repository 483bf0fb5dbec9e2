"""Kavenegar: the shared suite, the tables of errors and states, and a key that stays out of sight."""

import json
import logging
import traceback
from datetime import timedelta
from pathlib import Path

import pytest

from phone_verify.drivers.dsn import load_driver, parse_dsn
from phone_verify.drivers.kavenegar import Kavenegar
from phone_verify.errors import ConfigurationError, FailureKind, ProviderError, UnclearError
from phone_verify.exchange import HttpRequest, HttpResponse, WebhookRequest
from phone_verify.model import Channel, DeliveryReport, DeliveryState, Order
from phone_verify.phone import PhoneNumber
from phone_verify.sync import run
from phone_verify.testing.drivers import DriverSuite, overhear
from phone_verify.transports.blocking import BlockingTransport
from tests.cases import in_one_test


class TestKavenegar(DriverSuite):
    driver = Kavenegar
    dsn = "kavenegar://FAKE%2FKEY%2B1@127.0.0.1:8025/base?tls=off&template=login"
    variants = ("foreign=digits", "name=kavenegar-2&timeout=5")
    samples = Path(__file__).parent / "samples" / "kavenegar"
    phone, abroad = "+989120000000", "+79000000000"


#: The codes of the vendor's own clients, with the resulting failure kind.
TABLE = """
    400 configuration
    401 configuration
    402 transient
    403 configuration
    404 configuration
    405 configuration
    406 configuration
    407 configuration
    409 transient
    411 bad_number
    412 configuration
    413 configuration
    414 configuration
    415 configuration
    416 configuration
    417 configuration
    418 balance
    419 configuration
    420 configuration
    422 configuration
    424 configuration
    426 configuration
    427 configuration
    428 unknown
    429 rate
    431 configuration
    432 configuration
    451 rate
    501 configuration
    1 unknown
    499 unknown
"""
ERRORS = [(int(code), kind) for code, kind in map(str.split, TABLE.strip().splitlines())]
STATES = {
    10: DeliveryState.DELIVERED,
    **dict.fromkeys((6, 11, 13, 14), DeliveryState.UNDELIVERED),
    **dict.fromkeys((0, 1, 2, 4, 5, 50, 99, 100), DeliveryState.OPEN),
}


def load(place: str = "default", template: str = "login") -> Kavenegar:
    dsn = f"kavenegar://FAKE%2FKEY%201@{place}{'&' if '?' in place else '?'}template={template}"
    driver = load_driver(parse_dsn(dsn, "PHONE_VERIFY_SMS"))
    assert isinstance(driver, Kavenegar)
    return driver


def order(channel: Channel = Channel.SMS) -> Order:
    return Order(PhoneNumber("+989120000000"), channel, timedelta(minutes=2), "482193")


@in_one_test
@pytest.mark.parametrize("channel", [Channel.SMS, Channel.VOICE])
@pytest.mark.parametrize(("code", "kind"), ERRORS)
def test_every_error_is_mapped(code: int, kind: str, channel: Channel) -> None:
    for written in (code, str(code)):
        for http in (200, 400, 500):
            body = json.dumps({"return": {"status": written, "message": "خطا 09120000000"}, "entries": None}).encode()
            result, _ = overhear(load().start(order(channel)), [HttpResponse(http, {}, body)])
            assert isinstance(result, ProviderError)
            assert result.trouble is (FailureKind(kind) if str(code) in Kavenegar.errors else fallback(http))
            assert "912000" not in result.detail
            assert (f"code {code}" in result.detail) is (str(code) in Kavenegar.errors)


def fallback(http: int) -> FailureKind:
    """The kind of an unknown code: that of the HTTP status."""
    return FailureKind.TRANSIENT if http == 500 else FailureKind.UNKNOWN


@in_one_test
@pytest.mark.parametrize(("code", "kind"), [(code, kind) for code, kind in ERRORS if code >= 400])
def test_http_status_is_the_code_of_an_unreadable_body(code: int, kind: str) -> None:
    for body in (b"", b"<html>", b"[]", b'{"return": null}'):
        result, _ = overhear(load().start(order()), [HttpResponse(code, {}, body)])
        assert isinstance(result, ProviderError)
        assert result.trouble is FailureKind(kind)


def test_table_of_errors_has_no_other_codes() -> None:
    assert {code for code, _ in map(str.split, TABLE.strip().splitlines())} - {"1", "499"} == set(Kavenegar.errors)


@in_one_test
@pytest.mark.parametrize(("status", "state"), STATES.items())
def test_every_state_is_mapped(status: int, state: DeliveryState) -> None:
    body = json.dumps({"return": {"status": 200}, "entries": [{"messageid": 7, "status": status}]}).encode()
    queried, _ = overhear(load().delivery("7"), [HttpResponse(200, {}, body)])
    received = load().parse_webhook(WebhookRequest("POST", [("messageid", "7"), ("status", str(status))], {}, b""))
    for report in (queried, received):
        assert isinstance(report, DeliveryReport)
        assert (report.reference, report.state) == ("7", state)


@pytest.mark.parametrize("channel", [Channel.SMS, Channel.VOICE])
def test_key_in_the_url_is_not_shown(channel: Channel, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    driver = load("127.0.0.1:1?tls=off")
    request = next(driver.start(order(channel)))
    assert isinstance(request, HttpRequest)
    assert "/v1/FAKE%2FKEY%201/verify/lookup.json" in request.url
    with pytest.raises((ProviderError, UnclearError)) as raised:
        run(BlockingTransport().send(request, 2))
    shown = caplog.text + repr(request) + repr(driver) + "".join(traceback.format_exception(raised.value))
    assert "KEY" not in shown


def test_number_and_code_are_in_the_body_only() -> None:
    for exchange in (load().start(order()), load().delivery("8792343")):
        request = next(exchange)
        assert isinstance(request, HttpRequest)
        assert not any(part in request.url for part in ("912000", "482193", "8792343", "?"))


def test_unusable_settings_are_reported() -> None:
    for dsn in (
        "kavenegar://FAKE@default",
        "kavenegar://FAKE@default?template=",
        "kavenegar://FAKE:FAKE@default?template=login",
        "kavenegar://default?template=login",
        "kavenegar://FAKE@default?template=login&foreign=all",
    ):
        with pytest.raises(ConfigurationError, match="PHONE_VERIFY_SMS") as raised:
            load_driver(parse_dsn(dsn, "PHONE_VERIFY_SMS"))
        assert "FAKE" not in str(raised.value)


def test_default_host_is_the_providers() -> None:
    assert load().base_url == "https://api.kavenegar.com"
