"""The JSON API over real HTTP, relative to bare views of the same framework with the floor's two statements.

Both run on one site under gunicorn with one worker and are requested in turn over one persistent connection.
"""

from __future__ import annotations

import itertools
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from http.client import HTTPConnection

from phone_verify.codes import Keyring
from phone_verify.phone import PhoneNumber

from .measure import Figure, in_turn
from .servers import Servers
from .sites import KEY

_CYCLES = 25
_numbers = itertools.count()
_KEYRING = Keyring([KEY])


def figures(rounds: int, servers: Servers) -> Iterator[Figure]:
    """Measure both frameworks, on PostgreSQL if it runs, else on SQLite."""
    for framework in ("django", "flask"):
        with ExitStack() as stack:
            if servers.postgresql:
                database, name = stack.enter_context(servers.fresh_postgresql()), "PostgreSQL"
            else:
                folder = stack.enter_context(tempfile.TemporaryDirectory())
                database, name = f"sqlite:///{folder}/site.sqlite3", "SQLite"
            port = stack.enter_context(_serving(framework, database))
            connection = HTTPConnection("127.0.0.1", port)
            bare, ours, ratio = in_turn(partial(_bare, connection), partial(_ours, connection), rounds)
            notes = {"bare_ms": bare / _CYCLES * 1000, "ours_ms": ours / _CYCLES * 1000}
            title = f"{framework.title()}'s JSON API on {name}, share of a bare view"
            yield Figure(title, 1 / ratio, "", bar=0.5, mark=0.7, more=True, notes=notes)


def _bare(connection: HTTPConnection) -> None:
    for _ in range(_CYCLES):
        asked = {"id": secrets.token_hex(22), "digest": secrets.token_hex(32)}
        _post(connection, "/bare/start", asked, 201)
        _post(connection, "/bare/check", asked, 200)


def _ours(connection: HTTPConnection) -> None:
    for _ in range(_CYCLES):
        phone = PhoneNumber(f"+98912{next(_numbers) % 10_000_000:07d}")
        begun = _post(connection, "/phone/v1/verifications", {"phone": phone.e164}, 201)
        code = _KEYRING.derive(_KEYRING.key_id, begun["id"], phone, "login", 1, 6)
        path = f"/phone/v1/verifications/{begun['id']}/check"
        _post(connection, path, {"code": code}, 200, {"Verification-Secret": begun["secret"]})


def _post(
    connection: HTTPConnection, path: str, document: object, status: int, headers: dict[str, str] | None = None
) -> dict[str, str]:
    body = json.dumps(document).encode()
    connection.request("POST", path, body, {"Content-Type": "application/json", **(headers or {})})
    answer = connection.getresponse()
    content = answer.read()
    assert answer.status == status, content
    found: dict[str, str] = json.loads(content)
    return found


@contextmanager
def _serving(framework: str, database: str) -> Iterator[int]:
    port = free_port()
    env = {name: value for name, value in os.environ.items() if not name.startswith("PHONE_VERIFY_")}
    env["BENCHMARK_DATABASE"] = database
    module = f"benchmarks.bare_{framework}"
    subprocess.run([sys.executable, "-c", f"import {module}"], env={**env, "BENCHMARK_PREPARE": "1"}, check=True)
    command = [sys.executable, "-m", "gunicorn", f"{module}:application", "--bind", f"127.0.0.1:{port}",
               "--worker-class", "gthread", "--threads", "2", "--keep-alive", "60", "--log-level", "critical",
               "--no-control-socket", "--graceful-timeout", "1"]  # fmt: skip
    # The console driver prints each message.
    with open(os.devnull, "w") as nowhere:
        server = subprocess.Popen(command, env=env, stderr=nowhere)
        try:
            await_port(port)
            yield port
        finally:
            server.terminate()
            server.wait()


def free_port() -> int:
    """Return a free port of this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def await_port(port: int) -> None:
    """Wait until a server accepts connections on this port. Raise `RuntimeError` after half a minute."""
    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError("the site did not start")
