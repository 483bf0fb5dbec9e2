"""A user with a real browser confirms and changes the current number, on both example sites."""

from __future__ import annotations

from typing import Any

import pytest

from phone_verify.i18n.languages import LANGUAGES
from phone_verify.i18n.texts import texts_in
from tests.scenarios import Stage

from .conftest import DESKTOP_SIZE, Tabs
from .test_sign_in import begin, enter_code, is_signed_in, say_called

pytestmark = pytest.mark.browser


def confirm(page: Any, stage: Stage, phone: str) -> None:
    """Wait for the code page, and enter the newest code of this handset."""
    page.wait_for_url("**/phone/code/**")
    enter_code(page, stage.code(phone))


def sign_in(page: Any, site: str, stage: Stage) -> str:
    phone = stage.phone()
    begin(page, site, phone, "sms")
    confirm(page, stage, phone)
    is_signed_in(page, site, phone)
    return phone


def test_current_number_is_confirmed_and_changed(page: Any, site: str, stage: Stage) -> None:
    phone, new = sign_in(page, site, stage), stage.phone()
    page.goto(f"{site}/phone/verify/")
    assert phone not in page.content()
    page.locator("form:has([name=confirm]) [value=sms]").check()
    page.get_by_role("button", name="Verify this number").click()
    confirm(page, stage, phone)
    page.wait_for_url("**/phone/verify/")
    assert page.get_by_role("status").inner_text() == "Your number is verified."
    assert page.locator("[data-pv-form]").count() == 0
    page.get_by_role("link", name="Continue").click()
    page.wait_for_url(f"{site}/")
    page.goto(f"{site}/phone/verify/")
    assert page.get_by_label("New mobile number").is_hidden()
    page.locator("summary").click()
    field = page.get_by_label("New mobile number")
    assert (field.get_attribute("type"), field.get_attribute("autocomplete")) == ("tel", "tel")
    field.fill("12")
    page.locator("details button").click()
    assert "valid mobile number" in page.get_by_role("alert").inner_text()
    assert page.get_by_label("New mobile number").input_value().endswith("12")  # and the field is open
    page.get_by_label("New mobile number").fill(new)
    page.locator("details [value=sms]").check()
    page.locator("details button").click()
    confirm(page, stage, new)
    page.wait_for_url("**/phone/verify/")
    page.goto(f"{site}/")
    assert new in page.content()


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_desktop_visitor_verifies_by_call_in_persian(tabs: Tabs, site: str, stage: Stage, script: bool) -> None:
    """An anonymous visitor returns to the page after signing in, and then to the original destination."""
    texts, phone = texts_in(LANGUAGES["fa"]).page, stage.phone()
    with tabs(locale="fa-IR", viewport=DESKTOP_SIZE, java_script_enabled=script) as page:
        page.goto(f"{site}/phone/verify/?next=/?came-back")
        page.wait_for_url("**/phone/login/**")
        page.locator("#pv-phone").fill(phone)
        page.locator("[value=sms]").check()
        page.locator("button[type=submit]").click()
        confirm(page, stage, phone)
        page.wait_for_url("**/phone/verify/**")
        assert page.locator("html").get_attribute("dir") == "rtl"
        page.locator("form:has([name=confirm]) [value=inbound_call]").check()
        page.get_by_role("button", name=texts["check_number"]).click()
        page.wait_for_url("**/phone/code/**")
        stage.dial(phone, page.locator('a[href^="tel:"]').get_attribute("href").removeprefix("tel:"))
        if not script:
            say_called(page)
        page.wait_for_url(f"{site}/?came-back")
        assert phone in page.content()


@pytest.mark.parametrize("page", [True], ids=["script"], indirect=True)
def test_number_of_another_user_is_refused(page: Any, site: str, stage: Stage) -> None:
    taken = sign_in(page, site, stage)
    page.context.clear_cookies()
    sign_in(page, site, stage)
    page.goto(f"{site}/phone/verify/")
    page.locator("summary").click()
    page.get_by_label("New mobile number").fill(taken)
    page.locator("details [value=flash_call]").check()
    page.locator("details button").click()
    confirm(page, stage, taken)
    page.get_by_role("alert").wait_for()
    assert page.get_by_role("alert").inner_text() == "This number belongs to another account."
