"""MessageBird: the shared suite, the table of error codes, and the signature of webhooks."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from phone_verify.drivers.dsn import load_driver, parse_dsn
from phone_verify.drivers.messagebird import MessageBird
from phone_verify.errors import ConfigurationError, FailureKind, ProviderError
from phone_verify.exchange import HttpRequest, HttpResponse, Rejected, WebhookRequest
from phone_verify.model import Channel, CodeSource, DeliveryReport, Order
from phone_verify.phone import PhoneNumber
from phone_verify.testing.drivers import DriverSuite, overhear
from tests.cases import in_one_test

PHONE = PhoneNumber("+31612345678")


class TestMessageBird(DriverSuite):
    driver = MessageBird
    dsn = "messagebird://FAKE%2FToken%2B1@127.0.0.1:8025/base?tls=off&originator=Example"
    variants = ("language=en-gb&signing_key=FAKE-SIGNING-KEY", "name=messagebird-2&timeout=5")
    samples = Path(__file__).parent / "samples" / "messagebird"
    phone = "+31612345678"


#: Code and parameter of the vendor's errors, with the resulting failure kind of a start.
TABLE = """
    2  access_key configuration
    9  recipients bad_number
    9  originator configuration
    10 recipient  bad_number
    10 originator configuration
    21 -          configuration
    25 -          balance
    98 -          transient
    99 -          transient
    20 -          unknown
    77 -          unknown
