"""Both example sites under uvicorn, one process each, with a provider that responds when released."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from .clients import Answer, Browser, HttpCarrier
from .scenarios import SETTINGS
from .servers import environment, uvicorn

_OK = b'{"Status":"Success","Data":{"MessageID":1}}'


class Provider(ThreadingHTTPServer):
    """A provider that responds once this many orders are waiting."""

    daemon_threads, request_queue_size = True, 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Order)
        self.asked = threading.Semaphore(0)
        self.together = threading.Barrier(1)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def dsn(self) -> str:
        return f"amoot://TOKEN@127.0.0.1:{self.server_port}?tls=off"

    def handle_error(self, *_: object) -> None:
        """A disconnected client gets no response."""


class _Order(BaseHTTPRequestHandler):
    server: Provider
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.release()
        self.server.together.wait(20)
        self.send_response(200)
        self.send_header("Content-Length", str(len(_OK)))
        self.end_headers()
        self.wfile.write(_OK)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    provider = Provider()
    yield provider
    provider.shutdown()
    provider.server_close()


@pytest.fixture(scope="module", params=["django", "flask"])
def url(request: pytest.FixtureRequest, provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    data = tmp_path_factory.mktemp(request.param)
    with uvicorn(request.param, environment(request.param, data, None, {**SETTINGS, "sms": provider.dsn})) as url:
        yield url


def start(url: str, number: int) -> Answer:
    return Browser(HttpCarrier(url)).call("POST", "v1/verifications", {"phone": f"+98912000{number:04}"})


def test_concurrent_starts_wait_in_parallel(url: str, provider: Provider) -> None:
    """The provider responds to no request before all have arrived."""
    count = 20
    provider.together = threading.Barrier(count)
    with ThreadPoolExecutor(count) as visitors:
        answers = list(visitors.map(lambda number: start(url, number), range(count)))
    assert [answer.status for answer in answers] == [201] * count
    assert {answer.json()["status"] for answer in answers} == {"sent"}


def test_disconnected_visitor_leaves_no_reply_for_the_next(url: str, provider: Provider) -> None:
    provider.asked, provider.together = threading.Semaphore(0), threading.Barrier(2)
    host = urlsplit(url)
    body = json.dumps({"phone": "+989120001000"}).encode()
    head = f"POST /phone/v1/verifications HTTP/1.1\r\nHost: {host.netloc}\r\nContent-Type: application/json\r\n"
    with socket.create_connection((host.hostname or "", host.port or 0)) as leaving:
        leaving.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        assert provider.asked.acquire(timeout=20)
    answer = start(url, 2000)  # both are answered now, and the first response has no recipient
    assert answer.status == 201
    assert answer.json()["phone_hint"].endswith("00")
    provider.together = threading.Barrier(1)
    for number in (2001, 2002):
        answer = start(url, number)
        assert (answer.status, answer.json()["status"]) == (201, "sent")
        assert answer.json()["phone_hint"].endswith(f"{number % 100:02}")


def test_body_in_chunks_is_read(url: str, provider: Provider) -> None:
    host, body = urlsplit(url), json.dumps({"phone": "+989120003000"}).encode()
    head = f"POST /phone/v1/verifications HTTP/1.1\r\nHost: {host.netloc}\r\nContent-Type: application/json\r\n"
    with socket.create_connection((host.hostname or "", host.port or 0), timeout=20) as connection, suppress(OSError):
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:5], body[5:], b""))
        connection.sendall(f"{head}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n".encode() + chunks)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 201"), answer


@pytest.mark.parametrize("framework", ["django", "flask"])
def test_header_with_underscores_does_not_name_the_client(framework: str, tmp_path: Path) -> None:
    """The proxy reports one client, who adds a similar header that servers may read as the same one."""
    settings = {**SETTINGS, "trusted_proxies": "1", "sends_per_hour_per_address": "2", "sms": "console://"}
    with uvicorn(framework, environment(framework, tmp_path, None, settings)) as url:
        browser = Browser(HttpCarrier(url))
        answers = [
            browser.call(
                "POST",
                "v1/verifications",
                {"phone": f"+98912000400{n}"},
                headers={"X-Forwarded-For": "192.0.2.1", "X_Forwarded_For": f"198.51.100.{n}"},
            )
            for n in range(3)
        ]
    assert [answer.status for answer in answers] == [201, 201, 429]
