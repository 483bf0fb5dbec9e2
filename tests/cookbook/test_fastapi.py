"""docs/cookbook/fastapi.md: the app under uvicorn passes the scenarios of a site that need no cookie session."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from phone_verify.sandbox import SandboxServer
from tests import scenarios
from tests.clients import HttpCarrier
from tests.django_adapter.projects import blocks
from tests.scenarios import SETTINGS, Stage
from tests.servers import free_port, running

from .conftest import ROOT

pytestmark = pytest.mark.slow

BLOCKS = blocks((ROOT / "docs" / "cookbook" / "fastapi.md").read_text("utf-8"))
#: Those of a site's scenarios that need neither pages nor a session in a cookie.
SCENARIOS = (
    "flash_call_to_session", "inbound_call_to_session", "a_code_and_a_call_live_side_by_side",
    "a_call_from_another_phone_proves_nothing", "another_binding_sees_nothing", "a_strangers_start_changes_nothing",
    "attempts_run_out", "a_right_code_is_good_once", "codes_as_people_type_them", "wrong_types_lose_nothing",
    "numbers_that_are_refused", "numbers_as_people_type_them", "sends_are_limited",
    "a_resend_repeats_and_never_refills", "cancelling_ends_it", "purposes_are_on_a_list", "other_sites_are_refused",
    "every_api_answer_has_its_cors_headers", "unknown_calls_are_problems", "health_is_one_word",
    "cookies_are_kept_close", "a_known_browser_has_a_budget_of_its_own",
)  # fmt: skip


@pytest.fixture(scope="module")
def url(sandbox: SandboxServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page's app, configured as the page says, with the rules of the scenarios."""
    folder: Path = tmp_path_factory.mktemp("fastapi")
    [app] = [block for block in BLOCKS if block.name]
    (folder / "app.py").write_text(app.text, "utf-8")
    exports = next(block.text for block in BLOCKS if "export" in block.text)
    chosen = dict(re.findall(r"export PHONE_VERIFY_(\w+)=(\S+)", exports))
    assert set(chosen) == {"STORE", "SMS"}
    channels = {f"PHONE_VERIFY_{channel}": sandbox.dsn for channel in ("SMS", "FLASH_CALL", "INBOUND_CALL")}
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PHONE_VERIFY_")},
        "SECRET_KEY": "a-secret-key-for-tests-and-nothing-else-0123456789",
        "PYTHONPATH": str(ROOT),
        "PHONE_VERIFY_STORE": chosen["STORE"],
        **{f"PHONE_VERIFY_{name.upper()}": value for name, value in SETTINGS.items()},
        **channels,
    }
    port = free_port()
    words = exports.splitlines()[-1].split()
    command = [sys.executable, "-m", *words, "--port", str(port), "--log-level", "warning"]
    with running([*command, "--timeout-graceful-shutdown", "1"], folder, env, port) as started:
        yield started


@pytest.fixture
def stage(url: str, sandbox: SandboxServer) -> Stage:
    """Browsers of the app, and their phones."""
    return Stage(lambda: HttpCarrier(url), sandbox)


@pytest.mark.parametrize("name", SCENARIOS)
def test_app_behaves_as_a_site(name: str, stage: Stage) -> None:
    scenarios.SCENARIOS[name](stage)


@pytest.mark.parametrize("path", ["v1/token", "v1/session"])
def test_client_signs_in_with_the_app_s_token(path: str, stage: Stage) -> None:
    client, phone = stage.browser(), stage.phone()
    begun = scenarios.start(client, phone, channel="sms")
    secret, bare = begun["secret"], stage.browser()
    check = f"v1/verifications/{begun['id']}/check"
    proof = bare.call("POST", check, {"code": stage.code(phone)}, secret=secret).json()["proof"]
    assert bare.call("POST", path, {"proof": proof}, secret="x" * 22).status == 400
    answer = bare.call("POST", path, {"proof": proof}, secret=secret)
    assert (answer.status, answer.json()["user"]["phone"], answer.json()["created"]) == (200, phone, True)
    bearer = {"Authorization": f"Bearer {answer.json()['token']}"}
    assert stage.browser().get("/me", headers=bearer).json()["phone"] == phone
    assert stage.browser().call("GET", "v1/session", headers=bearer).json() == {"user": answer.json()["user"]}
    assert stage.browser().call("DELETE", "v1/session", headers=bearer).status == 204
    assert stage.browser().get("/me", headers=bearer).status == 401
    assert stage.browser().get("/me").status == 401


def opened(pool: urllib3.PoolManager, address: str, headers: dict[str, str]) -> urllib3.BaseHTTPResponse:
    """Open a stream, as soon as the server has noticed that another one was left."""
    end = time.monotonic() + 30
    while True:
        stream = pool.request("GET", address, headers=headers, preload_content=False)
        if stream.status == 200:
            return stream
        assert time.monotonic() < end, stream.status


def test_call_arrives_in_the_event_stream(url: str, stage: Stage) -> None:
    client, phone = stage.browser(), stage.phone()
    begun = scenarios.start(client, phone, channel="inbound_call")
    address = f"{url}/phone/v1/verifications/{begun['id']}/events"
    headers, events = {"Verification-Secret": begun["secret"]}, []
    with urllib3.PoolManager(timeout=30, retries=False) as pool:
        for _ in range(5):  # more than a verification may have: one that was left frees its place
            opened(pool, address, headers).close()
        stream = opened(pool, address, headers)
        assert stream.headers["Content-Type"] == "text/event-stream"
        for line in stream:
            if line.startswith(b"data: "):
                events.append(json.loads(line[len(b"data: ") :]))
                if len(events) == 1:
                    stage.dial(phone, begun["dial"]["number"])
    assert [event["status"] for event in events] == ["sent", "verified"]
    assert events[-1]["proof"]


def test_app_without_a_token_is_signed_out(stage: Stage) -> None:
    scenarios.refused(stage.browser().call("GET", "v1/session"), 401, "not_signed_in")
    wrong = {"Authorization": "Bearer x"}
    scenarios.refused(stage.browser().call("GET", "v1/session", headers=wrong), 401, "not_signed_in")


def test_app_receives_webhooks_only_with_their_secret(stage: Stage) -> None:
    answer = stage.browser().call("GET", f"webhooks/inbound_call/{'A' * 43}")
    scenarios.refused(answer, 404, "not_found")