"""
ERRORS = [tuple(line.split()) for line in TABLE.strip().splitlines()]


def load(options: str = "originator=Example", key: str = "FAKE-KEY") -> MessageBird:
    driver = load_driver(parse_dsn(f"messagebird://{key}@default?{options}", "PHONE_VERIFY_SMS"))
    assert isinstance(driver, MessageBird)
    return driver


def order(channel: Channel = Channel.SMS, seconds: int = 120, key: str = "") -> Order:
    return Order(PHONE, channel, timedelta(seconds=seconds), "482193", "482193 is your code.", key=key)


def sent(driver: MessageBird, an_order: Order) -> dict[str, object]:
    _, asked = overhear(driver.start(an_order), [HttpResponse(200)])
    assert isinstance(asked[0], HttpRequest)
    document: dict[str, object] = json.loads(asked[0].body or b"")
    return document


@in_one_test
@pytest.mark.parametrize("channel", [Channel.SMS, Channel.VOICE])
@pytest.mark.parametrize("status", [422, 200])
@pytest.mark.parametrize(("code", "parameter", "trouble"), ERRORS, ids=["-".join(row[:2]) for row in ERRORS])
def test_every_error_is_mapped(code: str, parameter: str, trouble: str, status: int, channel: Channel) -> None:
    error = {"code": int(code), "description": "d", "parameter": None if parameter == "-" else parameter}
    response = HttpResponse(status, {}, json.dumps({"errors": [error]}).encode())
    result, _ = overhear(load().start(order(channel)), [response])
    assert isinstance(result, ProviderError)
    assert result.trouble is FailureKind(trouble)


@pytest.mark.parametrize(("code", "parameter"), [(10, "token"), (9, "token"), (20, None)])
def test_wrong_code_is_an_error_of_the_token(code: int, parameter: str | None) -> None:
    """Or a verification that is not there; no other error is a verdict."""
    for named, is_verdict in ((parameter, True), ("recipient", False)):
        body = json.dumps({"errors": [{"code": code, "description": "d", "parameter": named}]}).encode()
        result, _ = overhear(load().check(PHONE, "482193", "verify/1"), [HttpResponse(422, {}, body)])
        assert result is False if is_verdict else isinstance(result, ProviderError)


def test_channels_are_those_with_an_originator() -> None:
    sources = {channel: ability.code_source for channel, ability in load("timeout=5").abilities.items()}
    assert sources == {Channel.VOICE: CodeSource.REMOTE_CHECK}
    assert load().abilities[Channel.SMS].code_source is CodeSource.LOCAL


def test_reports_are_ordered_only_if_they_can_be_checked() -> None:
    assert not load().abilities[Channel.SMS].webhook_url
    assert load(f"originator=Example&signing_key={SECRET}").abilities[Channel.SMS].webhook_url


@pytest.mark.parametrize(("seconds", "life"), [(10, 30), (30, 30), (600, 600)])
def test_code_of_a_call_lives_as_long_as_the_order(seconds: int, life: int) -> None:
    assert sent(load(), order(Channel.VOICE, seconds))["timeout"] == life
    assert sent(load(), order(Channel.SMS, seconds))["validity"] == seconds


def test_key_of_the_order_is_the_reference() -> None:
    assert sent(load(), order(key="abc.1"))["reference"] == "abc.1"
    assert "reference" not in sent(load(), order())


def test_only_a_number_places_calls() -> None:
    assert "originator" not in sent(load(), order(Channel.VOICE))
    assert sent(load("originator=31600000000"), order(Channel.VOICE))["originator"] == "31600000000"


def test_notice_is_an_sms() -> None:
    _, asked = overhear(load().notice(PHONE, "Changed."), [HttpResponse(201, {}, b'{"id": "1"}')])
    assert isinstance(asked[0], HttpRequest)
    text = {"originator": "Example", "recipients": "31612345678", "body": "Changed.", "datacoding": "auto"}
    assert json.loads(asked[0].body or b"") == text


#: Test values of the vendor's client (2.2.0): a URL, a body, and their token, valid for a minute from SIGNED_AT.
SECRET = "36efdd1aace2e26cd490f0d951138253bef2f7c6d34d18981da781555cc4cebb"
SIGNED_AT = datetime(2021, 7, 5, 10, tzinfo=UTC)
HEAD = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJNZXNzYWdlQmlyZCIsIm5iZiI6MTYyNTQ3OTIwMCwiZXhwIjox"
    "NjI1NDc5MjYwLCJqdGkiOiI"
)
VECTORS = [
    (
        "https://example.com/",
        b"",
        HEAD
        + "1OWEyNDRkYy1lOWFkLTRlMjMtOTc3OC0zNzFmYWEyMzhmNzIiLCJ1cmxfaGFzaCI6IjBmMTE1ZGIwNjJiN2MwZGQwMzBiMTY4NzhjOTlk"
        "ZWE1YzM1NGI0OWRjMzdiMzhlYjg4NDYxNzljNzc4M2U5ZDcifQ.6Fp0rVOsRr1fj9S2GidXAfkmPVofKr8_RTffC6G6r2E",
    ),
    (
        "https://example.com/path?bar=1&foo=2",
        b"Hello, World!",
        HEAD
        + "5M2U1NTAwNi1hMGU4LTQ1MjYtYTE5MC1mYTVmZjAwZWExMTYiLCJ1cmxfaGFzaCI6IjQxZjA1ZjBkZGQwYTIyYWIyMDlhYzQ2ZjQ3YzQ1"
        "NzJkOWNlZmEyNTdlZDc0YjI0MDA0YmFlNzUzZWNlNmMyNjAiLCJwYXlsb2FkX2hhc2giOiJkZmZkNjAyMWJiMmJkNWIwYWY2NzYyOTA4MDll"
        "YzNhNTMxOTFkZDgxYzdmNzBhNGIyODY4OGEzNjIxODI5ODZmIn0._H--TOuYFLpeEH39-rg5E3IHVkjHozBcaKVWPRC5m9I",
    ),
]


def webhook(token: str, url: str, body: bytes, late: float = 0) -> WebhookRequest:
    received = SIGNED_AT + timedelta(seconds=late)
    return WebhookRequest("POST", parse_qsl(url), {"messagebird-signature-jwt": token}, body, url, received)


def parsed(requests: Sequence[WebhookRequest], key: str = SECRET) -> list[DeliveryReport | Rejected | None]:
    driver = load(f"signing_key={key}")
    return [driver.parse_webhook(request) for request in requests]


@pytest.mark.parametrize(("url", "body", "token"), VECTORS, ids=["url", "body"])
def test_known_signature_is_accepted(url: str, body: bytes, token: str) -> None:
    right = [webhook(token, url, body, late) for late in (-1, 0, 61)]
    assert parsed(right) == [None, None, None]
    wrong = [webhook(token, url, body, late) for late in (-2, 62)]
    wrong += [webhook(token, url + "?a=1", body), webhook(token, url, body + b" "), webhook(token, "", body)]
    wrong += [webhook(other, url, body) for other in (token[:-2], "", "ключ", "a.b.c")]
    for result in parsed(wrong) + parsed(right, "0" * 64):
        assert isinstance(result, Rejected)


def test_signing_key_is_hidden() -> None:
    driver = load(f"signing_key={SECRET}")
    assert SECRET not in repr(driver)
    assert SECRET not in driver.redact(f"text {SECRET}")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("originator=a-name-that-is-too-long", "up to 11"),
        ("language=english", "en-gb"),
        ("template=Code", "%25token"),
        ("signing_key=", "write the secret"),
    ],
)
def test_unusable_settings_are_reported(options: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=f"PHONE_VERIFY_SMS.*{says}") as raised:
        load(options)
    assert "FAKE" not in str(raised.value)


def test_key_that_is_no_token_is_reported() -> None:
    with pytest.raises(ConfigurationError, match="access_key") as raised:
        load(key="FAKE%20KEY")
    assert "FAKE" not in str(raised.value)


def test_signing_key_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("phone_verify.drivers.kinds.signed_token.find_spec", lambda _: None)
    load()
    with pytest.raises(ConfigurationError, match="webhooks"):
        load(f"signing_key={SECRET}")


def test_default_host_is_the_providers() -> None:
    assert load().base_url == "https://rest.messagebird.com"
