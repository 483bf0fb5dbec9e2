"""How many screens and presses a visitor needs to sign in by each channel, on both example sites, with the script.

A screen is a document that the browser shows under the mount; redirects are none. A press is a click, a tap, or a key
other than the digits that are typed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from tests.scenarios import Stage

from .conftest import Tabs
from .test_sign_in import enter_code, is_signed_in, sign_out

pytestmark = pytest.mark.browser

COUNT_PRESSES = """
for (const kind of ["pointerdown", "keydown"]) {
    addEventListener(kind, event => {
        if (event.isTrusted && !/^[+0-9]$/.test(event.key ?? "")) {
            pressed();
        }
    }, true);
}
"""


class Journey:
    """The screens that a tab shows under the mount, and the visitor's presses on each."""

    def __init__(self, page: Any) -> None:
        self.screens: list[str] = []
        self._presses: list[int] = []
        self._page = page
        page.expose_function("pressed", self._press)
        page.add_init_script(COUNT_PRESSES)
        page.on("domcontentloaded", lambda shown: self._see(shown.url))

    @property
    def presses(self) -> list[int]:
        """The number of presses on each screen."""
        self._page.evaluate("1")  # events that arrived before this answer are counted
        return self._presses

    def _see(self, url: str) -> None:
        path = urlsplit(url).path
        if path.startswith("/phone/"):
            self.screens.append(path)
            self._presses.append(0)

    def _press(self) -> None:
        self._presses[-1] += 1


def enter_number(page: Any, site: str, phone: str, channel: str) -> None:
    """Go to the login page; type the number into the focused field, choose the channel, and press Continue."""
    page.goto(f"{site}/phone/login/")
    type_into(page, "#pv-phone", phone)
    page.locator(f"label:has(input[value={channel}])").click()
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url("**/phone/code/**")


def type_into(page: Any, field: str, digits: str) -> None:
    """Type without a press. A field gets the focus when its page is first drawn: that can be after the load event."""
    expect(page.locator(field)).to_be_focused()
    page.keyboard.type(digits)


def type_code(page: Any, stage: Stage, phone: str) -> None:
    type_into(page, "#pv-code", stage.code(phone))


def call(page: Any, stage: Stage, phone: str) -> None:
    href = page.locator('a[href^="tel:"]').first.get_attribute("href")
    stage.dial(phone, href.removeprefix("tel:"))


@pytest.mark.parametrize(("channel", "verify"), [("sms", type_code), ("flash_call", type_code), ("inbound_call", call)])
def test_two_screens_and_no_press_on_the_second(
    tabs: Tabs, site: str, stage: Stage, channel: str, verify: Callable[[Any, Stage, str], None]
) -> None:
    phone = stage.phone()
    with tabs() as page:
        journey = Journey(page)
        enter_number(page, site, phone, channel)
        verify(page, stage, phone)
        is_signed_in(page, site, phone)
        assert journey.screens == ["/phone/login/", "/phone/code/"]
        assert journey.presses == [2, 0], "the channel and the button, then nothing"


def test_one_press_sends_to_the_last_number(tabs: Tabs, site: str, stage: Stage) -> None:
    phone = stage.phone()
    with tabs() as page:
        enter_number(page, site, phone, "sms")
        type_code(page, stage, phone)
        is_signed_in(page, site, phone)
        sign_out(page, site)
        journey = Journey(page)
        page.goto(f"{site}/phone/login/")
        before = stage.arrived(phone)
        page.get_by_role("button", name="Continue as").click()
        page.wait_for_url("**/phone/code/**")
        assert stage.arrived(phone) == before + 1
        assert phone[5:-2] not in page.content().replace(" ", "")
        type_code(page, stage, phone)
        is_signed_in(page, site, phone)
        assert journey.screens == ["/phone/login/", "/phone/code/"]
        assert journey.presses == [1, 0]


def test_last_number_needs_no_script(tabs: Tabs, site: str, stage: Stage) -> None:
    phone, other = stage.phone(), stage.phone()
    with tabs(java_script_enabled=False) as page:
        enter_number(page, site, phone, "sms")
        enter_code(page, stage.code(phone))
        is_signed_in(page, site, phone)
        sign_out(page, site)
        page.goto(f"{site}/phone/login/")
        page.get_by_role("button", name="Continue as").click()
        page.wait_for_url("**/phone/code/**")
        enter_code(page, stage.code(phone))
        is_signed_in(page, site, phone)
        sign_out(page, site)
        page.goto(f"{site}/phone/login/")
        assert not page.get_by_label("Mobile number").is_visible()
        page.get_by_text("Use another number").click()
        page.get_by_label("Mobile number").fill(other)
        page.locator("input[value=sms]").check()
        page.get_by_role("button", name="Continue", exact=True).click()
        page.wait_for_url("**/phone/code/**")
        assert stage.arrived(other) == 1
        page.goto(f"{site}/phone/login/")
        page.get_by_role("button", name="Forget this number").click()
        assert page.get_by_role("status").inner_text() == "This device has forgotten the number."
        assert page.get_by_role("button", name="Continue as").count() == 0
