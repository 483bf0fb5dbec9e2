"""docs/django.md, "From an empty folder to production", taken literally: its blocks are written and run here."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import metadata
from pathlib import Path
from urllib.parse import urlsplit

import django
import pytest

from phone_verify.testing.handsets import PhoneSandbox
from tests.cases import in_one_test
from tests.clients import Answer, Browser, HttpCarrier
from tests.servers import free_port

from . import projects

pytest.importorskip("django_otp")

SECTIONS = projects.section("django.md", "From an empty folder to production").split("\n### ")[1:]
#: The others are for sites that have users; see test_adopt.py.
STEPS = [section for section in SECTIONS if section[0].isdigit()]
PHONE, NEW, BOSS = "+989120000000", "+989120000007", "+989120000001"
PATIENCE = 60.0

#: Commands that the tests start and stop themselves.
_SERVERS = ("phone-verify sandbox", "python manage.py runserver", "gunicorn ", "celery ")
_SANDBOX = "127.0.0.1:8025"


class Visitor(HttpCarrier):
    """Django's own server closes connections without notice."""

    def send(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        self._pool.clear()
        return super().send(method, path, body, headers)


class Reader:
    """A reader who follows the guide in an empty folder."""

    def __init__(self, folder: Path, sandbox: PhoneSandbox) -> None:
        self.folder, self.sandbox = folder, sandbox
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PHONE_VERIFY_", "DJANGO_"))}
        path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")])
        self.env: dict[str, str] = {**kept, "PATH": path}

    def follow(self, *steps: int) -> Reader:
        """Follow these steps."""
        for step in steps:
            for block in projects.blocks(STEPS[step - 1]):
                self.take(block)
        return self

    def take(self, block: projects.Block) -> None:
        """Write the file, or type the commands."""
        if block.name is not None:
            projects.write(self.folder, block.name, block.text)
        elif block.language == "sh":
            for line in block.text.splitlines():
                self._type(line.replace(_SANDBOX, urlsplit(self.sandbox.url).netloc))

    def _type(self, line: str) -> None:
        if line.startswith("pip install"):
            first, *others = shlex.split(line)[2:]
            extras = re.findall(r"phone-verify\[([\w,]+)\]", first)[0].split(",")
            assert set(extras) <= set(metadata("phone-verify").get_all("Provides-Extra") or [])
            for package in others:
                assert metadata(package)
        elif line.startswith("export "):
            name, _, value = shlex.split(line)[1].partition("=")
            self.env[name] = value
        elif not line.startswith(_SERVERS) and ".venv" not in line:  # the tests have an environment
            self.run(*shlex.split(line))

    def run(self, *command: str) -> str:
        """Run a command as the reader's shell finds it; return its output."""
        done = subprocess.run(
            ["/usr/bin/env", *command], cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=PATIENCE
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    @contextmanager
    def serving(self, env: Mapping[str, str] | None = None) -> Iterator[str]:
        """Run the site with Django's server; yield its URL."""
        port = free_port()
        command = ["/usr/bin/env", "python", "manage.py", "runserver", str(port), "--noreload"]
        log = self.folder / "log"
        with log.open("w") as file:
            site = subprocess.Popen(command, cwd=self.folder, env={**self.env, **(env or {})}, stdout=file, stderr=file)
        try:
            end = time.monotonic() + PATIENCE
            while True:
                with socket.socket() as probe:
                    probe.settimeout(1)
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                assert site.poll() is None
                assert time.monotonic() < end
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
            assert "Traceback" not in log.read_text()
        except BaseException:
            sys.stdout.write(log.read_text())
            raise
        finally:
            site.terminate()
            site.wait(PATIENCE)

    def code(self, phone: str = PHONE) -> str:
        """Return the display of the handset."""
        return self.sandbox.handset(phone).code()


@pytest.fixture
def reader(tmp_path: Path, phone_sandbox: PhoneSandbox) -> Reader:
    return Reader(tmp_path, phone_sandbox)


def shown(page: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())


def test_every_block_is_a_file_or_a_command() -> None:
    """No block is skipped because of a mistake in its first line."""
    for step in STEPS:
        for block in projects.blocks(step):
            assert (block.name is not None) == (block.language in ("python", "html")), block
            assert block.name is not None or block.language == "sh"


@pytest.mark.slow
def test_guide_reaches_the_first_login(reader: Reader) -> None:
    reader.follow(1, 2)
    with reader.serving() as url:
        visitor = Browser(Visitor(url))
        page = visitor.get("/").text
        (link,) = re.findall(r'href="([^"]+)"', page)
        assert link == "/phone/login/?next=/"
        answer = visitor.post_form(link, phone="0912 000 0000", next="/")
        assert answer.status == 303, answer.text
        answer = visitor.post_form(answer.location, code=reader.code(), next="/")
        assert (answer.status, answer.location) == (303, "/")
        assert "Signed in as +98 912 000 0000" in shown(visitor.get("/").text)
        assert visitor.call("GET", "v1/session").json()["user"]["phone"] == PHONE
        home = visitor.get("/").text
        assert visitor.post_form("/phone/logout/").location == "/"
        assert "Sign out" in home
        assert "Sign in" in visitor.get("/").text


@pytest.mark.slow
def test_whole_guide_works(reader: Reader) -> None:
    """Profile, change of number, sign-up form, admin with a second factor, a recent check, production."""
    reader.follow(1, 2, 3, 4, 5)
    if django.VERSION < (6, 1):
        (line,) = re.findall(r"`(EMAIL_BACKEND = [^`]+)`", STEPS[4])
        projects.write(reader.folder, f"{projects.NAME}/settings.py", f"{line}\n")
    reader.follow(6, 7)
    assert "no issues" in reader.run("python", "manage.py", "check")
    assert "No changes" in reader.run("python", "manage.py", "makemigrations", "--check", "--dry-run")
    with reader.serving({"PHONE_VERIFY_RESEND_AFTER": "0"}) as url:
        carrier = Visitor(url)
        visitor = Browser(carrier)
        assert visitor.get("/profile/").location == "/phone/login/?next=/profile/"
        answer = visitor.post_form("/phone/login/?next=/profile/", phone=PHONE, next="/profile/")
        answer = visitor.post_form(answer.location, code=reader.code(), next="/profile/")
        assert answer.location.startswith("/phone/signup/"), answer.text
        assert "Your name" in visitor.get(answer.location).text
        answer = visitor.post_form(answer.location, first_name="Sara", email="sara@shop.example", next="/profile/")
        assert answer.location == "/profile/", answer.text
        profile = visitor.get("/profile/").text
        assert "Sara, your number is +98 912 000 0000" in shown(profile)
        assert "+98 ••••••••00" in shown(visitor.get("/payout/").text)
        change = re.findall(r'href="(/phone/verify/[^"]*)"', profile)[0]
        answer = visitor.post_form(change, phone=NEW, next="/profile/")
        assert answer.status == 303, answer.text
        assert visitor.post_form(answer.location, code=reader.code(NEW), next="/profile/").location == "/profile/"
        assert "+98 912 000 0007" in shown(visitor.get("/profile/").text)
        told = (reader.folder / "log").read_text()
        assert "To: sara@shop.example" in told
        assert "It was +98" in told
        assert PHONE not in told

        boss, login = Browser(Visitor(url)), "/admin/login/?next=/admin/"
        given = {"username": "boss", "password": reader.env["DJANGO_SUPERUSER_PASSWORD"], "next": "/admin/"}
        answer = boss.post_form(login, **given)
        assert answer.status == 200, "a password is not enough"
        for step in ("OTP Device", "OTP Token", "Get OTP Challenge", "Log in"):
            assert step.lower() in f"{shown(answer.text)} {answer.text}".lower(), step
            assert f"*{step}*" in STEPS[6]
        (device,) = set(re.findall(r"phone_verify_otp\.phonedevice/\d+", answer.text))
        boss.post_form(login, **given, otp_device=device, otp_challenge="1")
        answer = boss.post_form(login, **given, otp_device=device, otp_token=reader.code(BOSS))
        assert (answer.status, answer.location) == (302, "/admin/"), shown(answer.text)
        assert "Verified phones" in boss.get("/admin/").text

    own = reader.folder / projects.NAME / "own.py"
    own.write_text(own.read_text().replace("max_age=600", "max_age=0.001"))
    with reader.serving() as url:
        carrier.base_url = url
        assert visitor.get("/payout/").location == "/phone/verify/?next=/payout/"
        assert visitor.get("/profile/").status == 200

    reader.follow(8)


LINKS = [
    (page, path)
    for page in ("django.md", "bridges.md")
    for path in re.findall(r"\]\((?!https?:)([^)]+)", (projects.ROOT / "docs" / page).read_text("utf-8"))
]


@in_one_test
@pytest.mark.parametrize(("page", "link"), LINKS, ids="-".join)
def test_every_link_leads_somewhere(page: str, link: str) -> None:
    path, _, part = link.partition("#")
    text = (projects.ROOT / "docs" / (path or page)).read_text("utf-8")
    lines = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    headings = [re.sub(r"[^\w -]", "", line).strip().lower().replace(" ", "-") for line in lines]
    assert not part or part in headings
