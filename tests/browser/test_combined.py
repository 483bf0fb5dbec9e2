"""A sign-in by a code and a call in a real browser, on both example sites."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from phone_verify.sandbox import SandboxServer
from tests.scenarios import Stage

from .conftest import Tabs, example_site, keep_picture
from .test_client import Place, enter_number, events, until
from .test_sign_in import begin, is_signed_in

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module", params=["django", "flask"])
def site(
    request: pytest.FixtureRequest, sandbox: SandboxServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """An example site on which signing in needs a code and a call."""
    settings = {"purposes": "login:require=sms+inbound_call"}
    with example_site(request.param, sandbox, tmp_path_factory.mktemp(request.param), **settings) as url:
        yield url


def test_call_follows_the_code_and_signs_in_by_itself(tabs: Tabs, site: str, stage: Stage) -> None:
    phone, other = stage.phone(), stage.phone()
    with tabs() as page:
        begin(page, site, phone, "sms")
        page.locator("#pv-code").fill(stage.code(phone))
        page.get_by_role("heading", name="One more step").wait_for()
        keep_picture(page, "one more step")
        page.get_by_role("button", name="Call us").click()
        number = page.locator("a.pv-call").get_attribute("href").removeprefix("tel:")
        said = page.locator("[data-pv-other-caller]")
        assert said.is_hidden()
        stage.dial(phone, number, caller=other)
        said.wait_for(state="visible")
        keep_picture(page, "another phone called")
        assert said.inner_text().startswith("Another phone called. Call from +98 912 000")
        assert page.url.partition("?")[0].endswith("/phone/code/")
        stage.dial(phone, number)
        is_signed_in(page, site, phone)


def test_element_leads_through_both_channels(tabs: Tabs, site: str, stage: Stage) -> None:
    phone = stage.phone()
    with tabs() as tab:
        Place(site, None, True, f"{site}/bare").show(tab, "sign-in")
        enter_number(tab, phone)
        tab.locator("#pv-code").fill(stage.code(phone))
        link = tab.locator("a.call")
        stage.dial(phone, link.get_attribute("href").removeprefix("tel:"))
        assert until(tab, "signed-in")["user"]["phone"] == phone
        assert [name for name, _ in events(tab)] == ["verified", "signed-in"]
