"""The command line as a user meets it: in a process of its own."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
import urllib3

from phone_verify.demo import Demo, DemoError, framed
from phone_verify.sandbox import SandboxServer

from .clients import HttpCarrier
from .scenarios import (
    Stage,
    a_known_number_is_the_same_user,
    flash_call_to_session,
    inbound_call_to_session,
    pages_sign_in_by_code,
)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@contextmanager
def command(*words: str) -> Iterator[subprocess.Popen[str]]:
    """`phone-verify` with these words, interrupted as by Ctrl-C at the end."""
    program = "from phone_verify.cli import main; main()"
    running = subprocess.Popen(
        [sys.executable, "-u", "-c", program, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield running
    finally:
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=20)


def answer(*words: str, without: str | None = None) -> tuple[int, str]:
    """How a command ends at once, and what it says; `without` a package that is then missing."""
    program = f"import sys; sys.modules[{without!r}] = None\nfrom phone_verify.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def line_with(running: subprocess.Popen[str], what: str) -> str:
    """The next line that holds `what`."""
    assert running.stdout is not None
    for line in running.stdout:
        if what in line:
            return line
    raise AssertionError(f"it ended without saying {what!r}")


def test_the_sandbox_runs_until_interrupted() -> None:
    (port,) = free_ports(1)
    with command("sandbox", "--port", str(port)) as running:
        assert f"http://127.0.0.1:{port}/" in line_with(running, "Handsets")
        assert f"sandbox://127.0.0.1:{port}" in line_with(running, "For a site")
        assert urllib3.request("GET", f"http://127.0.0.1:{port}/api/handsets", timeout=10).json() == {"handsets": []}


def test_a_taken_port_and_a_foreign_host_are_said_plainly() -> None:
    with SandboxServer() as server:
        port = str(urlsplit(server.url).port)
        for words in (
            ("sandbox", "--port", port),
            ("demo", "--no-browser", "--port", port),
            ("sandbox", "--host", "0.0.0.0"),
        ):
            status, said = answer(*words)
            assert status != 0
            assert "Traceback" not in said
            assert "--port" in said or "loopback" in said


@pytest.mark.parametrize(("package", "words", "extra"), [
    ("click", ["demo"], "phone-verify[cli]"),
    ("werkzeug", ["sandbox"], "phone-verify[sandbox]"),
    ("werkzeug", ["demo"], "phone-verify[demo]"),
])  # fmt: skip
def test_a_missing_extra_is_named(package: str, words: list[str], extra: str) -> None:
    status, said = answer(*words, without=package)
    assert status != 0
    assert f"pip install '{extra}'" in said
    assert "Traceback" not in said


def test_help_and_version() -> None:
    assert "sandbox" in answer("--help")[1]
    assert re.search(r"\d+\.\d+\.\d+", answer("--version")[1])


def test_the_demo_signs_in_on_both_sites_in_all_three_ways() -> None:
    port, django, flask = free_ports(3)
    said: list[str] = []
    with Demo(port, {"django": django, "flask": flask}, say=said.append) as demo:
        for name, url in demo.site_urls.items():
            stage = Stage(lambda url=url: HttpCarrier(url), demo.sandbox)  # type: ignore[misc]
            for scenario in (
                a_known_number_is_the_same_user, flash_call_to_session, inbound_call_to_session, pages_sign_in_by_code,
            ):  # fmt: skip
                scenario(stage)
            home = HttpCarrier(url).send("GET", "/", b"", {})
            assert "x-frame-options" not in home.headers
            assert f"frame-ancestors {demo.sandbox.url}" in home.headers["content-security-policy"]
            assert any(name.capitalize() in line for line in said)
        beside = HttpCarrier(demo.sandbox.url).send("GET", demo.url.removeprefix(demo.sandbox.url), b"", {})
        assert all(f"{url}/" in beside.text for url in demo.site_urls.values())


def test_a_demo_that_cannot_start_leaves_nothing_running() -> None:
    port, django, flask = free_ports(3)
    with socket.create_server(("127.0.0.1", flask)), pytest.raises(DemoError, match="--flask-port"):
        Demo(port, {"django": django, "flask": flask}, say=lambda _: None).__enter__()
    with socket.create_server(("127.0.0.1", port)), socket.create_server(("127.0.0.1", django)):
        pass


def test_only_the_handsets_page_may_frame_a_site() -> None:
    def application(environ: object, start_response: object) -> list[bytes]:
        start_response("200 OK", [("X-Frame-Options", "DENY"), ("X", "y")])  # type: ignore[operator]
        return [b""]

    seen: list[tuple[str, str]] = []
    framed(application, "http://127.0.0.1:8025")({}, lambda status, headers: seen.extend(headers))
    assert seen == [("X", "y"), ("Content-Security-Policy", "frame-ancestors http://127.0.0.1:8025")]
