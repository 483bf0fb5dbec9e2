"""`docs/flask.md` taken literally: its files in an empty folder, its commands in order, its site in a browser."""

from __future__ import annotations

import os
import re
import shlex
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

import pytest

from phone_verify.sandbox import SandboxServer
from tests.clients import Browser, HttpCarrier
from tests.conftest import missing
from tests.scenarios import Stage
from tests.servers import free_port

from .guide import BLOCKS, COMMANDS, GUIDE, NAME, NOT_TYPED, ROOT, STEPS, Folder, block, section

PHONE = "+989120000000"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """The files of the guide and of its further sections, and its commands up to the forms."""
    folder = Folder(tmp_path_factory.mktemp("shop"))
    for step in STEPS:
        folder.follow(step, typed=not any(word in step for word in ("pytest", "sandbox://", "gunicorn")))
    for heading in ("You already have users with numbers", "Flask-Security-Too"):
        folder.follow(section(heading), typed=False)
    return folder


@pytest.fixture
def folder(made: Folder) -> Folder:
    """A separate terminal in that folder."""
    terminal = copy(made)
    terminal.env = dict(made.env)
    return terminal


@pytest.mark.slow
def test_site_runs_after_each_step(tmp_path: Path, sandbox: SandboxServer) -> None:
    """The first file has 40 lines; each step leaves a site on which a visitor signs in."""
    folder, stage = Folder(tmp_path), Stage(lambda: HttpCarrier("http://nobody.invalid"), sandbox)
    for number, step in enumerate(STEPS[:7], 1):
        assert step.startswith(f"{number}. ")
        folder.follow(step.replace("sandbox://127.0.0.1:8025", sandbox.dsn))
        if number == 2:
            assert len((tmp_path / "app.py").read_text().splitlines()) <= 40
        if number >= 2:
            with folder.serving("flask run", free_port()) as url:
                phone = stage.phone() if number >= 5 else PHONE
                browser = Browser(HttpCarrier(url))
                assert browser.post_form("/phone/login/", phone=phone, channel="sms").status == 303
                code = stage.code(phone) if number >= 5 else re.findall(r"\b(\d{6}) is your", folder.log)[-1]
                assert browser.post_form("/phone/code/", code=code).location == "/"
                assert f"Signed in as {phone}" in re.sub(r"<[^>]*>", "", browser.get("/").text)


def test_every_code_block_is_a_file_or_commands() -> None:
    for language, text in BLOCKS:
        assert (language == "sh") != bool(NAME.match(text)), text
    assert {number for number, step in enumerate(STEPS, 1) if step.startswith(f"{number}. ")} == set(range(1, 10))


