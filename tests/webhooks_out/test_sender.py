"""Sending of one webhook, over real connections: pinned addresses, TLS, time limits, and what is never followed."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pytest
import trustme

from phone_verify.testing.outbox_suite import SECRET
from phone_verify.webhooks_out.addresses import is_public
from phone_verify.webhooks_out.endpoints import Endpoint
from phone_verify.webhooks_out.sender import Answer, Sender

from .receiver import ACCEPTED, Receiver, Respond, receiver, says, status

BODY = b'{"type":"verification.sent"}'
NAME = "hooks.example.com"
LOOPBACK = "127.0.0.1"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def certified(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


@pytest.fixture
def serve(authority: trustme.CA) -> Iterator[Callable[..., Receiver]]:
    """Run a server with a certificate for `NAME`, or for another name."""
    with ExitStack() as stack:
        yield lambda respond=ACCEPTED, name=NAME: stack.enter_context(receiver(respond, certified(authority, name)))


def sender(trusting: ssl.SSLContext, addresses: Sequence[str] = (LOOPBACK,), **options: Any) -> Sender:
    """A sender for which the loopback is public, and each name has these addresses."""
    options = {"allows": lambda address: address == LOOPBACK or is_public(address), **options}
    return Sender(resolve=lambda host, port: addresses, tls=trusting, **options)


def to(server: Receiver, path: str = "/hook?a=b") -> Endpoint:
    return Endpoint(f"https://{NAME}:{server.port}{path}", [SECRET])


def post(sender: Sender, endpoint: Endpoint) -> Answer:
    return sender.send(endpoint, {"webhook-id": "msg_1"}, BODY)


def test_message_arrives_over_verified_tls(serve: Callable[..., Receiver], trusting: ssl.SSLContext) -> None:
    server = serve()
    assert post(sender(trusting), to(server)) == Answer(200)
    [(headers, body)] = server.requests
    assert server.lines == ["POST /hook?a=b HTTP/1.1"]
    assert body == BODY
    assert headers == {
        "host": f"{NAME}:{server.port}",
        "webhook-id": "msg_1",
        "content-type": "application/json",
        "content-length": str(len(BODY)),
        "user-agent": "phone_verify",
        "accept-encoding": "identity",
        "connection": "close",
    }
    # The certificate is requested and verified for the name, although the connection goes to an address.
    assert server.names == [NAME]


def test_certificate_of_another_name_is_refused(serve: Callable[..., Receiver], trusting: ssl.SSLContext) -> None:
    server = serve(name="other.example.com")
    answer = post(sender(trusting), to(server))
    assert answer == Answer(None, f"the certificate of {NAME} is not valid")
    assert server.requests == []


def test_unknown_authority_is_refused(serve: Callable[..., Receiver]) -> None:
    server = serve()
    answer = post(sender(ssl.create_default_context()), to(server))
    assert answer == Answer(None, f"the certificate of {NAME} is not valid")


def test_plain_server_is_refused(trusting: ssl.SSLContext) -> None:
    with receiver(says("HTTP/1.1 200 OK\r\n\r\n")) as server:
        assert post(sender(trusting, timeout=0.5), to(server)).status is None


@pytest.mark.parametrize("code", [201, 204, 299])
def test_2xx_is_accepted(serve: Callable[..., Receiver], trusting: ssl.SSLContext, code: int) -> None:
    assert post(sender(trusting), to(serve(status(code)))) == Answer(code)


def test_redirect_is_not_followed(serve: Callable[..., Receiver], trusting: ssl.SSLContext) -> None:
    target = serve()
    server = serve(status(307, f"Location: https://{NAME}:{target.port}/"))
    assert post(sender(trusting), to(server)) == Answer(307, "answered 307")
    assert target.connections == 0


def test_retry_after_is_returned(serve: Callable[..., Receiver], trusting: ssl.SSLContext) -> None:
    server = serve(status(503, "Retry-After: 120"))
    assert post(sender(trusting), to(server)) == Answer(503, "answered 503", "120")


def test_name_is_resolved_once_and_connected_to_that_address(
    serve: Callable[..., Receiver], trusting: ssl.SSLContext
) -> None:
    """DNS rebinding: the second answer of the name server would be another address."""
    asked: list[str] = []

    def rebinding(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return [LOOPBACK] if len(asked) == 1 else ["127.0.0.2"]

    server = serve()
    assert post(Sender(resolve=rebinding, allows=lambda a: a == LOOPBACK, tls=trusting), to(server)).status == 200
    assert asked == [NAME]


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"],
)
def test_private_address_gets_no_connection(
    serve: Callable[..., Receiver], trusting: ssl.SSLContext, address: str
) -> None:
    server = serve()
    private = Sender(resolve=lambda host, port: [address], tls=trusting)
    assert post(private, to(server)) == Answer(None, f"{NAME} has no public address")
    assert server.connections == 0


def test_private_address_among_public_ones_is_left_out(
    serve: Callable[..., Receiver], trusting: ssl.SSLContext
) -> None:
    server = serve()
    mixed = Sender(resolve=lambda host, port: ["127.0.0.2", LOOPBACK], allows=lambda a: a == LOOPBACK, tls=trusting)
    assert post(mixed, to(server)).status == 200


def test_next_address_is_tried_if_one_refuses(serve: Callable[..., Receiver], trusting: ssl.SSLContext) -> None:
    server = serve()
    both = sender(trusting, ["127.0.0.3", LOOPBACK], allows=lambda address: address.startswith("127."))
    assert post(both, to(server)).status == 200


def test_unknown_host_and_refused_connection_are_named(trusting: ssl.SSLContext) -> None:
    def unknown(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "no")

    endpoint = Endpoint(f"https://{NAME}:9999/secret-path?token=secret", [SECRET])
    assert post(Sender(resolve=unknown), endpoint) == Answer(None, f"host {NAME} not found")
    with socket.create_server((LOOPBACK, 0)) as closed:
        port = closed.getsockname()[1]
    endpoint = Endpoint(f"https://{NAME}:{port}/", [SECRET])
    assert post(sender(trusting), endpoint) == Answer(None, f"connection refused by {NAME}")


def drips(head: str) -> Respond:
    """Send a byte now and then, more often than any timeout of a socket."""

    def respond(connection: socket.socket) -> None:
        connection.sendall(head.encode())
        pause = threading.Event()
        while True:
            connection.sendall(b"x")
            pause.wait(0.05)

    return respond


def test_dripping_response_ends_at_the_limit(serve: Callable[..., Receiver], trusting: ssl.SSLContext) -> None:
    server = serve(drips("HTTP/1.1 200 OK\r\nX-Long: "))
    started = time.monotonic()
    assert post(sender(trusting, timeout=0.5), to(server)) == Answer(None, f"{NAME} timed out after 0.5 s")
    assert time.monotonic() - started < 3


def test_silent_server_ends_at_the_limit(serve: Callable[..., Receiver], trusting: ssl.SSLContext) -> None:
    server = serve(lambda connection: connection.recv(1) and None)
    assert post(sender(trusting, timeout=0.3), to(server)) == Answer(None, f"{NAME} timed out after 0.3 s")


def test_silent_handshake_ends_at_the_limit(trusting: ssl.SSLContext) -> None:
    with socket.create_server((LOOPBACK, 0)) as silent:
        endpoint = Endpoint(f"https://{NAME}:{silent.getsockname()[1]}/", [SECRET])
        assert post(sender(trusting, timeout=0.3), endpoint) == Answer(None, f"{NAME} timed out after 0.3 s")


def test_dripping_body_does_not_undo_the_status(serve: Callable[..., Receiver], trusting: ssl.SSLContext) -> None:
    server = serve(drips("HTTP/1.1 200 OK\r\n\r\n"))
    started = time.monotonic()
    assert post(sender(trusting, timeout=0.5), to(server)) == Answer(200)
    assert time.monotonic() - started < 3


def test_large_body_is_not_read(serve: Callable[..., Receiver], trusting: ssl.SSLContext) -> None:
    sent: list[int] = []
    done = threading.Event()

    def floods(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            for _ in range(10_000):
                connection.sendall(b"x" * 65536)
                sent.append(65536)
        finally:
            done.set()

    assert post(sender(trusting), to(serve(floods))) == Answer(200)
    assert done.wait(10)
    assert sum(sent) < 20_000_000


@pytest.mark.parametrize(
    "text", ["nonsense\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "", "HTTP/1.1 200 OK\r\n" + "a: b\r\n" * 200]
)
def test_unreadable_response_is_a_failure(serve: Callable[..., Receiver], trusting: ssl.SSLContext, text: str) -> None:
    answer = post(sender(trusting, timeout=2), to(serve(says(text))))
    assert answer.status is None
    assert answer.problem


def test_proxies_of_the_environment_are_not_used(
    serve: Callable[..., Receiver], trusting: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, server = serve(), serve()
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://{LOOPBACK}:{proxy.port}")
    assert post(sender(trusting), to(server)).status == 200
    assert proxy.connections == 0


def test_path_and_response_are_not_logged(
    serve: Callable[..., Receiver], trusting: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server = serve(says("HTTP/1.1 500 private-reason\r\nContent-Length: 7\r\n\r\nprivate"))
    answer = post(sender(trusting), to(server, "/private-path"))
    assert answer == Answer(500, "answered 500")
    assert "private" not in caplog.text + repr(answer) + repr(to(server, "/private-path"))


def test_loopback_is_reached_in_development_only() -> None:
    with receiver() as server:
        url = f"http://localhost:{server.port}/hook"
        endpoint = Endpoint(url, [SECRET], unencrypted_on_this_machine_for_development=True)
        assert post(Sender(), endpoint) == Answer(200)
        [(headers, body)] = server.requests
        assert (headers["host"], body) == (f"localhost:{server.port}", BODY)
        for address in ("10.0.0.1", "93.184.215.14"):
            elsewhere = Sender(resolve=lambda host, port, address=address: [address])  # type: ignore[misc]
            assert post(elsewhere, endpoint) == Answer(None, "localhost has no address on this machine")
