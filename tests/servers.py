"""The example sites in their production setup: under a server, in separate processes, configured by environment."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "example_projects"
FOLDERS = {"django": EXAMPLES / "django_site", "flask": EXAMPLES / "flask_site"}
_START_SECONDS = 60.0


def environment(framework: str, data: Path, dsn: str | None, settings: Mapping[str, str]) -> dict[str, str]:
    """Return an environment for an example site that keeps its files in `data`; `dsn` serves three channels."""
    channels = ("SMS", "FLASH_CALL", "INBOUND_CALL") if dsn else ()
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("PHONE_VERIFY_")},
        "DATABASE_URL": f"sqlite:///{data / 'site.sqlite3'}",
        "SECRET_KEY": "a-secret-key-for-tests-and-nothing-else-0123456789",
        # Django's default is its database; Flask's would be in the example's folder.
        **({"PHONE_VERIFY_STORE": f"sqlite:///{data / 'verifications.sqlite3'}"} if framework == "flask" else {}),
        **{f"PHONE_VERIFY_{channel}": dsn or "" for channel in channels},
        **{f"PHONE_VERIFY_{name.upper()}": value for name, value in settings.items()},
    }


#: Django's example site with middleware that supports only blocking calls.
_BLOCKING = """
from settings import *
MIDDLEWARE = ["blocking.Blocking", *MIDDLEWARE]

class Blocking:
    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        return self.get_response(request)
"""


def with_blocking_middleware(env: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Return the environment of Django's site with middleware that supports only blocking calls."""
    (folder / "blocking.py").write_text(_BLOCKING)
    return {**env, "PYTHONPATH": on_path(folder), "DJANGO_SETTINGS_MODULE": "blocking"}


def on_path(folder: Path) -> str:
    """Return the value of PYTHONPATH with another folder."""
    return os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))


def free_port() -> int:
    """Return a free port of this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


@contextmanager
def gunicorn(
    framework: str,
    env: Mapping[str, str],
    workers: int = 2,
    port: int | None = None,
    application: str = "wsgi:application",
) -> Iterator[str]:
    """Run an example site; yield its URL. Its output is shown if it did not start."""
    port = port or free_port()
    command = [sys.executable, "-m", "gunicorn", application, "--bind", f"127.0.0.1:{port}",
               "--workers", str(workers), "--threads", "4", "--log-level", "warning",
               "--no-control-socket", "--graceful-timeout", "1", "--keep-alive", "1"]  # fmt: skip
    with running(command, FOLDERS[framework], env, port) as url:
        yield url


@contextmanager
def uvicorn(framework: str, env: Mapping[str, str]) -> Iterator[str]:
    """As `gunicorn`, under ASGI: one process with one event loop."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "asgi:application", "--host", "127.0.0.1", "--port", str(port),
               "--log-level", "warning", "--no-proxy-headers", "--timeout-graceful-shutdown", "1"]  # fmt: skip
    with running(command, FOLDERS[framework], env, port) as url:
        yield url


@contextmanager
def running(command: list[str], folder: Path, env: Mapping[str, str], port: int) -> Iterator[str]:
    """Run a server's command in the folder of its site; yield its URL."""
    # Not a pipe: an unread pipe stops the server when it is full.
    with tempfile.TemporaryFile("w+", errors="replace") as printed:
        server = subprocess.Popen(command, cwd=folder, env=dict(env), stderr=printed, text=True)
        try:
            _await(server, port)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.send_signal(signal.SIGTERM)
            try:
                server.wait(timeout=10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
            printed.seek(0)
            sys.stderr.write(printed.read())


def _await(server: subprocess.Popen[str], port: int) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if server.poll() is not None:
            raise RuntimeError("the site did not start; what it printed is in the captured standard error")
        time.sleep(0.05)
    raise RuntimeError(f"the site did not answer within {_START_SECONDS:.0f} seconds")
