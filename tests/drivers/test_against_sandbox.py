"""Every driver against the sandbox's implementation of its provider's protocol, over real HTTP."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeVar
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
from werkzeug.serving import WSGIRequestHandler, make_server

from phone_verify.api.routes import handle
from phone_verify.config.settings import Settings
from phone_verify.config.site import build_site
from phone_verify.drivers.base import ReportsAccount
from phone_verify.errors import FailureKind, ProviderError
from phone_verify.exchange import Exchange, HttpRequest
from phone_verify.http.call import ApiRequest, ApiResponse
from phone_verify.http.site import Site
from phone_verify.model import DeliveryState, Outcome, ProviderAccount, Started, Status
from phone_verify.phone import PhoneNumber
from phone_verify.sandbox import Fault, SandboxServer
from phone_verify.sync import run
from phone_verify.testing.clock import ManualClock
from phone_verify.transports.blocking import BlockingTransport

IRANIAN, RUSSIAN, STRANGER = map(PhoneNumber, ("+989120000000", "+79000000000", "+79000000013"))
SECRET = "hook-secret-0123456789abcdef"

#: Driver, credentials, channel, and the report of a lost message; None without delivery status.
SENDS = [
    ("amoot", "TOKEN", "sms", IRANIAN, DeliveryState.OPEN),
    ("ssms", "KEY", "sms", RUSSIAN, DeliveryState.UNDELIVERED),
    ("ssms", "KEY", "flash_call", RUSSIAN, DeliveryState.UNDELIVERED),
    ("telefon-ip", "TOKEN", "sms", RUSSIAN, DeliveryState.UNDELIVERED),
    ("telefon-ip", "TOKEN", "telegram", RUSSIAN, DeliveryState.UNDELIVERED),
    ("telefon-ip", "TOKEN", "flash_call", RUSSIAN, DeliveryState.UNDELIVERED),
    ("ferzz", "KEY", "flash_call", IRANIAN, None),
    ("evand", "ID:SECRET", "sms", IRANIAN, None),
]
IDS = [f"{driver}-{channel}" for driver, _, channel, _, _ in SENDS]

T = TypeVar("T")


@pytest.fixture
def server() -> Iterator[SandboxServer]:
    with SandboxServer() as server:
        yield server


class _Silent(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        return


class Hooks:
    """A site's webhooks on a real port; `heard` is set once one was answered, and `statuses` has the results."""

    def __init__(self) -> None:
        self.heard, self.statuses = threading.Event(), list[int]()
        self.site: Site | None = None
        self.url = ""

    def lead(self, site: Site, driver: str, server: SandboxServer) -> None:
        """Send the provider's webhooks to this site."""
        self.site = site
        server.sandbox.network.set_webhook(driver, f"{self.url}/webhooks/{driver}/{SECRET}")

    def wait_for(self, count: int) -> None:
        """Wait until this many webhooks were answered."""
        end = time.monotonic() + 30
        while len(self.statuses) < count and time.monotonic() < end:
            time.sleep(0.01)
        assert len(self.statuses) >= count

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        assert self.site is not None
        headers = {name[5:].replace("_", "-").lower(): environ[name] for name in environ if name.startswith("HTTP_")}
        headers["content-type"] = environ.get("CONTENT_TYPE", "")
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        path = environ["PATH_INFO"][1:]
        reply = handle(self.site, ApiRequest(environ["REQUEST_METHOD"], path, headers, environ["QUERY_STRING"], body))
        assert isinstance(reply, ApiResponse)
        self.statuses.append(reply.status)
        self.heard.set()
        start_response(f"{reply.status} Told", [("Content-Type", reply.content_type or "text/plain")])
        content = (reply.text or "") if reply.document is None else json.dumps(reply.document)
        return [content.encode()]


@pytest.fixture
def hooks() -> Iterator[Hooks]:
    hooks = Hooks()
    server = make_server("127.0.0.1", 0, hooks, threaded=True, request_handler=_Silent)
    hooks.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield hooks
    server.shutdown()
    thread.join()
    server.server_close()


