"""A sandbox on a real port."""

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from phone_verify.sandbox import Fault, Sandbox, SandboxServer
from phone_verify.sandbox.webhooks import Hook, asker

PHONE = "+989120000000"


@pytest.fixture
def server() -> Iterator[SandboxServer]:
    with SandboxServer() as server:
        yield server


def ask(server: SandboxServer, method: str, path: str, body: object = None, timeout: float = 30) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(server.url).port or 0, timeout=timeout)
    try:
        data = None if body is None else json.dumps(body)
        connection.request(method, path, data, {"Content-Type": "application/json", "Authorization": "TOKEN"})
        response = connection.getresponse()
        text = response.read()
        return response.status, json.loads(text) if text else None
    finally:
        connection.close()


def send(server: SandboxServer, timeout: float = 30) -> tuple[int, Any]:
    body = {"Mobile": "9120000000", "CodeLength": 6, "OptionalCode": "482193"}
    return ask(server, "POST", "/rest/SendQuickOTP", body, timeout)


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_server_listens_on_its_own_port(server: SandboxServer) -> None:
    assert server.url.startswith("http://127.0.0.1:")
    assert server.dsn == "sandbox" + server.url.removeprefix("http")
    assert send(server)[1]["Status"] == "Success"
    assert ask(server, "GET", f"/api/handsets/{PHONE}/code")[1]["code"] == "482193"


def test_long_poll_ends_when_the_code_arrives(server: SandboxServer) -> None:
    timer = threading.Timer(0.05, send, [server])
    timer.start()
    status, answer = ask(server, "GET", f"/api/handsets/{PHONE}/code?wait=10", timeout=15)
    timer.join()
    assert (status, answer["code"]) == (200, "482193")


def test_events_reach_a_page_and_stop_with_the_server() -> None:
    with SandboxServer() as server:
        connection = http.client.HTTPConnection("127.0.0.1", urlsplit(server.url).port or 0, timeout=30)
        connection.request("GET", "/api/events")
        response = connection.getresponse()
        assert response.getheader("Content-Type", "").startswith("text/event-stream")
        assert response.readline() == b"retry: 1000\n"
        assert response.readline() == b"event: change\n"
        send(server)
        lines = [response.readline() for _ in range(4)]
        assert b"event: change\n" in lines
    response.read()
    connection.close()


def test_closed_page_frees_its_stream(server: SandboxServer) -> None:
    streams = server.sandbox.streams
    free = streams._value
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(server.url).port or 0, timeout=30)
    connection.request("GET", "/api/events")
    response = connection.getresponse()
    response.readline()
    assert streams._value == free - 1
    response.close()
    connection.close()

    def noticed() -> bool:
        server.sandbox.network.touch()
        return streams._value == free

    until(noticed)


def test_hanging_request_gets_no_answer_and_stop_ends_it() -> None:
    with SandboxServer() as server:
        server.sandbox.faults.put("amoot", None, Fault(hang=True))
        with pytest.raises(TimeoutError):
            send(server, timeout=0.2)
        assert server.sandbox.network.handset(PHONE) is not None
        errors: list[BaseException] = []

        def hang() -> None:
            try:
                send(server)
            except (OSError, http.client.HTTPException) as error:
                errors.append(error)

        thread = threading.Thread(target=hang)
        thread.start()
        until(lambda: len(server.sandbox.journal.newest_first()) == 2)
    thread.join(30)
    assert len(errors) == 1
    assert not isinstance(errors[0], TimeoutError)


def test_webhook_is_sent_over_http(server: SandboxServer, site: tuple[str, list[str]]) -> None:
    url, heard = site
    body = {"phone": "89000000000", "webhook": f"{url}/hook/secret"}
    _, started = ask(server, "POST", "/api/v1/authcalls/TOKEN/reverse_auth_phone_post", body)
    data = started["data"]
    _, dialled = ask(server, "POST", "/api/handsets/+79000000000/dial", {"number": data["auth_phone"]})
    assert dialled["waits"][0]["webhooks"] == [200]
    assert heard == [f"GET /hook/secret?success=True&phone=89000000000&id={data['id']}"]


def test_webhooks_follow_no_redirect(site: tuple[str, list[str]]) -> None:
    url, heard = site
    assert asker(frozenset())(Hook(f"{url}/moved?a=%20b&c= d")) == 302
    assert heard == ["GET /moved?a=%20b&c=%20d"]


@pytest.mark.parametrize(
    "url",
    [
        "http://evil.example/",
        "http://169.254.169.254/",
        "http://127.0.0.1:1/",
        "http://[",
        "http://127.0.0.1:x/",
        "http://",
    ],
)
def test_webhooks_go_to_loopback_only_and_survive_errors(url: str) -> None:
    assert asker(frozenset())(Hook(url)) is None


def test_host_that_is_not_loopback_is_refused() -> None:
    with pytest.raises(ValueError, match="no passwords"):
        SandboxServer(host="0.0.0.0")


def test_taken_port_is_an_os_error(server: SandboxServer) -> None:
    with pytest.raises(OSError, match="in use"):
        SandboxServer(port=urlsplit(server.url).port or 0)


def test_two_sandboxes_share_nothing() -> None:
    with SandboxServer() as one, SandboxServer(Sandbox()) as other:
        send(one)
        assert ask(other, "GET", "/api/handsets")[1] == {"handsets": []}


def test_server_that_never_started_can_be_stopped() -> None:
    SandboxServer().stop()


def test_run_answers_in_this_thread_until_it_is_stopped() -> None:
    server = SandboxServer()
    thread = threading.Thread(target=server.run)
    thread.start()
    assert send(server)[0] == 200
    server._server.shutdown()
    thread.join(30)
    assert not thread.is_alive()
