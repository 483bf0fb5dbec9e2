"""The extension on one application and on several, its settings, and its mount."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from phone_verify.errors import ConfigurationError
from phone_verify.http.cookies import COOKIE
from phone_verify.phone import PhoneNumber
from phone_verify.testing.transport import FakeTransport
from phone_verify.verifier.blocking import Verifier
from phone_verify_flask import PhoneVerify, current_verifier, phone_verified_required, recent_phone_check_required

from .sites import KEY, PHONE, Made, User, cookie_line, is_problem, make, proof, start, submit, target

ROOT = Path(__file__).parents[2]


def test_one_extension_serves_two_applications() -> None:
    phone_verify = PhoneVerify()
    first = make("first", extension=phone_verify, PHONE_VERIFY_CODE_LENGTH=6)
    second = make("second", extension=phone_verify, url_prefix="/verify", PHONE_VERIFY_MAX_ATTEMPTS=2)
    one, two = first.app.test_client(), second.app.test_client()
    assert start(one)["attempts_left"] == 5
    answer = two.post("/verify/v1/verifications", json={"phone": PHONE})
    assert answer.json["attempts_left"] == 2
    assert (len(first.transport.notices), len(second.transport.notices)) == (1, 1)
    assert one.get("/verify/login/").status_code == two.get("/phone/login/").status_code == 404
    # The records of one application are unknown to the other.
    path, secret = f"v1/verifications/{answer.json['id']}", {"Verification-Secret": answer.json["secret"]}
    assert two.get(f"/verify/{path}", headers=secret).status_code == 200
    assert is_problem(one.get(f"/phone/{path}", headers=secret), 404, "not_found")


def test_constructor_accepts_the_application() -> None:
    app = Flask("site")
    app.config.update(SECRET_KEY=KEY, PHONE_VERIFY_STORE="memory:")
    PhoneVerify(app, "/here/")
    assert is_problem(app.test_client().get("/here/v1/x"), 404, "not_found")


def test_current_verifier_is_the_applications() -> None:
    first, second = make("first"), make("second", PHONE_VERIFY_MAX_ATTEMPTS=2)
    with first.app.app_context():
        assert current_verifier.policy.max_attempts == 5
        assert isinstance(current_verifier, Verifier)
        with second.app.app_context():
            assert current_verifier.policy.max_attempts == 2
    with Flask("without").app_context(), pytest.raises(RuntimeError, match=r"PhoneVerify\(app\)"):
        _ = current_verifier.policy


def test_decorators_return_the_functions_unchanged() -> None:
    phone_verify = PhoneVerify()

    @phone_verify.user_for_phone
    def find(redeemed: Any) -> None: ...

    @phone_verify.phone_for_user
    def phone_of(user: Any) -> None: ...

    assert (find.__name__, phone_of.__name__) == ("find", "phone_of")


def test_second_init_app_is_refused() -> None:
    made = make()
    before = made.app.extensions["phone_verify"]
    for again in (lambda: PhoneVerify(made.app, "/again"), lambda: PhoneVerify().init_app(made.app)):
        with pytest.raises(ConfigurationError, match="already"):
            again()
    assert made.app.extensions["phone_verify"] is before
    start(made.app.test_client())


def test_refused_application_is_left_unchanged() -> None:
    app = Flask("site")
    app.config.update(SECRET_KEY=KEY, PHONE_VERIFY_STORE="floppy:")
    phone_verify = PhoneVerify()
    with pytest.raises(ConfigurationError):
        phone_verify.init_app(app)
    assert ("phone_verify" in app.extensions, "phone_verify" in app.blueprints) == (False, False)
    app.config["PHONE_VERIFY_STORE"] = "memory:"
    phone_verify.init_app(app)


def test_callbacks_may_be_coroutines() -> None:
    made = make()
    accounts = made.app.extensions["phone_verify"].accounts
    find, give = accounts.user_for_phone, accounts.set_phone

    async def user_for_phone(redeemed: Any) -> Any:
        return find(redeemed)

    async def phone_for_user(user: Any) -> str:
        return str(user.phone)

    async def set_phone(user: Any, redeemed: Any) -> Any:
        return give(user, redeemed)

    accounts.user_for_phone, accounts.phone_for_user, accounts.set_phone = user_for_phone, phone_for_user, set_phone
    client = made.app.test_client()
    answer = client.post("/phone/v1/session", json={"proof": proof(client, made)})
    assert answer.json["user"]["phone"] == PHONE
    other = "+989120000007"
    answer = client.put("/phone/v1/session/phone", json={"proof": proof(client, made, other, "change_phone")})
    assert answer.json["user"]["phone"] == other


def test_async_views_may_await_the_async_verifier() -> None:
    made = make()

    @made.app.post("/own")
    async def own() -> str:
        site = made.app.extensions["phone_verify"].site
        outcome = await site.async_verifier.start(PhoneNumber(PHONE))
        return str(current_verifier.get(outcome.verification.id, outcome.secret).verification.status)

    assert made.app.test_client().post("/own").text == "sent"


def test_concurrent_threads_of_one_process_work(tmp_path: Path) -> None:
    """Each request is a separate visitor: nothing of one request appears in another."""
    made = make(PHONE_VERIFY_STORE=f"sqlite:///{tmp_path / 'store.sqlite3'}")
    phones = [f"+98912000{n:04}" for n in range(16)]
    made.users.update({f"u{n}": User(f"u{n}", phone) for n, phone in enumerate(phones)})
    barrier = threading.Barrier(len(phones))

    def visit(phone: str) -> str:
        client = made.app.test_client()
        barrier.wait()
        begun = start(client, phone)
        with made.app.app_context():
            wrong = client.post(f"/phone/v1/verifications/{begun['id']}/check", json={"code": "000000"})
        return f"{begun['phone_hint']} {wrong.status_code}"

    with ThreadPoolExecutor(len(phones)) as pool:
        told = [*pool.map(visit, phones)]
    assert told == [f"+98 ••••••••{phone[-2:]} 422" for phone in phones]


# Settings


def test_application_settings_precede_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHONE_VERIFY_MAX_ATTEMPTS", "2")
    monkeypatch.setenv("PHONE_VERIFY_TTL", "120")
    made = make(PHONE_VERIFY_MAX_ATTEMPTS=3)
    begun = start(made.app.test_client())
    assert (begun["attempts_left"], begun["expires_in"]) == (3, 120)


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"PHONE_VERIFY_SMSS": "console://"}, "PHONE_VERIFY_SMSS"),
        ({"PHONE_VERIFY_SMS": "carrier-pigeon://x"}, "PHONE_VERIFY_SMS"),
        ({"PHONE_VERIFY_CODE_LENGTH": 3}, "PHONE_VERIFY_CODE_LENGTH"),
        ({"PHONE_VERIFY_TTL": "long"}, "PHONE_VERIFY_TTL"),
        ({"PHONE_VERIFY_STORE": "floppy:"}, "PHONE_VERIFY_STORE"),
        ({"PHONE_VERIFY_STORE": "orm:"}, "PHONE_VERIFY_STORE"),
        ({"PHONE_VERIFY_PUBLIC_URL": "https://site.example/path"}, "PHONE_VERIFY_PUBLIC_URL"),
        ({"PHONE_VERIFY_CHANNELS": "pigeon"}, "PHONE_VERIFY_CHANNELS"),
        ({"PHONE_VERIFY_REGION": "Iran"}, "PHONE_VERIFY_REGION"),
        ({"SECRET_KEY": "dev"}, "SECRET_KEY: "),
        ({"SECRET_KEY": "a" * 40}, "SECRET_KEY: "),
        ({"SECRET_KEY": "write 32 characters or more of your own here"}, "SECRET_KEY: "),
        ({"SECRET_KEY_FALLBACKS": ["a" * 40]}, "SECRET_KEY: "),
        ({"PHONE_VERIFY_WEBHOOK_SECRET": "sesame"}, "PHONE_VERIFY_WEBHOOK_SECRET"),
        ({"SECRET_KEY": None}, "Flask's SECRET_KEY is not set"),
    ],
)
def test_invalid_setting_is_refused_by_name_at_startup(config: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        make(**config)


def test_development_key_is_refused_in_production() -> None:
    for key in ("django-insecure-0123456789abcdef-more", "a-key-for-tests-only-0123456789abcdef"):
        assert make(SECRET_KEY=key, TESTING=True)
        with pytest.raises(ConfigurationError, match="for development only"):
            make(SECRET_KEY=key, TESTING=False)


@pytest.mark.parametrize("prefix", ["phone", "/<lang>/phone", "//evil.example"])
def test_invalid_mount_is_refused(prefix: str) -> None:
    with pytest.raises(ConfigurationError, match="url_prefix"):
        make(url_prefix=prefix)


def test_rotated_flask_key_still_verifies(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'store.sqlite3'}"
    old = make(PHONE_VERIFY_STORE=store)
    begun = start(old.app.test_client())
    new = make(PHONE_VERIFY_STORE=store, SECRET_KEY=b"another-key-for-tests-only-987654", SECRET_KEY_FALLBACKS=[KEY])
    client, shown = new.app.test_client(), {"Verification-Secret": begun["secret"]}
    answer = client.post(f"/phone/v1/verifications/{begun['id']}/check", json={"code": old.code}, headers=shown)
    assert answer.status_code == 200
    assert client.post("/phone/v1/session", json={"proof": answer.json["proof"]}, headers=shown).status_code == 200


def test_default_store_is_a_file_in_the_instance_folder(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "on demand"
    app = Flask("site", instance_path=str(folder))
    app.config.update(SECRET_KEY=KEY, PHONE_VERIFY_SMS="console://")
    PhoneVerify().init_app(app, transport=FakeTransport())
    start(app.test_client())
    assert (folder / "phone_verify.sqlite3").stat().st_size > 0


def test_named_store_makes_no_instance_folder(tmp_path: Path) -> None:
    folder = tmp_path / "instance"
    app = Flask("site", instance_path=str(folder))
    app.config.update(SECRET_KEY=KEY, PHONE_VERIFY_STORE="memory:")
    PhoneVerify(app)
    assert not folder.exists()


def test_uncreatable_instance_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    app = Flask("site", instance_path=str(tmp_path / "file" / "instance"))
    app.config.update(SECRET_KEY=KEY)
    with pytest.raises(ConfigurationError, match=r"PHONE_VERIFY_STORE.*instance_path"):
        PhoneVerify(app)


# The mount


def webhook_url(made: Made, driver: str = "telefon-ip") -> str | None:
    return made.app.extensions["phone_verify"].site.verifier._flows.webhook_url(driver, "")


def test_providers_get_the_webhook_url_of_the_mount() -> None:
    secret = {
        "PHONE_VERIFY_WEBHOOK_SECRET": "sesame-0123456789abcdef",
        "PHONE_VERIFY_PUBLIC_URL": "https://site.example",
    }
    assert webhook_url(make(**secret)) == "https://site.example/phone/webhooks/telefon-ip/sesame-0123456789abcdef"
    current_state = make(APPLICATION_ROOT="/shop", url_prefix="/verify", **secret)
    assert webhook_url(current_state) == "https://site.example/shop/verify/webhooks/telefon-ip/sesame-0123456789abcdef"
    assert webhook_url(make(PHONE_VERIFY_WEBHOOK_SECRET="sesame-0123456789abcdef")) is None


def test_mount_below_another_application_works() -> None:
    """SCRIPT_NAME is part of every link, of `next` by default, and of the cookie's path."""
    made = make()
    client = made.app.test_client()
    below = {"base_url": "http://localhost/shop"}

    def send(path: str, **fields: str) -> Any:
        page = client.get(path, **below).text
        assert 'href="/shop/phone/static/phone_verify.css"' in page
        fields["csrf_token"] = page.partition('name="csrf_token" value="')[2].partition('"')[0]
        return client.post(path, data=fields, **below)

    answer = send("/phone/login/", phone=PHONE)
    assert target(answer) == "/shop/phone/code/"
    line = cookie_line(answer, COOKIE)
    assert line is not None
    assert "Path=/;" in f"{line};"
    answer = send("/phone/code/", code=made.code)
    assert answer.location == "/shop/"
    assert client.get("/", **below).text == PHONE


