"""A visitor signs in by Telegram Gateway, SMS.ru and uCaller, and reads a message on the handsets' page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from phone_verify.sandbox import Fault, SandboxServer
from tests.scenarios import Stage

from .conftest import DESKTOP_SIZE, Tabs, example_site
from .test_sign_in import begin, enter_code, is_signed_in, say_called

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module", params=["django", "flask"])
def site(
    request: pytest.FixtureRequest, sandbox: SandboxServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """An example site with the DSNs of these drivers."""
    place = f"{urlsplit(sandbox.dsn).netloc}?tls=off"
    settings = {
        "telegram": f"telegram-gateway://TOKEN@{place}",
        "flash_call": f"ucaller://KEY:1@{place}",
        "inbound_call": f"sms-ru://API-ID@{place}",
    }
    with example_site(request.param, sandbox, tmp_path_factory.mktemp(request.param), **settings) as url:
        yield url


def test_visitor_reads_the_code_in_telegram(
    page: Any, tabs: Tabs, site: str, sandbox: SandboxServer, stage: Stage
) -> None:
    phone = stage.phone()
    begin(page, site, phone, "telegram")
    with tabs(viewport=DESKTOP_SIZE, reduced_motion="reduce") as handsets:
        handsets.goto(sandbox.url)
        handset = handsets.get_by_role("article", name=re.compile(f"{phone[-4:]}$"))
        message = handset.locator(".message.telegram")
        assert "Telegram Gateway" in message.inner_text()
        code = re.findall(r"\d{4,8}", message.locator(".bubble").inner_text())[-1]
    enter_code(page, code)
    is_signed_in(page, site, phone)


def test_visitor_signs_in_by_flash_call_of_ucaller(page: Any, site: str, stage: Stage) -> None:
    phone = stage.phone()
    begin(page, site, phone, "flash_call")
    enter_code(page, stage.code(phone))
    is_signed_in(page, site, phone)


def test_visitor_calls_the_number_of_sms_ru(page: Any, site: str, stage: Stage, request: pytest.FixtureRequest) -> None:
    phone = stage.phone()
    begin(page, site, phone, "inbound_call")
    href = page.locator('a[href^="tel:"]').first.get_attribute("href")
    assert stage.dial(phone, href.removeprefix("tel:"))["matched"]
    if "no script" in request.node.name:
        say_called(page)
    is_signed_in(page, site, phone)


def test_visitor_without_telegram_chooses_another_channel(
    page: Any, site: str, sandbox: SandboxServer, stage: Stage
) -> None:
    phone = stage.phone()
    sandbox.sandbox.faults.put("telegram-gateway", phone, Fault(refuse="PHONE_NUMBER_NOT_AVAILABLE"))
    page.goto(f"{site}/")
    page.get_by_role("link", name="Sign in").click()
    page.get_by_label("Mobile number").fill(phone)
    page.locator("input[name=channel][value=telegram]").check()
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("alert").wait_for()
    assert stage.arrived(phone) == 0
    begin(page, site, phone, "flash_call")
    enter_code(page, stage.code(phone))
    is_signed_in(page, site, phone)
