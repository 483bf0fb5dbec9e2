"""Another program with an access key, over real HTTP: both example sites with two workers, and keys made by the CLI."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from phone_verify.sandbox import SandboxServer

from . import forks
from .clients import Answer, Browser, HttpCarrier
from .scenarios import SETTINGS, Stage, conforms, refused, wrong
from .servers import FOLDERS, environment, gunicorn, uvicorn

ROOT = Path(__file__).parents[1]
_SITES = {"django": ["--django", "settings"], "flask": ["--flask", "wsgi:application"]}
#: Requests that two workers share.
_REQUESTS = 12


@dataclass
class Company:
    """A running site, its command line, and its phone network."""

    framework: str
    url: str
    env: Mapping[str, str]
    stage: Stage

    def keys(self, *words: str, status: int = 0) -> str:
        """Run `phone-verify keys`; return what it printed."""
        command = [sys.executable, "-m", "phone_verify", "keys", *words[:1], *_SITES[self.framework], *words[1:]]
        path = os.pathsep.join([str(FOLDERS[self.framework]), str(ROOT)])
        done = forks.run(
            command,
            cwd=FOLDERS[self.framework],
            env={**self.env, "PYTHONPATH": path},
            timeout=60,
        )
        assert done.returncode == status, (done.stdout, done.stderr)
        return done.stdout if status == 0 else done.stderr

    def new_key(self, *words: str) -> str:
        return self.keys("create", "Shop backend", *words).strip()

    def call(self, key: str, method: str, path: str, document: object = None, secret: str | None = None) -> Answer:
        """Call from a new connection, so that any worker may answer."""
        browser = Browser(HttpCarrier(self.url))
        answer = browser.call(method, path, document, secret=secret, headers={"Authorization": f"Bearer {key}"})
        assert "set-cookie" not in answer.headers
        return answer

    def start(self, key: str, phone: str | None = None, **fields: str) -> Answer:
        return self.call(key, "POST", "v1/verifications", {"phone": phone or self.stage.phone(), **fields})


TARGETS = [
    pytest.param(("django", gunicorn), id="django"),
    pytest.param(("flask", gunicorn), id="flask"),
    pytest.param(("django", uvicorn), id="django-asgi", marks=pytest.mark.slow),
    pytest.param(("flask", uvicorn), id="flask-asgi", marks=pytest.mark.slow),
]


@pytest.fixture(scope="module", params=TARGETS)
def company(
    request: pytest.FixtureRequest, sandbox: SandboxServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Company]:
    framework, server = request.param
    data = tmp_path_factory.mktemp(framework)
    ledger = "orm:" if framework == "django" else f"sqlite:///{data / 'services.sqlite3'}"
    env = environment(framework, data, sandbox.dsn, {**SETTINGS, "ledger": ledger})
    with server(framework, env) as url:
        # Workers make the tables before they answer.
        assert Browser(HttpCarrier(url)).call("GET", "v1/health").status == 200
        yield Company(framework, url, env, Stage(lambda: HttpCarrier(url), sandbox))


@pytest.fixture(scope="module")
def key(company: Company) -> str:
    return company.new_key()


@pytest.mark.parametrize("channel", ["sms", "flash_call"])
def test_program_verifies_by_a_code(company: Company, key: str, channel: str) -> None:
    phone = company.stage.phone()
    started = company.start(key, phone, channel=channel)
    conforms(started, 201, "StartedVerification")
    begun, code = started.json(), company.stage.code(phone)
    path, secret = f"v1/verifications/{begun['id']}", begun["secret"]
    refused(company.call(key, "POST", f"{path}/check", {"code": wrong(code)}, secret), 422, "wrong_code")
    checked = company.call(key, "POST", f"{path}/check", {"code": code}, secret)
    conforms(checked, 200, "Verification")
    assert checked.json()["status"] == "verified"
    fields = {"proof": checked.json()["proof"], "phone": phone}
    conforms(company.call(key, "POST", f"{path}/redeem", fields, secret), 200, "RedeemedProof")
    refused(company.call(key, "POST", f"{path}/redeem", fields, secret), 400, "invalid_proof")


def test_program_verifies_by_a_call(company: Company, key: str) -> None:
    phone = company.stage.phone()
    begun = company.start(key, phone, channel="inbound_call").json()
    company.stage.dial(phone, begun["dial"]["number"])
    answer = company.call(key, "GET", f"v1/verifications/{begun['id']}", secret=begun["secret"])
    assert answer.json()["status"] == "verified"


def test_revoked_key_is_refused_by_every_worker(company: Company) -> None:
    key = company.new_key()
    phone = company.stage.phone()
    begun = company.start(key, phone).json()
    statuses = {company.call(key, "GET", f"v1/verifications/{begun['id']}", secret=begun["secret"]).status
                for _ in range(_REQUESTS)}  # fmt: skip
    assert statuses == {200}
    company.keys("revoke", key.split("_")[1])
    for _ in range(_REQUESTS):
        answer = company.call(key, "GET", f"v1/verifications/{begun['id']}", secret=begun["secret"])
        refused(answer, 401, "invalid_key")
        assert answer.headers["www-authenticate"] == "Bearer"
    refused(company.start(key), 401, "invalid_key")
    assert company.stage.arrived(phone) == 1


def test_key_is_restricted_by_range_and_channel(company: Company) -> None:
    elsewhere = company.new_key("--from", "198.51.100.0/24 2001:db8::/32")
    refused(company.start(elsewhere), 401, "invalid_key")
    here = company.new_key("--from", "127.0.0.0/8", "--channels", "flash_call")
    refused(company.start(here, channel="sms"), 403, "channel_not_allowed", fields=["channel"])
    begun = company.start(here)
    assert (begun.status, begun.json()["channel"], begun.json()["channels"]) == (201, "flash_call", ["flash_call"])


def test_limits_of_a_key_hold_on_the_devices_of_its_users(company: Company) -> None:
    key, other = company.new_key("--channels", "sms"), company.new_key()
    phone = company.stage.phone()
    begun = company.start(key, phone).json()
    path, secret = f"v1/verifications/{begun['id']}", begun["secret"]
    device = company.stage.browser()
    seen = device.call("GET", path, secret=secret)
    conforms(seen, 200, "Verification")
    assert seen.json()["channels"] == ["sms"]
    flash = {"channel": "flash_call"}
    refused(device.call("POST", f"{path}/resend", flash, secret=secret), 409, "channel_unavailable")
    refused(company.call(other, "POST", f"{path}/resend", flash, secret), 409, "channel_unavailable")
    once = {"Idempotency-Key": "again"}
    for _ in range(2):
        conforms(device.call("POST", f"{path}/resend", {}, secret=secret, headers=once), 200, "Verification")
    assert company.stage.arrived(phone) == 2
    keyed = {**once, "Authorization": f"Bearer {key}"}
    conforms(Browser(HttpCarrier(company.url)).call("POST", f"{path}/resend", {}, secret=secret, headers=keyed), 200,
             "Verification")  # fmt: skip
    assert company.stage.arrived(phone) == 3, "the response to the device is not the key's"
    company.keys("revoke", key.split("_")[1])
    for _ in range(_REQUESTS):
        refused(device.call("POST", f"{path}/resend", {}, secret=secret), 403, "send_refused")
    assert company.stage.arrived(phone) == 3
    code = company.stage.code(phone)
    assert device.call("POST", f"{path}/check", {"code": code}, secret=secret).json()["status"] == "verified"


def test_key_of_another_service_is_refused(company: Company, key: str) -> None:
    refused(company.start(key, service="another"), 403, "wrong_service", fields=["service"])
    assert "--service" in company.keys("create", "Shop", "--service", "another", status=2)


def test_key_signs_no_one_in(company: Company, key: str) -> None:
    for method, path, document in (
        ("GET", "v1/session", None),
        ("POST", "v1/session", {"proof": "x"}),
        ("PUT", "v1/session/phone", {"proof": "x"}),
        ("DELETE", "v1/session", None),
    ):
        refused(company.call(key, method, path, document), 403, "key_not_accepted")


def test_session_of_the_same_request_is_not_read(company: Company, key: str) -> None:
    """A signed-in browser's cookies next to a key change nothing."""
    carrier, phone = HttpCarrier(company.url), company.stage.phone()
    browser = Browser(carrier)
    begun = browser.call("POST", "v1/verifications", {"phone": phone}).json()
    proof = browser.call("POST", f"v1/verifications/{begun['id']}/check", {"code": company.stage.code(phone)}).json()
    assert browser.call("POST", "v1/session", {"proof": proof["proof"]}).status == 200
    headers = {"Authorization": f"Bearer {key}"}
    refused(browser.call("GET", f"v1/verifications/{begun['id']}", headers=headers), 404, "not_found")
    started = browser.call("POST", "v1/verifications", {"phone": company.stage.phone()}, headers=headers)
    assert started.status == 201
    assert "set-cookie" not in started.headers
    assert browser.call("GET", "v1/session").status == 200


