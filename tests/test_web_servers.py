"""The example sites under each web server that is installed: concurrent sign-ins, and workers that are forked late.

`gunicorn` and `uvicorn` come with the tests' packages. Others are tested where they are installed:
`pip install gevent eventlet uwsgi hypercorn daphne waitress`; docs/production.md has the results.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from phone_verify.stores.sql.schema import upgrade
from phone_verify.testing.handsets import PhoneSandbox
from tests.stores import servers as databases

from .clients import Answer, Browser, HttpCarrier
from .servers import FOLDERS, environment, free_port, running

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
]  # a server of Django's starts in ten seconds, on a busy machine

ROOT = Path(__file__).parents[1]
VISITORS, ROUNDS = 12, 3


def _gunicorn(*options: str) -> Callable[[str, int], list[str]]:
    return lambda _, port: [
        *(sys.executable, "-m", "gunicorn", "tests.preloaded:application", "--bind", f"127.0.0.1:{port}"),
        *("--log-level", "warning", "--no-control-socket", "--graceful-timeout", "1", "--workers", "2", *options),
    ]


def _module(name: str, *options: str) -> Callable[[str, int], list[str]]:
    return lambda _, port: [
        sys.executable,
        "-m",
        name,
        *(option.replace("PORT", str(port)) for option in options),
    ]


def _development(framework: str, port: int) -> list[str]:
    if framework == "django":
        return [sys.executable, "manage.py", "runserver", "--noreload", str(port)]
    return [sys.executable, "-m", "flask", "--app", "wsgi", "run", "--port", str(port)]


_UWSGI = ("--http-socket", "127.0.0.1:PORT", "--master", "--die-on-term", "--need-app", "--disable-logging",
          "--module", "tests.preloaded:application")  # fmt: skip

#: gunicorn 26 and newer have no worker for it.
_EVENTLET = """
import eventlet, sys
eventlet.monkey_patch()
from eventlet import wsgi
from tests.preloaded import application
wsgi.server(eventlet.listen(("127.0.0.1", int(sys.argv[1]))), application, log_output=False)
"""

#: gunicorn's worker patches after a preloaded application is loaded.
_GEVENT_FIRST = ("--worker-class", "gevent", "--config", f"{ROOT}/tests/gevent_first.py")

#: By name: the packages it needs, and its command.
SERVERS: dict[str, tuple[tuple[str, ...], Callable[[str, int], list[str]]]] = {
    "gunicorn sync": (("gunicorn",), _gunicorn()),
    "gunicorn threads": (("gunicorn",), _gunicorn("--threads", "4")),
    "gunicorn preload": (("gunicorn",), _gunicorn("--threads", "4", "--preload")),
    "gunicorn gevent": (("gunicorn", "gevent"), _gunicorn("--worker-class", "gevent")),
    "gunicorn gevent preload": (("gunicorn", "gevent"), _gunicorn("--preload", *_GEVENT_FIRST)),
    "eventlet": (("eventlet",), lambda _, port: [sys.executable, "-c", _EVENTLET, str(port)]),
    "uwsgi": (("uwsgidecorators",), lambda _, port: _uwsgi(port, "--processes", "2")),
    "uwsgi threads": (("uwsgidecorators",), lambda _, port: _uwsgi(port, "--processes", "2", "--threads", "4")),
    "uwsgi lazy-apps": (("uwsgidecorators",), lambda _, port: _uwsgi(port, "--processes", "2", "--lazy-apps")),
    "uwsgi gevent": (
        ("uwsgidecorators", "gevent"),
        lambda _, port: _uwsgi(port, "--processes", "2", "--gevent", "50", "--gevent-monkey-patch", "--lazy-apps"),
    ),
    "waitress": (("waitress",), _module("waitress", "--listen", "127.0.0.1:PORT", "tests.preloaded:application")),
    "uvicorn": (
        ("uvicorn",),
        _module("uvicorn", "asgi:application", "--port", "PORT", "--log-level", "warning", "--no-proxy-headers"),
    ),
    "uvicorn workers": (
        ("uvicorn",),
        _module("uvicorn", "asgi:application", "--port", "PORT", "--log-level", "warning", "--workers", "2",
                "--no-proxy-headers"),
    ),
    "hypercorn": (("hypercorn",), _module("hypercorn", "asgi:application", "--bind", "127.0.0.1:PORT")),
    "development server": ((), _development),
    "daphne": (("daphne",), _module("daphne", "-b", "127.0.0.1", "-p", "PORT", "-v", "0", "asgi:application")),
}  # fmt: skip


def _uwsgi(port: int, *options: str) -> list[str]:
    program = shutil.which("uwsgi", path=str(Path(sys.executable).parent)) or "uwsgi"
    fixed = [option.replace("PORT", str(port)) for option in _UWSGI]
    # Threads must be enabled: psycopg and our pools use locks.
    return [program, "--enable-threads", "--virtualenv", sys.prefix, *fixed, *options]


INSTALLED = [name for name, (packages, _) in SERVERS.items() if all(map(find_spec, packages))]


@pytest.fixture
def database() -> Iterator[str]:
    with databases.database("postgresql") as url:
        upgrade(url)
        yield url


#: uWSGI patches after it has loaded Django, whose connections then belong to the wrong threads.
_BROKEN = ("django", "uwsgi gevent")
PAIRS = [pair for name in INSTALLED for pair in (("django", name), ("flask", name)) if pair != _BROKEN]


@pytest.mark.parametrize(("framework", "server"), PAIRS)
@pytest.mark.parametrize("store", ["orm", "postgresql"])
def test_concurrent_visitors_sign_in(framework: str, server: str, store: str, database: str, tmp_path: Path) -> None:
    if store == "orm" and framework == "flask":
        store = f"sqlite:///{tmp_path}/store.sqlite3"
    settings = {"store": {"orm": "orm:", "postgresql": database}.get(store, store)}
    settings |= {"sends_per_hour_per_address": "1000", "resend_after": "1"}
    with PhoneSandbox() as sandbox:
        env = environment(framework, tmp_path, sandbox.dsn, settings)
        env |= {"PYTHONPATH": f"{ROOT}:{FOLDERS[framework]}", "DEBUG": "1"}
        port = free_port()
        with running(SERVERS[server][1](framework, port), FOLDERS[framework], env, port) as url:
            _visit(url, sandbox)


class _Carrier(HttpCarrier):
    """Uses no connection twice: uWSGI and Django's own server close theirs without saying so."""

    def send(self, *request: Any) -> Answer:
        self._pool.clear()
        return super().send(*request)


def _visit(url: str, sandbox: PhoneSandbox) -> None:
    def sign_in(number: int) -> list[int]:
        browser, phone = Browser(_Carrier(url)), f"+98912000{number:04}"
        started = browser.call("POST", "v1/verifications", {"phone": phone})
        if started.status != 201:
            return [started.status]
        code = sandbox.handset(phone).code()
        checked = browser.call("POST", f"v1/verifications/{started.json()['id']}/check", {"code": code})
        if checked.status != 200:
            return [201, checked.status]
        entered = browser.call("POST", "v1/session", {"proof": checked.json()["proof"]})
        return [201, 200, entered.status, browser.call("GET", "v1/session").status]

    with ThreadPoolExecutor(VISITORS) as pool:
        found = list(pool.map(sign_in, range(VISITORS * ROUNDS)))
    assert found == [[201, 200, 200, 200]] * (VISITORS * ROUNDS), found
