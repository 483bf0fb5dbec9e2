"""The Django example site under gunicorn, with a sandbox."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import sqlite3
import stat
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest

from phone_verify.sandbox import SandboxServer
from tests import forks
from tests.clients import Answer, Browser, HttpCarrier, hidden_token
from tests.servers import free_port

pytest.importorskip("gunicorn")
pytest.importorskip("dj_database_url")

ROOT = Path(__file__).parents[2]
PHONE, NEW, SECOND, NEVER = "+989120000000", "+989120000007", "+989120000008", "+989120000009"
PATIENCE = 60.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the example: it keeps its data in its folder."""
    copy = tmp_path / "django_site"
    shutil.copytree(
        ROOT / "example_projects" / "django_site", copy, ignore=shutil.ignore_patterns("var", "__pycache__")
    )
    return copy


def environment(**more: str) -> Mapping[str, str]:
    ours = ("PHONE_VERIFY_", "DJANGO_", "DATABASE_URL", "SECRET_KEY", "ALLOWED_HOSTS", "DEBUG", "ASK_NAME")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **more}


@contextmanager
def serving(folder: Path, workers: int = 1, **more: str) -> Iterator[str]:
    """The site under gunicorn; its URL."""
    port = free_port()
    options = ["--workers", str(workers), "--bind", f"127.0.0.1:{port}", "--no-control-socket"]
    command = [sys.executable, "-m", "gunicorn", "wsgi:application", *options]
    log = (folder / "log").open("w")
    standard = [0, log.fileno(), log.fileno()]
    site = forks.start(command, standard=standard, cwd=folder, env=environment(**more))
    try:
        url, end = f"http://127.0.0.1:{port}", time.monotonic() + PATIENCE
        while True:
            with socket.socket() as probe:
                probe.settimeout(1)
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert site.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < end, (folder / "log").read_text()
            time.sleep(0.05)
        yield url
    finally:
        site.send_signal(signal.SIGTERM)
        site.wait(PATIENCE)
        log.close()


def test_visitor_signs_in_by_sms(folder: Path) -> None:
    """From an empty folder: two workers create tables and key, then a login by code works."""
    with SandboxServer() as sandbox, serving(folder, 2, PHONE_VERIFY_SMS=sandbox.dsn) as url:
        visitor, handset = Browser(HttpCarrier(url)), HttpCarrier(sandbox.url)
        assert "Sign in" in visitor.get("/").text
        answer = visitor.post_form("/phone/login/?next=/", phone=PHONE, next="/")
        assert answer.status == 303, (folder / "log").read_text()
        message = handset.send("GET", f"/api/handsets/{quote(PHONE)}/code?wait=10", b"", {}).json()
        answer = visitor.post_form(answer.location, code=message["code"], next="/")
        assert (answer.status, answer.location) == (303, "/")
        assert "Secure" not in answer.cookies["sessionid"]
        home = visitor.get("/")
        assert PHONE in home.text
        assert home.headers["x-frame-options"] == "DENY"
        # Both workers accept the session: they share the key and the tables.
        assert all(PHONE in visitor.get("/").text for _ in range(10))
        assert visitor.call("GET", "v1/session").json()["user"]["phone"] == PHONE
        assert visitor.post_form("/phone/logout/").location == "/"
        assert PHONE not in visitor.get("/").text
        log = (folder / "log").read_text()
        assert "Traceback" not in log
        assert PHONE not in log
        assert message["code"] not in log
    key = folder / "var" / "secret_key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert len(key.read_text()) >= 50
    assert stat.S_IMODE((folder / "var" / "site.sqlite3").stat().st_mode) == 0o600
    assert sorted(path.name for path in (folder / "var").iterdir() if path.name.startswith("tmp")) == []


def code_of(sandbox: SandboxServer, phone: str) -> str:
    answer = HttpCarrier(sandbox.url).send("GET", f"/api/handsets/{quote(phone)}/code?wait=10", b"", {})
    return str(answer.json()["code"])


