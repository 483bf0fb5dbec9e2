"""Telefon-IP: the shared suite, its number plan and its features."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from phone_verify.drivers.dsn import load_driver, parse_dsn
from phone_verify.drivers.telefon_ip import TelefonIp
from phone_verify.errors import ConfigurationError, ProviderError
from phone_verify.exchange import HttpResponse
from phone_verify.model import CallState, Channel, CodeSource, Order, Sighting
from phone_verify.phone import HIDDEN_CALLER_DIGITS, PhoneNumber
from phone_verify.testing.drivers import DriverSuite, overhear
from tests.cases import in_one_test


class TestTelefonIp(DriverSuite):
    driver = TelefonIp
    dsn = "telefon-ip://fake%2Ftoken%201@127.0.0.1:8025/base?tls=off"
    variants = ("foreign=digits", "sms=on", "telegram_prefix=7")
    samples = Path(__file__).parent / "samples" / "telefon_ip"
    phone, abroad = "+79000000000", "+989120000000"


def load(options: str = "") -> TelefonIp:
    driver = load_driver(parse_dsn(f"telefon-ip://FAKE-TOKEN@default{options}", "PHONE_VERIFY_INBOUND_CALL"))
    assert isinstance(driver, TelefonIp)
    return driver


def caller(reported: object, options: str = "") -> PhoneNumber | None:
    body = json.dumps({"success": True, "error": "", "data": {"id": 7, "status": "ok", "phone": reported}}).encode()
    sighting, _ = overhear(load(options).poll("7"), [HttpResponse(200, {}, body)])
    assert isinstance(sighting, Sighting)
    assert sighting.state is CallState.CALLED
    return sighting.caller


@pytest.mark.parametrize(
    ("reported", "e164"),
    [
        ("89000000000", "+79000000000"),
        ("79000000000", "+79000000000"),
        ("9000000000", "+79000000000"),
        ("+79000000000", "+79000000000"),
        (" 89000000000 ", "+79000000000"),
        (89000000000, "+79000000000"),
        ("87010000000", "+77010000000"),
        ("84950000000", "+74950000000"),
    ],
)
def test_russian_numbers_are_recognised(reported: object, e164: str) -> None:
    assert caller(reported) == PhoneNumber(e164)


@in_one_test
@pytest.mark.parametrize("options", ["", "?foreign=digits"])
@pytest.mark.parametrize(
    "reported",
    [
        "anonymous",
        "Restricted",
        "private",
        "unknown",
        "hidden",
        "-",
        "0",
        "890000000",
        "890000000000",
        "8900000000O",
        "8 900 000 00 00",
        "+7 900 000 00 00",
        "٨٩٠٠٠٠٠٠٠٠٠",
        "²9000000000",
        "89000000000;ext=1",
        "++79000000000",
        *(number[1:] for number in sorted(HIDDEN_CALLER_DIGITS)),
        *sorted(HIDDEN_CALLER_DIGITS),
    ],
)
def test_non_numeric_caller_matches_nothing(reported: str, options: str) -> None:
    assert caller(reported, options) is None


@pytest.mark.parametrize(
    ("reported", "refuse", "digits"),
    [
        ("989120000000", None, "+989120000000"),
        ("+989120000000", "+989120000000", "+989120000000"),
        ("9613123456", None, "+9613123456"),  # Lebanon; not +7 961 312 34 56
        ("84912345678", "+74912345678", "+84912345678"),  # the provider's form, unless foreign numbers are allowed
    ],
)
def test_foreign_callers_follow_the_option(reported: str, refuse: str | None, digits: str) -> None:
    assert caller(reported) == (refuse and PhoneNumber(refuse))
    assert caller(reported, "?foreign=digits") == PhoneNumber(digits)


@pytest.mark.parametrize(
    ("status", "trouble"), [(401, "configuration"), (404, "unknown"), (429, "rate"), (500, "transient")]
)
def test_text_decides_only_if_the_status_does_not(status: int, trouble: str) -> None:
    body = json.dumps({"success": False, "error": "phone is not valid, token", "data": {}}).encode()
    order = Order(PhoneNumber("+79000000000"), Channel.SMS, timedelta(seconds=60), "4821")
    error, _ = overhear(load().start(order), [HttpResponse(status, {}, body)])
    assert isinstance(error, ProviderError)
    assert error.trouble == trouble


def test_limits_of_every_channel_are_declared() -> None:
    """The provider's TTLs and code lengths; the length of a provider code is not fixed."""
    abilities = load().abilities
    assert {channel: (a.code_source, a.shortest, a.longest, a.fixed_length) for channel, a in abilities.items()} == {
        Channel.INBOUND_CALL: (CodeSource.NONE, None, None, None),
        Channel.FLASH_CALL: (CodeSource.PROVIDER, None, None, None),
        Channel.SMS: (CodeSource.LOCAL, 4, 4, None),
        Channel.TELEGRAM: (CodeSource.LOCAL, 4, 4, None),
    }
    assert abilities[Channel.INBOUND_CALL].cap == timedelta(seconds=120)
    assert abilities[Channel.TELEGRAM].cap == timedelta(seconds=90)


def test_default_host_is_the_providers() -> None:
    assert load().base_url == "https://api.telefon-ip.ru"


def test_unsupported_channel_raises_an_error() -> None:
    order = Order(PhoneNumber("+79000000000"), Channel.VOICE, timedelta(seconds=60), "4821")
    with pytest.raises(ValueError, match="voice"):
        next(load().start(order))


@pytest.mark.parametrize("option", ["sms=yes", "telegram_prefix=9", "foreign=all"])
def test_unreadable_option_is_reported(option: str) -> None:
    with pytest.raises(ConfigurationError, match=option.partition("=")[0]):
        load("?" + option)
