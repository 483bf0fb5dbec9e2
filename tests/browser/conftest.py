"""One browser for a module, a fresh profile for each test, and the example sites behind a strict policy."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from phone_verify.sandbox import SandboxServer
from tests.clients import HttpCarrier
from tests.conftest import missing
from tests.scenarios import Stage
from tests.servers import environment, gunicorn

#: No lookups by Chromium itself, and no Chromium sandbox where the tests run as root in a container.
FLAGS = ["--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--no-first-run", "--disable-quic"]  # fmt: skip
PHONE_SIZE = {"width": 390, "height": 844}
DESKTOP_SIZE = {"width": 1280, "height": 900}

#: Milliseconds until a test gives up waiting for a page: a busy machine needs many seconds for what takes one here.
PATIENCE = 30_000

#: A tab with a new profile, for the duration of the block.
Tabs = Callable[..., Any]


@pytest.fixture(scope="module", params=["django", "flask"])
def site(
    request: pytest.FixtureRequest, sandbox: SandboxServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """An example site: yields its URL."""
    with example_site(request.param, sandbox, tmp_path_factory.mktemp(request.param)) as url:
        yield url


@contextmanager
def example_site(framework: str, sandbox: SandboxServer, data: Path, **settings: str) -> Iterator[str]:
    """Run an example site with these settings; yield its URL."""
    env = environment(framework, data, sandbox.dsn, {"sends_per_hour_per_prefix": "0", **settings})
    env["PYTHONPATH"] = str(Path(__file__).parents[2])
    with gunicorn(framework, env, application="tests.browser.strict_csp_site:application") as url:
        yield url


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Any]:
    """A running Chromium."""
    try:
        from playwright.sync_api import expect, sync_playwright
    except ImportError:
        missing("Playwright")
    expect.set_options(timeout=PATIENCE)
    flags = [*FLAGS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as running:
        started = running.chromium.launch(executable_path=chromium, args=flags)
        yield started
        started.close()


@pytest.fixture(scope="module")
def tabs(browser: Any) -> Tabs:
    """Open tabs. An error on a tab's console, including a policy violation, fails the test."""

    @contextmanager
    def open_tab(**options: Any) -> Iterator[Any]:
        context = browser.new_context(**{"viewport": PHONE_SIZE, **options})
        tab = context.new_page()
        slow_down(tab)
        tab.set_default_timeout(PATIENCE)
        complaints: list[str] = []
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("console", lambda message: complaints.append(_complaint(message)))
        try:
            yield tab
        except BaseException:
            print_state(tab)
            raise
        keep_picture(tab)
        context.close()
        assert list(filter(None, complaints)) == []

    return open_tab


def slow_down(tab: Any) -> None:
    """Slow the tab's processor down PHONE_VERIFY_TEST_CPU_THROTTLE times, to find tests that depend on its speed."""
    rate = os.environ.get("PHONE_VERIFY_TEST_CPU_THROTTLE")
    if rate:
        tab.context.new_cdp_session(tab).send("Emulation.setCPUThrottlingRate", {"rate": float(rate)})


def stop_clock(tab: Any) -> None:
    """Stop the clock of the tab's pages: their time is moved by `tab.clock` alone, however slow the machine is."""
    tab.clock.install(time="2030-01-01T00:00:00Z")
    tab.clock.pause_at("2030-01-01T01:00:00Z")


def print_state(tab: Any) -> None:
    """Print what the tab of a failed test shows."""
    with suppress(Exception):
        shown = tab.locator("body").aria_snapshot(timeout=5000)
        focused = tab.evaluate("document.activeElement?.outerHTML.slice(0, 200)")
        sys.stderr.write(f"{tab.url}\nfocus: {focused}\n{shown}\n")


def keep_picture(tab: Any, name: str = "") -> None:
    """Save a screenshot, by default named for the test, in the folder PHONE_VERIFY_SCREENSHOTS, for review."""
    folder = os.environ.get("PHONE_VERIFY_SCREENSHOTS")
    if folder and not tab.is_closed():
        name = name or os.environ["PYTEST_CURRENT_TEST"].rpartition("::")[2]
        test = re.sub(r" \(\w+\)$|[^\w.-]+", "-", name).strip("-")
        number = sum(1 for _ in Path(folder).glob(f"{test}.*.png"))
        tab.screenshot(path=str(Path(folder) / f"{test}.{number}.png"), full_page=True)


@pytest.fixture(params=[True, False], ids=["script", "no script"])
def page(request: pytest.FixtureRequest, tabs: Tabs) -> Iterator[Any]:
    """A tab on a phone, with and without JavaScript."""
    with tabs(java_script_enabled=request.param) as tab:
        yield tab


@pytest.fixture
def stage(sandbox: SandboxServer) -> Stage:
    """Numbers of this test, and the display of their handsets."""
    return Stage(lambda: HttpCarrier("http://nobody.invalid"), sandbox)


def _complaint(message: Any) -> str:
    """Return the console errors, except those that a test causes on purpose, and the missing icon."""
    caused = [*(f"status of {status}" for status in (400, 401, 403, 409, 422, 429)), "ERR_CONNECTION_RESET"]
    refused = any(text in message.text for text in [*caused, "ERR_INTERNET_DISCONNECTED"])
    # The client asks every server for events; one without them is polled.
    expected = refused or message.location.get("url", "").endswith(("/favicon.ico", "/events"))
    return "" if message.type != "error" or expected else str(message.text)
