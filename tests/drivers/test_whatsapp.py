"""WhatsApp: the shared suite, the table of error codes, and the signature of webhooks."""

import base64
import json
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from phone_verify.drivers.dsn import load_driver, parse_dsn
from phone_verify.drivers.whatsapp import WhatsApp
from phone_verify.errors import ConfigurationError, FailureKind, ProviderError
from phone_verify.exchange import HttpRequest, HttpResponse, Rejected, WebhookReply, WebhookRequest
from phone_verify.model import Channel, Order, Receipt
from phone_verify.phone import PhoneNumber
from phone_verify.testing.drivers import DriverSuite, overhear
from tests.cases import in_one_test

PHONE = PhoneNumber("+15005550006")


class TestWhatsApp(DriverSuite):
    driver = WhatsApp
    dsn = "whatsapp://FAKE%2FId:FAKE%2FToken%2B1@127.0.0.1:8025/base?tls=off&template=login_code"
    variants = ("app_secret=FAKE%2FAPP%2BSECRET&verify_token=FAKE%2FVERIFY", "language=fa&name=whatsapp-2&timeout=5")
    samples = Path(__file__).parent / "samples" / "whatsapp"
    phone = "+15005550006"


#: The vendor's codes with the resulting failure kind, and some others.
TABLE = """
    190 configuration
    0 configuration
    3 configuration
    10 configuration
    200 configuration
    250 configuration
    299 configuration
    131056 rate
    130429 rate
    80007 rate
    4 rate
    131026 bad_number
    131021 bad_number
    132000 configuration
    132001 configuration
    132005 configuration
    132007 configuration
    132012 configuration
    132015 configuration
    131042 balance
    131000 transient
    131016 transient
    1 transient
    2 transient
    368 configuration
    131031 configuration
    199 unknown
    300 unknown
    131027 unknown
"""
ERRORS = [(int(code), kind) for code, kind in map(str.split, TABLE.strip().splitlines())]

#: A signature that was computed independently.
BODY = b'{"object":"whatsapp_business_account","entry":[]}'
SIGNATURE = "sha256=7c44d15aad2db4b89202bfab2f6f04806124bb07b88bb9dc4872897980c568d3"


def load(options: str = "", credentials: str = "FAKE-ID:FAKE-TOKEN", template: str = "template=login_code") -> WhatsApp:
    driver = load_driver(parse_dsn(f"whatsapp://{credentials}@default?{template}{options}", "PHONE_VERIFY_WHATSAPP"))
    assert isinstance(driver, WhatsApp)
    return driver


ORDER = Order(PHONE, Channel.WHATSAPP, timedelta(seconds=120), "482193", "482193 is your code.")


@in_one_test
@pytest.mark.parametrize("status", [400, 200])
@pytest.mark.parametrize(("code", "trouble"), ERRORS)
def test_every_code_is_mapped(code: int, trouble: str, status: int) -> None:
    error = {"message": f"(#{code}) m", "type": "OAuthException", "code": code, "fbtrace_id": "FAKE"}
    body = json.dumps({"error": error}).encode()
    result, _ = overhear(load().start(ORDER), [HttpResponse(status, {}, body)])
    assert isinstance(result, ProviderError)
    assert result.trouble is FailureKind(trouble)


def test_details_of_an_error_are_reported() -> None:
    error = {"message": "(#132012) m", "code": 132012, "error_data": {"details": "body: number of params (2)"}}
    result, _ = overhear(load().start(ORDER), [HttpResponse(400, {}, json.dumps({"error": error}).encode())])
    assert isinstance(result, ProviderError)
    assert "body: number of params (2)" in result.detail


def test_code_is_the_same_in_body_and_button() -> None:
    _, asked = overhear(load().start(ORDER), [HttpResponse(200)])
    assert isinstance(asked[0], HttpRequest)
    components = json.loads(asked[0].body or b"")["template"]["components"]
    assert [component["type"] for component in components] == ["body", "button"]
    assert components[0]["parameters"] == components[1]["parameters"] == [{"type": "text", "text": "482193"}]
    assert "482193" not in asked[0].url