def test_mount_at_the_root_works() -> None:
    made = make(url_prefix="/")
    client = made.app.test_client()
    answer = submit(client, "/login/", phone=PHONE)
    assert target(answer) == "/code/"
    line = cookie_line(answer, COOKIE)
    assert line is not None
    assert "Path=/;" in f"{line};"
    assert submit(client, "/code/", code=made.code).location == "/"
    assert is_problem(client.get("/v1/nothing"), 404, "not_found")


def test_mount_on_a_subdomain_works() -> None:
    made = make(subdomain="id", SERVER_NAME="site.example")
    client = made.app.test_client()
    there: dict[str, Any] = {"base_url": "http://id.site.example"}
    assert client.get("/phone/login/").status_code == 404
    page = client.get("/phone/login/?next=/a", **there).text
    assert 'action="/phone/login/"' in page
    data = {"phone": PHONE, "csrf_token": page.partition('name="csrf_token" value="')[2].partition('"')[0]}
    assert target(client.post("/phone/login/", data=data, **there)) == "/phone/code/"
    assert is_problem(client.put("/phone/v1/verifications", **there), 405, "method_not_allowed")


def test_login_on_a_subdomain_returns_to_the_site() -> None:
    def prepare(app: Flask) -> None:
        app.add_url_rule("/orders", "orders", phone_verified_required(lambda: "orders"))

    made = make(subdomain="id", SERVER_NAME="site.example", SESSION_COOKIE_DOMAIN="site.example", before=prepare)
    client = made.app.test_client()
    home, there = "http://site.example", "http://id.site.example"

    def send(path: str, **fields: str) -> str:
        page = client.get(path, base_url=there).text
        fields["csrf_token"] = page.partition('name="csrf_token" value="')[2].partition('"')[0]
        location: str = client.post(path, base_url=there, data=fields).location
        return location

    away = client.get("/orders?a=1", base_url=home).location
    assert away == f"{there}/phone/login/?next=http://site.example/orders?a%3D1"
    whole = f"{home}/orders?a=1"
    assert send("/phone/login/", phone=PHONE, next=whole).startswith("/phone/code/?verification=")
    assert send("/phone/code/", code=made.code, next=whole) == whole
    assert client.get("/orders", base_url=home).text == "orders"
    assert send("/phone/logout/", next="http://other.example/") == f"{home}/"