class Harness:
    """A site with one driver on one channel, pointed at the sandbox."""

    def __init__(
        self, server: SandboxServer, driver: str, credentials: str, channel: str, options: str = "", **more: str
    ) -> None:
        place = server.url.removeprefix("http://")
        event = "&event_id=1001" if driver == "evand" else ""
        dsn = f"{driver}://{credentials}@{place}?tls=off{event}{options}"
        settings = {
            "store": "memory:",
            "secret_keys": "k-key-for-tests-0123456789abcdef",
            "webhook_secret": SECRET,
            "resend_after": 0,
            **more,
        }
        # The present, because providers sign with the time.
        self.clock = ManualClock(datetime.now(UTC))
        self.site = build_site(
            Settings.from_mapping({**settings, channel: dsn}), clock=self.clock, webhook_path="/webhooks/{}/{}".format
        )
        self.server, self.verifier = server, self.site.verifier
        self.driver = self.verifier.drivers[driver]

    def begin(self, phone: PhoneNumber, **more: Any) -> Outcome:
        outcome = self.verifier.start(phone, **more)
        assert outcome.ok, outcome
        assert isinstance(outcome, Started)
        self.id, self.secret = outcome.verification.id, outcome.secret
        return outcome

    def line(self, phone: PhoneNumber) -> str:
        record = self.begin(phone).verification
        assert record is not None
        assert record.line is not None
        return record.line.e164

    def code(self, phone: PhoneNumber) -> str:
        handset = self.server.sandbox.network.handset(phone.e164)
        assert handset is not None
        assert handset.newest_code is not None
        return handset.newest_code.code

    def account(self) -> ProviderAccount:
        assert isinstance(self.driver, ReportsAccount)
        return talk(self.driver.account())


def talk(exchange: Exchange[T]) -> T:
    """Return the result of an exchange over real HTTP."""
    transport = BlockingTransport()
    try:
        request = next(exchange)
        while True:
            assert isinstance(request, HttpRequest)
            request = exchange.send(run(transport.send(request, 5)))
    except StopIteration as stop:
        result: T = stop.value
        return result


@pytest.mark.parametrize(("driver", "credentials", "channel", "phone", "lost"), SENDS, ids=IDS)
def test_code_arrives_and_verifies(
    server: SandboxServer, driver: str, credentials: str, channel: str, phone: PhoneNumber, lost: DeliveryState | None
) -> None:
    harness = Harness(server, driver, credentials, channel)
    harness.begin(phone)
    delivery = harness.verifier.delivery(harness.id)
    assert (delivery and delivery.state) == (lost and DeliveryState.DELIVERED)
    outcome = harness.verifier.check(harness.id, harness.secret, harness.code(phone))
    assert outcome.ok
    assert outcome.proof


@pytest.mark.parametrize(
    ("driver", "variants", "phone", "state"),
    [
        ("amoot", {"delivery": "underway"}, IRANIAN, DeliveryState.OPEN),
        ("amoot", {"status": "number", "data": "list"}, IRANIAN, DeliveryState.DELIVERED),
        ("ssms", {"report": "texts", "err_code": "number"}, RUSSIAN, DeliveryState.DELIVERED),
        ("telefon-ip", {"status": "boolean"}, RUSSIAN, DeliveryState.DELIVERED),
    ],
)
def test_every_report_dialect_is_read(
    server: SandboxServer, driver: str, variants: dict[str, str], phone: PhoneNumber, state: DeliveryState
) -> None:
    server.sandbox.faults.put(driver, None, Fault(variants=variants))
    harness = Harness(server, driver, "KEY", "sms")
    harness.begin(phone)
    delivery = harness.verifier.delivery(harness.id)
    assert delivery is not None
    assert delivery.state is state


@pytest.mark.parametrize("options", ["", "&format=xml"])
def test_xml_report_is_read(server: SandboxServer, options: str) -> None:
    harness = Harness(server, "ssms", "KEY", "sms", options)
    harness.begin(RUSSIAN)
    delivery = harness.verifier.delivery(harness.id)
    assert delivery is not None
    assert (delivery.state, delivery.said) == (DeliveryState.DELIVERED, "state 1: delivered")
    assert harness.account() == ProviderAccount(Decimal("50.00"), "RUB")


@pytest.mark.parametrize(("driver", "credentials", "channel", "phone", "lost"), SENDS, ids=IDS)
def test_lost_code_is_reported_as_undelivered(
    server: SandboxServer, driver: str, credentials: str, channel: str, phone: PhoneNumber, lost: DeliveryState | None
) -> None:
    server.sandbox.faults.put(driver, None, Fault(lose=True))
    harness = Harness(server, driver, credentials, channel)
    harness.begin(phone)
    delivery = harness.verifier.delivery(harness.id)
    assert (delivery and delivery.state) == lost


def test_held_back_sms_is_open_until_the_phone_calls(server: SandboxServer) -> None:
    harness = Harness(server, "ssms", "KEY", "sms", "&call_protection=60")
    line = harness.line(RUSSIAN)
    asked = harness.verifier.delivery(harness.id)
    assert asked is not None
    assert asked.state is DeliveryState.OPEN
    server.sandbox.dial(RUSSIAN.e164, line)
    asked = harness.verifier.delivery(harness.id)
    assert asked is not None
    assert asked.state is DeliveryState.DELIVERED
    assert harness.verifier.check(harness.id, harness.secret, harness.code(RUSSIAN)).ok


