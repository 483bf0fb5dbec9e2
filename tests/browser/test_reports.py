"""The pages of reports in Chromium: under their policy, without violations of axe, no wider than a phone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask_login import LoginManager, UserMixin, login_user
from werkzeug.serving import make_server

from phone_verify.database.connection import Database
from phone_verify.database.ledger import SqlLedger
from phone_verify.testing.ledger_calls import SENT, attempt, later, run
from phone_verify_flask import PhoneVerify
from phone_verify_flask.dashboard import dashboard
from tests.browser.conftest import DESKTOP_SIZE, PHONE_SIZE, Tabs
from tests.conftest import missing

pytestmark = pytest.mark.browser

DAY = "from=2030-01-01&to=2030-01-01&by=hour&compare=1"


class User(UserMixin):
    id = "1"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("reports")
    ledger = SqlLedger(Database.from_url(f"sqlite:///{folder}/services.sqlite3"))
    for number in range(30):
        held: Any = run(ledger.begin(attempt(number, driver=f"d{number % 3}"), [], None, later(number * 600)))
        run(ledger.finish(held.attempt, SENT, later(number * 600 + 1)))
    app = Flask(__name__)
    app.config.update(
        SECRET_KEY="a key of 40 letters for reports, in tests",
        PHONE_VERIFY_SMS="console://",
        PHONE_VERIFY_STORE="memory:",
        PHONE_VERIFY_LEDGER=f"sqlite:///{folder}/services.sqlite3",
    )
    LoginManager(app).user_loader(lambda _: User())
    PhoneVerify(app)
    app.register_blueprint(dashboard(lambda _: True), url_prefix="/staff")

    @app.get("/enter")
    def enter() -> str:
        login_user(User())
        return '<!doctype html><html lang="en"><link rel="icon" href="data:,"><title>x</title></html>'

    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join(30)
    server.server_close()


@pytest.fixture(scope="module")
def axe() -> Any:
    try:
        from axe_playwright_python.sync_playwright import Axe
    except ImportError:
        missing("axe-playwright-python")
    return Axe()


@pytest.mark.parametrize("colors", ["light", "dark"])
@pytest.mark.parametrize("language", ["en", "fa", "ru", "ar"])
def test_pages_are_accessible_and_fit(site: str, tabs: Tabs, axe: Any, language: str, colors: str) -> None:
    size = PHONE_SIZE if language in ("fa", "ar") else DESKTOP_SIZE
    # The policy would refuse axe's own script; the next test runs under it.
    with tabs(locale=language, color_scheme=colors, viewport=size, bypass_csp=True) as tab:
        tab.goto(f"{site}/enter")
        for path in ("", "attempts/", "downloads/"):
            tab.goto(f"{site}/staff/reports/{path}?{DAY}")
            tab.evaluate(axe.axe_script)
            found = tab.evaluate("axe.run()")["violations"]
            assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found] == []
            assert tab.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def assert_charts(tab: Any, *, dark: bool, small: bool = False) -> None:
    """Check that the charts which can be seen are loaded, and are those for these colours and this screen."""
    for _ in range(3):
        tab.evaluate("window.scrollTo(0, document.body.scrollHeight)")  # they load when they come into view
        tab.wait_for_load_state("networkidle")
    tab.evaluate("Promise.all([...document.images].filter(i => i.checkVisibility()).map(i => i.decode()))")
    seen = tab.evaluate("[...document.images].filter(i => i.checkVisibility()).map(i => i.currentSrc)")
    assert len(seen) == 3
    assert [("dark=1" in address, "small=1" in address) for address in seen] == [(dark, small)] * 3


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("device", ["light", "dark"])
def test_charts_follow_the_theme_that_the_visitor_chose_in_the_admin(
    site: str, tabs: Tabs, device: str, theme: str
) -> None:
    with tabs(color_scheme=device, viewport=PHONE_SIZE) as tab:
        tab.goto(f"{site}/enter")
        tab.goto(f"{site}/staff/reports/?{DAY}", wait_until="networkidle")
        for chosen in (theme, "auto"):  # as Django's own script sets it
            tab.evaluate(f"document.documentElement.dataset.theme = '{chosen}'")
            assert_charts(tab, dark=(device if chosen == "auto" else chosen) == "dark", small=True)


@pytest.mark.parametrize("colors", ["light", "dark"])
def test_charts_and_styles_load_under_the_policy(site: str, tabs: Tabs, colors: str) -> None:
    with tabs(color_scheme=colors, viewport=DESKTOP_SIZE) as tab:
        tab.goto(f"{site}/enter")
        tab.goto(f"{site}/staff/reports/?{DAY}", wait_until="networkidle")
        assert_charts(tab, dark=colors == "dark")
        assert tab.evaluate("getComputedStyle(document.querySelector('.pvr-cards')).display") == "grid"
        tab.select_option("[name=by]", "driver")
        tab.click("button")
        tab.click("table a >> text=d1")
        assert tab.locator("tbody tr").count() == 10
