"""Event streams of both example sites over real HTTP: under uvicorn, and refused under gunicorn."""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from phone_verify.http.cookies import COOKIE
from phone_verify.sandbox import SandboxServer
from phone_verify.verifier.streaming import MAX_STREAMS

from .clients import Browser, HttpCarrier, reset
from .scenarios import SETTINGS, Stage, conforms, start
from .servers import FOLDERS, environment, free_port, gunicorn, on_path, running, uvicorn, with_blocking_middleware

APP = "https://spa.example"
FRAMEWORKS = ["django", pytest.param("flask", marks=pytest.mark.slow)]
#: Longer than a stream takes to show a change, on a busy machine.
PATIENCE = 20.0

#: Django's example site with the middleware that compresses responses, which must not keep events back.
ZIPPED = """
from settings import *
MIDDLEWARE = ["django.middleware.gzip.GZipMiddleware", *MIDDLEWARE]
"""


@dataclass
class Events:
    """An open event stream."""

    connection: HTTPConnection
    response: HTTPResponse
    comments: list[str] = field(default_factory=list)

    def next(self) -> Any:
        """Return the JSON of the next event, or None at the end of the stream."""
        lines = []
        while (line := self.response.readline()) not in (b"\n", b""):
            lines.append(line.decode().rstrip("\n"))
        if not lines:
            return None
        if lines[0].startswith(":"):
            self.comments += lines
            return self.next()
        assert lines[0] == "event: status"
        [data] = lines[1:]
        return json.loads(data.removeprefix("data: "))

    def close(self) -> None:
        self.response.close()
        self.connection.close()


def follow(url: str, begun: Mapping[str, Any], headers: Mapping[str, str] | None = None, method: str = "GET") -> Events:
    """Request the events of a verification with its secret, or with these headers alone."""
    host = urlsplit(url)
    connection = HTTPConnection(host.hostname or "", host.port or 0, timeout=PATIENCE)
    sent = {"Verification-Secret": begun["secret"]} if headers is None else dict(headers)
    connection.request(method, f"/phone/v1/verifications/{begun['id']}/events", headers=sent)
    return Events(connection, connection.getresponse())


def zipped(env: dict[str, str], folder: Path) -> dict[str, str]:
    """Return the environment of the Django site with `ZIPPED`; Flask's ignores it."""
    (folder / "zipped.py").write_text(ZIPPED)
    return {**env, "PYTHONPATH": on_path(folder), "DJANGO_SETTINGS_MODULE": "zipped"}


