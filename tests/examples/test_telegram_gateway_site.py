"""Both example sites under a real server sign users in by Telegram Gateway's own protocol, against the sandbox."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from phone_verify.sandbox import Fault, SandboxServer
from tests.clients import HttpCarrier
from tests.scenarios import Stage, wrong
from tests.servers import environment, free_port, gunicorn

NAME, TOKEN, SECRET = "telegram-gateway", "FAKE-GATEWAY-TOKEN", "hook-secret-0123456789abcdef"


@pytest.fixture(scope="module", params=["django", "flask"])
def site(
    request: pytest.FixtureRequest, sandbox: SandboxServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """An example site whose only channel is Telegram: yields its URL."""
    port = free_port()
    settings = {
        "telegram": f"{NAME}://{TOKEN}@{sandbox.url.removeprefix('http://')}?tls=off",
        "public_url": f"http://127.0.0.1:{port}",
        "webhook_secret": SECRET,
        "sends_per_hour_per_prefix": "0",
    }
    env = environment(request.param, tmp_path_factory.mktemp(request.param), None, settings)
    with gunicorn(request.param, env, port=port) as url:
        yield url


@pytest.fixture
def stage(site: str, sandbox: SandboxServer) -> Stage:
    sandbox.sandbox.journal.clear()
    return Stage(lambda: HttpCarrier(site), sandbox)


def first_callback(sandbox: SandboxServer, site: str) -> Any:
    """Return the first callback to this site, once there is one. A late one to the other site does not count."""
    end = time.monotonic() + 30
    while not (found := [each for each in sandbox.sandbox.journal.deliveries() if each.url.startswith(f"{site}/")]):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found[0]


def test_user_signs_in_by_a_telegram_message(stage: Stage, site: str, sandbox: SandboxServer) -> None:
    browser, phone = stage.browser(), stage.phone()
    answer = browser.post_form("/phone/login/", phone=phone, channel="telegram")
    assert answer.status == 303, answer.text
    code = stage.code(phone)
    handset = sandbox.sandbox.network.handset(phone)
    assert handset is not None
    assert [(message.channel, message.provider) for message in handset.messages] == [("telegram", NAME)]
    rejected = browser.follow(browser.post_form(answer.location, code=wrong(code)))
    assert "Incorrect code" in rejected.text
    assert browser.post_form(answer.location, code=code).status == 303
    assert phone in browser.get("/").text
    assert [entry.path for entry in sandbox.sandbox.journal.newest_first()] == ["/sendVerificationMessage"]


def test_site_accepts_signed_callbacks_only(stage: Stage, site: str, sandbox: SandboxServer) -> None:
    for forgery, status in ((None, 200), ("wrong_key", 403), ("stale", 403)):
        sandbox.sandbox.journal.clear()
        phone = stage.phone()
        sandbox.sandbox.faults.put(NAME, phone, Fault(webhook_signature=forgery))  # type: ignore[arg-type]
        assert stage.browser().post_form("/phone/login/", phone=phone, channel="telegram").status == 303
        newest = first_callback(sandbox, site)
        assert newest.url == f"{site}/phone/webhooks/{NAME}/***"
        assert (newest.method, newest.status) == ("POST", status)


def test_number_without_telegram_gets_an_error(stage: Stage, sandbox: SandboxServer) -> None:
    phone = stage.phone()
    sandbox.sandbox.faults.put(NAME, phone, Fault(refuse="PHONE_NUMBER_NOT_AVAILABLE"))
    browser = stage.browser()
    answer = browser.follow(browser.post_form("/phone/login/", phone=phone, channel="telegram"))
    assert "couldn" in answer.text
    assert sandbox.sandbox.network.handset(phone) is None
