"""docs/large_project.md taken literally: a project with many packages, users from before, and sign-ins over real HTTP.

Everything in it is a block of the documentation, except for the users, the replica and the sandbox's port.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from phone_verify.testing.handsets import PhoneSandbox
from tests.clients import Answer, Browser, HttpCarrier
from tests.conftest import BARE
from tests.servers import _await, free_port
from tests.stores import servers
from tests.stores.redis_servers import RedisServer, running, until

from . import projects
from .test_guide import PHONE, STEPS, Reader

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
CHANNELS = ("sms", "flash_call", "inbound_call")
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
AGE = (
    "from phone_verify_django.models import VerificationRow; VerificationRow.objects.update(expires_at=0, closed_at=0)"
)
#: A router that leaves even users and django-allauth's tables on the replica.
ALL_BUT_SESSIONS = ('primary = {"account", "people", "sessions"}', 'primary = {"sessions"}')


#: A test of the site's owner.
OWNERS_TEST = f"""
import pytest
from django.contrib.auth import get_user
from django.contrib.auth.models import Permission

@pytest.mark.django_db
def test_visitor_signs_in(client, phone_outbox):
    client.post("/fa/phone/login/", {{"phone": "0912 000 0000"}})
    client.post("/fa/phone/code/", {{"code": phone_outbox.last_code("{PHONE}")}})
    assert get_user(client).phone == "{PHONE}"
    assert Permission.objects.exists()
