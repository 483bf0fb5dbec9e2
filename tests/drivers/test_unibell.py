"""Unibell: the shared suite, the table of errors, the form of a code, and calls that are reported."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from phone_verify.api.routes import handle
from phone_verify.config.settings import Settings
from phone_verify.config.site import build_site
from phone_verify.drivers.dsn import load_driver, parse_dsn
from phone_verify.drivers.unibell import Unibell
from phone_verify.errors import ConfigurationError, FailureKind, ProviderError, UnclearError
from phone_verify.exchange import HttpRequest, HttpResponse, WebhookRequest
from phone_verify.http.call import ApiRequest, ApiResponse
from phone_verify.model import Channel, CodeSource, Order
from phone_verify.phone import PhoneNumber
from phone_verify.testing.drivers import DriverSuite, overhear
from phone_verify.testing.transport import FakeTransport
from tests.cases import in_one_test

PHONE, LINE = PhoneNumber("+79990000001"), PhoneNumber("+74950000000")
HOOK = "webhooks/unibell/hook-secret-0123456789abcdef"
CALL = {"id": "a1b2", "phone": "79990000001", "routingKey": "74950000000", "status": True}


class TestUnibell(DriverSuite):
    driver = Unibell
    dsn = "unibell://FAKE%2Ftoken%2B1@127.0.0.1:8025/base?tls=off&line=%2B74950000000"
    variants = ("line_answer=none", "webhook_caller=sourceAddr", "name=unibell-2&timeout=5")
    samples = Path(__file__).parent / "samples" / "unibell"
    phone = PHONE.e164


#: The error codes of the provider's docs with their HTTP status, and the resulting failure kind.
TABLE = """
    1 401 configuration
    2 400 configuration
    4 429 rate
    5 401 configuration
    6 403 balance
    10 400 configuration
    11 400 bad_number
    12 400 unknown
    12 401 configuration
    12 429 rate
    12 503 transient
    1 200 configuration
    4 200 rate
    6 200 balance
    11 200 bad_number
    12 200 unknown
