"""A site with many extensions and ten users, made from an empty folder by `docs/flask.md` alone, behind a proxy."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Iterator, Mapping
from copy import copy

import pytest

from phone_verify.sandbox import SandboxServer
from tests.clients import Answer, Browser, HttpCarrier
from tests.scenarios import Stage, hidden_fields
from tests.servers import free_port
from tests.stores.redis_servers import RedisServer, running

from .guide import NOT_TYPED, STEPS, Folder, block, section

pytestmark = pytest.mark.slow

#: One spelling for each user: 0912 000 0301 to 0912 000 0310.
SPELLINGS = (
    "09120000301",
    "0912 000 0302",
    "0912-000-0303",
    "(0912) 0000304",
    "0912.000.0305",
    "۰۹۱۲۰۰۰۰۳۰۶",
    "٠٩١٢٠٠٠٠٣٠٧",
    "00989120000308",
    "9120000309",
    "+98 912 000 0310",
)
PHONES = [f"+98912000{n:04}" for n in range(301, 311)]
HOST = "shop.example"
USERS = "print(*(user.phone for user in models.db.session.scalars(models.db.select(models.User))))"


class Proxy(HttpCarrier):
    """What nginx of docs/production.md adds to each request of one visitor."""

    def __init__(self, base_url: str, address: str) -> None:
        super().__init__(base_url)
        self._added = {"Host": HOST, "X-Forwarded-Proto": "https", "X-Forwarded-For": f"203.0.113.250, {address}"}

    def send(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        return super().send(method, path, body, {**headers, "Referer": f"https://{HOST}{path}", **self._added})

    def cookie(self, name: str) -> str:
        return self._jar.get(name, "")


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running(RedisServer(tmp_path_factory.mktemp("redis"))) as server:
        yield server


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, redis: RedisServer) -> Folder:
    """The site with its ten users; their numbers are not adopted yet."""
    folder = Folder(tmp_path_factory.mktemp("crowded"))
    for step in (*STEPS[:4], *STEPS[5:7]):
        folder.follow(step)
    extensions = section("Add it to a site with other extensions")
    folder.follow(extensions.replace("redis://127.0.0.1:6379/0", redis.url))
    assert folder.env["REDIS_URL"] == redis.url
    program = "from werkzeug.security import generate_password_hash as made\n"
    for number, text in enumerate(SPELLINGS, 1):
        program += f"models.db.session.add(models.User(phone={text!r}, name='u{number}', password=made('p{number}')))\n"
    python(folder, f"{program}models.db.session.commit()")
    folder.follow(section("You already have users with numbers"), typed=False)
    folder.follow(STEPS[8], typed=False)
    return folder


def python(folder: Folder, program: str) -> str:
    """Run a program in the application's context."""
    head = "import app, models\nwith_app = app.create_app().app_context(); with_app.push()\n"
    return folder.run([f"python -c {shlex.quote(head + program)}"])


@pytest.fixture(scope="module")
def adopted(shop: Folder) -> str:
    """What the documented commands print."""
    return shop.run(block("phone-verify adopt --trust"))


@pytest.fixture(scope="module")
def served(shop: Folder, adopted: str, sandbox: SandboxServer) -> Iterator[str]:
    """The site in production, as in step 9, with all channels of step 5."""
    shop.run([line for line in block("umask") if not line.startswith(NOT_TYPED)])
    channels = [line for line in block("flask run --port 5000") if line.startswith("export")]
    *production, serve = block("gunicorn 'app:create_app()'")
    by_sandbox = "\n".join([*production[:-1], *channels]).replace("sandbox://127.0.0.1:8025", sandbox.dsn)
    printed = shop.run([*by_sandbox.splitlines(), production[-1]])
    assert "no errors" in printed
    assert "PV811" not in printed
    with shop.serving(serve, free_port()) as url:
        yield url
    assert "Traceback" not in shop.log