@pytest.mark.parametrize("headers", [{"Origin": "https://spa.example"}, {"Sec-Fetch-Site": "same-origin"}])
def test_browser_with_a_key_is_refused(company: Company, key: str, headers: Mapping[str, str]) -> None:
    phone = company.stage.phone()
    browser = Browser(HttpCarrier(company.url))
    sent = {**headers, "Authorization": f"Bearer {key}"}
    refused(browser.call("POST", "v1/verifications", {"phone": phone}, headers=sent), 403, "key_in_browser")
    assert company.stage.arrived(phone) == 0


def test_keys_are_listed_without_their_secrets(company: Company, key: str) -> None:
    assert company.start(key).status == 201
    refused(company.start(f"{key[:-1]}{'A' if key[-1] != 'A' else 'B'}"), 401, "invalid_key")
    printed = company.keys("list", "--json")
    assert key.split("_", 2)[2] not in printed
    listed: dict[str, Any] = {each["id"]: each for each in json.loads(printed)}
    found = listed[key.split("_")[1]]
    assert (found["name"], found["service"], found["state"]) == ("Shop backend", "default", "valid")
    assert found["last_used_at"]


def test_mistakes_of_the_command_line_are_explained(company: Company) -> None:
    assert "--from" in company.keys("create", "Shop", "--from", "10.0.0.1/8", status=2)
    assert "no valid access key" in company.keys("revoke", "0" * 12, status=1)