@pytest.mark.parametrize(
    ("driver", "credentials", "channel", "account"),
    [
        ("amoot", "TOKEN", "sms", ProviderAccount(Decimal(25000), "IRR")),
        ("ssms", "KEY", "sms", ProviderAccount(Decimal("50.00"), "RUB")),
        ("telefon-ip", "TOKEN", "sms", ProviderAccount(Decimal("5.0"), "RUB")),
        ("evand", "ID:SECRET", "sms", ProviderAccount()),
    ],
)
def test_account_balance_is_read(
    server: SandboxServer, driver: str, credentials: str, channel: str, account: ProviderAccount
) -> None:
    assert Harness(server, driver, credentials, channel).account() == account
    wrong = credentials.replace("SECRET", "WRONG") if ":" in credentials else "WRONG"
    with pytest.raises(ProviderError) as raised:
        Harness(server, driver, wrong, channel).account()
    assert raised.value.trouble is FailureKind.CONFIGURATION
    assert server.sandbox.network.dispatches() == ()


def test_polled_call_verifies_the_phone(server: SandboxServer) -> None:
    harness = Harness(server, "telefon-ip", "TOKEN", "inbound_call")
    line = harness.line(RUSSIAN)
    for caller, status in ((STRANGER, Status.SENT), (RUSSIAN, Status.VERIFIED)):
        server.sandbox.dial(caller.e164, line)
        harness.clock.move(3)
        outcome = harness.verifier.poll(harness.id, harness.secret)
        assert outcome.verification is not None
        assert outcome.verification.status is status
    assert outcome.proof
    assert harness.verifier.delivery(harness.id) is None


def test_reported_call_verifies_the_phone(server: SandboxServer, hooks: Hooks) -> None:
    harness = Harness(server, "ssms", "KEY", "inbound_call")
    hooks.lead(harness.site, "ssms", server)
    line = harness.line(RUSSIAN)
    for caller, status in ((STRANGER, Status.SENT), (RUSSIAN, Status.VERIFIED)):
        server.sandbox.dial(caller.e164, line)
        outcome = harness.verifier.get(harness.id, harness.secret)
        assert outcome.verification is not None
        assert outcome.verification.status is status
    assert outcome.proof
    assert harness.verifier.delivery(harness.id) is None


@pytest.mark.parametrize(
    ("lose", "form", "told"),
    [
        (False, "quoted", "delivered"),
        (False, "bare", "delivered"),
        (False, "word", "delivered"),
        (True, "quoted", "open other (2)"),
    ],
)
def test_delivery_report_is_received_and_verifies_nothing(
    server: SandboxServer, hooks: Hooks, caplog: pytest.LogCaptureFixture, lose: bool, form: str, told: str
) -> None:
    caplog.set_level(logging.INFO, "phone_verify")
    harness = Harness(server, "amoot", "TOKEN", "sms")
    hooks.lead(harness.site, "amoot", server)
    server.sandbox.faults.put("amoot", None, Fault(lose=lose, variants={"webhook": form}))
    harness.begin(IRANIAN)
    assert hooks.heard.wait(30)
    assert hooks.statuses == [200]
    assert f"amoot reported the delivery status of an order: {told}" in caplog.messages
    outcome = harness.verifier.get(harness.id, harness.secret)
    assert outcome.verification is not None
    assert outcome.verification.status is Status.SENT


def test_second_flash_call_comes_from_another_number(server: SandboxServer) -> None:
    harness = Harness(server, "ferzz", "KEY", "flash_call", "&retry_path=/services/call/retry/")
    harness.begin(IRANIAN)
    old = harness.code(IRANIAN)
    assert harness.verifier.resend(harness.id, harness.secret).ok
    handset = server.sandbox.network.handset(IRANIAN.e164)
    assert handset is not None
    assert len({call.number for call in handset.calls}) == 2
    new = harness.code(IRANIAN)
    assert not harness.verifier.check(harness.id, harness.secret, old).ok
    assert harness.verifier.check(harness.id, harness.secret, new).ok


def test_user_token_sends_and_a_stale_one_is_replaced(server: SandboxServer) -> None:
    harness = Harness(server, "evand", "ID:SECRET", "sms")
    harness.begin(IRANIAN, user_token="SANDBOX.USER.99999999999.0")
    asked = [entry.path for entry in server.sandbox.journal.newest_first()]
    assert asked == ["/mobile/verification-codes"]
    assert harness.verifier.resend(harness.id, harness.secret, user_token="SANDBOX.USER.1.0").ok
    asked = [entry.path for entry in server.sandbox.journal.newest_first()]
    assert asked[:3] == ["/mobile/verification-codes", "/api/oauth2/token", "/mobile/verification-codes"]
    assert harness.verifier.check(harness.id, harness.secret, harness.code(IRANIAN)).ok
