"""User enumeration by response time over real HTTP.

Two visitors take turns: one with a number that signed in before (so it has an account and rows in the store), one with
an unknown number. Each sends the same requests to the example site under gunicorn with one worker: a start and a wrong
code by the API, both by the pages, and, signed in as another user, a change to that number. Responses after the right
code differ by design: they depend on the account, and only the holder of the phone receives them.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import urlencode

from phone_verify.codes import Keyring
from phone_verify.phone import PhoneNumber

from .measure import Figure
from .processes import await_port, free_port
from .servers import Servers
from .sites import KEY, QUOTAS

_SITES = Path(__file__).parents[1] / "example_projects"
_KEYRING = Keyring([KEY])
_TOKEN = re.compile(r'<input[^>]*name="(csrfmiddlewaretoken|csrf_token)"[^>]*value="([^"]*)"')
_JSON, _FORM = "application/json", "application/x-www-form-urlencoded"
_WARM_UP = 10
#: The visitors give wrong answers on purpose, all from one address.
_WRONG_ANSWERS = {
    "wrong_per_hour_per_address": "0",
    "failures_per_day": "1000000",
    "short_failures_per_day": "1000000",
}
_numbers = itertools.count()


def figures(visits: int, servers: Servers) -> Iterator[Figure]:
    """Return the ratio of the medians for each step, larger to smaller, on each framework and store."""
    for framework, server in itertools.product(("django", "flask"), ("SQLite", "PostgreSQL")):
        if server == "PostgreSQL" and not servers.postgresql:
            continue
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            urls = [f"sqlite:///{folder}/{name}.sqlite3" for name in ("site", "verifications")]
            if server == "PostgreSQL":
                urls = [stack.enter_context(servers.fresh_postgresql()) for _ in urls]
            port = stack.enter_context(_serving(framework, *urls))
            for step, (known, unknown) in _measured(port, visits).items():
                ratio = max(known, unknown) / min(known, unknown)
                notes = {"known_ms": known * 1000, "unknown_ms": unknown * 1000}
                name = f"{framework.title()}, {server}, {step}: {known * 1000:.2f} and {unknown * 1000:.2f} ms, ratio"
                yield Figure(name, ratio, "", bar=1.05, mark=1.02, notes=notes)


def _measured(port: int, visits: int) -> dict[str, tuple[float, float]]:
    """Return the median seconds of each step for a number with an account and for one without."""
    known = [_new_phone() for _ in range(visits + _WARM_UP)]
    for phone in known:
        _Visitor(port).sign_in(phone)
    took: dict[str, tuple[list[float], list[float]]] = {}
    signed_in = _Visitor(port)
    signed_in.sign_in(_new_phone())
    for turn, phone in enumerate(known):
        pair = [(0, phone), (1, _new_phone())]
        statuses: list[dict[str, int]] = [{}, {}]
        for which, each in pair if turn % 2 else reversed(pair):
            for step, seconds, status in [*_by_api(port, each), *_by_pages(port, each), _change(signed_in, each)]:
                statuses[which][step] = status
                if turn >= _WARM_UP:
                    took.setdefault(step, ([], []))[which].append(seconds)
        assert statuses[0] == statuses[1], statuses
    return {step: (statistics.median(ours), statistics.median(others)) for step, (ours, others) in took.items()}


def _by_api(port: int, phone: PhoneNumber) -> Iterator[tuple[str, float, int]]:
    visitor = _Visitor(port)
    started = visitor.call("v1/verifications", {"phone": phone.e164})
    yield "start", started.seconds, started.status
    id = json.loads(started.body)["id"]
    wrong = str((int(_code(id, phone)) + 1) % 10**6).zfill(6)
    checked = visitor.call(f"v1/verifications/{id}/check", {"code": wrong})
    yield "wrong code", checked.seconds, checked.status


def _by_pages(port: int, phone: PhoneNumber) -> Iterator[tuple[str, float, int]]:
    visitor = _Visitor(port)
    submitted = visitor.submit("login/", phone=phone.e164)
    yield "login page", submitted.seconds, submitted.status
    # Five digits: never the code, but refused in the same step of the store.
    submitted = visitor.submit("code/", code="12345")
    yield "code page", submitted.seconds, submitted.status


def _change(visitor: _Visitor, phone: PhoneNumber) -> tuple[str, float, int]:
    visitor.forget()
    submitted = visitor.submit("verify/", phone=phone.e164)
    return "verify page", submitted.seconds, submitted.status


def _code(id: str, phone: PhoneNumber) -> str:
    return _KEYRING.derive(_KEYRING.key_id, id, phone, "login", 1, 6)


def _new_phone() -> PhoneNumber:
    return PhoneNumber(f"+98912{next(_numbers) % 10_000_000:07d}")


@dataclass
class _Answer:
    seconds: float
    status: int
    body: bytes


@dataclass
class _Visitor:
    """A browser with one persistent connection and cookies."""

    port: int
    _cookies: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._connection = _connections.setdefault(self.port, HTTPConnection("127.0.0.1", self.port))

    def call(self, path: str, document: object, **headers: str) -> _Answer:
        """Send a POST to the API."""
        return self._send("POST", path, json.dumps(document).encode(), {"Content-Type": _JSON, **headers})

    def submit(self, path: str, **fields: str) -> _Answer:
        """Load a page and submit its form. The time is that of the submission."""
        found = _TOKEN.search(self._send("GET", path, b"", {}).body.decode())
        assert found, path
        body = urlencode({found[1]: found[2], **fields}).encode()
        return self._send("POST", path, body, {"Content-Type": _FORM})

    def sign_in(self, phone: PhoneNumber) -> None:
        """Sign in, which creates a missing account."""
        started = json.loads(self.call("v1/verifications", {"phone": phone.e164}).body)
        checked = self.call(f"v1/verifications/{started['id']}/check", {"code": _code(started["id"], phone)})
        entered = self.call("v1/session", {"proof": json.loads(checked.body)["proof"]})
        assert entered.status == 200, entered.body
        self.forget()

    def forget(self) -> None:
        """Drop the cookie of the verifications."""
        self._cookies.pop("phone_verify", None)

    def _send(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> _Answer:
        if self._cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        began = time.perf_counter()
        self._connection.request(method, f"/phone/{path}", body, headers)
        answer = self._connection.getresponse()
        content = answer.read()
        seconds = time.perf_counter() - began
        for line in answer.headers.get_all("Set-Cookie", []):
            self._cookies |= {name: morsel.value for name, morsel in SimpleCookie(line).items()}
        assert answer.status < 500, content
        return _Answer(seconds, answer.status, content)


_connections: dict[int, HTTPConnection] = {}


@contextmanager
def _serving(framework: str, site: str, store: str) -> Iterator[int]:
    port = free_port()
    env = {name: value for name, value in os.environ.items() if not name.startswith("PHONE_VERIFY_")}
    env |= {
        "DATABASE_URL": site,
        "SECRET_KEY": KEY,
        "PHONE_VERIFY_SECRET_KEYS": KEY,
        "PHONE_VERIFY_SMS": "console://",
        **({"PHONE_VERIFY_STORE": store} if framework == "flask" else {}),
        **{f"PHONE_VERIFY_{name.upper()}": "999999999" for name in QUOTAS},
        **{f"PHONE_VERIFY_{name.upper()}": limit for name, limit in _WRONG_ANSWERS.items()},
    }
    command = [sys.executable, "-m", "gunicorn", "wsgi:application", "--bind", f"127.0.0.1:{port}",
               "--worker-class", "gthread", "--threads", "2", "--keep-alive", "60", "--log-level", "critical",
               "--no-control-socket", "--graceful-timeout", "1"]  # fmt: skip
    # The console driver prints each message.
    with open(os.devnull, "w") as nowhere:
        server = subprocess.Popen(command, cwd=_SITES / f"{framework}_site", env=env, stderr=nowhere)
        try:
            await_port(port)
            yield port
        finally:
            server.terminate()
            server.wait()