def test_reference_does_not_contain_the_number() -> None:
    """A message id contains it in Base64."""
    id = "wamid." + base64.b64encode(b"\x1c\x18\x0b" + PHONE.e164[1:].encode() + b"\x15\x02\x00").decode()
    response = HttpResponse(200, {}, json.dumps({"messages": [{"id": id}]}).encode())
    result, _ = overhear(load().start(ORDER), [response])
    assert result == Receipt(sha256(id.encode()).hexdigest())
    assert base64.b64encode(PHONE.e164[1:].encode()).decode()[:12] not in repr(result)


def webhook(signature: str = SIGNATURE, body: bytes = BODY) -> WebhookRequest:
    return WebhookRequest("POST", [], {"x-hub-signature-256": signature}, body)


def test_known_signature_is_accepted() -> None:
    driver = load("&app_secret=FAKE_APP_SECRET")
    assert driver.parse_webhook(webhook()) is None
    for other in (SIGNATURE[:-1] + "4", SIGNATURE[7:], SIGNATURE.replace("256", "1"), "sha256=", "", "ключ"):
        assert isinstance(driver.parse_webhook(webhook(other)), Rejected)
    assert isinstance(driver.parse_webhook(webhook(body=BODY + b" ")), Rejected)
    assert isinstance(load("&app_secret=OTHER").parse_webhook(webhook()), Rejected)
    assert isinstance(load().parse_webhook(webhook()), Rejected)


def challenge(token: str) -> WebhookRequest:
    parameters = [("hub.mode", "subscribe"), ("hub.verify_token", token), ("hub.challenge", "1158201444")]
    return WebhookRequest("GET", parameters, {}, b"")


def test_challenge_needs_the_token() -> None:
    driver = load("&verify_token=FAKE-VERIFY")
    assert driver.parse_webhook(challenge("FAKE-VERIFY")) == WebhookReply("1158201444")
    for token in ("", "FAKE-VERIF", "fake-verify", "ключ", "\ud800"):
        assert isinstance(driver.parse_webhook(challenge(token)), Rejected)
    assert isinstance(load("&app_secret=FAKE-VERIFY").parse_webhook(challenge("FAKE-VERIFY")), Rejected)


def test_token_does_not_replace_the_signature() -> None:
    parameters = challenge("FAKE-VERIFY").parameters
    request = WebhookRequest("POST", parameters, {}, BODY)
    assert isinstance(load("&verify_token=FAKE-VERIFY&app_secret=A").parse_webhook(request), Rejected)


def test_secrets_of_webhooks_are_not_shown() -> None:
    driver = load("&app_secret=FAKE-APP&verify_token=FAKE-VERIFY")
    assert "FAKE" not in repr(driver)
    assert "FAKE" not in driver.redact("FAKE-APP FAKE-VERIFY FAKE-TOKEN FAKE-ID")


@in_one_test
@pytest.mark.parametrize(
    ("template", "credentials", "says"),
    [
        ("timeout=5", "FAKE:FAKE", "template"),
        ("template=", "FAKE:FAKE", "its name"),
        ("template=Login%20code", "FAKE:FAKE", "its name"),
        ("template=login&language=en-US", "FAKE:FAKE", "en_US"),
        ("template=login&version=24", "FAKE:FAKE", "v24.0"),
        ("template=login&version=v24.0/x", "FAKE:FAKE", "v24.0"),
        ("template=login&app_secret=", "FAKE:FAKE", "write the secret"),
        ("template=login&verify_token=", "FAKE:FAKE", "write the secret"),
        ("template=login", "FAKE", "PHONE_NUMBER_ID:ACCESS_TOKEN"),
        ("template=login", "FAKE:FAKE%20TOKEN", "access_token"),
    ],
)
def test_unusable_settings_are_reported(template: str, credentials: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=f"PHONE_VERIFY_WHATSAPP.*{says}") as raised:
        load("", credentials, template)
    assert "FAKE" not in str(raised.value)


def test_default_host_is_the_providers() -> None:
    assert load().base_url == "https://graph.facebook.com"
