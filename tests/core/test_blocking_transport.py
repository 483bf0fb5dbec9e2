"""Both transports against misbehaving sockets: the same promises with both HTTP clients."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Protocol

import pytest

from phone_verify.errors import ProviderError, UnclearError
from phone_verify.exchange import HttpRequest, HttpResponse, Notice
from phone_verify.sync import run
from phone_verify.transports.aio import AsyncTransport
from phone_verify.transports.base import intercepted
from phone_verify.transports.blocking import BlockingTransport

from .sockets import OK, Server, sends


class Send(Protocol):
    """Send one request with the transport under test, the same one throughout a test."""

    def __call__(self, request: HttpRequest | Notice, timeout: float = 5) -> HttpResponse: ...


@pytest.fixture(params=["blocking", "async"])
def send(request: pytest.FixtureRequest) -> Iterator[Send]:
    if request.param == "blocking":
        blocking = BlockingTransport()
        yield lambda request, timeout=5: run(blocking.send(request, timeout))
        return
    transport, pid = AsyncTransport(), os.getpid()
    with asyncio.Runner() as runner:

        def send_in_a_loop(request: HttpRequest | Notice, timeout: float = 5) -> HttpResponse:
            sending = transport.send(request, timeout)
            return runner.run(sending) if os.getpid() == pid else asyncio.run(sending)

        yield send_in_a_loop


def drips(head: bytes) -> Callable[[socket.socket], None]:
    """Keep sending, with pauses shorter than the socket's timeout."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(head)
        stop = threading.Event()
        while True:
            connection.sendall(b"x")
            stop.wait(0.02)

    return answer


def test_response_is_returned_whole(send: Send, serve: Callable[..., Server]) -> None:
    def answer(connection: socket.socket) -> None:
        # Head and body may arrive in two pieces; only the complete request is answered.
        if b"".join(server.requests).endswith(b"a=%C3%A4"):
            connection.sendall(b"HTTP/1.1 401 No\r\nX-A: B\r\nContent-Length: 4\r\n\r\nbody")

    server = serve(answer)
    response = send(HttpRequest.post_form(server.url, {"a": "ä"}, {"Authorization": "x"}))
    assert (response.status, response.body, response.headers["x-a"]) == (401, b"body", "B")
    assert b"Authorization: x" in server.requests[0]


def test_connections_are_reused(send: Send, serve: Callable[..., Server]) -> None:
    server = serve(sends(OK))
    for _ in range(3):
        send(HttpRequest.get(server.url))
    assert (server.connections, len(server.requests)) == (1, 3)


def test_request_is_sent_once_if_a_kept_connection_dies(send: Send, serve: Callable[..., Server]) -> None:
    """Some providers start a call by GET, which HTTP clients like to retry."""

    def answer(connection: socket.socket) -> None:
        if len(server.requests) == 1:
            connection.sendall(OK)
        else:
            connection.close()

    server = serve(answer)
    send(HttpRequest.get(server.url))
    with pytest.raises(UnclearError):
        send(HttpRequest.get(server.url))
    assert (server.connections, len(server.requests)) == (1, 2)


@pytest.mark.parametrize(
    "request_",
    [
        HttpRequest.get,
        lambda url: HttpRequest.post_json(url, {"a": "ä"}, {"X-Key": "k"}),
        lambda url: HttpRequest("POST", url),
    ],
    ids=["get", "json", "no body"],
)
def test_request_is_sent_as_the_driver_wrote_it(
    send: Send, serve: Callable[..., Server], request_: Callable[[str], HttpRequest]
) -> None:
    server = serve(lambda connection: connection.sendall(OK) if whole(server) else None)
    request = request_(server.url + "?a=b%20c+d%2F%C3%A4&e=")
    send(request)
    head, _, body = b"".join(server.requests).partition(b"\r\n\r\n")
    line, *fields = head.decode().split("\r\n")
    expected = {"host": server.url.split("/")[2], "user-agent": "phone_verify", "accept-encoding": "identity"}
    expected |= {name.lower(): value for name, value in request.headers.items()}
    if request.method == "POST":
        expected["content-length"] = str(len(request.body or b""))
    assert line == f"{request.method} /secret-token/09120000000?a=b%20c+d%2F%C3%A4&e= HTTP/1.1"
    assert dict(field.lower().split(": ", 1) for field in fields) == expected
    assert body == (request.body or b"")


def whole(server: Server) -> bool:
    """Return whether the request is complete."""
    head, end, body = b"".join(server.requests).partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: ([0-9]+)", head)
    return bool(end) and len(body) == int(length.group(1) if length else 0)


