"""The JSON API over real HTTP, relative to bare views of the same framework with the floor's two statements.

Both run on one site under gunicorn with one worker and are requested in turn over one persistent connection.
"""

from __future__ import annotations

import itertools
import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from http.client import HTTPConnection

from phone_verify.codes import Keyring
from phone_verify.phone import PhoneNumber

from .measure import Figure, in_turn
from .processes import Server, gunicorn
from .servers import Servers
from .sites import KEY, number

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
            server = stack.enter_context(serving(framework, database))
            connection = HTTPConnection("127.0.0.1", server.port)
            bare, ours, ratio = in_turn(partial(_bare, connection), partial(_ours, connection), rounds)
            notes = {"bare_ms": bare / _CYCLES * 1000, "ours_ms": ours / _CYCLES * 1000}
            title = f"{framework.title()}'s JSON API on {name}, share of a bare view"
            yield Figure(title, 1 / ratio, "", bar=0.5, mark=0.7, more=True, notes=notes)


def _bare(connection: HTTPConnection) -> None:
    for _ in range(_CYCLES):
        asked = bare_document()
        _post(connection, "/bare/start", asked, 201)
        _post(connection, "/bare/check", asked, 200)


def _ours(connection: HTTPConnection) -> None:
    for _ in range(_CYCLES):
        phone = PhoneNumber(number(next(_numbers)))
        begun = _post(connection, START, {"phone": phone.e164}, 201)
        _post(connection, check_path(begun), {"code": right_code(begun, phone)}, 200, secret_header(begun))


def _post(
    connection: HTTPConnection, path: str, document: object, status: int, headers: dict[str, str] | None = None
) -> dict[str, str]:
    found, answer = post(connection, path, document, headers)
    assert found == status, answer
    return answer


def post(
    connection: HTTPConnection, path: str, document: object, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str]]:
    """Send a JSON document; return the status and the JSON of the answer."""
    body = json.dumps(document).encode()
    connection.request("POST", path, body, {"Content-Type": "application/json", **(headers or {})})
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


START = "/phone/v1/verifications"


def bare_document() -> dict[str, str]:
    """Return what both requests to the bare views send."""
    return {"id": secrets.token_hex(22), "digest": secrets.token_hex(32)}


def check_path(begun: dict[str, str]) -> str:
    """Return the path of the check of this verification."""
    return f"{START}/{begun['id']}/check"


def secret_header(begun: dict[str, str]) -> dict[str, str]:
    """Return the header with which its client checks this verification."""
    return {"Verification-Secret": begun["secret"]}


def right_code(begun: dict[str, str], phone: PhoneNumber) -> str:
    """Return the code that was sent to this phone."""
    return _KEYRING.derive(_KEYRING.key_id, begun["id"], phone, "login", 1, 6)


@contextmanager
def serving(framework: str, database: str, *, store: str = "", workers: int = 1, threads: int = 2) -> Iterator[Server]:
    """Serve a site by gunicorn, over the database or another store."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PHONE_VERIFY_")}
    env |= {"BENCHMARK_DATABASE": database, "BENCHMARK_STORE": store}
    module = f"benchmarks.bare_{framework}"
    subprocess.run([sys.executable, "-c", f"import {module}"], env={**env, "BENCHMARK_PREPARE": "1"}, check=True)
    # The console driver prints each message.
    with gunicorn(sys.executable, module, env, workers, threads) as server:
        yield server
