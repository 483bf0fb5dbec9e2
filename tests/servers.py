"""The example sites in their production setup: under a server, in separate processes, configured by environment."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO

from tests import forks

#: A server's process.
Server = subprocess.Popen[str] | forks.Program

EXAMPLES = Path(__file__).parents[1] / "example_projects"
FOLDERS = {"django": EXAMPLES / "django_site", "flask": EXAMPLES / "flask_site"}
_START_SECONDS = 60.0
_SECRET_KEY = "a-secret-key-for-tests-and-nothing-else-0123456789"


def environment(framework: str, data: Path, dsn: str | None, settings: Mapping[str, str]) -> dict[str, str]:
    """Return an environment for an example site that keeps its files in `data`; `dsn` serves three channels.

    Django's site finds its tables there: at its first start it migrates, which takes longer than most tests of it.
    """
    channels = ("SMS", "FLASH_CALL", "INBOUND_CALL") if dsn else ()
    if framework == "django" and not (data / "site.sqlite3").exists():
        (data / "site.sqlite3").write_bytes(_tables_of_django(settings.get("ledger") == "orm:"))
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("PHONE_VERIFY_")},
        "DATABASE_URL": f"sqlite:///{data / 'site.sqlite3'}",
        "SECRET_KEY": _SECRET_KEY,
        # Django's default is its database; Flask's would be in the example's folder.
        **({"PHONE_VERIFY_STORE": f"sqlite:///{data / 'verifications.sqlite3'}"} if framework == "flask" else {}),
        **{f"PHONE_VERIFY_{channel}": dsn or "" for channel in channels},
        **{f"PHONE_VERIFY_{name.upper()}": value for name, value in settings.items()},
    }


@cache
def _tables_of_django(with_services: bool) -> bytes:
    """Return the SQLite database that Django's site has after its first start."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "site.sqlite3"
        env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PHONE_VERIFY_")},
            "DATABASE_URL": f"sqlite:///{file}",
            "SECRET_KEY": _SECRET_KEY,
            **({"PHONE_VERIFY_LEDGER": "orm:"} if with_services else {}),
        }
        command = [sys.executable, "manage.py", "migrate", "-v", "0"]
        forks.run(command, cwd=FOLDERS["django"], env=env).check_returncode()
        return file.read_bytes()


#: Middleware that supports only blocking calls.
_BLOCKING = """
MIDDLEWARE = ["changed.Blocking", *MIDDLEWARE]

class Blocking:
    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        return self.get_response(request)
"""


def with_blocking_middleware(env: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Return the environment of Django's site with middleware that supports only blocking calls."""
    return _with_settings(env, folder, _BLOCKING)


def with_atomic_requests(env: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Return the environment of Django's site with a transaction around each request."""
    return _with_settings(env, folder, 'DATABASES["default"]["ATOMIC_REQUESTS"] = True\n')


def with_quick_hashes(env: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Return the environment of Django's site that checks passwords and secrets of clients in no time."""
    return _with_settings(env, folder, 'PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]\n')


def _with_settings(env: Mapping[str, str], folder: Path, text: str) -> dict[str, str]:
    """Return the environment of Django's site with more settings, which follow those of an earlier call."""
    module = folder / "changed.py"
    before = module.read_text("utf-8") if module.exists() else "from settings import *\n"
    module.write_text(before + text, "utf-8")
    return {**env, "PYTHONPATH": on_path(folder), "DJANGO_SETTINGS_MODULE": "changed"}


def on_path(folder: Path) -> str:
    """Return the value of PYTHONPATH with another folder."""
    return os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))


def free_port() -> int:
    """Return a free port of this machine, of those that the system gives to no connection.

    A port of the others can be taken by a connection of another test before the server listens on it. Of a run in
    several workers each has separate ports: two could be given the same one before a server listens.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    for port in random.SystemRandom().sample(range(10_000 + worker, 32_768, count), 100):
        with suppress(OSError), socket.socket() as free:
            free.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no free port was found")


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
    with forked(command, FOLDERS[framework], env, port) as url:
        yield url


@contextmanager
def uvicorn(framework: str, env: Mapping[str, str]) -> Iterator[str]:
    """As `gunicorn`, under ASGI: one process with one event loop."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "asgi:application", "--host", "127.0.0.1", "--port", str(port),
               "--log-level", "warning", "--no-proxy-headers", "--timeout-graceful-shutdown", "1"]  # fmt: skip
    with forked(command, FOLDERS[framework], env, port) as url:
        yield url


@contextmanager
def forked(command: list[str], folder: Path, env: Mapping[str, str], port: int) -> Iterator[str]:
    """As `running`, as a fork of a process that has imported the libraries."""
    with tempfile.TemporaryFile("w+", errors="replace") as printed:
        standard = [0, printed.fileno(), printed.fileno()]
        with _ended(forks.start(command, standard=standard, cwd=folder, env=env), printed) as server:
            _await(server, port)
            _await_answer(port)
            yield f"http://127.0.0.1:{port}"


@contextmanager
def running(command: list[str], folder: Path, env: Mapping[str, str], port: int) -> Iterator[str]:
    """Run a server's command in the folder of its site; yield its URL."""
    # Not a pipe: an unread pipe stops the server when it is full.
    with tempfile.TemporaryFile("w+", errors="replace") as printed:
        process = subprocess.Popen(command, cwd=folder, env=dict(env), stderr=printed, text=True)
        with _ended(process, printed) as server:
            _await(server, port)
            yield f"http://127.0.0.1:{port}"


@contextmanager
def _ended(server: Server, printed: IO[str]) -> Iterator[Server]:
    """End the server, and show what it printed."""
    try:
        yield server
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(timeout=10)
        except (subprocess.TimeoutExpired, TimeoutError):
            server.send_signal(signal.SIGKILL)
            server.wait()
        printed.seek(0)
        sys.stderr.write(printed.read())


def _await(server: Server, port: int) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if server.poll() is not None:
            raise RuntimeError("the site did not start; what it printed is in the captured standard error")
        time.sleep(0.05)
    raise RuntimeError(f"the site did not answer within {_START_SECONDS:.0f} seconds")


def _await_answer(port: int) -> None:
    """Wait until a worker has loaded the site, and Django's has made its tables: the port is open before."""
    with socket.create_connection(("127.0.0.1", port), timeout=_START_SECONDS) as probe:
        probe.sendall(b"GET /phone/v1/health HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
        probe.recv(1)
