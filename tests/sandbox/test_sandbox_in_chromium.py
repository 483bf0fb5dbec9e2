"""The page in a real browser: a scenario is loaded from a file, shown, saved, and loaded again."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from phone_verify.sandbox import SandboxServer, read_scenario
from phone_verify.sandbox.scenario import present
from tests.conftest import missing

pytestmark = pytest.mark.browser

SCENARIO = """
faults:
  - {provider: amoot, malformed: html}
handsets:
  - {phone: +79000000000, dials_after: 2, hidden: true}
"""


@pytest.fixture
def page(chromium: str, tmp_path: Path) -> Iterator[Any]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("Playwright")
    flags = ["--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
             "--no-first-run", *(["--no-sandbox"] if os.geteuid() == 0 else [])]  # fmt: skip
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path / "profile", executable_path=chromium, args=flags, accept_downloads=True
        )
        tab = context.new_page()
        tab.set_default_timeout(15_000)
        errors: list[str] = []
        tab.on("pageerror", lambda error: errors.append(str(error)))
        yield tab
        context.close()
        assert errors == []


def test_scenario_is_saved_and_loaded_on_the_page(page: Any, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(SCENARIO)
    (tmp_path / "wrong.json").write_text('{\t"faults": [{"provider": "nobody"}]}')
    with SandboxServer() as server:
        page.goto(server.url)
        page.get_by_text("Simulate failures").click()
        chosen = page.get_by_label("Load a file")
        chosen.set_input_files(tmp_path / "mine.yaml")
        page.get_by_text("Loaded mine.yaml.").wait_for()
        page.get_by_text("malformed response (html)").wait_for()
        page.get_by_text("Calls automatically after 2 s, hiding its number").wait_for()
        with page.expect_download() as download:
            page.get_by_role("link", name="Save to a file").click()
        assert download.value.suggested_filename == "scenario.yaml"
        download.value.save_as(tmp_path / "saved.yaml")
        before = present(server.sandbox)
        assert read_scenario((tmp_path / "saved.yaml").read_text("utf-8")) == before

        page.get_by_role("button", name="Remove").click()
        page.get_by_text("malformed response (html)").wait_for(state="detached")
        chosen.set_input_files(tmp_path / "wrong.json")
        page.get_by_role("alert").get_by_text("faults[0].provider: write one of: amoot").wait_for()
        chosen.set_input_files(tmp_path / "saved.yaml")
        page.get_by_text("malformed response (html)").wait_for()
        assert page.get_by_role("alert").is_hidden()
        assert present(server.sandbox) == before


def test_fault_is_set_on_the_page(page: Any) -> None:
    with SandboxServer() as server:
        page.goto(server.url)
        page.get_by_text("Simulate failures").click()
        page.get_by_label("Provider").select_option("ssms")
        page.get_by_label("Error to return").select_option("nothing_sent")
        page.get_by_label("Malformed response").select_option("types")
        page.get_by_role("button", name="Apply").click()
        page.get_by_text("returns nothing_sent, malformed response (types)").wait_for()
        ((provider, phone, fault),) = server.sandbox.faults.all()
        assert (provider, phone, fault.refuse, fault.malformed) == ("ssms", None, "nothing_sent", "types")
        # No horizontal overflow.
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