def test_current_number_is_confirmed_on_any_mount() -> None:
    for prefix in ("/", "/verify"):
        made = make(url_prefix=prefix, before=lambda app: app.add_url_rule(
            "/money", "money", recent_phone_check_required(timedelta(minutes=5))(lambda: "money")
        ))  # fmt: skip
        client, mount = made.app.test_client(), prefix.rstrip("/")
        submit(client, f"{mount}/login/", phone=PHONE)
        submit(client, f"{mount}/code/", code=made.code)
        with client.session_transaction() as kept:
            del kept["_phone_verify_checked_at"]
        assert client.get("/money").location == f"{mount}/verify/?next=/money"
        assert target(submit(client, f"{mount}/verify/", confirm="1")) == f"{mount}/code/"
        assert submit(client, f"{mount}/code/", code=made.code, next="/money").location == "/money"
        assert client.get("/money").text == "money"


def test_page_is_the_login_view_of_flask_login() -> None:
    made = make()
    login_manager = made.app.login_manager  # type: ignore[attr-defined]
    login_manager.login_view = "phone_verify.login"
    made.app.add_url_rule("/orders", "orders", lambda: login_manager.unauthorized())
    client = made.app.test_client()
    answer = client.get("/orders?tab=open")
    assert answer.location.startswith("/phone/login/?next=")
    page = client.get(answer.location)
    assert 'name="next" value="/orders?tab=open"' in page.text


# Imports


def test_conflicting_package_is_found_before_the_core(tmp_path: Path) -> None:
    info = tmp_path / "django_phone_verify-3.0.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: django-phone-verify\nVersion: 3.0.0\n")
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "try:\n    import phone_verify_flask\n"
        "except ImportError as error:\n    print(error, 'phone_verify' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "pip uninstall django-phone-verify" in done.stdout
    assert done.stdout.strip().endswith("False")


def test_importing_changes_no_application() -> None:
    program = "import phone_verify_flask, flask, threading; print(bool(flask.current_app), threading.active_count())"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "1"]