def test_profile_and_second_factor_work(folder: Path) -> None:
    """The name, the change of number, the page for a recent check, and the one for a second phone."""
    settings = {"PHONE_VERIFY_REGION": "IR", "PHONE_VERIFY_RESEND_AFTER": "0", "ASK_NAME": "1"}
    with SandboxServer() as sandbox, serving(folder, PHONE_VERIFY_SMS=sandbox.dsn, **settings) as url:
        visitor = Browser(HttpCarrier(url))
        for page in ("/profile/", "/payout/", "/second-factor/"):
            assert visitor.get(page).location == f"/phone/login/?next={page}"
        answer = visitor.post_form("/phone/login/?next=/profile/", phone="0912 000 0000", next="/profile/")
        answer = visitor.post_form(answer.location, code=code_of(sandbox, PHONE), next="/profile/")
        assert "Your name" in visitor.get(answer.location).text
        answer = visitor.post_form(answer.location, first_name="<Sara>", next="/profile/")
        assert (answer.status, answer.location) == (303, "/profile/")
        profile = visitor.get("/profile/").text
        assert "<bdi>&lt;Sara&gt;</bdi>, your" in profile
        assert '<bdi dir="ltr">+98 912 000 0000</bdi>' in profile
        assert visitor.post_form("/profile/", first_name="").status == 200
        assert visitor.post_form("/profile/", first_name="Nima").location == "/profile/"
        assert "<bdi>Nima</bdi>, your" in visitor.get("/profile/").text

        assert visitor.get("/payout/").status == 200
        answer = visitor.post_form("/phone/verify/?next=/profile/", phone=NEW, next="/profile/")
        visitor.post_form(answer.location, code=code_of(sandbox, NEW), next="/profile/")
        assert NEW in visitor.get("/").text

        assert visitor.get("/vault/").location == "/second-factor/?next=/vault/"
        assert "added a second phone" in visitor.get("/second-factor/").text
        for phone, told in ((PHONE, "You signed in with this phone"), ("12", "valid mobile number")):
            assert told in visitor.post_form("/second-factor/add/", phone=phone).text
        assert SECOND[-2:] in visitor.post_form("/second-factor/add/", phone=SECOND).text
        code = code_of(sandbox, SECOND)
        assert visitor.post_form("/second-factor/add/", phone=SECOND, code=code).location == "/profile/"
        refused = visitor.get("/second-factor/add/")
        assert refused.location == "/second-factor/?next=/second-factor/add/", "the first factor replaces no second"
        page = visitor.get("/second-factor/?next=/vault/").text
        (device,) = re.findall(r'value="(phone_verify_otp\.phonedevice/[0-9]+)"', page)
        fields = {"otp_device": device, "next": "/vault/"}
        assert "We sent a code to" in visitor.post_form("/second-factor/", otp_challenge="1", **fields).text
        answer = visitor.post_form("/second-factor/", otp_token=code_of(sandbox, SECOND), **fields)
        assert (answer.status, answer.location) == (302, "/vault/"), answer.text
        assert visitor.get("/vault/").status == 200
        assert "already your second factor" in visitor.post_form("/second-factor/add/", phone=SECOND).text
        visitor.post_form("/second-factor/add/", phone=NEVER)
        right = code_of(sandbox, NEVER)
        wrong = str((int(right) + 1) % 10**6).zfill(6)
        assert "Incorrect code" in visitor.post_form("/second-factor/add/", phone=NEVER, code=wrong).text
        with closing(sqlite3.connect(folder / "var" / "site.sqlite3")) as database, database:
            # After one wrong code django-otp requires a second of waiting, which a slow machine spends anyway.
            database.execute(
                "UPDATE phone_verify_otp_phonedevice SET throttling_failure_count = 20 WHERE NOT confirmed"
            )
        assert "Too many attempts" in visitor.post_form("/second-factor/add/", phone=NEVER, code=right).text
        assert "Traceback" not in (folder / "log").read_text()


