"""Services over real HTTP at both example sites: an edit takes effect in two workers, and events of a service."""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from phone_verify.sandbox import SandboxServer
from tests import forks
from tests.clients import Browser, HttpCarrier
from tests.scenarios import SETTINGS, Stage, conforms
from tests.servers import FOLDERS, environment, gunicorn, uvicorn
from tests.test_event_streams import follow

pytest.importorskip("gunicorn")
pytestmark = pytest.mark.timeout(180)

FRAMEWORKS = ["django", pytest.param("flask", marks=pytest.mark.slow)]
#: In seconds.
PROMISED = 5.0


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxServer]:
    with SandboxServer() as server:
        yield server


@pytest.fixture(params=FRAMEWORKS)
def framework(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def env(framework: str, sandbox: SandboxServer, tmp_path: Path) -> Mapping[str, str]:
    """A site whose services are rows: of Django's database, or of an SQLite file."""
    ledger = "orm:" if framework == "django" else f"sqlite:///{tmp_path / 'services.sqlite3'}"
    settings = {**SETTINGS, "ledger": ledger, "services": str(tmp_path / "services.yaml")}
    (tmp_path / "services.yaml").write_text("fixed: {public: true, code_length: 5, max_attempts: 2}\n")
    return environment(framework, tmp_path, sandbox.dsn, settings)


def called(framework: str, env: Mapping[str, str], *arguments: str) -> tuple[int, str]:
    """Run the command of the site that changes services; return its status and what it printed."""
    command = ["manage.py", "phone_verify_services"]
    if framework == "flask":
        command = ["-m", "flask", "--app", "wsgi", "phone-verify", "services"]
    done = forks.run([sys.executable, *command, *arguments], cwd=FOLDERS[framework], env=env)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def edit(framework: str, env: Mapping[str, str]) -> Callable[..., None]:
    """Change services successfully."""

    def run(*arguments: str) -> None:
        status, printed = called(framework, env, *arguments)
        assert status == 0, printed

    return run


def damage(framework: str, folder: Path, name: str) -> None:
    """Write a mistake to the row of a service, as an earlier version could have left it."""
    file, table = "site.sqlite3", "phone_verify_services_service"
    if framework == "flask":
        file, table = "services.sqlite3", "phone_verify_service"
    with closing(sqlite3.connect(folder / file)) as connection, connection:
        statement = f"UPDATE {table} SET document = ? WHERE name = ?"
        assert connection.execute(statement, ('{"code_length": 99}', name)).rowcount == 1


def started(stage: Stage, service: str) -> tuple[int, Any]:
    answer = stage.browser().call("POST", "v1/verifications", {"phone": stage.phone(), "service": service})
    return answer.status, answer.json()


def test_edit_takes_effect_in_every_worker_within_five_seconds(
    framework: str, env: Mapping[str, str], sandbox: SandboxServer, edit: Callable[..., None]
) -> None:
    with gunicorn(framework, env, workers=2) as url:
        stage = Stage(lambda: HttpCarrier(url), sandbox)
        for _ in range(6):
            assert started(stage, "shop")[0] == 401
        assert started(stage, "fixed")[0] == 201
        edit("set", "shop", "public=true", "code_length=8")
        edited_at, refused_at = time.monotonic(), 0.0
        while (asked_at := time.monotonic()) < edited_at + PROMISED:
            status, document = started(stage, "shop")
            if status == 401:
                refused_at = asked_at - edited_at
            else:
                assert (status, document["code_length"]) == (201, 8), document
        assert refused_at < PROMISED
        assert {started(stage, "shop")[0] for _ in range(12)} == {201}, "each worker knows it by now"


def test_service_is_verified_over_http(framework: str, env: Mapping[str, str], sandbox: SandboxServer) -> None:
    with gunicorn(framework, env, workers=1) as url:
        stage = Stage(lambda: HttpCarrier(url), sandbox)
        browser, phone = stage.browser(), stage.phone()
        answer = browser.call("POST", "v1/verifications", {"phone": phone, "service": "fixed"})
        conforms(answer, 201, "StartedVerification")
        path, code = f"v1/verifications/{answer.json()['id']}", stage.code(phone)
        assert len(code) == 5
        refused = browser.call("POST", f"{path}/check", {"code": "0" * 5 if code != "0" * 5 else "1" * 5})
        assert refused.json()["attempts_left"] == 1, "of two"
        verified = browser.call("POST", f"{path}/check", {"code": code})
        conforms(verified, 200, "Verification")
        refused = browser.call("POST", "v1/session", {"proof": verified.json()["proof"]})
        assert (refused.status, refused.json()["code"]) == (400, "invalid_proof"), "it is not of the site's own service"
        refused = browser.call("POST", "v1/verifications", {"phone": phone, "service": "unknown"})
        conforms(refused, 401, "Problem")
        assert refused.headers["www-authenticate"] == "Bearer"
        login = browser.call("POST", "v1/verifications", {"phone": phone})
        conforms(login, 201, "StartedVerification")


def test_events_of_a_service_are_streamed(framework: str, env: Mapping[str, str], sandbox: SandboxServer) -> None:
    with uvicorn(framework, env) as url:
        stage = Stage(lambda: HttpCarrier(url), sandbox)
        browser, phone = stage.browser(), stage.phone()
        begun = browser.call("POST", "v1/verifications", {"phone": phone, "service": "fixed"}).json()
        with closing(follow(url, begun)) as events:
            assert events.next()["status"] == "sent"
            path = f"v1/verifications/{begun['id']}/check"
            assert browser.call("POST", path, {"code": stage.code(phone)}).status == 200
            assert events.next()["status"] == "verified"


def test_deleted_and_broken_services_are_refused(
    framework: str, env: Mapping[str, str], sandbox: SandboxServer, edit: Callable[..., None], tmp_path: Path
) -> None:
    with gunicorn(framework, env, workers=1) as url:
        stage = Stage(lambda: HttpCarrier(url), sandbox)
        assert started(stage, "fixed")[0] == 201, "workers make the tables before they answer"
        for name in ("private", "broken"):
            edit("set", name, f"title={name}")
        damage(framework, tmp_path, "broken")
        edit("set", "shop", "public=true")
        ends = time.monotonic() + PROMISED
        while (begun := started(stage, "shop"))[0] != 201:
            assert time.monotonic() < ends
            time.sleep(0.2)
        answers = [started(stage, name) for name in ("no_such", "private", "broken")]
        assert [status for status, _ in answers] == [401] * 3
        assert answers[0] == answers[1] == answers[2]
        edit("delete", "shop", "--yes")
        status, printed = called(framework, env, "set", "shop", "title=Other")
        assert status != 0
        assert "name: was the name of a service that was deleted" in printed
        ends = time.monotonic() + PROMISED
        while started(stage, "shop")[0] != 401:
            assert time.monotonic() < ends
            time.sleep(0.2)
        answer = stage.browser().call("GET", f"v1/verifications/{begun[1]['id']}", secret=begun[1]["secret"])
        assert answer.status == 404


def test_pages_use_the_service_of_the_setting(framework: str, env: Mapping[str, str], sandbox: SandboxServer) -> None:
    with gunicorn(framework, {**env, "PHONE_VERIFY_SERVICE": "fixed"}, workers=1) as url:
        stage = Stage(lambda: HttpCarrier(url), sandbox)
        browser, phone = Browser(HttpCarrier(url)), stage.phone()
        page = browser.follow(browser.post_form("/phone/login/", phone=phone, channel="sms"))
        code = stage.code(phone)
        assert len(code) == 5
        assert page.status == 200
