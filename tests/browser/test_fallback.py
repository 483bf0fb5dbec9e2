"""A visitor who does not answer a flash call, on both example sites: the page moves to an SMS by itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from phone_verify.sandbox import SandboxServer
from tests.scenarios import Stage

from .conftest import Tabs, example_site
from .test_client import Place, enter_number, page_server, until
from .test_sign_in import begin, is_signed_in

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module", params=["django", "flask"])
def site(
    request: pytest.FixtureRequest, sandbox: SandboxServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """An example site whose flash calls move to SMS after ten seconds."""
    settings = {"channels": "flash_call,sms", "fallbacks": "flash_call:sms:10"}
    with example_site(request.param, sandbox, tmp_path_factory.mktemp(request.param), **settings) as url:
        yield url


def test_unanswered_flash_call_moves_to_an_sms(tabs: Tabs, site: str, stage: Stage) -> None:
    phone = stage.phone()
    with tabs() as page:
        begin(page, site, phone, "flash_call")
        assert stage.arrived(phone) == 1
        page.get_by_label("6-digit code").or_(page.get_by_label("Code", exact=True)).wait_for(timeout=60_000)
        assert stage.arrived(phone) == 2
        page.locator("#pv-code").fill(stage.code(phone))
        is_signed_in(page, site, phone)


def test_typed_digits_delay_the_move(tabs: Tabs, site: str, stage: Stage) -> None:
    phone = stage.phone()
    with tabs() as page:
        begin(page, site, phone, "flash_call")
        for typed in ("1", "12", "123", "12"):  # twelve seconds, and never ten without a key
            page.locator("#pv-code").fill(typed)
            page.wait_for_timeout(3000)
        assert stage.arrived(phone) == 1
        assert page.locator("#pv-code").input_value() == "12"


def test_element_moves_to_an_sms(tabs: Tabs, site: str, stage: Stage) -> None:
    phone = stage.phone()
    with tabs() as tab, page_server() as server:
        Place(site, server, True, f"{site}/bare").show(tab)
        enter_number(tab, phone, "flash_call")
        tab.get_by_text("Check your phone").wait_for()
        tab.get_by_label("6-digit code").or_(tab.get_by_label("Code", exact=True)).wait_for(timeout=60_000)
        assert stage.arrived(phone) == 2
        tab.locator("#pv-code").fill(stage.code(phone))
        assert until(tab, "verified")["proof"]