class Visitor(Browser):
    """A browser with its own address."""

    _count = 0

    def __init__(self, url: str) -> None:
        Visitor._count += 1
        self.proxy = Proxy(url, f"198.51.100.{Visitor._count}")
        super().__init__(self.proxy)

    @property
    def session(self) -> str:
        """The id of the session."""
        return self.proxy.cookie("session")


@pytest.fixture
def stage(sandbox: SandboxServer) -> Stage:
    return Stage(lambda: HttpCarrier("http://nobody.invalid"), sandbox)


def link(page: Answer, text: str) -> str:
    """Return the target of the link with this text."""
    [found] = re.findall(rf'<a href="([^"]*)">{text}</a>', page.text)
    return str(found).replace("&amp;", "&")


def by_code(visitor: Visitor, stage: Stage, phone: str, page: Answer) -> Answer:
    return visitor.press(page, "/phone/code/", {"code": stage.code(phone), "next": "/profile"})


def by_call(visitor: Visitor, stage: Stage, phone: str, page: Answer) -> Answer:
    [number] = set(re.findall(r'href="tel:(\+[0-9]+)"', page.text))
    assert stage.dial(phone, number)["matched"]
    for _ in range(8):  # the provider is polled every three seconds at most
        answer = visitor.press(page, "/phone/code/", {"called": "1", "next": "/profile"})
        if answer.target == "/profile":
            break
        time.sleep(1)
    return answer


CHANNELS = {"sms": by_code, "flash_call": by_code, "inbound_call": by_call}
VISITS = [(phone, list(CHANNELS)[n % 3]) for n, phone in enumerate(PHONES)]


def test_numbers_in_national_spellings_are_adopted(shop: Folder, adopted: str) -> None:
    assert "10 numbers could be trusted" in adopted
    assert "10 numbers counted as verified" in adopted
    assert set(PHONES) <= set(python(shop, USERS).split())
    again = shop.run(block("phone-verify adopt --trust"))
    assert re.search(r"\b1\d were verified already", again)  # new users of other tests too
    assert not re.search(r"\d{7}", adopted + again)


@pytest.mark.parametrize(("phone", "channel"), VISITS, ids=lambda value: value)
def test_adopted_user_signs_in_from_the_site_login_page(
    served: str, stage: Stage, redis: RedisServer, phone: str, channel: str
) -> None:
    visitor = Visitor(served)
    answer = visitor.get("/profile")
    assert answer.target == "/sign-in?next=%2Fprofile"
    page = visitor.get(answer.target)
    before = visitor.session
    page = visitor.get(link(page, "Sign in with your phone"))
    national = f"0{phone[3:]}"
    fields = {"phone": national, "channel": channel, "next": "/profile"}
    page = visitor.follow(visitor.press(page, "/phone/login/", fields))
    answer = CHANNELS[channel](visitor, stage, phone, page)
    assert answer.target == "/profile"
    page = visitor.get("/profile")
    assert page.status == 200
    assert phone[-2:] in page.text
    assert phone in visitor.get("/").text
    with redis.client() as client:
        assert not client.exists(f"session:{before}")
        assert client.exists(f"session:{visitor.session}")
        assert visitor.press(visitor.get("/phone/logout/"), "/phone/logout/", {}).target == "/"
        assert phone not in visitor.get("/").text
        assert not any(phone.encode() in client.get(key) for key in client.scan_iter("session:*"))


def test_adopted_user_signs_in_by_the_api(served: str, stage: Stage) -> None:
    visitor, phone = Visitor(served), PHONES[0]
    begun = visitor.call("POST", "v1/verifications", {"phone": SPELLINGS[0], "channel": "sms"}).json()
    checked = visitor.call("POST", f"v1/verifications/{begun['id']}/check", {"code": stage.code(phone)}).json()
    answer = visitor.call("POST", "v1/session", {"proof": checked["proof"]}).json()
    assert (answer["user"]["phone"], answer["created"]) == (phone, False)
    assert phone in visitor.get("/").text
    assert visitor.call("DELETE", "v1/session").status == 204
    assert visitor.call("GET", "v1/session").status == 401