"""
ERRORS = [(int(code), int(status), kind) for code, status, kind in map(str.split, TABLE.strip().splitlines())]


def load(options: str = "?line=%2B74950000000", token: str = "FAKE-TOKEN") -> Unibell:
    driver = load_driver(parse_dsn(f"unibell://{token}@default{options}", "PHONE_VERIFY_FLASH_CALL"))
    assert isinstance(driver, Unibell)
    return driver


@in_one_test
@pytest.mark.parametrize(("code", "status", "trouble"), ERRORS)
def test_every_error_is_mapped(code: int, status: int, trouble: str) -> None:
    order = Order(PHONE, Channel.FLASH_CALL, timedelta(minutes=2), "4821")
    body = json.dumps({"errorCode": code, "errorReason": "no, 79990000001"}).encode()
    result, _ = overhear(load().start(order), [HttpResponse(status, {}, body)])
    assert isinstance(result, ProviderError)
    assert result.trouble is FailureKind(trouble)
    assert "no" in result.detail
    assert "999000" not in result.detail


@pytest.mark.parametrize(("code", "sent"), [("4821", 4821), ("0821", "0821"), ("0000", "0000"), ("9999", 9999)])
def test_leading_zero_is_sent_as_text(code: str, sent: object) -> None:
    request = next(load().start(Order(PHONE, Channel.FLASH_CALL, timedelta(minutes=2), code)))
    assert isinstance(request, HttpRequest)
    assert json.loads(request.body or b"")["code"] == sent


#: Of other requests to the platform; that the flash call answers so is assumed.
PLATFORM = {
    "invalidAccessKeyError": "configuration",
    "requiredJsonError": "configuration",
    "invalidSchemeError": "configuration",
    "invalidDataError": "configuration",
    "prohibitedForAppError": "configuration",
    "prohibitedForServiceError": "configuration",
    "rpcError": None,
    "ok": None,
    "1": None,
}


@pytest.mark.parametrize(("status", "trouble"), PLATFORM.items())
def test_error_of_the_platform_is_mapped(status: str, trouble: str | None) -> None:
    order = Order(PHONE, Channel.FLASH_CALL, timedelta(minutes=2), "4821")
    response = HttpResponse(200, {}, json.dumps({"status": status}).encode())
    result, _ = overhear(load().start(order), [response])
    if trouble is None:
        assert isinstance(result, UnclearError)
    else:
        assert isinstance(result, ProviderError)
        assert result.trouble is FailureKind(trouble)


def test_code_has_four_digits() -> None:
    ability = load().abilities[Channel.FLASH_CALL]
    assert (ability.code_source, ability.shortest, ability.longest) == (CodeSource.LOCAL, 4, 4)


def test_inbound_calls_need_a_line() -> None:
    driver = load("")
    assert Channel.INBOUND_CALL not in driver.abilities
    hook = WebhookRequest("POST", (), {}, json.dumps(CALL).encode())
    assert driver.parse_webhook(hook) is None
    assert load().parse_webhook(hook) is not None


def test_answer_of_the_line_is_declared() -> None:
    assert load().abilities[Channel.INBOUND_CALL].announced
    assert not load("?line=74950000000&line_answer=none").abilities[Channel.INBOUND_CALL].announced


@pytest.mark.parametrize(
    ("options", "token"),
    [
        ("?line=soon", "FAKE-TOKEN"),
        ("?webhook_caller=", "FAKE-TOKEN"),
        ("?webhook_caller=a%20b", "FAKE-TOKEN"),
        ("?webhook_caller=status", "FAKE-TOKEN"),
        ("?webhook_caller=routingKey", "FAKE-TOKEN"),
        ("?line_answer=music", "FAKE-TOKEN"),
        ("", "FAKE%20TOKEN"),
        ("", "FAKE%0A"),
    ],
)
def test_unusable_settings_are_refused(options: str, token: str) -> None:
    with pytest.raises(ConfigurationError, match="PHONE_VERIFY_FLASH_CALL") as raised:
        load(options, token)
    assert "FAKE" not in str(raised.value)


def test_default_host_is_the_providers() -> None:
    assert load().base_url == "https://api.unibell.ru"


class Harness:
    """A site with the real driver and one claim."""

    def __init__(self) -> None:
        self.transport = FakeTransport([])
        settings = Settings.from_mapping(
            {
                "store": "memory:",
                "secret_keys": "k-key-for-tests-0123456789abcdef",
                "webhook_secret": "hook-secret-0123456789abcdef",
                "public_url": "https://site.example",
                "inbound_call": "unibell://FAKE-TOKEN@default?line=%2B74950000000",
            }
        )

        def webhook_path(driver: str, secret: str) -> str:
            return f"/phone/webhooks/{driver}/{secret}"

        self.site = build_site(settings, transport=self.transport, webhook_path=webhook_path)
        self.begun = self.begin()

    def begin(self) -> dict[str, Any]:
        headers = {"content-type": "application/json", "sec-fetch-site": "same-origin"}
        order = json.dumps({"phone": PHONE.e164, "channel": "inbound_call"}).encode()
        return self._handle(ApiRequest("POST", "v1/verifications", headers, body=order))

    @property
    def status(self) -> str:
        headers = {"verification-secret": self.begun["secret"]}
        return str(self._handle(ApiRequest("GET", f"v1/verifications/{self.begun['id']}", headers))["status"])

    def hook(self, document: object, path: str = HOOK) -> int:
        body, headers = json.dumps(document).encode(), {"content-type": "application/json"}
        reply = handle(self.site, ApiRequest("POST", path, headers, body=body))
        assert isinstance(reply, ApiResponse)
        return reply.status

    def _handle(self, request: ApiRequest) -> dict[str, Any]:
        reply = handle(self.site, request)
        assert isinstance(reply, ApiResponse)
        assert reply.document is not None
        return dict(reply.document)


def test_call_verifies_the_claim() -> None:
    site = Harness()
    assert site.begun["dial"]["number"] == LINE.e164
    assert site.transport.requests == []
    assert site.hook(CALL) == 200
    assert site.status == "verified"


def test_repeated_webhook_verifies_no_second_claim() -> None:
    site = Harness()
    assert site.hook(CALL) == 200
    second = site.begin()
    assert site.hook(CALL) == 200
    assert second["code"] == "channel_unavailable"


@pytest.mark.parametrize(
    ("document", "path", "status"),
    [
        ({**CALL, "phone": "79990000002"}, HOOK, 200),
        ({**CALL, "routingKey": "74950000001"}, HOOK, 200),
        ({**CALL, "status": False}, HOOK, 200),
        ({**CALL, "phone": None}, HOOK, 200),
        (CALL, "webhooks/unibell/other-secret", 404),
    ],
    ids=["other caller", "other line", "failed", "no caller", "no secret"],
)
def test_other_webhook_leaves_the_claim_open(document: object, path: str, status: int) -> None:
    site = Harness()
    assert site.hook(document, path) == status
    assert site.status == "sent"
