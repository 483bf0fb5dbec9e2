"""docs/cookbook/htmx.md: its Flask site in Chromium, with the htmx of each version in use."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from phone_verify.sandbox import SandboxServer
from tests.browser.conftest import browser, tabs
from tests.django_adapter.projects import blocks, write
from tests.scenarios import Stage, wrong
from tests.servers import free_port, running

from .conftest import ROOT

__all__ = ["browser", "tabs"]  # fixtures

pytestmark = [pytest.mark.browser, pytest.mark.slow]

BLOCKS = blocks((ROOT / "docs" / "cookbook" / "htmx.md").read_text("utf-8"))


@pytest.fixture(scope="module", params=["htmx-2", "htmx-4"])
def site(
    request: pytest.FixtureRequest,
    sandbox: SandboxServer,
    node_modules: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """The page's site with this htmx: yields its URL."""
    folder: Path = tmp_path_factory.mktemp(request.param)
    for block in BLOCKS:
        if block.name is not None:
            write(folder, block.name, block.text)
    (folder / "static").mkdir()
    shutil.copy(node_modules / request.param / "dist" / "htmx.min.js", folder / "static")
    exports = dict(re.findall(r"export (\w+)=(\S+)", "".join(block.text for block in BLOCKS)))
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PHONE_VERIFY_")},
        **{name: sandbox.dsn if "sandbox://" in value else value for name, value in exports.items()},
        "SECRET_KEY": "a-secret-key-for-tests-and-nothing-else-0123456789",
        "PHONE_VERIFY_SENDS_PER_HOUR_PER_PREFIX": "0",
        "PYTHONPATH": str(ROOT),
    }
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "app:app", "--bind", f"127.0.0.1:{port}", "--threads", "4"]
    with running([*command, "--log-level", "warning", "--graceful-timeout", "1"], folder, env, port) as url:
        yield url


def test_order_is_verified_by_code(site: str, stage: Stage, tabs: Any) -> None:
    phone = stage.phone()
    with tabs() as tab:
        tab.goto(f"{site}/order")
        tab.get_by_label("Mobile number").fill("12")
        tab.get_by_role("button", name="Send a code").click()
        tab.get_by_text("Enter your mobile number.").wait_for()
        tab.get_by_label("Mobile number").fill(f"0{phone[3:]}")
        tab.get_by_role("button", name="Send a code").click()
        tab.get_by_label("Code").fill(wrong(stage.code(phone)))
        tab.get_by_role("button", name="Verify").click()
        tab.get_by_text("Incorrect code. 4 attempts left.").wait_for()
        tab.get_by_label("Code").fill(stage.code(phone))
        tab.get_by_role("button", name="Verify").click()
        tab.get_by_text(f"Verified: {phone}").wait_for()
        tab.reload()
        tab.get_by_text(f"Verified: {phone}").wait_for()
        assert tab.title() == "Order"  # never another page


def test_order_is_verified_by_call(site: str, stage: Stage, tabs: Any) -> None:
    phone = stage.phone()
    with tabs() as tab:
        tab.goto(f"{site}/order")
        tab.get_by_label("Mobile number").fill(phone)
        tab.get_by_role("button", name="Call from my phone").click()
        number = tab.locator("a[href^='tel:']").inner_text()
        stage.dial(phone, number)
        tab.get_by_text(f"Verified: {phone}").wait_for()


def test_form_without_its_token_is_refused(site: str, stage: Stage, browser: Any) -> None:
    phone, tab = stage.phone(), browser.new_page()
    tab.goto(f"{site}/order")
    tab.locator("input[name=csrf_token]").evaluate("(field) => field.remove()")
    tab.get_by_label("Mobile number").fill(phone)
    with tab.expect_response("**/order/phone") as answer:
        tab.get_by_role("button", name="Send a code").click()
    assert answer.value.status == 400
    tab.close()
    assert stage.arrived(phone) == 0