def test_no_cookies_are_kept(send: Send, serve: Callable[..., Server]) -> None:
    server = serve(sends(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\nok"))
    for _ in range(2):
        send(HttpRequest.get(server.url.replace("127.0.0.1", "localhost")))
    assert b"cookie" not in b"".join(server.requests).lower()


def test_response_headers_are_returned_unchanged(send: Send, serve: Callable[..., Server]) -> None:
    answer = b"HTTP/1.1 200 OK\r\nX-Name: \xe4\r\nX-Twice: 1\r\nX-TWICE: 2\r\nContent-Length: 2\r\n\r\nok"
    headers = send(HttpRequest.get(serve(sends(answer)).url)).headers
    assert dict(headers) == {"x-name": "ä", "x-twice": "2", "content-length": "2"}


def test_test_may_intercept_requests(send: Send, serve: Callable[..., Server]) -> None:
    server, asked = serve(sends(OK)), []

    def answer(request: HttpRequest | Notice) -> HttpResponse | None:
        asked.append(request)
        return HttpResponse(201) if len(asked) < 3 else None

    request = HttpRequest.get(server.url)
    with intercepted(answer):
        assert send(request).status == send(Notice("hello")).status == 201
        assert server.requests == []
        assert send(request).status == 200
    assert send(request).status == 200
    assert len(asked) == 3


def test_redirects_are_not_followed(send: Send, serve: Callable[..., Server]) -> None:
    target = serve(sends(OK))
    server = serve(sends(f"HTTP/1.1 302 Found\r\nLocation: {target.url}\r\nContent-Length: 0\r\n\r\n".encode()))
    assert send(HttpRequest.get(server.url)).status == 302
    assert target.requests == []


@pytest.mark.parametrize(
    "answer",
    [
        sends(close=True),
        sends(b"garbage\r\n\r\n", close=True),
        sends(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", close=True),
        sends(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 300_000, close=True),
    ],
    ids=["closed", "garbage", "cut", "endless"],
)
def test_incomplete_response_is_unclear(
    send: Send, serve: Callable[..., Server], answer: Callable[[socket.socket], None]
) -> None:
    with pytest.raises(UnclearError) as error:
        send(HttpRequest.get(serve(answer).url))
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    "answer",
    [
        lambda _: None,
        drips(b"HTTP/1.1 200 OK\r\nX-Slow: "),
        drips(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n"),
        drips(b"HTTP/1.1 200 OK\r\n\r\n"),
    ],
    ids=["silent", "head", "body", "body without length"],
)
def test_whole_exchange_has_a_time_limit(
    send: Send, serve: Callable[..., Server], answer: Callable[[socket.socket], None]
) -> None:
    begun = time.monotonic()
    with pytest.raises(UnclearError):
        send(HttpRequest.get(serve(answer).url), timeout=0.3)
    assert time.monotonic() - begun < 30


def test_unsent_request_is_a_refusal(send: Send) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for url, words in (
        (f"http://127.0.0.1:{port}/secret-token", f"connection refused by 127.0.0.1:{port}"),
        ("http://nobody.invalid/secret-token", "host nobody.invalid not found"),
    ):
        with pytest.raises(ProviderError) as error:
            send(HttpRequest.get(url))
        assert error.value.retryable
        assert error.value.detail == words
        assert "secret" not in str(error.value)


def test_connect_timeout_is_a_refusal(send: Send) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(3)]
        for each in waiting:  # no accept, and the backlog is short
            each.setblocking(False)
            each.connect_ex(address)
        with pytest.raises(ProviderError, match=r"127.0.0.1:\d+ timed out after 0.3 s"):
            send(HttpRequest.get(f"http://127.0.0.1:{address[1]}/"), timeout=0.3)
        for each in waiting:
            each.close()


def test_server_without_tls_is_a_refusal(send: Send, serve: Callable[..., Server]) -> None:
    with pytest.raises(ProviderError, match=r"TLS with 127.0.0.1:\d+ failed"):
        send(HttpRequest.get(serve(sends(OK)).url.replace("http:", "https:")))


def test_no_url_is_logged(send: Send, serve: Callable[..., Server], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server = serve(sends(b"HTTP/1.1 200 OK\r\nBad Header Line\r\nContent-Length: 2\r\n\r\nok"))
    with suppress(UnclearError):
        send(HttpRequest.get(server.url), timeout=0.3)
    logging.getLogger("urllib3.connectionpool").debug("somebody else's message")
    assert "secret-token" not in caplog.text
    assert "somebody else's" in caplog.text


def test_proxies_of_the_environment_are_not_used(
    send: Send, serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert send(HttpRequest.get(serve(sends(OK)).url)).body == b"ok"


def test_fork_does_not_share_connections(send: Send, serve: Callable[..., Server]) -> None:
    server = serve(sends(OK))
    send(HttpRequest.get(server.url))
    child = os.fork()
    if child == 0:
        status = 1
        with suppress(BaseException):
            status = 0 if send(HttpRequest.get(server.url)).body == b"ok" else 1
        os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert server.connections == 2


def test_notice_is_printed_for_the_developer(send: Send, capsys: pytest.CaptureFixture[str]) -> None:
    assert send(Notice("your code is 123456")).ok
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "your code is 123456\n")


def test_request_repr_shows_no_secret() -> None:
    request = HttpRequest.post_json("https://user:pass@host.example/token?code=1", {"code": "123456"}, {"X": "key"})
    assert request.host == "host.example"
    assert repr(request) == "HttpRequest(method='POST')"
