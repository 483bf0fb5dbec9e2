"""Plivo: the shared suite, HTTP statuses, and the signature of webhooks."""

import json
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlencode

import pytest

from phone_verify.drivers.dsn import load_driver, parse_dsn
from phone_verify.drivers.plivo import Plivo
from phone_verify.errors import ConfigurationError, FailureKind, ProviderError
from phone_verify.exchange import FORM, HttpRequest, HttpResponse, Rejected, WebhookRequest, parameters_of
from phone_verify.model import Channel, CodeSource, DeliveryReport, DeliveryState, Order
from phone_verify.phone import PhoneNumber
from phone_verify.testing.drivers import DriverSuite, overhear
from tests.cases import in_one_test

ACCOUNT = "MAFAKE00000000000001"
PHONE = PhoneNumber("+15005550006")
SENDER = "sender=%2B15005550001"


class TestPlivo(DriverSuite):
    driver = Plivo
    dsn = f"plivo://{ACCOUNT}:FAKE%2FToken%2B1@127.0.0.1:8025/base?tls=off&{SENDER}"
    variants = ("whatsapp_sender=%2B15005550002&template=login_code", "locale=fr&name=plivo-2&timeout=5")
    samples = Path(__file__).parent / "samples" / "plivo"
    phone = "+15005550006"


#: The statuses of the vendor's docs, 402 (assumed), and the resulting failure kind.
TABLE = """
    400 unknown
    401 configuration
    402 balance
    403 configuration
    404 unknown
    405 unknown
    429 rate
    500 transient
    503 transient
"""
ERRORS = [(int(status), kind) for status, kind in map(str.split, TABLE.strip().splitlines())]


def load(options: str = SENDER, token: str = "FAKE_AUTH_TOKEN") -> Plivo:
    driver = load_driver(parse_dsn(f"plivo://{ACCOUNT}:{token}@default?{options}", "PHONE_VERIFY_SMS"))
    assert isinstance(driver, Plivo)
    return driver


@in_one_test
@pytest.mark.parametrize("channel", [Channel.SMS, Channel.VOICE])
@pytest.mark.parametrize(("status", "trouble"), ERRORS)
def test_every_status_is_mapped(status: int, trouble: str, channel: Channel) -> None:
    body = json.dumps({"api_id": "1", "error": "text"}).encode()
    order = Order(PHONE, channel, timedelta(120), "482193")
    result, _ = overhear(load().start(order), [HttpResponse(status, {}, body)])
    assert isinstance(result, ProviderError)
    assert result.trouble is FailureKind(trouble)


@pytest.mark.parametrize(("status", "trouble"), ERRORS)
def test_wrong_code_is_400_or_404(status: int, trouble: str) -> None:
    body = json.dumps({"api_id": "1", "error": "text"}).encode()
    result, _ = overhear(load().check(PHONE, "482193", "Verify/Session/1"), [HttpResponse(status, {}, body)])
    if status in (400, 404):
        assert result is False
    else:
        assert isinstance(result, ProviderError)
        assert result.trouble is FailureKind(trouble)


def test_channels_are_those_with_a_sender() -> None:
    sources = {channel: ability.code_source for channel, ability in load("timeout=5").abilities.items()}
    assert sources == {Channel.VOICE: CodeSource.REMOTE_CHECK}
    both = load(f"{SENDER}&whatsapp_sender=%2B15005550002&template=login_code").abilities
    assert set(both) == {Channel.SMS, Channel.VOICE, Channel.WHATSAPP}


def test_powerpack_replaces_the_sender() -> None:
    order = Order(PHONE, Channel.SMS, timedelta(120), "482193", "482193 is your code.")
    _, asked = overhear(load("powerpack=ab-1").start(order), [HttpResponse(202)])
    assert isinstance(asked[0], HttpRequest)
    text = {"type": "sms", "powerpack_uuid": "ab-1", "dst": PHONE.e164, "text": "482193 is your code."}
    assert json.loads(asked[0].body or b"") == text


def test_notice_is_an_sms() -> None:
    _, asked = overhear(load().notice(PHONE, "Changed."), [HttpResponse(202, {}, b'{"message_uuid": ["1"]}')])
    assert isinstance(asked[0], HttpRequest)
    text = {"type": "sms", "src": "+15005550001", "dst": PHONE.e164, "text": "Changed."}
    assert json.loads(asked[0].body or b"") == text


def webhook(signature: str, url: str, form: dict[str, str], nonce: str = "12345") -> WebhookRequest:
    headers = {"x-plivo-signature-v3": signature, "x-plivo-signature-v3-nonce": nonce}
    if form:
        headers["content-type"] = FORM
    query = parameters_of(url.partition("?")[2])
    return WebhookRequest("POST", [*query, *form.items()], headers, urlencode(form).encode(), url)


URL = "https://example.com/hooks/plivo"
FIELDS = {"ChannelStatus": "delivered", "SessionUUID": "abc"}
REPORT = DeliveryReport("Verify/Session/abc", DeliveryState.DELIVERED, "delivered")

#: The first was computed independently of this library, the others by the vendor's client (4.63.0), with the token
#: FAKE_AUTH_TOKEN and the nonce 12345: only both a query and a form have a dot between them.
VECTORS = [
    (URL, FIELDS, "gNbGNNtQls5uG6GKCAE2LZ000zF7js6S5XgWjRMcV3c="),
    (URL + "?b=2&a=1", FIELDS, "BMsZaJHX/8KZb+1ioPUVsKiNOX44xayaCaDB2Kpd4aU="),
    (URL + "?b=x%20y&a=", FIELDS, "wJ19N88aBd36d5yKyUb9yqrRei7woEW08rIZFkKDdq0="),
    (URL + "?a=2&a=1", {}, "JcLlBZho2/almQYNy0KFRBSqdQtpIUjyPlECHgWZqAs="),
    (URL, {}, "SqnUXLEtxDzOuYWHWbJCRIYpBOp4DMnLawb6YLBpEN0="),
]


@pytest.mark.parametrize(("url", "form", "signature"), VECTORS)
def test_known_signature_is_accepted(url: str, form: dict[str, str], signature: str) -> None:
    driver = load()
    expected = REPORT if form else None
    assert driver.parse_webhook(webhook(signature, url, form)) == expected
    assert driver.parse_webhook(webhook(f"AAAA, {signature}", url, form)) == expected
    assert isinstance(driver.parse_webhook(webhook(signature, "", form)), Rejected)
    for other in (signature[:-2] + "A=", "", "ключ"):
        assert isinstance(driver.parse_webhook(webhook(other, url, form)), Rejected)
    assert isinstance(driver.parse_webhook(webhook(signature, url, {**form, "Extra": "1"})), Rejected)
    assert isinstance(driver.parse_webhook(webhook(signature, url, form, "12346")), Rejected)
    assert isinstance(load(token="OTHER").parse_webhook(webhook(signature, url, form)), Rejected)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (f"{SENDER}&powerpack=ab-1", "exclude"),
        ("whatsapp_sender=%2B15005550001", "template"),
        ("template=login_code", "whatsapp_sender"),
        ("sender=a-name-that-is-too-long", "short code"),
        ("whatsapp_sender=Shop&template=login_code", "E.164"),
        ("locale=french", "fr_FR"),
    ],
)
def test_unusable_settings_are_reported(options: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=f"PHONE_VERIFY_SMS.*{says}") as raised:
        load(options)
    assert "FAKE" not in str(raised.value)


def test_default_host_is_the_providers() -> None:
    assert load().base_url == "https://api.plivo.com"