"""


class Carrier(HttpCarrier):
    """What nginx adds in front of a production site."""

    def send(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        proxied = {"Host": "shop.example", "X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.5"}
        if "Referer" in headers:
            proxied["Referer"] = headers["Referer"].replace("http://localhost", "https://shop.example")
        return super().send(method, path, body, {**headers, **proxied})


class Owner(Reader):
    """A reader of the page with existing users."""

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

    def copy_replica(self) -> None:
        """Copy the database as it is now, as a replica that receives nothing from now on."""
        if "REPLICA_URL" not in self.env:
            shutil.copy(self.folder / "db.sqlite3", self.folder / "replica.sqlite3")
            return
        site, copy = (sa.make_url(self.env[name]) for name in ("DATABASE_URL", "REPLICA_URL"))
        home = site.set(database="postgres").render_as_string(hide_password=False)
        servers.execute(
            home, f"DROP DATABASE {copy.database}", f"CREATE DATABASE {copy.database} TEMPLATE {site.database}"
        )

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


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def owner(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Owner]:
    """The page up to its servers: ten users are adopted, and the replica is from before that."""
    with ExitStack() as stack:
        owner = Owner(tmp_path_factory.mktemp("crowded"), stack.enter_context(PhoneSandbox()))
        if request.param == "postgresql":
            for name in ("DATABASE_URL", "REPLICA_URL"):
                owner.env[name] = stack.enter_context(servers.database("postgresql"))
        owner.section("Create the project").section("The user model")
        owner.fetch(projects.section("production.md", "Database"), "shop/settings.py").section("Settings")
        owner.section("A replica that lags").section("URLs").section("Celery")
        owner.fetch(STEPS[1], "shop/views.py", "shop/templates/home.html")
        owner.fetch(projects.section("bridges.md", "Django REST framework"), "shop/tokens.py", "shop/api.py")
        owner.fetch(projects.section("production.md", "Purge once a day"), "shop/tasks.py", "shop/settings.py")
        owner.section("Adopt the users", last=1)
        owner.shell(USERS)
        owner.copy_replica()
        check = ("python", "manage.py", "check", "--database", "default")
        assert "phone_verify.W044" in owner.run(*check)
        owner.section("Adopt the users", first=1).section("Try it")
        assert "no issues" in owner.run(*check)
        yield owner


@pytest.fixture(scope="module")
def url(owner: Owner) -> Iterator[str]:
    """The site under gunicorn, as in "Try it"."""
    with owner.process("gunicorn shop.wsgi", free_port()) as url:
        yield url


def sign_in_on_pages(browser: Browser, owner: Owner, typed: str, phone: str, channel: str, language: str) -> Answer:
    """Sign in on our pages; return the home page."""
    code_page = f"/{language}/phone/code/"
    answer = browser.post_form(f"/{language}/phone/login/", phone=typed, channel=channel)
    assert (answer.status, answer.location) == (303, code_page), answer.text
    handset = owner.sandbox.handset(phone)
    if channel == "inbound_call":
        line = browser.get(code_page).text.partition('href="tel:')[2].partition('"')[0]
        assert handset.call(line).matched
        for _ in range(8):  # the provider is polled every three seconds at most
            if (answer := browser.post_form(code_page, called="1")).location != code_page:
                break
            time.sleep(1)
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
    return HttpCarrier(base).send("GET", "/api/me/", b"", {"Authorization": f"Bearer {access}"})


def test_every_block_is_followed() -> None:
    """No block is skipped because of a mistake in its first line, and no section is left out."""
    for name, section in SECTIONS.items():
        assert f'section("{name}"' in Path(__file__).read_text("utf-8"), name
        for block in projects.blocks(section):
            assert (block.name is not None) == (block.language == "python"), block
            assert block.name is not None or block.language == "sh"


def test_users_are_adopted(owner: Owner) -> None:
    users, verified = owner.owners()
    assert users == verified
    assert set(E164) <= set(users)
    # The other tests create users with numbers of their own.
    assert not set(NATIONAL) & (set(users) - set(E164))
    old = "from people.models import User; print(ascii(sorted(User.objects.using('replica').values_list('phone'))))"
    assert ascii(sorted((phone,) for phone in (*NATIONAL, "boss"))) in owner.shell(old)
    assert [line.split(",")[0] for line in (owner.folder / "numbers.csv").read_text().splitlines()[1:]] == [
        "unreadable"
    ]


def test_adopted_users_sign_in_by_three_channels(owner: Owner, url: str) -> None:
    """On pages in two languages, with the number as the old site stored it."""
    users, _ = owner.owners()
    for phone, typed, channel, language in zip(E164, NATIONAL, CHANNELS * 4, ("en", "fa") * 5, strict=False):
        browser = Browser(HttpCarrier(url))
        home = sign_in_on_pages(browser, owner, typed, phone, channel, language)
        assert f"+98 912 000 {phone[-4:]}" in home.text
        assert browser.call("GET", "v1/session").json()["user"] == {"id": users[phone], "phone": phone}
    assert owner.owners()[0] == users, "no second account"


def test_replica_of_everything_else_changes_nothing(owner: Owner) -> None:
    """Even if users and django-allauth's tables are read from the replica, which has no adopted number."""
    path = owner.folder / "shop" / "routers.py"
    documented = path.read_text()
    assert ALL_BUT_SESSIONS[0] in documented
    users, _ = owner.owners()
    try:
        path.write_text(documented.replace(*ALL_BUT_SESSIONS))
        with owner.process("gunicorn shop.wsgi", free_port()) as url:
            for phone, channel in (*zip(E164, CHANNELS, strict=False), (NEW, "sms")):
                browser = Browser(HttpCarrier(url))
                home = sign_in_on_pages(browser, owner, phone, phone, channel, "fa")
                assert f"+98 912 000 {phone[-4:]}" in home.text
                user = browser.call("GET", "v1/session").json()["user"]
                assert user["id"] == users.get(phone, user["id"])
                assert (phone == NEW) is (user["id"] not in users.values())
    finally:
        path.write_text(documented)


@pytest.mark.parametrize("channel", CHANNELS)
def test_programs_get_a_token(owner: Owner, url: str, channel: str) -> None:
    """An old user, and a new one whom the replica does not have."""
    phone, new = E164[3 + CHANNELS.index(channel)], f"+98912000004{CHANNELS.index(channel)}"
    users, _ = owner.owners()
    granted = token(Browser(HttpCarrier(url)), owner, phone, channel)
    assert (granted["user"], granted["created"]) == ({"id": users[phone], "phone": phone}, False)
    assert me(url, granted["access"]).json() == {"phone": phone}
    assert me(url, granted["access"][:-2]).status == 401
    granted = token(Browser(HttpCarrier(url)), owner, new, channel)
    assert (granted["user"]["phone"], granted["created"]) == (new, True)
    assert me(url, granted["access"]).json() == {"phone": new}


