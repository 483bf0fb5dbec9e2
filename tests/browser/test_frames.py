"""Our pages in a frame of another origin, in a real Chromium: the SMS names both hosts, by what our script reports."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote

import pytest

from phone_verify.sandbox import SandboxServer
from tests.clients import HttpCarrier
from tests.scenarios import SETTINGS
from tests.servers import environment, gunicorn

pytestmark = pytest.mark.browser

PHONE = "+79161234501"


@contextmanager
def partner(address: list[str]) -> Iterator[str]:
    """Serve a page that shows `address` in a frame; yield its origin."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            frame = f'<iframe src="{address[0]}/phone/login/" allow="otp-credentials"></iframe>'
            self.wfile.write(f"<!doctype html><title>Partner</title><link rel=icon href=data:,>{frame}".encode())

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("framework", ["django", "flask"])
def test_sms_for_a_frame_names_its_top_page(
    framework: str, sandbox: SandboxServer, browser: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shown = [""]
    with partner(shown) as top:
        settings = {**SETTINGS, "frame_ancestors": top, "public_url": "http://shop.example"}
        env = environment(framework, tmp_path_factory.mktemp(framework), sandbox.dsn, settings)
        env["PHONE_VERIFY_SMS"] = f"{sandbox.dsn.replace('sandbox://', 'ssms://API_KEY@')}?tls=off"
        with gunicorn(framework, env) as url, browser.new_context() as context:
            tab = context.new_page()
            shown[0] = url
            tab.goto(top)
            frame = tab.frame_locator("iframe")
            frame.get_by_label("Mobile number").fill(PHONE)
            frame.get_by_label("Text message (SMS)").check()
            frame.get_by_role("button", name="Continue").click()
            frame.get_by_label("6-digit code").wait_for()
            handset = HttpCarrier(sandbox.url).send("GET", f"/api/handsets/{quote(PHONE)}", b"", {}).json()
    last_line = handset["messages"][-1]["text"].splitlines()[-1]
    assert last_line.startswith("@127.0.0.1 #")
    assert last_line.endswith(" @shop.example")
