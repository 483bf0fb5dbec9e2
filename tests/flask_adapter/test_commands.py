"""The `flask phone-verify` commands, as at a terminal."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from phone_verify.errors import StoreError
from phone_verify.phone import PhoneNumber
from phone_verify_flask import current_verifier
from tests import forks

from .sites import PHONE, Made, make, start

ROOT = Path(__file__).parents[2]


def run(made: Made, *words: str) -> Result:
    return made.app.test_cli_runner().invoke(args=["phone-verify", *words])


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return make(PHONE_VERIFY_STORE=f"sqlite:///{tmp_path / 'store.sqlite3'}")


def test_config_lists_the_settings_of_the_application() -> None:
    result = run(make(PHONE_VERIFY_REGION="IR"), "config")
    assert result.exit_code == 0, result.output
    assert re.search(r"^REGION +IR +Flask", result.output, re.MULTILINE)


def test_routes_explains_the_drivers_of_a_number() -> None:
    result = run(make(PHONE_VERIFY_ROUTES=[{"regions": ["IR"]}]), "routes", "+989120000007")
    assert result.exit_code == 0, result.output
    assert "rule 1 (regions IR)" in result.output
    assert "+989120000007" not in result.output


def test_report_is_that_of_the_application(tmp_path: Path) -> None:
    ledger = f"sqlite:///{tmp_path}/ledger.sqlite3"
    made = make(PHONE_VERIFY_LEDGER=ledger)
    start(made.app.test_client())
    day = f"{made.clock():%Y-%m-%d}"
    result = run(made, "report", "--from", day, "--to", day, "--by", "driver", "--format", "csv")
    assert result.exit_code == 0, result.output
    assert re.search("^console,1,1,", result.output, re.MULTILINE)
    assert run(make(), "report").exit_code == 1


def test_init_db_creates_the_tables_once(made: Made, tmp_path: Path) -> None:
    first, second = run(made, "init-db"), run(made, "init-db")
    assert (first.exit_code, second.exit_code) == (0, 0), first.output
    assert "Created the tables" in first.output
    assert "up to date" in second.output
    with closing(sqlite3.connect(tmp_path / "store.sqlite3")) as database:
        assert database.execute("SELECT count(*) FROM phone_verify_verification").fetchone() == (0,)


def test_init_db_reports_a_store_without_tables() -> None:
    result = run(make(), "init-db")
    assert result.exit_code == 1
    assert "memory:, which has no tables" in result.output


def test_purge_drops_ended_verifications(made: Made) -> None:
    for _ in range(2):
        start(made.app.test_client())
    assert run(made, "purge").output.startswith("0 ")
    made.clock.move(3 * 86400)
    result = run(made, "purge")
    assert result.exit_code == 0
    assert int(result.output.split()[0]) >= 2
    assert run(made, "purge").output.startswith("0 ")


def test_erase_removes_a_number_only_with_yes(made: Made) -> None:
    client = made.app.test_client()
    id = start(client)["id"]
    asked = run(made, "erase", PHONE)
    assert "add --yes" in asked.output
    assert PHONE not in asked.output
    assert client.get(f"/phone/v1/verifications/{id}").status_code == 200
    done = run(made, "erase", "0912 000 0000", "--region", "IR", "--yes")
    assert (done.exit_code, "is erased" in done.output) == (0, True)
    assert client.get(f"/phone/v1/verifications/{id}").status_code == 404
    assert run(made, "erase", "12", "--yes").exit_code == 2


def test_unlock_removes_the_lock_of_one_number(tmp_path: Path) -> None:
    made = make(PHONE_VERIFY_STORE=f"sqlite:///{tmp_path / 'store.sqlite3'}", PHONE_VERIFY_MAX_FAILURES="1")
    first, second = made.app.test_client(), made.app.test_client()

    def check(client: Any, id: str, code: str) -> int:
        answer = client.post(f"/phone/v1/verifications/{id}/check", json={"code": code})
        return int(answer.status_code)

    wrong, right = start(first)["id"], start(second)["id"]
    assert check(first, wrong, made.wrong_code) == 422
    assert check(second, right, made.code) == 429
    assert "no lock" in run(made, "unlock", "+989120000007").output
    assert check(second, right, made.code) == 429
    done = run(made, "unlock", "0912 000 0000", "--region", "IR")
    assert (done.exit_code, done.output) == (0, "+98 ••••••••00 is unlocked.\n")
    assert check(second, right, made.code) == 200
    assert run(made, "unlock", "12").exit_code == 2


@pytest.mark.parametrize("words", [["purge"], ["erase", PHONE, "--yes"], ["unlock", PHONE]])
def test_unavailable_store_is_reported(made: Made, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    store: Any = made.app.extensions["phone_verify"].site.verifier.flows._store

    async def silent(*_: object) -> None:
        raise StoreError("the database is away")

    monkeypatch.setattr(store, words[0], silent)
    result = run(made, *words)
    assert result.exit_code == 1
    assert "the database is away" in result.output


def test_doctor_checks_this_application(made: Made) -> None:
    result = run(made, "doctor", "--offline")
    assert result.exit_code == 0, result.output
    assert "Flask's own SECRET_KEY" in result.output
    assert "no errors" in result.output
    assert run(made, "doctor", "--flask", "other:app").exit_code == 2
    assert run(made, "doctor", "--offline", "--strict").exit_code == 1
    report = json.loads(run(made, "doctor", "--offline", "--json").stdout)
    assert report["summary"]["errors"] == 0


def test_interactive_verification_ends_with_the_input(made: Made) -> None:
    """The full command is tested in test_interactive.py; here: it uses this site's store and drivers."""
    with made.app.app_context():
        tag = current_verifier.tag(PhoneNumber(PHONE))
    program = "import wsgi, sys; from flask.cli import main; sys.argv[0] = 'flask'; main()"
    site = Path(made.app.config["PHONE_VERIFY_STORE"].removeprefix("sqlite:///")).parent
    (site / "wsgi.py").write_text(
        "from flask import Flask\nfrom phone_verify_flask import PhoneVerify\napp = Flask('site')\n"
        f"app.config.update(SECRET_KEY={made.app.config['SECRET_KEY']!r})\nPhoneVerify(app)\n"
    )
    given = {name: str(made.app.config[name]) for name in ("PHONE_VERIFY_STORE", "PHONE_VERIFY_SMS")}
    done = forks.run(
        [sys.executable, "-c", program, "--app", "wsgi", "phone-verify", "test", PHONE],
        cwd=site,
        env={**os.environ, **given, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 1, done.stderr
    assert "SMS sent to +98" in done.stdout + done.stderr
    with closing(sqlite3.connect(site / "store.sqlite3")) as database:
        [row] = database.execute("SELECT id, purpose, status FROM phone_verify_verification").fetchall()
    assert (row[0][: len(tag)], *row[1:]) == (tag, "by_hand", "cancelled")
