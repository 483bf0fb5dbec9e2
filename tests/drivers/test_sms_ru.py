"""SMS.ru: the shared suite, the table of statuses, and the signature of webhooks."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phone_verify.drivers.dsn import load_driver, parse_dsn
from phone_verify.drivers.sms_ru import SmsRu
from phone_verify.errors import FailureKind, ProviderError
from phone_verify.exchange import HttpRequest, HttpResponse, Rejected, WebhookRequest
from phone_verify.model import Channel, CodeSource, DeliveryReport, DeliveryState, IncomingCall, Order
from phone_verify.phone import PhoneNumber
from phone_verify.testing.drivers import DriverSuite, overhear
from tests.cases import in_one_test


class TestSmsRu(DriverSuite):
    driver = SmsRu
    dsn = "sms-ru://FAKE%2FID%201@127.0.0.1:8025/base?tls=off"
    variants = ("sender=Example", "name=sms-ru-2&timeout=5")
    samples = Path(__file__).parent / "samples" / "sms_ru"
    phone = "+79990000001"


#: The statuses of published clients; the second column is the resulting failure kind.
TABLE = """
    104 transient
    105 bad_number
    106 bad_number
    107 bad_number
    108 bad_number
    150 bad_number
    200 configuration
    201 balance
    202 bad_number
    203 configuration
    204 configuration
    205 configuration
    206 balance
    207 bad_number
    208 configuration
    209 bad_number
    210 configuration
    211 configuration
    212 configuration
    213 configuration
    220 transient
    230 rate
    231 rate
    232 rate
    233 rate
    300 configuration
    301 configuration
    302 configuration
    303 rate
    304 rate
    305 rate
    500 transient
    901 configuration
    902 configuration
    -1 unknown
    999 unknown
