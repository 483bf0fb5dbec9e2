"""Origins over raw HTTP, on both example sites: doubled and malformed headers, and a browser-like preflight."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

import pytest

from .scenarios import SETTINGS
from .servers import environment, gunicorn, uvicorn

APP, EVIL = "https://spa.example", "https://evil.example"
TARGETS = [
    pytest.param(("django", gunicorn), id="django"),
    pytest.param(("flask", gunicorn), id="flask"),
    pytest.param(("django", uvicorn), id="django-asgi"),
    pytest.param(("flask", uvicorn), id="flask-asgi"),
]


@pytest.fixture(scope="module", params=TARGETS)
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    framework, server = request.param
    settings = {**SETTINGS, "sms": "console://", "trusted_origins": f"{APP},http://[::1]:5173"}
    with server(framework, environment(framework, tmp_path_factory.mktemp(framework), None, settings)) as url:
        yield url


def send(url: str, method: str, path: str, lines: Sequence[str], body: bytes = b"") -> tuple[int, list[str]]:
    """Send exactly these header lines; return the status and the header lines of the answer, in lower case."""
    host = urlsplit(url)
    head = [f"{method} /phone/{path} HTTP/1.1", f"Host: {host.netloc}", "Connection: close"]
    head += [f"Content-Length: {len(body)}", "Content-Type: application/json", *lines]
    with socket.create_connection((host.hostname or "", host.port or 0), timeout=20) as connection:
        connection.sendall("\r\n".join([*head, "", ""]).encode("latin-1") + body)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    top = answer.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    return int(top[0].split()[1]), [line.lower() for line in top[1:]]


@pytest.mark.parametrize(
    "lines",
    [
        [f"Origin: {EVIL}"],
        ["Origin: null"],
        ["Origin:"],
        [f"Origin: {APP}", f"Origin: {EVIL}"],
        [f"Origin: {EVIL}", f"Origin: {APP}"],
        [f"Origin: {APP}", f"Origin: {APP}"],
        [f"Origin: {APP}, {EVIL}"],
        [f"Origin: {APP} {EVIL}"],
        [f"Origin: {APP}."],
        [f"Origin: {APP}:443"],
        [f"Origin: {APP}/"],
        ["Origin: HTTPS://SPA.EXAMPLE"],
        ["Origin: https://spa.example@evil.example"],
        ["Origin: https://sp\xe4.example"],
        ["Origin: http://[::1]:5174"],
        ["Origin: http://[0:0:0:0:0:0:0:1]:5173"],
        ["Sec-Fetch-Site: same-site"],
        ["Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site"],
    ],
)
def test_other_origins_change_nothing(url: str, lines: list[str]) -> None:
    body = json.dumps({"phone": "+989120000000"}).encode()
    secret = ["Verification-Secret: x"] if lines[0].startswith("Origin") else []
    for extra in ([], secret):
        status, headers = send(url, "POST", "v1/verifications", [*lines, *extra], body)
        assert status in (400, 403), lines  # a server may refuse a doubled header by itself
        assert status == 403 or len(lines) > 1
        assert not any(line.startswith("access-control") for line in headers)
        assert status == 400 or any("origin" in line for line in headers if line.startswith("vary:"))


@pytest.mark.parametrize("origin", [APP, "http://[::1]:5173"])
def test_trusted_origin_is_answered_once(url: str, origin: str) -> None:
    asked = ["Access-Control-Request-Method: POST", "Access-Control-Request-Headers: content-type"]
    for method, path, lines in (
        ("OPTIONS", f"v1/verifications/{'A' * 44}/check", asked),
        ("GET", f"v1/verifications/{'A' * 44}", []),
        ("PUT", "v1/session/phone", []),
        ("BREW", "v1/session", []),
    ):
        status, headers = send(url, method, path, [f"Origin: {origin}", "Sec-Fetch-Site: cross-site", *lines])
        assert status == {"OPTIONS": 204, "GET": 404, "PUT": 400, "BREW": 405}[method]
        for header in (
            f"access-control-allow-origin: {origin}",
            "access-control-allow-credentials: true",
            "access-control-expose-headers: retry-after",
        ):
            assert headers.count(header) == 1, headers
        assert sum("origin" in line for line in headers if line.startswith("vary:")) == 1
        assert not any(line.startswith("set-cookie") for line in headers)


def test_line_breaks_in_an_origin_reach_no_answer(url: str) -> None:
    for breaking in ("\r", "\n", "\r\n ", "\x00"):
        status, headers = send(url, "GET", "v1/health", [f"Origin: {APP}{breaking}X-Planted: 1"])
        assert status in (200, 400), breaking
        assert not any("x-planted" in line for line in headers)


def test_metadata_of_numbers_is_cached_and_shared_with_trusted_origins(url: str) -> None:
    """The list of regions, and each of its files: the same headers on both frameworks."""
    for path in ("static/regions.json", "static/regions/IR.json"):
        for origin, shared in ((APP, True), (EVIL, False)):
            status, headers = send(url, "GET", path, [f"Origin: {origin}"])
            assert status == 200
            assert "cache-control: public, max-age=3600" in headers
            assert "content-type: application/json" in headers
            assert any("origin" in line for line in headers if line.startswith("vary:"))
            assert (f"access-control-allow-origin: {origin}" in headers) == shared
            assert not any(line.startswith(("set-cookie:", "access-control-allow-credentials:")) for line in headers)
        [etag] = [line.removeprefix("etag: ") for line in headers if line.startswith("etag:")]
        assert send(url, "GET", path, [f"If-None-Match: {etag}"])[0] == 304
    for path in ("static/regions/ZZ.json", "static/regions/ir.json", "static/regions/", "static/regions/../regions.py"):
        assert send(url, "GET", path, [])[0] == 404
