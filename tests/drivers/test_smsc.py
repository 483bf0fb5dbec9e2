"""SMSC: the shared suite, the tables of errors and states, and which webhooks verify a call."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from phone_verify.api.routes import handle
from phone_verify.config.settings import Settings
from phone_verify.config.site import build_site
from phone_verify.drivers.dsn import load_driver, parse_dsn
from phone_verify.drivers.smsc import Smsc
from phone_verify.errors import ConfigurationError, FailureKind, ProviderError
from phone_verify.exchange import HttpRequest, HttpResponse, WebhookRequest
from phone_verify.http.call import ApiRequest, ApiResponse
from phone_verify.lines import PAIR_REST
from phone_verify.model import Channel, DeliveryReport, DeliveryState, Order
from phone_verify.phone import PhoneNumber
from phone_verify.testing.clock import ManualClock
from phone_verify.testing.drivers import DriverSuite, overhear
from phone_verify.testing.transport import FakeTransport
from tests.cases import in_one_test

PHONE = PhoneNumber("+79990000001")


class TestSmsc(DriverSuite):
    driver = Smsc
    dsn = "smsc://FAKE%2Flogin:FAKE%20pass%2B1@127.0.0.1:8025/base?tls=off"
    variants = ("sender=Example", "code_length=6", "webhook_call=ts", "name=smsc-2&timeout=5")
    samples = Path(__file__).parent / "samples" / "smsc"
    phone = PHONE.e164


class TestSmscWithKey(TestSmsc):
    """With an API key, only the access differs, which `test_api_key_replaces_the_login` shows."""

    dsn = "smsc://FAKE%2FKEY%201@127.0.0.1:8025/base?tls=off"

    def test_driver_follows_the_sample(self, sample: dict[str, Any]) -> None:
        for step in sample.get("exchange", ()):
            step.get("request", {}).pop("form", None)
        super().test_driver_follows_the_sample(sample)


#: Error code, its kind for a message or a call to the user, and its kind for a line to call.
TABLE = """
    1 configuration configuration
    2 configuration configuration
    3 balance balance
    4 rate rate
    5 configuration bad_number
    6 configuration rate
    7 bad_number bad_number
    8 bad_number bad_number
    9 rate rate
    10 unknown unknown
    -1 unknown unknown
