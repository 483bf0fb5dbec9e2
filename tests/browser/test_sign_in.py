"""A visitor with a real browser signs in on both example sites by each channel, reading the handset."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.scenarios import Stage, wrong

from .conftest import keep_picture

pytestmark = pytest.mark.browser


def begin(page: Any, site: str, phone: str, channel: str) -> None:
    page.goto(f"{site}/")
    page.get_by_role("link", name="Sign in").click()
    page.get_by_label("Mobile number").fill(phone)
    page.locator(f"input[name=channel][value={channel}]").check()
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url("**/phone/code/**")


def enter_code(page: Any, code: str) -> None:
    """Enter the code; press the button unless the page's script submits the form by itself."""
    field = page.locator("#pv-code")
    submits = field.get_attribute("data-pv-submit") is not None
    field.fill(code)
    if not (submits and page.evaluate("matchMedia('(scripting: enabled)').matches")):
        page.locator("form:has(#pv-code) button").click()


def say_called(page: Any) -> None:
    """Press the button, as a visitor without the script does, until the call is known.

    A provider is polled every three seconds at most, so the first press may be too early. The page shows the form's
    other button if the call became known while it was shown again.
    """
    for _ in range(8):
        with page.expect_navigation():
            page.locator("form:has(input[name=called]) button[type=submit]").click()
        if "/phone/code/" not in page.url:
            break
        page.wait_for_timeout(1000)


def sign_out(page: Any, site: str) -> None:
    page.goto(f"{site}/phone/logout/")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(lambda url: "/phone/logout/" not in url)


def is_signed_in(page: Any, site: str, phone: str) -> None:
    page.wait_for_url(f"{site}/")
    assert phone in page.content()


def test_visitor_signs_in_by_sms(page: Any, site: str, stage: Stage) -> None:
    phone = stage.phone()
    begin(page, site, phone, "sms")
    code = stage.code(phone)
    field = page.locator("input[name=code]")
    assert field.get_attribute("autocomplete") == "one-time-code"
    assert field.get_attribute("inputmode") == "numeric"
    enter_code(page, wrong(code))
    page.get_by_role("alert").filter(has_text="Incorrect code").wait_for()
    enter_code(page, "".join(chr(0x06F0 + int(digit)) for digit in code))
    is_signed_in(page, site, phone)


def test_persian_page_is_rtl_and_counts_in_persian_digits(page: Any, site: str, stage: Stage) -> None:
    page.set_extra_http_headers({"Accept-Language": "fa-IR,fa;q=0.9,en;q=0.5"})
    page.goto(f"{site}/phone/login/")
    page.locator("#pv-phone").fill(stage.phone())
    page.locator("input[name=channel][value=sms]").check()
    page.locator("button[type=submit]").click()
    page.wait_for_url("**/phone/code/**")
    assert page.locator("html").get_attribute("dir") == "rtl"
    assert page.evaluate("getComputedStyle(document.querySelector('h1')).direction") == "rtl"
    for timer in page.get_by_role("timer").all_inner_texts():
        assert re.search("[۰-۹]", timer)
        assert not re.search("[0-9]", timer)
    code = page.locator("input[name=code]")
    assert code.evaluate("field => getComputedStyle(field).direction") == "ltr"


def test_visitor_signs_in_by_flash_call(page: Any, site: str, stage: Stage) -> None:
    phone = stage.phone()
    begin(page, site, phone, "flash_call")
    enter_code(page, stage.code(phone))
    is_signed_in(page, site, phone)


def test_visitor_signs_in_by_inbound_call(page: Any, site: str, stage: Stage, request: pytest.FixtureRequest) -> None:
    phone = stage.phone()
    begin(page, site, phone, "inbound_call")
    href = page.locator('a[href^="tel:"]').first.get_attribute("href")
    assert page.locator('img[src^="data:image/svg+xml"]').count() == 1
    stage.dial(phone, href.removeprefix("tel:"))
    if "no script" in request.node.name:
        say_called(page)
    is_signed_in(page, site, phone)  # with the script, the page detects the call automatically
    page.get_by_role("link", name="Sign out").or_(page.get_by_role("button", name="Sign out")).first.click()
    if "/phone/logout/" in page.url:
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url(lambda url: "/phone/logout/" not in url)
    assert phone not in page.content()


@pytest.mark.parametrize(("first", "second"), [("sms", "inbound_call"), ("inbound_call", "sms")])
def test_page_takes_the_code_or_the_call_after_a_switch(
    page: Any, site: str, stage: Stage, request: pytest.FixtureRequest, first: str, second: str
) -> None:
    phone = stage.phone()
    begin(page, site, phone, first)
    page.get_by_text("Try another method").click()
    page.locator(f"form:has(input[name=channel][value={second}]) button").click()
    field, link = page.locator("input[name=code]"), page.locator('a[href^="tel:"]')
    field.wait_for()
    link.first.wait_for()
    assert (field.count(), link.count()) == (1, 1)
    keep_picture(page)
    if second == "inbound_call" or "no script" in request.node.name:
        enter_code(page, stage.code(phone))
    else:  # the page shows the code first, and detects the call
        stage.dial(phone, link.get_attribute("href").removeprefix("tel:"))
    is_signed_in(page, site, phone)


def test_reload_and_back_cost_no_attempt(page: Any, site: str, stage: Stage) -> None:
    phone = stage.phone()
    begin(page, site, phone, "sms")
    code = stage.code(phone)
    for left in (4, 3):
        enter_code(page, wrong(code))
        page.get_by_role("alert").filter(has_text=f"{left} attempts left").wait_for()
        page.reload()
        page.reload()
        page.go_back()
        page.go_forward()
    enter_code(page, code)
    is_signed_in(page, site, phone)
