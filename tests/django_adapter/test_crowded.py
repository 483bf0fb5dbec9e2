"""docs/large_project.md taken literally: a project with many packages, users from before, and sign-ins over real HTTP.

Everything in it is a block of the documentation, except for the users, the replica and the sandbox's port.
"""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from phone_verify.testing.handsets import PhoneSandbox
from tests.clients import Answer, Browser, HttpCarrier
from tests.servers import _await, free_port

from . import projects
from .test_guide import STEPS, Reader

for package in ("allauth", "celery", "rest_framework_simplejwt", "whitenoise"):
    pytest.importorskip(package)

pytestmark = pytest.mark.slow

PAGE = (projects.ROOT / "docs" / "large_project.md").read_text("utf-8")
SECTIONS = {part.partition("\n")[0]: part for part in PAGE.split("\n## ")[1:]}
#: Ten users as their old site stored them.
NATIONAL = (
    "09120000011", "0912 000 0012", "0912-000-0013", "9120000014", "(0912) 000 0015", "+989120000016",
    "00989120000017", "98 912 000 0018", "۰۹۱۲۰۰۰۰۰۱۹", "0912.000.0020",
)  # fmt: skip
E164 = tuple(f"+9891200000{n}" for n in range(11, 21))
NEW = "+989120000031"
PASSWORD = "a-password-of-an-old-user"

#: The site's own users, before phone_verify: the numbers are as they were typed.
USERS = f"""
from django.contrib.auth.hashers import make_password
from people.models import User

password = make_password({PASSWORD!r})
User.objects.bulk_create(User(phone=phone, password=password) for phone in {NATIONAL!r})
User.objects.create_superuser("boss", {PASSWORD!r})
"""
#: Which user has which number, as the written database says, and how many verifications are kept.
OWNERS = """
import json
from people.models import User
from phone_verify_django.models import VerificationRow, VerifiedPhone

print(json.dumps([
    {user.phone: str(user.pk) for user in User.objects.using("default") if user.phone != "boss"},
    {found.phone: str(found.user_id) for found in VerifiedPhone.objects.all()},
]))
"""
AGE = "from phone_verify_django.models import VerificationRow; VerificationRow.objects.update(expires_at=0, closed_at=0)"
#: A router that leaves even users and django-allauth's tables on the replica.
ALL_BUT_SESSIONS = ('primary = {"account", "people", "sessions"}', 'primary = {"sessions"}')


class Carrier(HttpCarrier):
    """What nginx adds in front of a production site."""

    def send(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        proxied = {"Host": "shop.example", "X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.5"}
        if "Referer" in headers:
            proxied["Referer"] = headers["Referer"].replace("http://localhost", "https://shop.example")
        return super().send(method, path, body, {**headers, **proxied})


class Owner(Reader):
    """A reader of the page, who has users already."""

    def section(self, name: str, *, first: int = 0, last: int | None = None) -> Owner:
        """Take these blocks of a section, all by default."""
        found = projects.blocks(SECTIONS[name])[first:last]
        assert found, name
        for block in found:
            self.take(block)
        return self

    def fetch(self, text: str, *names: str) -> Owner:
        """Take the blocks of these files from another page, as this page says."""
        found = {name: text for name, text in projects.files(text) if name in names}
        assert set(found) == set(names)
        for name, content in found.items():
            assert f"`{name}`" in PAGE or name == "shop/settings.py", name
            projects.write(self.folder, name, content)
        return self

    def shell(self, program: str) -> str:
        (self.folder / "program.py").write_text(program)
        return self.run("python", "manage.py", "shell", "-v0", "-c", "exec(open('program.py').read(), globals())")

    def owners(self) -> tuple[dict[str, str], dict[str, str]]:
        """Return the id of each user's own number, and of each verified one."""
        users, verified = json.loads(self.shell(OWNERS).splitlines()[-1])
        return users, verified

    @contextmanager
    def process(self, start: str, port: int | None = None, **env: str) -> Iterator[str]:
        """Run a server of the page; yield its URL."""
        [command] = [line for line in PAGE.splitlines() if line.startswith(start)]
        words = command.replace("8000", str(port)).split()
        log = self.folder / f"{words[0]}.log"
        with log.open("w") as file:
            server = subprocess.Popen(
                ["/usr/bin/env", *words], cwd=self.folder, env={**self.env, **env}, stdout=file, stderr=file, text=True
            )
            try:
                if port is not None:
                    _await(server, port)
                yield f"http://127.0.0.1:{port}"
                assert server.poll() is None
                assert "Traceback" not in log.read_text()
            finally:
                server.terminate()
                server.wait(30)
                print(log.read_text())  # noqa: T201


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Owner]:
    """The page up to its servers: ten users are adopted, and the replica is from before that."""
    with PhoneSandbox() as sandbox:
        owner = Owner(tmp_path_factory.mktemp("crowded"), sandbox)
        owner.section("Create the project").section("The user model").section("Settings")
        owner.section("A replica that lags").section("URLs").section("Celery")
        owner.fetch(STEPS[1], "shop/views.py", "shop/templates/home.html")
        owner.fetch(projects.section("bridges.md", "Django REST framework"), "shop/tokens.py", "shop/api.py")
        owner.fetch(projects.section("production.md", "Purge once a day"), "shop/tasks.py", "shop/settings.py")
        owner.section("Adopt the users", last=1)
        owner.shell(USERS)
        shutil.copy(owner.folder / "db.sqlite3", owner.folder / "replica.sqlite3")
        assert "phone_verify.W044" in owner.run("python", "manage.py", "check", "--database", "default")
        owner.section("Adopt the users", first=1)
        assert "phone_verify.W044" not in owner.run("python", "manage.py", "check", "--database", "default")
        owner.section("Try it")
        yield owner


