"""Plusofon: the shared suite, the kinds of errors, and a call that verifies a claim."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from phone_verify.api.routes import handle
from phone_verify.config.settings import Settings
from phone_verify.config.site import build_site
from phone_verify.drivers.dsn import load_driver, parse_dsn
from phone_verify.drivers.plusofon import Plusofon
from phone_verify.errors import ConfigurationError, FailureKind, ProviderError
from phone_verify.exchange import HttpResponse
from phone_verify.http.call import ApiRequest, ApiResponse
from phone_verify.model import Channel, CodeSource, Order
from phone_verify.phone import PhoneNumber
from phone_verify.testing.drivers import DriverSuite, overhear
from phone_verify.testing.transport import FakeTransport
from tests.cases import in_one_test

PHONE, LINE, KEY = PhoneNumber("+79990000001"), "+78000000000", "FAKEKEY"
HOOK = "webhooks/plusofon/hook-secret-0123456789abcdef"


class TestPlusofon(DriverSuite):
    driver = Plusofon
    dsn = "plusofon://FAKE%2FTOKEN%2B1@127.0.0.1:8025/base?tls=off"
    variants = ("foreign=digits", "name=plusofon-2&timeout=5")
    samples = Path(__file__).parent / "samples" / "plusofon"
    phone, abroad = PHONE.e164, "+989120000000"


#: The HTTP statuses of published clients, with the resulting failure kind.
STATUSES = {
    401: "configuration",
    402: "balance",
    403: "configuration",
    404: "unknown",
    422: "unknown",
    429: "rate",
    500: "transient",
    503: "transient",
}


def load(token: str = "FAKE-TOKEN") -> Plusofon:
    driver = load_driver(parse_dsn(f"plusofon://{token}@default", "PHONE_VERIFY_FLASH_CALL"))
    assert isinstance(driver, Plusofon)
    return driver


@in_one_test
@pytest.mark.parametrize("channel", [Channel.FLASH_CALL, Channel.INBOUND_CALL])
@pytest.mark.parametrize(("status", "trouble"), STATUSES.items())
def test_every_status_is_mapped(channel: Channel, status: int, trouble: str) -> None:
    order = Order(PHONE, channel, timedelta(minutes=2), "4821", webhook_url="https://site.example/hook")
    body = json.dumps({"message": "no, 79990000001"}).encode()
    result, _ = overhear(load().start(order), [HttpResponse(status, {}, body)])
    assert isinstance(result, ProviderError)
    assert result.trouble is FailureKind(trouble)
    assert "no" in result.detail
    assert "999000" not in result.detail


def test_code_has_four_digits() -> None:
    ability = load().abilities[Channel.FLASH_CALL]
    assert (ability.code_source, ability.shortest, ability.longest) == (CodeSource.LOCAL, 4, 4)


@pytest.mark.parametrize("token", ["FAKE%20TOKEN", "%D0%BA", "FAKE%0A"])
def test_token_that_fits_into_no_header_is_refused(token: str) -> None:
    with pytest.raises(ConfigurationError, match="PHONE_VERIFY_FLASH_CALL") as raised:
        load(token)
    assert "FAKE" not in str(raised.value)


def test_default_host_is_the_providers() -> None:
    assert load().base_url == "https://restapi.plusofon.ru"


class Harness:
    """A site with the real driver and one claim."""

    def __init__(self) -> None:
        self.transport = FakeTransport([HttpResponse(200, {}, json.dumps({"key": KEY, "phone": LINE[1:]}).encode())])
        settings = Settings.from_mapping(
            {
                "store": "memory:",
                "secret_keys": "k-key-for-tests-0123456789abcdef",
                "webhook_secret": "hook-secret-0123456789abcdef",
                "public_url": "https://site.example",
                "inbound_call": "plusofon://FAKE-TOKEN@default",
            }
        )

        def webhook_path(driver: str, secret: str) -> str:
            return f"/phone/webhooks/{driver}/{secret}"

        self.site = build_site(settings, transport=self.transport, webhook_path=webhook_path)
        headers = {"content-type": "application/json", "sec-fetch-site": "same-origin"}
        order = json.dumps({"phone": PHONE.e164, "channel": "inbound_call"}).encode()
        self.begun = self._handle(ApiRequest("POST", "v1/verifications", headers, body=order))

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


def test_order_names_the_webhook_with_its_secret() -> None:
    sent = json.loads(Harness().transport.requests[0].body or b"")
    assert sent["hook_url"] == f"https://site.example/phone/{HOOK}"


def test_call_verifies_the_claim() -> None:
    site = Harness()
    assert site.begun["dial"]["number"] == LINE
    assert site.hook({"phone": PHONE.e164[1:], "key": KEY}) == 200
    assert site.status == "verified"


@pytest.mark.parametrize(
    ("document", "path", "status"),
    [
        ({"phone": LINE[1:], "key": KEY}, HOOK, 200),
        ({"phone": "79990000002", "key": KEY}, HOOK, 200),
        ({"phone": PHONE.e164[1:], "key": "OTHER"}, HOOK, 200),
        ({"phone": PHONE.e164[1:]}, HOOK, 200),
        ({"phone": PHONE.e164[1:], "key": KEY}, "webhooks/plusofon/other-secret", 404),
    ],
    ids=["announced line", "other caller", "other key", "no key", "no secret"],
)
def test_other_webhook_leaves_the_claim_open(document: object, path: str, status: int) -> None:
    site = Harness()
    assert site.hook(document, path) == status
    assert site.status == "sent"


def test_line_that_only_a_webhook_names_is_refused_with_a_way_out() -> None:
    order = Order(PHONE, Channel.INBOUND_CALL, timedelta(minutes=2), webhook_url="https://site.example/hook")
    answer = HttpResponse(200, {}, json.dumps({"success": True, "data": {"key": KEY}}).encode())
    result, _ = overhear(load().start(order), [answer])
    assert isinstance(result, ProviderError)
    assert "use another driver for inbound calls" in str(result)
    assert KEY not in str(result)