def test_site_without_a_channel_says_so(folder: Path, tmp_path: Path) -> None:
    database = tmp_path / "elsewhere.sqlite3"
    more = {
        "DATABASE_URL": f"sqlite:///{database}",
        "SECRET_KEY": "a key for tests only, and long enough for them",
        "PHONE_VERIFY_PUBLIC_URL": "https://site.example",
        "ALLOWED_HOSTS": "site.example, 127.0.0.1",
    }
    with serving(folder, **more) as url:
        visitor = Browser(HttpCarrier(url))
        page = visitor.get("/phone/login/")
        assert page.status == 200
        assert "available on this site yet" in page.text
        assert "Secure" in visitor.get("/phone/logout/").cookies["csrftoken"]
        assert visitor.get("/", headers={"Host": "localhost"}).status == 400
        answer = visitor.call("POST", "v1/verifications", {"phone": PHONE})
        assert (answer.status, answer.json()["code"]) == (503, "unavailable")
    assert database.exists()
    assert not (folder / "var").exists()


def test_wrong_setting_stops_the_start(folder: Path) -> None:
    env = environment(PHONE_VERIFY_TTL="5")
    done = forks.run([sys.executable, "-c", "import wsgi"], cwd=folder, env=env, timeout=PATIENCE)
    assert done.returncode != 0
    assert "PHONE_VERIFY_TTL" in done.stderr


def test_django_deploy_checks_pass(folder: Path) -> None:
    """Also no migration is missing, and the commands run from the folder."""
    for command in (["check", "--fail-level", "WARNING"], ["makemigrations", "--check", "--dry-run"]):
        done = forks.run(
            [sys.executable, "-W", "error", "manage.py", *command],
            cwd=folder,
            env=environment(PHONE_VERIFY_SMS="console://", DEBUG="1"),
            timeout=PATIENCE,
        )
        assert done.returncode == 0, done.stdout + done.stderr


#: Tag, direction, and the title of the page for an unknown address.
LANGUAGES = [
    ("fa", "rtl", "صفحه پیدا نشد"),
    ("ru", "ltr", "Страница не найдена"),
    ("ar", "rtl", "الصفحة غير موجودة"),
    ("en", "ltr", "Page not found"),
]


def post(carrier: HttpCarrier, page: str, to: str, **fields: str) -> Answer:
    """Submit a form of `page` that leads to another address."""
    body = urlencode({**fields, **hidden_token(carrier.send("GET", page, b"", {}).text)}).encode()
    return carrier.send("POST", to, body, {"Content-Type": "application/x-www-form-urlencoded"})


def test_all_pages_speak_the_chosen_language(folder: Path) -> None:
    with serving(folder, PHONE_VERIFY_SMS="console://") as url:
        carrier = HttpCarrier(url)
        visitor = Browser(carrier)
        for tag, direction, title in LANGUAGES:
            answer = post(carrier, "/phone/login/", "/language/setlang/", language=tag, next="/phone/login/")
            assert answer.location == "/phone/login/"
            for path in ("/", "/phone/login/", "/nosuch"):
                page = visitor.get(path)
                assert f'<html lang="{tag}" dir="{direction}">' in page.text
                assert f'value="{tag}" lang="{tag}" aria-current="true"' in page.text
                assert "icon.svg" in page.text
            assert page.status == 404
            assert f"<h1>{title}</h1>" in page.text
            assert "Django" in page.text.partition("</title>")[0]


def test_texts_are_complete_in_every_language(folder: Path) -> None:
    program = "import texts; print(len({frozenset(each) for each in texts.TEXTS.values()}), *texts.TEXTS)"
    done = forks.run([sys.executable, "-c", program], cwd=folder, env=environment())
    assert done.stdout.split() == ["1", "en", "fa", "ru", "ar"]


def test_static_files_and_icon_are_served(folder: Path) -> None:
    with serving(folder, PHONE_VERIFY_SMS="console://") as url:
        visitor = Browser(HttpCarrier(url))
        assert visitor.get("/favicon.ico").location == "/static/icon.svg"
        assert visitor.get("/static/icon.svg").headers["content-type"] == "image/svg+xml"


def test_site_has_staff_only_with_a_password(folder: Path) -> None:
    for more, count in (({}, 0), ({"STAFF_PASSWORD": "a password for this test"}, 1)):
        with serving(folder, PHONE_VERIFY_SMS="console://", **more) as url:
            visitor = Browser(HttpCarrier(url))
            assert visitor.get("/admin/").location == "/admin/login/?next=/admin/"
        with closing(sqlite3.connect(folder / "var" / "site.sqlite3")) as database:
            assert database.execute("SELECT count(*) FROM auth_user").fetchone() == (count,)