"""
ERRORS = [tuple(line.split()) for line in TABLE.strip().splitlines()]
STATES = {
    **dict.fromkeys(("-3", "-1", "0", "99"), DeliveryState.OPEN),
    **dict.fromkeys(("1", "2"), DeliveryState.DELIVERED),
    **dict.fromkeys(("3", "20", "22", "23", "24", "25"), DeliveryState.UNDELIVERED),
}


def load(options: str = "", credentials: str = "FAKE-LOGIN:FAKE-PASSWORD") -> Smsc:
    driver = load_driver(parse_dsn(f"smsc://{credentials}@default{options}", "PHONE_VERIFY_SMS"))
    assert isinstance(driver, Smsc)
    return driver


def form_of(request: object) -> dict[str, str]:
    assert isinstance(request, HttpRequest)
    return dict(parse_qsl((request.body or b"").decode()))


@in_one_test
@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("channel", [Channel.SMS, Channel.FLASH_CALL, Channel.VOICE, Channel.INBOUND_CALL])
@pytest.mark.parametrize(("code", "of_message", "of_line"), ERRORS)
def test_every_error_is_mapped(channel: Channel, code: str, of_message: str, of_line: str, status: int) -> None:
    for number in (int(code), code):
        body = json.dumps({"error": "no, 79990000001", "error_code": number, "id": 1}).encode()
        order = Order(PHONE, channel, timedelta(minutes=2), "482193")
        result, _ = overhear(load().start(order), [HttpResponse(status, {}, body)])
        assert isinstance(result, ProviderError)
        assert result.trouble is FailureKind(of_line if channel is Channel.INBOUND_CALL else of_message)
        assert "999000" not in result.detail


@in_one_test
@pytest.mark.parametrize(("status", "state"), STATES.items())
def test_every_state_is_mapped(status: str, state: DeliveryState) -> None:
    request = WebhookRequest("GET", [("id", "1"), ("phone", "79990000001"), ("status", status)], {}, b"")
    report = load().parse_webhook(request)
    assert isinstance(report, DeliveryReport)
    assert report.state is state


def test_api_key_replaces_the_login() -> None:
    _, (request,) = overhear(load(credentials="FAKE-KEY").account(), [HttpResponse(200)])
    assert form_of(request) == {"apikey": "FAKE-KEY", "fmt": "3", "charset": "utf-8", "cur": "1"}


def test_notice_is_an_sms() -> None:
    exchange = load("?sender=Shop").notice(PHONE, "Изменён.")
    _, (request,) = overhear(exchange, [HttpResponse(200, {}, b'{"id": 1, "cnt": 1}')])
    sent = form_of(request)
    assert (sent["phones"], sent["mes"], sent["sender"]) == ("79990000001", "Изменён.", "Shop")


@pytest.mark.parametrize(
    "options", ["?sender=", "?sender=%D0%AF", "?code_length=5", "?webhook_call=status", "?currency=rub"]
)
def test_unusable_options_are_reported(options: str) -> None:
    with pytest.raises(ConfigurationError, match="PHONE_VERIFY_SMS") as raised:
        load(options)
    assert "FAKE" not in str(raised.value)


def test_line_is_open_for_ten_minutes_at_most() -> None:
    assert load().abilities[Channel.INBOUND_CALL].cap == timedelta(minutes=10)


def test_default_host_is_the_providers() -> None:
    assert load().base_url == "https://smsc.ru"


class Harness:
    """A site with the real driver, whose lines to call are counted from +74950000001."""

    def __init__(self, options: str = "") -> None:
        self.clock, self.transport = ManualClock(), FakeTransport()
        self.lines = 0
        settings = Settings.from_mapping(
            {
                "store": "memory:",
                "secret_keys": "k-key-for-tests-0123456789abcdef",
                "webhook_secret": "hook-secret-0123456789abcdef",
                "inbound_call": f"smsc://FAKE-KEY@default{options}",
            }
        )
        self.site = build_site(settings, transport=self.transport, clock=self.clock)

    def begun(self, phone: str = PHONE.e164) -> dict[str, Any]:
        self.lines += 1
        body = json.dumps({"phone": f"7495000000{self.lines}"}).encode()
        self.transport.answers.append(HttpResponse(200, {}, body))
        headers = {"content-type": "application/json", "sec-fetch-site": "same-origin"}
        order = json.dumps({"phone": phone, "channel": "inbound_call"}).encode()
        reply = handle(self.site, ApiRequest("POST", "v1/verifications", headers, body=order))
        assert isinstance(reply, ApiResponse)
        assert reply.status == 201
        return dict(reply.document or {})

    def hook(self, query: str) -> None:
        path = "webhooks/smsc/hook-secret-0123456789abcdef"
        reply = handle(self.site, ApiRequest("GET", path, query=query))
        assert isinstance(reply, ApiResponse)
        assert (reply.status, reply.text) == (200, "OK")

    def status(self, begun: dict[str, Any]) -> str:
        call = ApiRequest("GET", f"v1/verifications/{begun['id']}", {"verification-secret": begun["secret"]})
        reply = handle(self.site, call)
        assert isinstance(reply, ApiResponse)
        return str((reply.document or {})["status"])


CALL = "phone=79990000001&waitcall=1"


def test_call_verifies_the_phone_that_called() -> None:
    site = Harness()
    begun, other = site.begun(), site.begun("+79990000002")
    assert begun["dial"]["number"] == "+74950000001"
    site.hook(CALL)
    assert (site.status(begun), site.status(other)) == ("verified", "sent")


@pytest.mark.parametrize(
    "query",
    [
        "phone=79990000002&waitcall=1",
        "phone=79990000001",
        "phone=79990000001&status=1&id=1234",
        "phone=79990000001&mes=hello&waitcall=1",
        f"{CALL}&phone=79990000001",
    ],
    ids=["other caller", "no marker", "delivery report", "received SMS", "caller twice"],
)
def test_other_webhook_leaves_the_claim_open(query: str) -> None:
    site = Harness()
    begun = site.begun()
    site.hook(query)
    assert site.status(begun) == "sent"


def test_phone_waits_for_one_call_whatever_its_line() -> None:
    site = Harness()
    begun = site.begun()
    site.begun("+79990000002")
    with pytest.raises(AssertionError, match="409"):
        site.begun()
    site.hook(CALL)
    assert site.status(begun) == "verified"
    with pytest.raises(AssertionError, match="409"):
        site.begun()
    site.clock.move(PAIR_REST.total_seconds())
    late = site.begun()
    assert site.status(late) == "sent"


def test_late_call_verifies_nothing() -> None:
    site = Harness()
    begun = site.begun()
    site.clock.move(600)
    site.hook(CALL)
    assert site.status(begun) == "expired"


def test_missing_marker_is_reported_by_name(caplog: pytest.LogCaptureFixture) -> None:
    site = Harness()
    site.hook("phone=79990000001&ts=1767225600")
    (said,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "no parameter waitcall or status; parameters: phone, ts" in said
    assert "999000" not in said
