"""Sign-in by Sinch's protocol on both example sites under gunicorn: the site is asked before each send."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
import urllib3

from phone_verify.sandbox import Fault, SandboxServer
from phone_verify.sandbox.protocols.sinch_signatures import SECRET

from .clients import HttpCarrier
from .scenarios import SETTINGS, Stage, conforms, refused, start, wrong
from .servers import environment, free_port, gunicorn

WEBHOOK_SECRET = "a-secret-of-webhooks-0123456789"
CHANNELS = ("sms", "flash_call", "voice", "whatsapp")


@pytest.fixture(scope="module", params=["django", "flask"])
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A site whose webhook is set in the account at Sinch."""
    with SandboxServer() as server:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        place = server.url.removeprefix("http://")
        dsn = f"sinch://KEY:{quote(SECRET)}@{place}?tls=off&code_length=4&caller=%2B1815654xxxx"
        settings = {**SETTINGS, "public_url": url, "webhook_secret": WEBHOOK_SECRET}
        settings |= dict.fromkeys(CHANNELS, dsn)
        env = environment(request.param, tmp_path_factory.mktemp(request.param), None, settings)
        server.sandbox.network.set_webhook("sinch", f"{url}/phone/webhooks/sinch/{WEBHOOK_SECRET}")
        with gunicorn(request.param, env, port=port):
            yield Stage(lambda: HttpCarrier(url), server)


@pytest.fixture(autouse=True)
def _clean_journal(stage: Stage) -> None:
    stage.sandbox.sandbox.journal.clear()
    stage.sandbox.sandbox.faults.clear()


def events(stage: Stage, count: int) -> list[tuple[Any, Any]]:
    """Return the first webhooks in order, with the site's status, once so many were sent."""
    end = time.monotonic() + 30
    while len(found := stage.sandbox.sandbox.journal.deliveries()) < count and time.monotonic() < end:
        time.sleep(0.02)
    return [(each.method, each.status) for each in reversed(found)]


@pytest.mark.parametrize(("channel", "webhooks"), [("sms", 3), ("flash_call", 2), ("voice", 2), ("whatsapp", 2)])
def test_code_signs_in(stage: Stage, channel: str, webhooks: int) -> None:
    browser, phone = stage.browser(), stage.phone()
    begun = start(browser, phone, channel=channel)
    assert (begun["status"], begun["code_length"]) == ("sent", 4)
    path, code = f"v1/verifications/{begun['id']}/check", stage.code(phone)
    refused(browser.call("POST", path, {"code": wrong(code)}), 422, "wrong_code", attempts_left=2)
    answer = browser.call("POST", path, {"code": code})
    conforms(answer, 200, "Verification")
    answer = browser.call("POST", "v1/session", {"proof": answer.json()["proof"]})
    assert (answer.status, answer.json()["user"]["phone"]) == (200, phone)
    assert events(stage, webhooks) == [("POST", 200)] * webhooks


def test_start_by_another_client_is_denied(stage: Stage) -> None:
    """The key of the application is public: only the site's reply protects its account."""
    phone = stage.phone()
    body = {"identity": {"type": "number", "endpoint": phone}, "method": "sms", "reference": "somebody-else"}
    for headers in ({"Authorization": "Application KEY"}, {"Authorization": "Application KEY", "x-timestamp": "0"}):
        answer = urllib3.request(
            "POST", f"{stage.sandbox.url}/verification/v1/verifications", json=body, headers=headers, timeout=60
        )
        assert (answer.status, answer.json()["errorCode"]) == (403, 40303)
    assert events(stage, 2) == [("POST", 200)] * 2
    assert stage.arrived(phone) == 0


@pytest.mark.parametrize("forgery", ["wrong_key", "stale", "unsigned"])
def test_unsigned_question_sends_nothing(stage: Stage, forgery: Any) -> None:
    phone = stage.phone()
    stage.sandbox.sandbox.faults.put("sinch", phone, Fault(webhook_signature=forgery))
    answer = stage.browser().call("POST", "v1/verifications", {"phone": phone, "channel": "sms"})
    assert answer.status == 502, answer.text
    assert events(stage, 1)[0] == ("POST", 403)
    assert stage.arrived(phone) == 0
