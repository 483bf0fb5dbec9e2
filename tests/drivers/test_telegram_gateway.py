"""Telegram Gateway: the shared suite, the table of errors, and the signature of webhooks."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from phone_verify.drivers.dsn import load_driver, parse_dsn
from phone_verify.drivers.telegram_gateway import TelegramGateway
from phone_verify.errors import ConfigurationError, FailureKind, ProviderError
from phone_verify.exchange import HttpRequest, HttpResponse, Rejected, WebhookRequest
from phone_verify.model import Channel, DeliveryReport, DeliveryState, Order
from phone_verify.phone import PhoneNumber
from phone_verify.testing.drivers import DriverSuite, overhear
from tests.cases import in_one_test


class TestTelegramGateway(DriverSuite):
    driver = TelegramGateway
    dsn = "telegram-gateway://FAKE%2FToken%2B1@127.0.0.1:8025/base?tls=off"
    variants = ("sender=example_channel", "name=telegram-2&timeout=5")
    samples = Path(__file__).parent / "samples" / "telegram_gateway"
    phone = "+79990000001"


#: The errors of the docs, published clients and an integrator's notes, with the resulting failure kind.
TABLE = """
    ACCESS_TOKEN_INVALID configuration
    PHONE_NUMBER_NOT_AVAILABLE bad_number
    PHONE_NUMBER_INVALID bad_number
    PHONE_NUMBER_UNOCCUPIED bad_number
    FLOOD_WAIT_37 rate
    BALANCE_NOT_ENOUGH balance
    REQUEST_ID_INVALID configuration
    CODE_INVALID configuration
    CODE_INVALID_LENGTH configuration
    SOMETHING_ELSE unknown
"""
ERRORS = [tuple(line.split()) for line in TABLE.strip().splitlines()]

#: A signature that was computed independently.
BODY = (
    b'{"request_id":"1","phone_number":"79990000001","request_cost":0.01,'
    b'"delivery_status":{"status":"delivered","updated_at":1767225600}}'
)
SIGNATURE = "c514ea9de65020a8b118968ec8b9231e2be0430971a235c39a56eaa8c8371f7d"
SIGNED_AT = datetime(2026, 1, 1, tzinfo=UTC)


def load(place: str = "default", token: str = "FAKE-GATEWAY-TOKEN") -> TelegramGateway:
    driver = load_driver(parse_dsn(f"telegram-gateway://{token}@{place}", "PHONE_VERIFY_TELEGRAM"))
    assert isinstance(driver, TelegramGateway)
    return driver


def order(ttl: int = 120, webhook_url: str | None = None) -> Order:
    return Order(
        PhoneNumber("+79990000001"), Channel.TELEGRAM, timedelta(seconds=ttl), "482193", webhook_url=webhook_url
    )


def sent(driver: TelegramGateway, an_order: Order) -> dict[str, object]:
    _, asked = overhear(driver.start(an_order), [HttpResponse(200)])
    assert isinstance(asked[0], HttpRequest)
    document: dict[str, object] = json.loads(asked[0].body or b"")
    return document


@in_one_test
@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize(("error", "trouble"), ERRORS, ids=[error for error, _ in ERRORS])
def test_every_error_is_mapped(error: str, trouble: str, status: int) -> None:
    body = json.dumps({"ok": False, "error": error}).encode()
    result, _ = overhear(load().start(order()), [HttpResponse(status, {}, body)])
    assert isinstance(result, ProviderError)
    assert result.trouble is FailureKind(trouble)


def webhook(body: bytes = BODY, signature: str = SIGNATURE, time: str = "1767225600", late: int = 0) -> WebhookRequest:
    headers = {"x-request-timestamp": time, "x-request-signature": signature}
    return WebhookRequest("POST", [], headers, body, received_at=SIGNED_AT + timedelta(seconds=late))


def test_known_signature_is_accepted() -> None:
    report = DeliveryReport("1", DeliveryState.DELIVERED, "delivered")
    for request in (webhook(), webhook(signature=SIGNATURE.upper()), webhook(late=300), webhook(late=-300)):
        assert load().parse_webhook(request) == report


@pytest.mark.parametrize(
    "request_",
    [
        webhook(late=301),
        webhook(late=-301),
        webhook(body=BODY + b" "),
        webhook(time="1767225601"),
        webhook(signature=SIGNATURE[:-1]),
        webhook(signature=""),
        webhook(signature="ключ"),
    ],
)
def test_other_signature_is_rejected(request_: WebhookRequest) -> None:
    assert isinstance(load().parse_webhook(request_), Rejected)


@pytest.mark.parametrize(("ttl", "told"), [(10, 30), (30, 30), (300, 300), (7200, 3600)])
def test_lifetime_is_within_the_limits_of_the_provider(ttl: int, told: int) -> None:
    assert sent(load(), order(ttl))["ttl"] == told


def test_only_a_url_that_the_provider_accepts_is_named() -> None:
    for url, named in (("https://site.example/hook", True), ("http://127.0.0.1/hook", False)):
        assert ("callback_url" in sent(load(), order(webhook_url=url))) is named
    assert "callback_url" in sent(load("127.0.0.1:9?tls=off"), order(webhook_url="http://127.0.0.1/hook"))


def test_unusable_settings_are_reported() -> None:
    for dsn in ("telegram-gateway://FAKE%20TOKEN@default", "telegram-gateway://FAKE@default?sender=a%20b"):
        with pytest.raises(ConfigurationError, match="PHONE_VERIFY_TELEGRAM") as raised:
            load_driver(parse_dsn(dsn, "PHONE_VERIFY_TELEGRAM"))
        assert "FAKE" not in str(raised.value)


def test_default_host_is_the_providers() -> None:
    assert load().base_url == "https://gatewayapi.telegram.org"
