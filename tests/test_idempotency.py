"""Fifty requests with one `Idempotency-Key`, simultaneously, to both example sites over real HTTP."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from phone_verify.sandbox import SandboxServer
from phone_verify.testing.stores import together

from .clients import Answer, Browser, HttpCarrier, reset
from .scenarios import SETTINGS, Stage
from .servers import environment, gunicorn, uvicorn, with_blocking_middleware

TARGETS = [
    pytest.param(("django", gunicorn), id="django"),
    pytest.param(("flask", gunicorn), id="flask"),
    pytest.param(("django", uvicorn), id="django-asgi"),
    pytest.param(("flask", uvicorn), id="flask-asgi", marks=pytest.mark.slow),
]


@pytest.fixture(params=TARGETS)
def stage(
    request: pytest.FixtureRequest, sandbox: SandboxServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    framework, server = request.param
    data = tmp_path_factory.mktemp(framework)
    with server(framework, environment(framework, data, sandbox.dsn, SETTINGS)) as url:
        yield Stage(lambda: HttpCarrier(url), sandbox)


@pytest.mark.race
def test_fifty_simultaneous_starts_and_resends_send_once(stage: Stage, sandbox: SandboxServer) -> None:
    """The provider takes its time, so that the others have to wait, in both workers."""
    phone = stage.phone()
    slow = {"provider": "amoot", "phone": phone, "delay": 1.5}
    assert Browser(HttpCarrier(sandbox.url), "/api/").call("PUT", "faults", slow).status in (200, 204)
    fields, key = {"phone": phone, "channel": "sms"}, {"Idempotency-Key": str(uuid.uuid4())}
    started = same(
        together(50, lambda _: stage.browser().call("POST", "v1/verifications", fields, headers=key)), status=201
    )
    assert stage.arrived(phone) == 1
    path, key = f"v1/verifications/{started['id']}/resend", {"Idempotency-Key": str(uuid.uuid4())}
    secret = started["secret"]
    resent = same(
        together(50, lambda _: stage.browser().call("POST", path, {}, secret=secret, headers=key)), status=200
    )
    assert resent["id"] == started["id"]
    assert stage.arrived(phone) == 2


@pytest.mark.parametrize("blocking", [False, True], ids=["async", "blocking"])
def test_client_that_disconnects_gets_its_start_by_repeating(
    sandbox: SandboxServer, tmp_path: Path, *, blocking: bool
) -> None:
    """Also if Django runs the view in a thread, for middleware that supports only blocking calls."""
    phone = "+989120009006" if blocking else "+989120009007"
    slow = {"provider": "amoot", "phone": phone, "delay": 1}
    assert Browser(HttpCarrier(sandbox.url), "/api/").call("PUT", "faults", slow).status in (200, 204)
    env = environment("django", tmp_path, sandbox.dsn, SETTINGS)
    with uvicorn("django", with_blocking_middleware(env, tmp_path) if blocking else env) as url:
        fields, key = {"phone": phone, "channel": "sms"}, {"Idempotency-Key": str(uuid.uuid4())}
        host = urlsplit(url)
        client = HTTPConnection(host.hostname or "", host.port or 0, timeout=20)
        headers = {"Content-Type": "application/json", **key}
        client.request("POST", "/phone/v1/verifications", json.dumps(fields), headers)
        time.sleep(0.5)  # the provider has the order and does not answer yet
        reset(client.sock)
        client.close()
        answer = Browser(HttpCarrier(url)).call("POST", "v1/verifications", fields, headers=key)
        assert (answer.status, answer.json()["status"]) == (201, "sent")
        assert Stage(lambda: HttpCarrier(url), sandbox).arrived(phone) == 1


def same(answers: list[Answer], status: int) -> dict[str, str]:
    """Return the body that all of these have in common."""
    assert {answer.status for answer in answers} == {status}
    bodies = [{**answer.json(), "expires_in": None, "resend_in": None} for answer in answers]
    assert len({json.dumps(body, sort_keys=True) for body in bodies}) == 1
    return bodies[0]