def test_passwords_of_old_users_still_work(owner: Owner, url: str) -> None:
    """With django-allauth's page and the national form, and in the admin."""
    browser = Browser(HttpCarrier(url))
    answer = browser.post_form("/fa/accounts/login/", login="0912 000 0020", password=PASSWORD)
    assert (answer.status, answer.location) == (302, "/fa/"), answer.text
    assert "+98 912 000 0020" in browser.get("/fa/").text
    boss = Browser(HttpCarrier(url))
    answer = boss.post_form("/admin/login/?next=/admin/", username="boss", password=PASSWORD, next="/admin/")
    assert (answer.status, answer.location) == (302, "/admin/"), answer.text
    assert boss.get("/admin/").status == 200


@pytest.mark.parametrize(("start", "phone"), [("login/code", E164[8]), ("signup", "+989120000051")])
def test_allauth_signs_in_by_code(owner: Owner, url: str, start: str, phone: str) -> None:
    browser = Browser(HttpCarrier(url))
    answer = browser.post_form(f"/en/accounts/{start}/", phone=f"0{phone[3:]}")
    assert answer.status == 302, answer.text
    answer = browser.post_form(answer.location, code=owner.sandbox.handset(phone).code())
    assert (answer.status, answer.location) == (302, "/en/"), answer.text
    assert browser.call("GET", "v1/session").json()["user"]["phone"] == phone


def test_production_settings_serve_the_site(owner: Owner) -> None:
    """The page's checks report nothing; the admin's style sheet has a hash in its name."""
    before = dict(owner.env)
    owner.fetch(STEPS[7], "shop/production.py").section("Deploy")
    doctor = owner.run("python", "manage.py", "phone_verify_doctor", "--offline", "--show-webhook-urls")
    assert "no errors, no warnings" in doctor
    [webhook] = set(re.findall(r"https://shop\.example(/phone/webhooks/telefon-ip\S*/[\w-]+)", doctor))
    deployed = dict(owner.env)
    production = {**deployed, **{f"PHONE_VERIFY_{name.upper()}": owner.sandbox.dsn for name in CHANNELS}}
    owner.env = before
    with owner.process("gunicorn shop.wsgi", free_port(), **production) as url:
        for phone, typed, channel in zip(E164[:3], NATIONAL[:3], CHANNELS, strict=True):
            browser = Browser(Carrier(url))
            sign_in_on_pages(browser, owner, typed, phone, channel, "fa")
            assert browser.call("GET", "v1/session").json()["user"]["phone"] == phone
        granted = token(Browser(Carrier(url)), owner, E164[3], "sms")
        assert granted["user"]["phone"] == E164[3]
        [sheet] = re.findall(r'href="(/static/admin/css/base\.[0-9a-f]+\.css)"', browser.get("/admin/login/").text)
        assert browser.get(sheet).status == 200
        assert browser.get("/phone/v1/health").json() == {"status": "ok"}
    with owner.process("gunicorn shop.wsgi", free_port(), **deployed) as url:
        assert Browser(Carrier(url)).get(webhook).text == "OK"


def test_celery_purges_verifications(owner: Owner, url: str, tmp_path: Path) -> None:
    """The worker of the page, with its schedule, gets the task from a real broker."""
    token(Browser(HttpCarrier(url)), owner, E164[9], "sms")
    owner.shell(
        "from phone_verify_django.models import VerificationRow as Row\n"
        "assert Row.objects.update(expires_at=1, closed_at=1) > 0"
    )
    send = "from shop.tasks import purge_verifications; purge_verifications.delay()"
    with running(RedisServer(tmp_path)) as broker:
        owner.env["CELERY_BROKER_URL"] = broker.url
        with owner.process("celery -A shop worker"):
            owner.shell(send)
            count = "from phone_verify_django.models import VerificationRow as Row; print(Row.objects.count())"
            until(lambda: owner.shell(count).split()[-1] == "0", "the purge", 60)
            until(lambda: list(owner.folder.glob("celerybeat-schedule*")), "the start of the schedule", 60)


def test_owners_tests_need_no_replica(owner: Owner) -> None:
    [line] = re.findall(r"`(settings\.DATABASE_ROUTERS = \[\])`", PAGE)
    fixture = dict(projects.files(projects.section("testing.md", "Use the outbox on Django")))["conftest.py"]
    projects.write(owner.folder, "conftest.py", f"{fixture}    {line}\n")
    projects.write(owner.folder, "people/tests.py", OWNERS_TEST)
    projects.write(owner.folder, "pytest.ini", "[pytest]\n")
    assert "1 passed" in owner.run("python", "-m", "pytest", *BARE, "--ds=shop.settings", "people/tests.py")