def test_documented_extras_exist() -> None:
    extras = set(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"])
    for line in [line for text in COMMANDS for line in text.splitlines() if line.startswith("pip install")]:
        for word in shlex.split(line)[2:]:
            name, _, wanted = word.partition("[")
            assert metadata(name)["Name"]
            assert set(filter(None, wanted.rstrip("]").split(","))) <= extras


@pytest.mark.slow
def test_documented_tests_pass(folder: Folder) -> None:
    assert "3 passed" in folder.run(block("python -m pytest"))


@pytest.mark.browser
def test_visitor_signs_in_with_a_browser_through_the_sandbox(
    folder: Folder, sandbox: SandboxServer, chromium: str
) -> None:
    """Signs in, steps up, changes the number, signs out."""
    stage = Stage(lambda: HttpCarrier("http://nobody.invalid"), sandbox)
    phone, other = stage.phone(), stage.phone()
    lines = block("flask run --port 5000")
    folder.run([line.replace("sandbox://127.0.0.1:8025", sandbox.dsn) for line in lines[:-1]])
    with folder.serving(lines[-1], free_port()) as url, tab(chromium) as page:
        page.goto(url)
        page.get_by_role("link", name="Sign in").click()
        page.get_by_label("Mobile number").fill(phone)
        page.locator("input[name=channel][value=sms]").check()
        page.get_by_role("button", name="Continue").click()
        page.locator("input[name=code]").fill(stage.code(phone))
        page.get_by_role("button", name="Confirm").click()
        page.wait_for_url(f"{url}/")
        assert phone in page.inner_text("body")
        page.get_by_role("link", name="Payout").click()
        assert "this is you" in page.inner_text("body")
        page.goto(f"{url}/profile")
        page.get_by_role("link", name="Change number").click()
        page.wait_for_url("**/phone/verify/**")
        page.get_by_text("Change number").click()
        page.get_by_label("mobile number").fill(other)
        page.get_by_role("button", name="Continue").click()
        page.wait_for_url("**/phone/code/**")
        page.locator("input[name=code]").fill(stage.code(other))
        page.get_by_role("button", name="Yes, use this number").click()
        page.wait_for_url(f"{url}/profile")
        assert other[-4:] in page.inner_text("body")
        page.goto(url)
        assert other in page.inner_text("body")
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url(f"{url}/")
        assert page.get_by_role("link", name="Sign in").count() == 1


@pytest.mark.slow
def test_documented_production_command_serves_the_site(folder: Folder, sandbox: SandboxServer) -> None:
    import urllib3

    folder.run([line for line in block("umask") if not line.startswith(NOT_TYPED)])
    lines = block("gunicorn 'app:create_app()'")
    told = folder.run(lines[:-1])
    assert "no errors" in told
    with folder.serving(lines[-1], free_port()) as url:
        page = urllib3.request("GET", f"{url}/phone/login/", retries=False, timeout=20)
        assert page.status == 200
        assert "Secure" in page.headers["Set-Cookie"]
        refused = urllib3.request(
            "POST", f"{url}/phone/v1/verifications", json={"phone": "+79161234567"}, retries=False, timeout=20
        )
        assert refused.status == 403


@pytest.mark.slow
def test_every_documented_command_exists(folder: Folder) -> None:
    program = "import app; runner = app.create_app().test_cli_runner()\n"
    for words in ("--help", "doctor --help", "purge"):
        program += f"done = runner.invoke(args={['phone-verify', *words.split()]})\n"
        program += "print(done.output); assert done.exit_code == 0\n"
    told = folder.run([f"python -c {shlex.quote(program)}"])
    for name in re.findall(r"`flask phone-verify ([\w-]+)", GUIDE):
        assert name in told
    assert "--offline" in told


@pytest.mark.slow
def test_numbers_of_existing_users_are_adopted(folder: Folder) -> None:
    """The section for sites with users: its module, then its commands."""
    lines = block("phone-verify adopt --trust")
    program = "import app, existing, models\ncontext = app.create_app().app_context(); context.push()\n"
    program += "models.db.session.add_all([models.User(phone='0912 000 0008'), models.User(phone='12')])\n"
    program += "models.db.session.commit()"
    folder.run([f"python -c {shlex.quote(program)}"])
    told = folder.run(["export PHONE_VERIFY_REGION=IR", *lines])
    assert "1 numbers could be trusted" in told
    assert "1 numbers counted as verified" in told
    assert "12" in (folder.path / "numbers.csv").read_text()
    assert "0008" not in told


@pytest.mark.slow
def test_site_with_flask_security_starts(folder: Folder) -> None:
    keys = 'SECRET_KEY="k-key-for-tests-0123456789abcdef", SECURITY_PASSWORD_SALT="s", '
    keys += 'SECURITY_TOTP_SECRETS={"1": "t-key-for-tests-0123456789abcdef"}, '
    rest = 'SECURITY_TOTP_ISSUER="shop", SQLALCHEMY_DATABASE_URI="sqlite:///secured.sqlite3", '
    program = f"import secured; app = secured.create_app({keys}{rest}PHONE_VERIFY_SMS='console://')"
    program += "; print(*(rule.endpoint for rule in app.url_map.iter_rules()))"
    assert "security.us_signin" in folder.run([f"python -c {shlex.quote(program)}"])


@contextmanager
def tab(chromium: str) -> Iterator[Any]:
    """A tab of a separate browser."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("Playwright")
    flags = ["--disable-gpu", "--no-first-run", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=chromium, args=flags)
        page = browser.new_page()
        page.set_default_timeout(15_000)
        yield page
        browser.close()