def test_password_login_confirms_the_number_for_a_payout(served: str, stage: Stage, redis: RedisServer) -> None:
    visitor, phone = Visitor(served), PHONES[4]
    page = visitor.get("/sign-in")
    planted = visitor.session
    assert "Wrong name or password." in visitor.press(page, "/sign-in", {"name": "u5", "password": "p4"}).text
    assert visitor.press(page, "/sign-in", {"name": "u5", "password": "p5"}).target == "/"
    with redis.client() as client:
        assert not client.exists(f"session:{planted}")
    answer = visitor.get("/payout")
    assert answer.location == "/phone/verify/?next=/payout"
    page = visitor.get(answer.target)
    answer = visitor.press(page, "/phone/verify/", {"confirm": "1", "channel": "sms", "next": "/payout"})
    page = visitor.follow(answer)
    fields = {"code": stage.code(phone), "next": "/payout"}
    assert visitor.press(page, "/phone/code/", fields).target == "/payout"
    assert "this is you" in visitor.get("/payout").text


def test_new_number_gets_one_account(shop: Folder, served: str, stage: Stage) -> None:
    count = len(python(shop, USERS).split())
    assert count == len(PHONES), "no sign-in of an adopted user created another one"
    phone = stage.phone()
    for _ in range(2):
        visitor = Visitor(served)
        page = visitor.follow(
            visitor.press(visitor.get("/phone/login/"), "/phone/login/", {"phone": phone, "channel": "sms"})
        )
        assert hidden_fields(page.text)["verification"]
        assert visitor.press(page, "/phone/code/", {"code": stage.code(phone)}).target == "/"
    assert python(shop, USERS).split().count(phone) == 1


@pytest.mark.parametrize(("language", "direction"), [("fa", "rtl"), ("ru", "ltr"), ("de", "ltr")])
def test_every_page_is_in_the_language_of_babel(served: str, language: str, direction: str) -> None:
    visitor = Visitor(served)
    shown = language if language != "de" else "en"
    for path in ("/", "/sign-in", "/phone/login/"):
        page = visitor.get(path, {"Accept-Language": language}).text
        assert f'<html lang="{shown}" dir="{direction}">' in page, path
    refused = visitor.call("POST", "v1/verifications", {"phone": "12"}, headers={"Accept-Language": language})
    assert refused.status == 400
    assert (refused.json()["detail"].isascii()) == (shown == "en")


def test_cookies_are_those_of_a_site_with_https(served: str) -> None:
    visitor = Visitor(served)
    page = visitor.get("/phone/login/")
    assert {"Secure", "HttpOnly", "SameSite=Lax"} <= set(page.cookies["session"].split("; "))
    fields = {"phone": "+989120000399", "channel": "sms"}
    answer = visitor.press(page, "/phone/login/", fields)
    assert "Secure" in answer.cookies["__Host-phone_verify"]
    assert "csrf" not in visitor.session


def test_sign_up_form_of_another_site_starts_no_session(served: str) -> None:
    visitor = Visitor(served)
    answer = visitor.proxy.send(
        "POST",
        "/phone/login/",
        b"phone=%2B989120000398",
        {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "cross-site"},
    )
    assert answer.status == 403
    assert not answer.cookies


def test_migrations_are_complete_after_the_documented_commands(shop: Folder) -> None:
    assert "No new upgrade operations detected" in shop.run(["flask db check"])


def test_guide_tests_pass_with_the_extensions(shop: Folder) -> None:
    """Without Redis; the test of a stranger is left out, since the site's own page is where they sign in."""
    terminal = copy(shop)
    terminal.env = dict(shop.env)
    terminal.follow(STEPS[7], typed=False)
    [command] = block("python -m pytest")
    printed = terminal.run(["unset REDIS_URL PHONE_VERIFY_PUBLIC_URL", f"{command} -k 'not stranger'"])
    assert "2 passed" in printed