def replica(owner: Owner) -> sqlite3.Connection:
    return sqlite3.connect(owner.folder / "replica.sqlite3")


def sign_in_on_pages(browser: Browser, owner: Owner, typed: str, phone: str, channel: str, language: str) -> Answer:
    """Sign in on our pages; return the home page."""
    code_page = f"/{language}/phone/code/"
    answer = browser.post_form(f"/{language}/phone/login/", phone=typed, channel=channel)
    assert (answer.status, answer.location) == (303, code_page), answer.text
    handset = owner.sandbox.handset(phone)
    if channel == "inbound_call":
        line = browser.get(code_page).text.partition('href="tel:')[2].partition('"')[0]
        assert handset.call(line).matched
        answer = browser.post_form(code_page, called="1")
    else:
        answer = browser.post_form(code_page, code=handset.code())
    assert (answer.status, answer.location) == (303, f"/{language}/"), answer.text
    return browser.follow(answer)


def token(browser: Browser, owner: Owner, phone: str, channel: str) -> dict[str, str]:
    """Return the response of the exchange of a proof for tokens."""
    begun = browser.call("POST", "v1/verifications", {"phone": phone, "channel": channel})
    assert begun.status == 201, begun.text
    path, document = f"v1/verifications/{begun.json()['id']}", begun.json()
    handset = owner.sandbox.handset(phone)
    if channel == "inbound_call":
        assert handset.call(document["dial"]["number"]).matched
        done = browser.call("GET", path, secret=document["secret"])
    else:
        done = browser.call("POST", f"{path}/check", {"code": handset.code()}, secret=document["secret"])
    assert done.json()["status"] == "verified", done.text
    proof = {"proof": done.json()["proof"]}
    answer = Browser(browser._carrier, "/api/").call("POST", "token/phone/", proof, secret=document["secret"])
    assert answer.status == 200, answer.text
    granted = answer.json()
    assert isinstance(granted, dict)
    return granted


def me(base: str, access: str) -> Answer:
    """Call the site's API with a token alone."""
    return Carrier(base).send("GET", "/api/me/", b"", {"Authorization": f"Bearer {access}"})


def test_users_are_adopted(owner: Owner) -> None:
    users, verified = owner.owners()
    assert tuple(users) == tuple(verified) == E164
    assert users == verified
    with replica(owner) as old:
        assert {phone for (phone,) in old.execute("SELECT phone FROM people_user")} == {*NATIONAL, "boss"}
    assert [line for line in (owner.folder / "numbers.csv").read_text().splitlines()[1:] if "boss" not in line] == []
