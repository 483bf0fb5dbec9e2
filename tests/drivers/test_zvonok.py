"""Zvonok: the shared suite, the texts of errors, the dial statuses, and the line of a campaign."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from phone_verify.drivers.dsn import load_driver, parse_dsn
from phone_verify.drivers.zvonok import Zvonok
from phone_verify.errors import ConfigurationError, FailureKind, ProviderError
from phone_verify.exchange import HttpResponse
from phone_verify.model import CallState, Channel, CodeSource, DeliveryReport, Order, Sighting
from phone_verify.phone import PhoneNumber
from phone_verify.testing.drivers import DriverSuite, overhear
from tests.cases import in_one_test

PHONE = PhoneNumber("+79990000001")
LINE = "line=%2B74950000000"


class TestZvonok(DriverSuite):
    driver = Zvonok
    dsn = f"zvonok://FAKE%2Fkey%2B1:9%2F0%2B1@127.0.0.1:8025/base?tls=off&{LINE}"
    variants = ("name=zvonok-2&timeout=5",)
    samples = Path(__file__).parent / "samples" / "zvonok"
    phone = PHONE.e164


#: Texts of errors, with the resulting failure kind.
TABLE = """
    Not-enough-balance balance
    Недостаточный-баланс balance
    Invalid-public_key configuration
    Campaign-not-found configuration
    Кампания-не-найдена configuration
    Invalid-phone bad_number
    Неверный-телефон bad_number
    Try-later unknown
"""
ERRORS = [tuple(line.split()) for line in TABLE.strip().splitlines()]
#: The dial statuses of published clients, with the state of the delivery.
STATES = {
    "delivered": [5],
    "undelivered": [1, 11, 12, 23, 24, 25, 26, 29],
    "open": [0, 2, 3, 4, 6, 7, 8, 9, 10, 13, 14, 15, 18, 30, 31, 35, 99],
}


def load(options: str = LINE) -> Zvonok:
    driver = load_driver(parse_dsn(f"zvonok://FAKE-KEY:900001@default?{options}", "PHONE_VERIFY_FLASH_CALL"))
    assert isinstance(driver, Zvonok)
    return driver


def call(**fields: object) -> HttpResponse:
    return HttpResponse(200, {}, json.dumps([{"call_id": 78, **fields}]).encode())


@in_one_test
@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("channel", [Channel.FLASH_CALL, Channel.VOICE, Channel.INBOUND_CALL])
@pytest.mark.parametrize(("text", "trouble"), ERRORS)
def test_every_error_is_mapped(channel: Channel, text: str, trouble: str, status: int) -> None:
    said = text.replace("-", " ")
    body = json.dumps({"status": "error", "data": f"{said} 79990000001"}).encode()
    order = Order(PHONE, channel, timedelta(minutes=2), "4821")
    result, _ = overhear(load().start(order), [HttpResponse(status, {}, body)])
    assert isinstance(result, ProviderError)
    assert result.trouble is FailureKind(trouble)
    assert said.replace("_", " ") in result.detail.replace("_", " ")
    assert "999000" not in result.detail


@pytest.mark.parametrize(("status", "trouble"), [(429, FailureKind.RATE), (503, FailureKind.TRANSIENT)])
def test_status_of_the_provider_counts_before_words(status: int, trouble: FailureKind) -> None:
    order = Order(PHONE, Channel.FLASH_CALL, timedelta(minutes=2))
    body = b'{"status": "error", "data": "Too many calls to this phone"}'
    result, _ = overhear(load().start(order), [HttpResponse(status, {}, body)])
    assert isinstance(result, ProviderError)
    assert result.trouble is trouble


@pytest.mark.parametrize(("state", "numbers"), STATES.items())
def test_every_dial_status_is_mapped(state: str, numbers: list[int]) -> None:
    for number in numbers:
        report, _ = overhear(load().delivery("78"), [call(dial_status=number)])
        assert isinstance(report, DeliveryReport)
        assert report.state == state, number


def test_only_the_confirmed_status_verifies() -> None:
    for number in range(40):
        sighting, _ = overhear(load().poll("78"), [call(status="compl_finished", dial_status=number)])
        assert isinstance(sighting, Sighting)
        assert sighting.state is not CallState.CONFIRMED, number


def test_code_sources_are_declared() -> None:
    abilities = load().abilities
    assert {channel: ability.code_source for channel, ability in abilities.items()} == {
        Channel.FLASH_CALL: CodeSource.PROVIDER,
        Channel.VOICE: CodeSource.LOCAL,
        Channel.INBOUND_CALL: CodeSource.NONE,
    }
    assert abilities[Channel.FLASH_CALL].fixed_length == 4
    assert abilities[Channel.INBOUND_CALL].cap == timedelta(minutes=5)
    assert abilities[Channel.INBOUND_CALL].announced


def test_inbound_calls_need_a_line() -> None:
    assert Channel.INBOUND_CALL not in load("name=zvonok-2").abilities
    assert load("line=74950000000").line == PhoneNumber("+74950000000")


@pytest.mark.parametrize("options", ["line=", "line=soon", "line=%2B7495", "line=84950000000000000"])
def test_unusable_line_is_refused(options: str) -> None:
    with pytest.raises(ConfigurationError, match=r"'line': write the number in E\.164") as raised:
        load(options)
    assert "FAKE" not in str(raised.value)


def test_default_host_is_the_providers() -> None:
    assert load().base_url == "https://zvonok.com"
