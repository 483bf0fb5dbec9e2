"""The blocking transport against real sockets that misbehave."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from phone_verify.errors import ProviderError, UnclearError
from phone_verify.exchange import HttpRequest, HttpResponse, Notice
from phone_verify.transport import BlockingTransport
from phone_verify.verifier import run

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """Answers each connection by what `answer` does with the socket, after the request has come."""

    def __init__(self, answer: Callable[[socket.socket], None]) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self._answer = answer
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}/secret-token/09120000000"

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self.connections += 1
                self._open.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError):
            while request := connection.recv(65536):
                self.requests.append(request)
                self._answer(connection)

    def close(self) -> None:
        for each in [self._socket, *self._open]:
            each.close()


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[socket.socket], None]], Server]]:
    servers: list[Server] = []

    def new(answer: Callable[[socket.socket], None]) -> Server:
        servers.append(Server(answer))
        return servers[-1]

    yield new
    for server in servers:
        server.close()


def send(request: HttpRequest | Notice, timeout: float = 5, transport: BlockingTransport | None = None) -> HttpResponse:
    return run((transport or BlockingTransport()).send(request, timeout))


def sends(*pieces: bytes, close: bool = False) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        for piece in pieces:
            connection.sendall(piece)
        if close:
            connection.close()

    return answer


def drips(head: bytes) -> Callable[[socket.socket], None]:
    """Never stops sending, and never long enough apart for a socket's own time-out."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(head)
        stop = threading.Event()
        while True:
            connection.sendall(b"x")
            stop.wait(0.02)

    return answer


def test_an_answer_comes_back_whole(serve: Callable[..., Server]) -> None:
    def answer(connection: socket.socket) -> None:
        # Head and body may come in two pieces; only the whole request is answered.
        if b"".join(server.requests).endswith(b"a=%C3%A4"):
            connection.sendall(b"HTTP/1.1 401 No\r\nX-A: B\r\nContent-Length: 4\r\n\r\nbody")

    server = serve(answer)
    response = send(HttpRequest.post_form(server.url, {"a": "ä"}, {"Authorization": "x"}))
    assert (response.status, response.body, response.headers["x-a"]) == (401, b"body", "B")
    assert b"Authorization: x" in server.requests[0]


def test_connections_are_reused(serve: Callable[..., Server]) -> None:
    server, transport = serve(sends(OK)), BlockingTransport()
    for _ in range(3):
        send(HttpRequest.get(server.url), transport=transport)
    assert (server.connections, len(server.requests)) == (1, 3)


def test_redirects_are_not_followed(serve: Callable[..., Server]) -> None:
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
def test_no_whole_answer_is_unclear(serve: Callable[..., Server], answer: Callable[[socket.socket], None]) -> None:
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
def test_the_whole_exchange_is_bounded(serve: Callable[..., Server], answer: Callable[[socket.socket], None]) -> None:
    begun = time.monotonic()
    with pytest.raises(UnclearError):
        send(HttpRequest.get(serve(answer).url), timeout=0.3)
    assert time.monotonic() - begun < 3


def test_what_never_left_is_a_refusal() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for url in (f"http://127.0.0.1:{port}/secret-token", "http://nobody.invalid/secret-token"):
        with pytest.raises(ProviderError) as error:
            send(HttpRequest.get(url))
        assert error.value.retryable
        assert "secret" not in str(error.value)


def test_a_server_without_tls_is_a_refusal(serve: Callable[..., Server]) -> None:
    with pytest.raises(ProviderError):
        send(HttpRequest.get(serve(sends(OK)).url.replace("http:", "https:")))


def test_no_address_is_logged(serve: Callable[..., Server], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server = serve(sends(b"HTTP/1.1 200 OK\r\nBad Header Line\r\nContent-Length: 2\r\n\r\nok"))
    with suppress(UnclearError):
        send(HttpRequest.get(server.url), timeout=0.3)
    logging.getLogger("urllib3.connectionpool").debug("somebody else's message")
    assert "secret-token" not in caplog.text
    assert "somebody else's" in caplog.text


def test_proxies_of_the_environment_are_not_used(serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert send(HttpRequest.get(serve(sends(OK)).url)).body == b"ok"


def test_a_fork_does_not_share_connections(serve: Callable[..., Server]) -> None:
    server, transport = serve(sends(OK)), BlockingTransport()
    send(HttpRequest.get(server.url), transport=transport)
    child = os.fork()
    if child == 0:
        status = 1
        with suppress(BaseException):
            status = 0 if send(HttpRequest.get(server.url), transport=transport).body == b"ok" else 1
        os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert server.connections == 2


def test_a_notice_goes_to_the_developers_screen(capsys: pytest.CaptureFixture[str]) -> None:
    assert send(Notice("your code is 123456")).ok
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "your code is 123456\n")


def test_requests_show_nothing_in_their_repr() -> None:
    request = HttpRequest.post_json("https://user:pass@host.example/token?code=1", {"code": "123456"}, {"X": "key"})
    assert request.host == "host.example"
    assert repr(request) == "HttpRequest(method='POST')"
