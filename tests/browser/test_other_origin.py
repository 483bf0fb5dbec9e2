"""A page of another origin verifies a number with `fetch`, in a real Chromium."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from phone_verify.sandbox import SandboxServer
from tests.scenarios import Stage

from .conftest import example_site

pytestmark = pytest.mark.browser


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>An app</title><link rel=icon href=data:,>")

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def another_origin() -> Iterator[int]:
    """Serve an empty page; yield its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


#: Calls the API as docs/single_page_apps.md shows. A response that the page may not read is "unreadable".
CALL = """
async ([api, method, path, fields, secret, credentials]) => {
  const headers = {};
  if (fields) headers["Content-Type"] = "application/json";
  if (secret) headers["Verification-Secret"] = secret;
  try {
    const body = fields ? JSON.stringify(fields) : undefined;
    const answer = await fetch(api + path, { method, headers, body, credentials });
    const text = await answer.text();
    return { status: answer.status, body: text ? JSON.parse(text) : null, wait: answer.headers.get("Retry-After") };
  } catch (error) {
    return "unreadable";
  }
}
"""


@pytest.fixture(scope="module", params=["django", "flask"])
def places(
    request: pytest.FixtureRequest, sandbox: SandboxServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, int]]:
    """An example site that trusts the page at `localhost`, not at `127.0.0.1`: its URL, and the port of the page."""
    data: Path = tmp_path_factory.mktemp(request.param)
    with another_origin() as port:
        trusted = {"trusted_origins": f"http://localhost:{port}"}
        with example_site(request.param, sandbox, data, **trusted) as url:
            yield url, port


def opened(browser: Any, page: str, api: str) -> tuple[Any, Any]:
    """Open the page in a new profile; return its context and a function that calls the API from it."""
    context = browser.new_context()
    tab = context.new_page()
    tab.goto(page)

    def call(method: str, path: str, fields: object = None, secret: str = "", credentials: str = "omit") -> Any:
        return tab.evaluate(CALL, [api, method, path, fields, secret, credentials])

    return context, call


def test_page_of_a_trusted_origin_starts_and_checks(browser: Any, places: tuple[str, int], stage: Stage) -> None:
    url, port = places
    phone = stage.phone()
    context, call = opened(browser, f"http://localhost:{port}/", f"{url}/phone/v1/")
    begun = call("POST", "verifications", {"phone": phone, "channel": "sms"})
    assert begun["status"] == 201
    path, secret, code = f"verifications/{begun['body']['id']}", begun["body"]["secret"], stage.code(phone)
    wrong = str((int(code) + 1) % 10**6).zfill(6)
    assert call("POST", f"{path}/check", {"code": wrong}, secret)["body"]["code"] == "wrong_code"
    early = call("POST", f"{path}/resend", {}, secret)
    assert (early["status"], early["body"]["code"]) == (429, "too_many_requests")
    assert int(early["wait"]) > 0
    checked = call("POST", f"{path}/check", {"code": code}, secret)
    assert (checked["status"], checked["body"]["status"]) == (200, "verified")
    assert call("GET", path, secret=secret)["body"]["proof"] == checked["body"]["proof"]
    # `localhost` and `127.0.0.1` are two sites: even with credentials the Lax cookies are neither kept nor sent.
    signed_in = call("POST", "session", {"proof": checked["body"]["proof"]}, secret, "include")
    assert (signed_in["status"], signed_in["body"]["user"]["phone"]) == (200, phone)
    assert call("GET", "session", credentials="include")["status"] == 401
    assert context.cookies() == []
    assert call("DELETE", path, secret=secret)["status"] == 204
    assert call("GET", f"verifications/{'A' * 44}", secret=secret)["body"]["code"] == "not_found"
    context.close()


def test_script_of_the_guide_verifies(browser: Any, places: tuple[str, int], stage: Stage) -> None:
    url, port = places
    phone = stage.phone()
    guide = (Path(__file__).parents[2] / "docs" / "single_page_apps.md").read_text("utf-8")
    script = guide.partition("<!-- the browser tests run this block -->\n```js\n")[2].partition("```")[0]
    script = script.replace("https://shop.example/", f"{url}/")
    context = browser.new_context()
    tab = context.new_page()
    answers: list[str] = []

    def ask_for_code(started: Any) -> str:
        code = stage.code(phone)
        answers.append(str((int(code) + 1) % 10**6).zfill(6) if not answers else code)
        return answers[-1]

    tab.expose_function("askForCode", ask_for_code)
    tab.goto(f"http://localhost:{port}/")
    verified = tab.evaluate(f"(phone) => {{ {script}\nreturn verify(phone, askForCode); }}", phone)
    assert len(answers) == 2
    assert (verified["status"], bool(verified["proof"])) == ("verified", True)
    refused = tab.evaluate(f"() => {{ {script}\nreturn verify('1', askForCode).catch((error) => error.code); }}")
    assert refused == "invalid_phone"
    context.close()


def test_same_site_page_of_a_trusted_origin_keeps_cookies(browser: Any, places: tuple[str, int], stage: Stage) -> None:
    """The API at `localhost`, on another port than the page: another origin of the same site."""
    url, port = places
    phone = stage.phone()
    context, call = opened(browser, f"http://localhost:{port}/", f"{url.replace('127.0.0.1', 'localhost')}/phone/v1/")
    begun = call("POST", "verifications", {"phone": phone, "channel": "sms"}, credentials="include")
    path = f"verifications/{begun['body']['id']}"
    checked = call("POST", f"{path}/check", {"code": stage.code(phone)}, credentials="include")
    assert call("POST", "session", {"proof": checked["body"]["proof"]}, credentials="include")["status"] == 200
    assert call("GET", "session", credentials="include")["body"]["user"]["phone"] == phone
    assert call("GET", "session")["status"] == 401
    context.close()


def test_page_of_another_origin_changes_and_reads_nothing(browser: Any, places: tuple[str, int], stage: Stage) -> None:
    url, port = places
    phone = stage.phone()
    api = f"{url.replace('127.0.0.1', 'localhost')}/phone/v1/"
    for credentials in ("omit", "include"):
        context, call = opened(browser, f"http://127.0.0.1:{port}/", api)
        assert (
            call("POST", "verifications", {"phone": phone, "channel": "sms"}, credentials=credentials) == "unreadable"
        )
        assert call("GET", "health", credentials=credentials) == "unreadable"
        assert call("DELETE", "session", credentials=credentials) == "unreadable"
        context.close()
    assert stage.arrived(phone) == 0
