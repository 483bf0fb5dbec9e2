"""The example site of Flask under a real server, against the sandbox over real HTTP."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import urllib3

from phone_verify.model import Assurance, Channel, Redeemed
from phone_verify.phone import PhoneNumber
from phone_verify.sandbox import SandboxServer
from tests import forks
from tests.clients import Browser, HttpCarrier, hidden_token
from tests.scenarios import Stage, pages_sign_in_by_code, sms_to_session

ROOT = Path(__file__).parents[2]
SITE = ROOT / "example_projects" / "flask_site"
START_SECONDS = 60.0

Serve = Callable[..., "Served"]


class Served:
    """A copy of the example site under gunicorn, from `start` to `stop`."""

    def __init__(self, folder: Path, workers: int = 1, **environment: str) -> None:
        self.folder, self.log, self.url, self._workers = folder, folder.with_suffix(".log"), "", workers
        if not folder.exists():
            shutil.copytree(SITE, folder, ignore=shutil.ignore_patterns("var", "__pycache__"))
        ours = ("PHONE_VERIFY_", "DATABASE_URL", "SECRET_KEY", "ALLOWED_HOSTS", "DEBUG", "GUNICORN_")
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        self.environment |= {
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": str(folder),  # where newer versions of gunicorn keep a socket
            **environment,
        }

    def start(self) -> Served:
        command = [sys.executable, "-m", "gunicorn", "wsgi:application"]
        command += ["--workers", str(self._workers), "--bind", "127.0.0.1:0", "--worker-tmp-dir", str(self.folder)]
        with self.log.open("w") as log:
            standard = [0, log.fileno(), log.fileno()]
            self._process = forks.start(command, standard=standard, cwd=self.folder, env=self.environment)
        try:
            self._await_workers()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(10)
        except TimeoutError:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(10)

    @property
    def var(self) -> Path:
        return self.folder / "var"

    def browser(self) -> Browser:
        return Browser(HttpCarrier(self.url))

    def _await_workers(self) -> None:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            text = self.log.read_text()
            if found := re.search(r"Listening at: (http://127\.0\.0\.1:[0-9]+)", text):
                self.url = found.group(1)
                # The port is open before the application is loaded: a request waits for a worker.
                if urllib3.request("GET", self.url, timeout=START_SECONDS, retries=False).status == 200:
                    return
            assert self._process.poll() is None, text
            time.sleep(0.05)
        raise AssertionError(self.log.read_text())


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxServer]:
    with SandboxServer() as server:
        yield server


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    with ExitStack() as stack:

        def start(workers: int = 1, **environment: str) -> Served:
            served = Served(tmp_path / "site", workers, **environment).start()
            stack.callback(served.stop)
            return served

        yield start


def test_login_by_sms_on_the_first_start_of_several_workers(sandbox: SandboxServer, serve: Serve) -> None:
    """Nothing is prepared: the first worker creates folders, key and tables."""
    site = serve(2, PHONE_VERIFY_SMS=sandbox.dsn, PHONE_VERIFY_MAX_ATTEMPTS="3")
    stage = Stage(lambda: HttpCarrier(site.url), sandbox)
    sms_to_session(stage)
    pages_sign_in_by_code(stage)
    assert "Traceback" not in site.log.read_text()
    assert (site.var / "secret_key").stat().st_mode & 0o777 == 0o600
    assert len((site.var / "secret_key").read_text()) >= 32
    assert {file.stat().st_mode & 0o777 for file in site.var.glob("*.sqlite3*")} == {0o600}
    assert sorted(file.name for file in site.var.iterdir() if "-" not in file.name) == [
        "phone_verify.sqlite3",
        "secret_key",
        "site.sqlite3",
    ]


def test_session_survives_a_restart(sandbox: SandboxServer, serve: Serve) -> None:
    site = serve(PHONE_VERIFY_SMS=sandbox.dsn)
    carrier, stage = HttpCarrier(site.url), Stage(lambda: HttpCarrier(site.url), sandbox)
    browser, phone = Browser(carrier), stage.phone()
    browser.post_form("/phone/login/", phone=phone)
    browser.post_form("/phone/code/", code=stage.code(phone))
    assert phone in browser.get("/").text
    site.stop()
    carrier.base_url = serve(PHONE_VERIFY_SMS=sandbox.dsn).url
    page = browser.get("/")
    assert f'<data value="{phone}">' in page.text
    assert page.headers["cache-control"] == "no-store"


def test_site_without_a_channel_starts_and_says_so(serve: Serve) -> None:
    browser = serve().browser()
    page = browser.get("/phone/login/")
    assert page.status == 200
    assert "available on this site yet" in page.text
    answer = browser.call("POST", "v1/verifications", {"phone": "+989120000000"})
    assert (answer.status, answer.json()["code"]) == (503, "unavailable")


def test_environment_configures_the_site(serve: Serve, tmp_path: Path) -> None:
    database = tmp_path / "elsewhere.sqlite3"
    site = serve(
        PHONE_VERIFY_SMS="console://",
        PHONE_VERIFY_STORE=f"sqlite:///{tmp_path / 'store.sqlite3'}",
        PHONE_VERIFY_PUBLIC_URL="https://site.example",
        DATABASE_URL=f"sqlite:///{database}",
        SECRET_KEY="a-key-of-the-tests-0123456789abcdef",
        ALLOWED_HOSTS="127.0.0.1,.site.example",
        DEBUG="0",
    )
    assert not site.var.exists()
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT count(*) FROM users").fetchone() == (0,)
    answer = site.browser().call("POST", "v1/verifications", {"phone": "+989120000000"})
    assert answer.status == 201
    assert "Secure" in answer.cookies["phone_verify"]
    page = site.browser().get("/phone/login/")
    flags = {flag.strip() for flag in page.cookies["session"].split(";")}
    assert {"Secure", "HttpOnly", "SameSite=Lax"} <= flags
    statuses = {host: site.browser().get("/", {"Host": host}).status for host in ("site.example", "a.site.example:1")}
    assert statuses == {"site.example": 200, "a.site.example:1": 200}
    assert site.browser().get("/", {"Host": "localhost"}).status == 400


def test_staff_see_the_reports_of_the_site(serve: Serve, tmp_path: Path) -> None:
    ledger = {"PHONE_VERIFY_LEDGER": f"sqlite:///{tmp_path}/ledger.sqlite3", "PHONE_VERIFY_SMS": "console://"}
    site = serve(**ledger, STAFF_PASSWORD="a password of staff", STAFF_TIME_ZONE="Asia/Tehran")
    carrier = HttpCarrier(site.url)
    Browser(carrier).call("POST", "v1/verifications", {"phone": "+989120000000"})
    page = f"{site.url}/staff/reports/?by=driver"
    assert urllib3.request("GET", page).status == 401
    signed_in = urllib3.make_headers(basic_auth="staff:a password of staff")
    shown = urllib3.request("GET", page, headers=signed_in)
    assert shown.status == 200
    assert 'value="Asia/Tehran"' in shown.data.decode()
    assert "console" in shown.data.decode()
    chart = urllib3.request("GET", f"{site.url}/staff/reports/chart.svg?kind=volume", headers=signed_in)
    assert chart.headers["Content-Type"].startswith("image/svg+xml")


def test_default_hosts_are_loopback_names_only(serve: Serve) -> None:
    site = serve()
    hosts = {
        "localhost": 200,
        "localhost:8000": 200,
        "LOCALHOST": 200,
        "127.0.0.1:1": 200,
        "[::1]": 200,
        "[::1]:8000": 200,
        "evil.example": 400,
        "127.0.0.1.evil.example": 400,
        "localhost.evil.example": 400,
        "evillocalhost": 400,
        "[::2]": 400,
        "127.0.0.2": 400,
    }
    for path in ("/", "/phone/login/"):
        assert {host: site.browser().get(path, {"Host": host}).status for host in hosts} == hosts
    assert "Secure" not in site.browser().get("/phone/login/").cookies["session"]


@pytest.mark.race
def test_workers_that_start_at_once_agree(tmp_path: Path) -> None:
    """On one key, and on which worker creates the tables."""
    served = Served(tmp_path / "site")
    program = "import wsgi; print(wsgi.application.config['SECRET_KEY'])"
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=served.folder,
            env=served.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    told = [worker.communicate(timeout=START_SECONDS) for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * 4, told
    assert len({out for out, _ in told}) == 1


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """The example's modules by name, hidden from other imports."""
    # What they import of each other is forgotten afterwards.
    monkeypatch.syspath_prepend(SITE)
    for other in SITE.glob("*.py"):
        monkeypatch.delitem(sys.modules, other.stem, raising=False)
        monkeypatch.setitem(sys.modules, other.stem, None)
        del sys.modules[other.stem]

    def load(name: str) -> Any:
        spec = importlib.util.spec_from_file_location(f"flask_site_{name}", SITE / f"{name}.py")
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.mark.race
def test_concurrent_first_logins_create_one_user(modules: Callable[[str], Any], tmp_path: Path) -> None:
    accounts = modules("accounts").Accounts(f"sqlite:///{tmp_path / 'site.sqlite3'}")
    gate, found = threading.Barrier(8), []
    at = datetime(2026, 11, 22, 12, tzinfo=UTC)
    proof = Redeemed(PhoneNumber("+989120000000"), "login", "default", Channel.SMS, Assurance.CODE, "id", at)

    def sign_in() -> None:
        gate.wait(10)
        found.append(accounts.user_for_phone(proof))

    threads = [threading.Thread(target=sign_in) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len({user.id for user, _ in found}) == 1
    assert sorted(created for _, created in found) == [False] * 7 + [True]
    assert accounts.user(str(found[0][0].id)).phone == "+989120000000"
    assert accounts.user("9") is accounts.user("x") is None
    accounts._engine.dispose()


@pytest.mark.parametrize(
    ("text", "driver"),
    [
        ("postgres://u:p@db.example/site", "postgresql+psycopg"),
        ("postgresql://u:p@db.example/site?sslmode=require", "postgresql+psycopg"),
        ("mysql://u:p@db.example/site", "mysql+pymysql"),
        ("postgresql+asyncpg://db.example/site", "postgresql+asyncpg"),
        ("sqlite:////tmp/site.sqlite3", "sqlite"),
    ],
)
def test_database_urls_name_the_drivers_we_install(modules: Callable[[str], Any], text: str, driver: str) -> None:
    url = modules("settings").database_url(text)
    assert url.drivername == driver
    rest = url.render_as_string(hide_password=False).partition("://")[2]
    assert rest == text.partition("://")[2]


def test_profile_members_and_step_up_pages_work(sandbox: SandboxServer, serve: Serve) -> None:
    site = serve(PHONE_VERIFY_SMS=sandbox.dsn, PHONE_VERIFY_RESEND_AFTER="0")
    stage = Stage(lambda: HttpCarrier(site.url), sandbox)
    browser, phone, other = site.browser(), stage.phone(), stage.phone()
    for path in ("/profile", "/members", "/payout"):
        assert browser.get(path).location.startswith("/phone/login/?next=")
    browser.post_form("/phone/login/", phone=phone)
    answer = browser.post_form("/phone/code/", code=stage.code(phone), asks_remember="1", remember="1")
    assert "remember_token" in answer.cookies
    for path in ("/profile", "/members", "/payout"):
        page = browser.get(path)
        assert (page.status, page.headers["cache-control"]) == (200, "no-store")
    browser.post_form("/phone/verify/", phone=other)
    assert browser.post_form("/phone/code/", code=stage.code(other)).status == 303
    assert f'<data value="{other}">' in browser.get("/").text
    assert other[-4:] in browser.get("/profile").text


def test_cookies_are_secure_on_an_https_site(sandbox: SandboxServer, serve: Serve) -> None:
    site = serve(PHONE_VERIFY_SMS=sandbox.dsn, PHONE_VERIFY_PUBLIC_URL="http://127.0.0.1")
    stage = Stage(lambda: HttpCarrier(site.url), sandbox)
    browser, phone = site.browser(), stage.phone()
    browser.post_form("/phone/login/", phone=phone)
    answer = browser.post_form("/phone/code/", code=stage.code(phone), asks_remember="1", remember="1")
    flags = {flag.strip() for flag in answer.cookies["remember_token"].split(";")}
    assert {"HttpOnly", "SameSite=Lax"} <= flags
    assert "Secure" not in flags


#: Tag, direction, and the title of the page for an unknown address.
LANGUAGES = [
    ("fa", "rtl", "صفحه پیدا نشد"),
    ("ru", "ltr", "Страница не найдена"),
    ("ar", "rtl", "الصفحة غير موجودة"),
    ("en", "ltr", "Page not found"),
]


def test_all_pages_speak_the_chosen_language(serve: Serve) -> None:
    carrier = HttpCarrier(serve(PHONE_VERIFY_SMS="console://").url)
    visitor = Browser(carrier)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for tag, direction, title in LANGUAGES:
        token = hidden_token(visitor.get("/phone/login/").text)
        fields = {"language": tag, "next": "/phone/login/", **token}
        assert carrier.send("POST", "/language", urlencode(fields).encode(), form).location == "/phone/login/"
        for path in ("/", "/phone/login/", "/nosuch"):
            page = visitor.get(path)
            assert f'<html lang="{tag}" dir="{direction}">' in page.text
            assert f'value="{tag}" lang="{tag}" aria-current="true"' in page.text
            assert "icon.svg" in page.text
        assert page.status == 404
        assert f"<h1>{title}</h1>" in page.text
        assert "Flask" in page.text.partition("</title>")[0]
    for elsewhere in ("//evil.example/", "https://evil.example/", "/\\evil.example"):
        fields = {"language": "en", "next": elsewhere, **hidden_token(visitor.get("/").text)}
        assert carrier.send("POST", "/language", urlencode(fields).encode(), form).location == "/"
    assert visitor.get("/favicon.ico").headers["content-type"].startswith("image/svg+xml")


def test_texts_are_complete_in_every_language(modules: Callable[[str], Any]) -> None:
    texts = modules("texts")
    assert list(texts.TEXTS) == list(texts.NAMES) == ["en", "fa", "ru", "ar"]
    assert len({frozenset(each) for each in texts.TEXTS.values()}) == 1
