"""A long download of both example sites under uvicorn: sent while it is read, by a server whose memory stays small."""

from __future__ import annotations

import base64
import http.client
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from phone_verify.database.connection import Database
from phone_verify.database.ledger import SqlLedger
from phone_verify.database.ledger_tables import ATTEMPT
from phone_verify.ledger.values import Held
from phone_verify.stores.rows.values import micros
from phone_verify.testing.ledger_calls import attempt, later, run

from .servers import environment, uvicorn, with_quick_hashes

PASSWORD = "a password of the tests"
#: So many that what every download takes is far below half of the file.
ROWS = 110_000
#: The columns of an attempt, in both adapters.
COLUMNS = [column.name for column in ATTEMPT.columns if column.name != "id"]
DAYS = "from=2030-01-01&to=2030-01-03"


def make_ledger(database: Path) -> None:
    """Make a ledger with many attempts, a second apart, whose lines are long."""
    ledger = SqlLedger(Database.from_url(f"sqlite:///{database}"))
    assert isinstance(run(ledger.begin(attempt(), [], None, later(0))), Held)
    changed = {
        "verification": "'v' || n",
        "started_at": "started_at + n * 1000000",
        "driver": "printf('%064d', 1)",
        "operator": "printf('%064d', n)",
        "hint": "'+98 ••••••••00'",
    }
    with ledger.database.engine.begin() as connection:
        connection.exec_driver_sql(
            f"WITH RECURSIVE series(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n < {ROWS - 1}) "
            f"INSERT INTO {ATTEMPT.name} ({', '.join(COLUMNS)}) "
            f"SELECT {', '.join(changed.get(name, name) for name in COLUMNS)} FROM {ATTEMPT.name}, series"
        )
    ledger.database.engine.dispose()


def copy_to_django(ledger: Path, database: Path) -> None:
    """Copy the attempts to the table of Django's database, which has the same columns."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("ATTACH ? AS ledger", (str(ledger),))
        columns = ", ".join(COLUMNS)
        connection.execute(
            f"INSERT INTO phone_verify_services_attempt ({columns}) SELECT {columns} FROM ledger.{ATTEMPT.name}"
        )
        connection.commit()


@pytest.fixture(params=["django", pytest.param("flask", marks=pytest.mark.slow)])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """An example site with many attempts in its ledger: yields its framework and its URL."""
    ledger = tmp_path / "ledger.sqlite3"
    make_ledger(ledger)
    settings = {"sms": "console://", "ledger": "orm:" if request.param == "django" else f"sqlite:///{ledger}"}
    env = with_quick_hashes(environment(request.param, tmp_path, None, settings), tmp_path)
    env["STAFF_PASSWORD"] = PASSWORD
    with uvicorn(request.param, env) as url:
        if request.param == "django":
            copy_to_django(ledger, tmp_path / "site.sqlite3")
        yield request.param, url


class Client:
    """A client of one connection, which is signed in as staff."""

    def __init__(self, framework: str, url: str) -> None:
        self.connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
        self.headers = {"Host": urlsplit(url).netloc}
        if framework == "flask":
            self.home = "/staff/reports/"
            password = base64.b64encode(f"staff:{PASSWORD}".encode()).decode()
            self.headers["Authorization"] = f"Basic {password}"
            return
        self.home = "/admin/phone_verify_services/quarter/"
        form = self.get("/admin/login/")
        [token] = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', form.read().decode())
        [cookie] = re.findall(r"csrftoken=\w+", form.headers["Set-Cookie"])
        fields = {"username": "staff", "password": PASSWORD, "csrfmiddlewaretoken": token}
        kind = "application/x-www-form-urlencoded"
        self.connection.request(
            "POST", "/admin/login/", urlencode(fields), {**self.headers, "Cookie": cookie, "Content-Type": kind}
        )
        signed_in = self.connection.getresponse()
        signed_in.read()
        assert signed_in.status == 302
        [session] = re.findall(r"sessionid=\w+", str(signed_in.headers))
        self.headers["Cookie"] = session

    def get(self, path: str) -> Any:
        """Return the response, whose body was not read."""
        self.connection.request("GET", path, headers=self.headers)
        return self.connection.getresponse()


def server_memory(url: str) -> int:
    """Return the resident memory in bytes of the process that listens at this URL."""
    port = f":{urlsplit(url).port or 0:04X}"
    inodes = [line.split()[9] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
              if line.split()[1].endswith(port) and line.split()[3] == "0A"]  # fmt: skip
    for process in Path("/proc").glob("[0-9]*"):
        try:
            held = {os.readlink(file) for file in (process / "fd").iterdir()}
        except OSError:
            continue
        if any(f"socket:[{inode}]" in held for inode in inodes):
            [pages] = re.findall(r"VmRSS:\s+(\d+) kB", (process / "status").read_text())
            return int(pages) * 1024
    raise LookupError(url)


def test_long_csv_is_sent_while_it_is_read(site: tuple[str, str]) -> None:
    client = Client(*site)
    with closing(client.connection):
        hour = micros(later(3600))
        short = client.get(f"{client.home}attempts.csv?{DAYS}&hour={hour}")  # loads and fills what a download needs
        assert short.read().decode("utf-8-sig").count("\n") == 3601
        before, most, size, lines = server_memory(site[1]), 0, 0, 0
        response = client.get(f"{client.home}attempts.csv?{DAYS}")
        assert response.status == 200
        assert response.headers["Content-Length"] is None
        while chunk := response.read(1_000_000):
            size, lines = size + len(chunk), lines + chunk.count(b"\n")
            most = max(most, server_memory(site[1]) - before)
        assert lines == ROWS + 1
        assert size > 20_000_000
        assert most < size / 2