@pytest.fixture(scope="module", params=FRAMEWORKS)
def url(
    request: pytest.FixtureRequest, sandbox: SandboxServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    folder = tmp_path_factory.mktemp(request.param)
    env = zipped(environment(request.param, folder, sandbox.dsn, SETTINGS), folder)
    with uvicorn(request.param, env) as url:
        yield url


@pytest.fixture
def stage(url: str, sandbox: SandboxServer) -> Stage:
    return Stage(lambda: HttpCarrier(url), sandbox)


def test_events_of_a_code_end_with_the_proof(url: str, stage: Stage) -> None:
    browser, phone = stage.browser(), stage.phone()
    begun = start(browser, phone)
    path = f"v1/verifications/{begun['id']}"
    with closing(follow(url, begun, {"Verification-Secret": begun["secret"], "Accept-Encoding": "gzip"})) as events:
        headers = events.response.headers
        assert events.response.status == 200
        assert headers["Content-Type"] == "text/event-stream"
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Accel-Buffering"] == "no"
        assert headers["Content-Encoding"] is None
        assert headers["Content-Length"] is None
        assert headers["Set-Cookie"] is None
        first = events.next()
        shown = browser.call("GET", path)
        conforms(shown, 200, "Verification")
        counters = {"expires_in", "resend_in"}
        assert {k: v for k, v in first.items() if k not in counters} == {
            k: v for k, v in shown.json().items() if k not in counters
        }
        code = stage.code(phone)
        wrong = f"{(int(code) + 1) % 10 ** len(code):0{len(code)}}"
        assert browser.call("POST", f"{path}/check", {"code": wrong}).status == 422
        assert events.next()["attempts_left"] == first["attempts_left"] - 1
        assert browser.call("POST", f"{path}/check", {"code": code}).status == 200
        last = events.next()
        assert last["status"] == "verified"
        assert events.next() is None
    assert browser.call("POST", "v1/session", {"proof": last["proof"]}).status == 200
    with closing(follow(url, begun)) as events:
        assert events.next()["status"] == "verified"
        assert events.next() is None


def test_call_is_shown_without_another_request(url: str, stage: Stage) -> None:
    """No webhook reaches this site: the stream queries the provider."""
    browser, phone = stage.browser(), stage.phone()
    begun = start(browser, phone, channel="inbound_call")
    with closing(follow(url, begun)) as events:
        first = events.next()
        assert (first["status"], first["dial"]) == ("sent", begun["dial"])
        stage.dial(phone, begun["dial"]["number"])
        last = events.next()
        assert (last["status"], last["dial"]) == ("verified", None)
        assert events.next() is None
    assert browser.call("POST", "v1/session", {"proof": last["proof"]}).status == 200


def test_fifth_stream_is_refused_until_one_is_closed(url: str, stage: Stage) -> None:
    begun, other = start(stage.browser(), stage.phone()), start(stage.browser(), stage.phone())
    with ExitStack() as stack:
        streams = [stack.enter_context(closing(follow(url, begun))) for _ in range(MAX_STREAMS)]
        assert {events.next()["status"] for events in streams} == {"sent"}
        with closing(follow(url, begun)) as fifth:
            assert fifth.response.status == 429
            problem = json.loads(fifth.response.read())
            assert problem["code"] == "too_many_requests"
            assert fifth.response.headers["Retry-After"] == str(problem["retry_after"])
        assert stack.enter_context(closing(follow(url, other))).next()["status"] == "sent"
        streams[2].close()
        streams[2] = stack.enter_context(closing(opened_after_a_disconnect(url, begun)))
        assert streams[2].next()["status"] == "sent"


def opened_after_a_disconnect(url: str, begun: Mapping[str, Any]) -> Events:
    """Return a stream; the server may see only a little later that another one was closed."""
    end = time.monotonic() + PATIENCE
    while (events := follow(url, begun)).response.status == 429 and time.monotonic() < end:
        events.close()
    assert events.response.status == 200
    return events


def test_cookie_opens_a_stream_and_nothing_else_does(url: str, stage: Stage) -> None:
    carrier = HttpCarrier(url)
    begun = start(Browser(carrier), stage.phone())
    cookie = "; ".join(f"{name}={value}" for name, value in carrier._jar.items())
    assert COOKIE in cookie
    with closing(follow(url, begun, {"Cookie": cookie})) as events:
        assert events.next()["status"] == "sent"
    for headers in ({}, {"Verification-Secret": "x" * 22}, {"Verification-Secret": "x" * 22, "Cookie": cookie}):
        with closing(follow(url, begun, headers)) as refused:
            assert refused.response.status == 404
            assert json.loads(refused.response.read())["code"] == "not_found"


def test_other_origins_and_methods(url: str, stage: Stage) -> None:
    begun = start(stage.browser(), stage.phone())
    secret = {"Verification-Secret": begun["secret"]}
    for method, status in (("GET", 200), ("HEAD", 200), ("OPTIONS", 204), ("POST", 405)):
        with closing(follow(url, begun, {**secret, "Origin": APP}, method)) as events:
            assert events.response.status == status, method
            headers = events.response.headers
            assert status != 200 or headers["Content-Type"] == "text/event-stream"
            assert headers["Access-Control-Allow-Origin"] == APP
            assert headers["Access-Control-Allow-Methods"] == "GET, HEAD"
            assert headers["Access-Control-Allow-Credentials"] == "true"
            assert "Origin" in headers["Vary"]
    with closing(follow(url, begun, {**secret, "Origin": "https://evil.example"})) as events:
        assert events.response.headers["Access-Control-Allow-Origin"] is None
        assert events.next()["status"] == "sent"


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_wsgi_server_answers_406(framework: str, sandbox: SandboxServer, tmp_path: Path) -> None:
    with gunicorn(framework, environment(framework, tmp_path, sandbox.dsn, SETTINGS), workers=1) as url:
        begun = start(Browser(HttpCarrier(url)), "+989120009001")
        for headers in (None, {}, {"Accept": "text/event-stream"}):
            with closing(follow(url, begun, headers)) as events:
                assert events.response.status == 406
                assert json.loads(events.response.read())["code"] == "not_acceptable"


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_change_by_another_process_is_shown(framework: str, sandbox: SandboxServer, tmp_path: Path) -> None:
    env = environment(framework, tmp_path, sandbox.dsn, SETTINGS)
    with uvicorn(framework, env) as url, uvicorn(framework, env) as other:
        browser = Browser(HttpCarrier(other))
        begun = start(browser, "+989120009002")
        with ExitStack() as stack:
            events = stack.enter_context(closing(follow(url, begun)))
            assert events.next()["status"] == "sent"
            for _ in range(MAX_STREAMS - 1):
                stack.enter_context(closing(follow(other, begun))).next()
            # The limit holds over both.
            for address in (url, other):
                with closing(follow(address, begun)) as fifth:
                    assert fifth.response.status == 429
            assert browser.call("DELETE", f"v1/verifications/{begun['id']}").status == 204
            assert events.next()["status"] == "cancelled"
            assert events.next() is None


@pytest.mark.slow
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_stopping_server_ends_its_streams(framework: str, sandbox: SandboxServer, tmp_path: Path) -> None:
    """Without a limit, uvicorn would wait for them until the verification expires."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "asgi:application", "--port", str(port), "--log-level", "warning"]
    with ExitStack() as stack:
        with running(command, FOLDERS[framework], environment(framework, tmp_path, sandbox.dsn, SETTINGS), port) as url:
            events = stack.enter_context(closing(follow(url, start(Browser(HttpCarrier(url)), "+989120009003"))))
            assert events.next()["status"] == "sent"
        # `running` kills a server that has not ended; then the last chunk would be missing.
        assert events.response.read() == b""


OTHER_SERVERS = {
    "hypercorn": ["hypercorn", "asgi:application", "--bind", "127.0.0.1:PORT"],
    "daphne": ["daphne", "-b", "127.0.0.1", "-p", "PORT", "-v", "0", "asgi:application"],
}


@pytest.mark.slow
@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("server", OTHER_SERVERS)
def test_other_servers_send_events(framework: str, server: str, sandbox: SandboxServer, tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", *(word.replace("PORT", str(port)) for word in OTHER_SERVERS[server])]
    env = {**environment(framework, tmp_path, sandbox.dsn, SETTINGS), "PYTHONPATH": on_path(FOLDERS[framework])}
    with running(command, FOLDERS[framework], env, port) as url:
        browser = Browser(HttpCarrier(url))
        begun = start(browser, "+989120009004")
        with ExitStack() as stack:
            streams = [stack.enter_context(closing(follow(url, begun))) for _ in range(MAX_STREAMS)]
            assert [events.next()["status"] for events in streams] == ["sent"] * MAX_STREAMS
            streams.pop().close()
            streams.append(stack.enter_context(closing(opened_after_a_disconnect(url, begun))))
            streams[-1].next()
            assert browser.call("DELETE", f"v1/verifications/{begun['id']}").status == 204
            for events in streams:
                assert events.next()["status"] == "cancelled"
                assert events.next() is None


def test_client_that_leaves_while_it_waits(url: str, stage: Stage) -> None:
    """A connection that is reset, without a word, frees its place too."""
    begun = start(stage.browser(), stage.phone())
    for _ in range(3 * MAX_STREAMS):
        events = opened_after_a_disconnect(url, begun)
        events.next()
        reset(events.connection.sock)
        events.close()
    with closing(opened_after_a_disconnect(url, begun)) as events:
        assert events.next()["status"] == "sent"


def test_client_that_leaves_before_the_response(url: str, stage: Stage) -> None:
    leave_early(url, start(stage.browser(), stage.phone()))


def test_client_that_leaves_early_with_blocking_middleware(sandbox: SandboxServer, tmp_path: Path) -> None:
    """Django then runs the view in an event loop's thread, and may drop the response in that thread."""
    env = environment("django", tmp_path, sandbox.dsn, SETTINGS)
    with uvicorn("django", with_blocking_middleware(env, tmp_path)) as url:
        leave_early(url, start(Browser(HttpCarrier(url)), "+989120009005"))


def leave_early(url: str, begun: Mapping[str, Any]) -> None:
    """Leave at any step of the request: all places are free afterwards."""
    host = urlsplit(url)
    call = f"GET /phone/v1/verifications/{begun['id']}/events HTTP/1.1\r\nHost: {host.netloc}\r\n"
    for step in range(12 * MAX_STREAMS):
        with socket.create_connection((host.hostname, host.port), PATIENCE) as client:
            client.sendall(f"{call}Verification-Secret: {begun['secret']}\r\n\r\n".encode())
            time.sleep(0.001 * (step % 16))
            reset(client)
    with ExitStack() as stack:
        for _ in range(MAX_STREAMS):
            events = stack.enter_context(closing(opened_after_a_disconnect(url, begun)))
            assert events.next()["status"] == "sent"
