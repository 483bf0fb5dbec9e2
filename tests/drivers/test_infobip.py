"""Infobip: the shared suite, the table of errors, and what an unclear start keeps."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from phone_verify.drivers.base import Retries
from phone_verify.drivers.dsn import load_driver, parse_dsn
from phone_verify.drivers.infobip import Infobip
from phone_verify.errors import ConfigurationError, FailureKind, ProviderError, UnclearError
from phone_verify.exchange import HttpRequest, HttpResponse
from phone_verify.model import Channel, Order
from phone_verify.phone import PhoneNumber
from phone_verify.testing.drivers import DriverSuite, overhear

OPTIONS = "application=APPLICATION1&message=MESSAGE1"


class TestInfobip(DriverSuite):
    driver = Infobip
    dsn = f"infobip://FAKE%2Fkey%2B1@127.0.0.1:8025/base?tls=off&{OPTIONS}"
    variants = ("sender=Example&code_length=6", "name=infobip-2&timeout=5")
    samples = Path(__file__).parent / "samples" / "infobip"
    phone = "+15005550006"


#: The HTTP statuses and errors of the fact sheet, with the resulting failure kind.
TABLE = """
    400 BAD_REQUEST unknown
    401 UNAUTHORIZED configuration
    403 FORBIDDEN configuration
    404 NOT_FOUND configuration
    429 TOO_MANY_REQUESTS rate
    500 GENERAL_ERROR transient
    503 SERVICE_UNAVAILABLE transient
"""
ERRORS = [tuple(line.split()) for line in TABLE.strip().splitlines()]

#: The states of a number whose message was not sent.
NOT_SENT = [
    ("NC_DESTINATION_UNKNOWN", "bad_number"),
    ("NC_DESTINATION_NOT_REACHABLE", "bad_number"),
    ("NC_DESTINATION_REACHABLE", "unknown"),
    ("NC_NOT_CONFIGURED", "unknown"),
]


def load(options: str = OPTIONS, place: str = "FAKE-KEY@id.api.infobip.com") -> Infobip:
    driver = load_driver(parse_dsn(f"infobip://{place}?{options}", "PHONE_VERIFY_SMS"))
    assert isinstance(driver, Infobip)
    return driver


def order(channel: Channel = Channel.SMS) -> Order:
    return Order(PhoneNumber("+15005550006"), channel, timedelta(seconds=120))


def answer(status: int, document: object) -> HttpResponse:
    return HttpResponse(status, {}, json.dumps(document).encode())


@pytest.mark.parametrize(("status", "id", "trouble"), ERRORS, ids=[error[1] for error in ERRORS])
def test_every_error_is_mapped(status: str, id: str, trouble: str) -> None:
    document = {"requestError": {"serviceException": {"messageId": id, "text": "m"}}}
    result, _ = overhear(load().start(order()), [answer(int(status), document)])
    assert isinstance(result, ProviderError)
    assert result.trouble is FailureKind(trouble)


@pytest.mark.parametrize(("state", "trouble"), NOT_SENT)
def test_message_that_was_not_sent_is_a_refusal(state: str, trouble: str) -> None:
    document = {"pinId": "PIN1", "ncStatus": state, "smsStatus": "MESSAGE_NOT_SENT"}
    result, _ = overhear(load().start(order()), [answer(200, document)])
    assert isinstance(result, ProviderError)
    assert result.trouble is FailureKind(trouble)


@pytest.mark.parametrize("channel", [Channel.SMS, Channel.VOICE])
def test_unclear_start_keeps_the_pin_id(channel: Channel) -> None:
    result, _ = overhear(load().start(order(channel)), [answer(200, {"pinId": "PIN1"})])
    assert isinstance(result, UnclearError)
    assert result.reference == "PIN1"


def test_pin_id_stays_inside_of_the_path() -> None:
    _, asked = overhear(load().check(PhoneNumber("+15005550006"), "482193", "../x?y#z"), [HttpResponse(500)])
    assert isinstance(asked[0], HttpRequest)
    assert asked[0].url == "https://id.api.infobip.com/2fa/2/pin/..%2Fx%3Fy%23z/verify"


def test_resend_is_a_new_pin() -> None:
    assert not isinstance(load(), Retries)


def test_length_of_a_pin_is_that_of_the_option() -> None:
    assert load().abilities[Channel.SMS].fixed_length is None
    assert load(f"{OPTIONS}&code_length=6").abilities[Channel.VOICE].fixed_length == 6


@pytest.mark.parametrize(
    ("options", "place"),
    [
        (OPTIONS, "FAKE%20KEY@id.api.infobip.com"),
        (OPTIONS, "FAKE-KEY@default"),
        ("application=APPLICATION1", "FAKE-KEY@id.api.infobip.com"),
        ("message=MESSAGE1", "FAKE-KEY@id.api.infobip.com"),
        ("application=&message=MESSAGE1", "FAKE-KEY@id.api.infobip.com"),
        (f"{OPTIONS}&code_length=3", "FAKE-KEY@id.api.infobip.com"),
        (f"{OPTIONS}&sender=%2B15005550001", "FAKE-KEY@id.api.infobip.com"),
    ],
)
def test_unusable_settings_are_reported(options: str, place: str) -> None:
    with pytest.raises(ConfigurationError, match="PHONE_VERIFY_SMS") as raised:
        load(options, place)
    assert "FAKE" not in str(raised.value)


def test_host_is_that_of_the_account() -> None:
    assert load().base_url == "https://id.api.infobip.com"