"""
STATUSES = [tuple(line.split()) for line in TABLE.strip().splitlines()]
STATES = {
    **dict.fromkeys(("100", "101", "102", "999"), DeliveryState.OPEN),
    "103": DeliveryState.DELIVERED,
    **dict.fromkeys(("104", "105", "106", "107", "108", "150", "202", "207", "209"), DeliveryState.UNDELIVERED),
}

PHONE = PhoneNumber("+79990000001")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
CALL = "callcheck_status\n201737-542\n401\n1767225600"


def load(credentials: str = "FAKE-API-ID") -> SmsRu:
    driver = load_driver(parse_dsn(f"sms-ru://{credentials}@default", "PHONE_VERIFY_SMS"))
    assert isinstance(driver, SmsRu)
    return driver


def webhook(parameters: list[tuple[str, str]], at: datetime | None = NOW) -> WebhookRequest:
    return WebhookRequest("POST", parameters, {}, b"", received_at=at)


@in_one_test
@pytest.mark.parametrize("channel", [Channel.SMS, Channel.FLASH_CALL, Channel.INBOUND_CALL])
@pytest.mark.parametrize(("status", "trouble"), STATUSES, ids=[status for status, _ in STATUSES])
def test_every_status_is_mapped(channel: Channel, status: str, trouble: str) -> None:
    """As a number and as a text, at the top level, and for an SMS inside too."""
    order = Order(PHONE, channel, timedelta(minutes=5), "482193" if channel is Channel.SMS else None)
    for code in (int(status), status):
        error: dict[str, object] = {"status": "ERROR", "status_code": code, "status_text": "no, 79990000001"}
        documents: list[dict[str, object]] = [error]
        if channel is Channel.SMS:
            documents.append({"status": "OK", "status_code": 100, "sms": {"79990000001": error}})
        for document in documents:
            result, _ = overhear(load().start(order), [HttpResponse(200, {}, json.dumps(document).encode())])
            assert isinstance(result, ProviderError)
            assert result.trouble is FailureKind(trouble)
            assert "999000" not in result.detail


@in_one_test
@pytest.mark.parametrize(("code", "state"), STATES.items())
def test_every_state_of_a_message_is_mapped(code: str, state: DeliveryState) -> None:
    driver = load()
    text = f"sms_status\n000000-10000000\n{code}\n1767225600"
    assert driver.parse_webhook(signed(text)) == DeliveryReport("000000-10000000", state)
    if code != "999":
        document = {"status": "OK", "status_code": 100, "sms": {"1": {"status": "OK", "status_code": int(code)}}}
        report, _ = overhear(driver.delivery("1"), [HttpResponse(200, {}, json.dumps(document).encode())])
        assert report == DeliveryReport("1", state)


def signed(*texts: str) -> WebhookRequest:
    from hashlib import sha256

    digest = sha256(("FAKE-API-ID" + "".join(texts)).encode()).hexdigest()
    return webhook([*((f"data[{place}]", text) for place, text in enumerate(texts)), ("hash", digest)])


VECTORS = [
    ([CALL], "b163182a3c2ae61789e82e97922f895d4b7bd0585ed0f6c99dc88652f9cab06d"),
    ([CALL, "test"], "33c2a092d960237b4638d10c5a0cf7def9e078af5f240dc30264aada41df46f5"),
]


@pytest.mark.parametrize(("texts", "digest"), VECTORS)
def test_known_signature_is_accepted(texts: list[str], digest: str) -> None:
    parameters = [*((f"data[{place}]", text) for place, text in enumerate(texts)), ("hash", digest)]
    assert load().parse_webhook(webhook(parameters)) == IncomingCall("201737-542", None, None)
    for broken in (digest[:-1] + "0", digest[:-1], "", digest + "0"):
        assert isinstance(load().parse_webhook(webhook([*parameters[:-1], ("hash", broken)])), Rejected)


def test_every_entry_of_a_webhook_is_read() -> None:
    texts = [
        "test",
        "sms_status\n1\n103\n1767225600",
        CALL,
        "sms_status\n2\n104\n1767225600",
        CALL.replace("401", "402"),
    ]
    assert load().parse_webhook(signed(*texts)) == (
        DeliveryReport("1", DeliveryState.DELIVERED),
        IncomingCall("201737-542", None, None),
        DeliveryReport("2", DeliveryState.UNDELIVERED),
    )


def test_webhook_without_a_time_of_receipt_is_rejected() -> None:
    assert isinstance(load().parse_webhook(replace(signed(CALL), received_at=None)), Rejected)


def test_full_webhook_of_a_hundred_entries_is_read() -> None:
    from urllib.parse import urlencode

    from phone_verify.exchange import parameters_of

    request = signed(*["test"] * 99, CALL)
    assert load().parse_webhook(webhook([*parameters_of(urlencode(request.parameters))])) is not None


def test_login_and_password_are_sent_and_accept_no_webhook() -> None:
    driver = load("FAKE-LOGIN:FAKE-PASSWORD")
    _, asked = overhear(driver.account(), [HttpResponse(200)])
    assert isinstance(asked[0], HttpRequest)
    assert dict(parse_qsl((asked[0].body or b"").decode())) == {
        "login": "FAKE-LOGIN",
        "password": "FAKE-PASSWORD",
        "json": "1",
    }
    from hashlib import sha256

    keyless = webhook([("data[0]", CALL), ("hash", sha256(CALL.encode()).hexdigest())])
    assert isinstance(driver.parse_webhook(keyless), Rejected)


_NAMES = st.sampled_from(["data[0]", "data[1]", "data[x]", "hash"]) | st.text(max_size=10)
_VALUES = st.text(max_size=30) | st.sampled_from([CALL, VECTORS[0][1]])


@settings(max_examples=300, deadline=None, database=None)
@given(st.lists(st.tuples(_NAMES, _VALUES), max_size=5))
def test_unsigned_webhook_reports_nothing(parameters: list[tuple[str, str]]) -> None:
    event = load().parse_webhook(webhook(parameters))
    assert event is None or isinstance(event, Rejected) or (("hash", VECTORS[0][1]) in parameters)


@settings(max_examples=300, deadline=None, database=None)
@given(st.lists(st.text(max_size=30) | st.text("\n0123456789adcehklmstu_", max_size=60), min_size=1, max_size=4))
def test_any_signed_text_is_read_or_rejected(texts: list[str]) -> None:
    event = load().parse_webhook(signed(*texts))
    for each in event if isinstance(event, tuple) else (event,):
        assert each is None or isinstance(each, Rejected | DeliveryReport | IncomingCall)


def test_abilities_declare_the_limits() -> None:
    abilities = load().abilities
    assert {channel: (one.code_source, one.fixed_length, one.cap) for channel, one in abilities.items()} == {
        Channel.SMS: (CodeSource.LOCAL, None, None),
        Channel.FLASH_CALL: (CodeSource.PROVIDER, 4, None),
        Channel.INBOUND_CALL: (CodeSource.NONE, None, timedelta(minutes=5)),
    }


def test_default_host_is_the_providers() -> None:
    assert load().base_url == "https://sms.ru"


def test_unsupported_channel_raises_an_error() -> None:
    with pytest.raises(ValueError, match="voice"):
        next(load().start(Order(PHONE, Channel.VOICE, timedelta(seconds=60), "4821")))
