"""What the script of the pages does for visitors, in a browser: rendered pages, answers from the test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from playwright.sync_api import expect

from phone_verify.i18n.languages import LANGUAGES
from phone_verify.i18n.texts import PAGE
from tests.test_templates import CODE, LOGIN, RING, by_jinja

from .conftest import PHONE_SIZE, Tabs, stop_clock
from .test_every_page import HOST, in_language, serve

pytestmark = pytest.mark.browser

#: Every page on which a visitor waits for a code or a call.
WAITING = ["code", "code, number in full", "code, held back", "flash call", "inbound call"]
LAPTOP = {"width": 1280, "height": 800}


@pytest.fixture(scope="module")
def phone_tab(tabs: Tabs) -> Iterator[Any]:
    with tabs(has_touch=True, is_mobile=True) as opened:
        yield opened


@pytest.fixture(scope="module")
def laptop_tab(tabs: Tabs) -> Iterator[Any]:
    with tabs(viewport=LAPTOP) as opened:
        yield opened


@pytest.fixture
def tab(tabs: Tabs) -> Iterator[Any]:
    with tabs() as opened:
        yield opened


def open_page(tab: Any, page: str) -> list[str]:
    """Show this page; return the forms that it posts, which are answered by an empty page."""
    posted: list[str] = []
    serve(tab, {"/page": page, "/phone/code/": "<title>x</title>", "/phone/login/": "<title>x</title>"})
    tab.on("request", lambda request: posted.append(request.post_data or "") if request.method == "POST" else None)
    tab.goto(f"{HOST}/page")
    return posted


def hold_forms(tab: Any) -> None:
    """Keep submitted forms on the page, as while no answer arrives, and count them in `sent`."""
    tab.evaluate(
        """() => {
            window.sent = 0;
            addEventListener("submit", event => { sent += event.defaultPrevented ? 0 : 1; event.preventDefault(); });
        }"""
    )


def note_announcements(tab: Any) -> None:
    """Keep what the page announces to screen readers in `said`."""
    tab.evaluate(
        """() => {
            window.said = [];
            const live = document.querySelector("[data-pv-live]");
            new MutationObserver(() => said.push(live.textContent)).observe(live, {childList: true});
        }"""
    )


def code_page(**fields: Any) -> str:
    return by_jinja("code.html", replace(CODE, **fields))


def type_slowly(field: Any, text: str) -> str:
    field.press_sequentially(text)
    value: str = field.input_value()
    return value


# The code


def test_complete_code_is_sent_without_the_button(tab: Any) -> None:
    posted = open_page(tab, code_page())
    with tab.expect_navigation():
        tab.locator("#pv-code").press_sequentially("12345۶")
    assert len(posted) == 1
    assert "code=12345" in posted[0]


@pytest.mark.parametrize("fields", [{"error": "Incorrect code.", "status": 422}, {"code_length": None}])
def test_code_is_not_sent_after_an_error_or_of_unknown_length(tab: Any, fields: dict[str, Any]) -> None:
    stop_clock(tab)
    open_page(tab, code_page(**fields))
    hold_forms(tab)
    tab.locator("#pv-code").press_sequentially("123456")
    tab.clock.run_for(2000)
    assert tab.evaluate("sent") == 0


def test_only_a_code_of_the_right_length_is_sent(tab: Any) -> None:
    stop_clock(tab)
    open_page(tab, code_page())
    hold_forms(tab)
    for typed, sent in (("1234567", 0), ("12345", 0), ("123456", 1)):
        tab.locator("#pv-code").fill(typed)
        tab.clock.run_for(2000)
        assert tab.evaluate("sent") == sent


def test_pasted_message_becomes_its_code_and_is_sent(tab: Any) -> None:
    posted = open_page(tab, code_page())
    with tab.expect_navigation():
        tab.locator("#pv-code").evaluate(
            """field => {
                const data = new DataTransfer();
                data.setData("text", "کد شما ۱۳۳۸۹۴ است. @shop.example #133894");
                field.dispatchEvent(new ClipboardEvent("paste", {clipboardData: data, cancelable: true}));
            }"""
        )
    assert "code=133894" in posted[0]


def test_typing_after_an_error_goes_into_the_field(tab: Any) -> None:
    open_page(tab, in_language("code, wrong", "en"))
    expect(tab.locator("#pv-error")).to_be_focused()
    assert tab.title().startswith("Error: ")
    tab.keyboard.type("12")
    assert tab.locator("#pv-code").input_value() == "12"


def test_flash_call_shows_the_typed_digits_in_the_number(tab: Any) -> None:
    open_page(tab, in_language("flash call", "en"))
    assert tab.locator(".pv-places").inner_text() == "····"
    tab.locator("#pv-code").press_sequentially("12")
    assert tab.locator(".pv-places").inner_text() == "12··"


# The number


# Waiting


def test_button_says_that_the_form_is_being_sent_and_is_late(tab: Any) -> None:
    stop_clock(tab)
    open_page(tab, by_jinja("login.html", LOGIN))
    hold_forms(tab)
    tab.locator("#pv-phone").fill("+989120000000")
    button = tab.locator("button[type=submit]")
    button.click()
    assert button.inner_text() == PAGE["sending"]
    button.click()
    tab.locator("#pv-phone").press("Enter")
    assert tab.evaluate("sent") == 1
    tab.clock.run_for(6000)
    assert button.inner_text() == PAGE["slow"]
    tab.clock.run_for(15000)
    assert button.inner_text() == PAGE["continue"]


def test_offline_visitor_keeps_the_page_and_the_input(tab: Any) -> None:
    posted = open_page(tab, by_jinja("login.html", LOGIN))
    field = tab.locator("#pv-phone")
    field.fill("+989120000000")
    tab.context.set_offline(True)
    tab.get_by_role("button", name="Continue").click()
    assert tab.get_by_role("alert").inner_text() == PAGE["offline"]
    assert field.input_value() == "+98 912 000 0000"
    assert posted == []
    tab.context.set_offline(False)
    tab.get_by_role("alert").wait_for(state="hidden")
    with tab.expect_navigation():
        tab.get_by_role("button", name="Continue").click()
    assert len(posted) == 1


def test_resend_button_counts_down_and_is_then_enabled(tab: Any) -> None:
    stop_clock(tab)
    open_page(tab, code_page(resend_in=15, resend_text="15 seconds"))
    button = tab.locator("[data-pv-resend]")
    assert (button.inner_text(), button.is_disabled()) == ("Resend code in 0:15", True)
    tab.clock.run_for(5000)
    assert button.inner_text() == "Resend code in 0:10"
    tab.clock.run_for(10000)
    assert (button.inner_text(), button.is_disabled()) == ("Resend code", False)


def test_time_left_is_announced_at_60_30_and_0_seconds(tab: Any) -> None:
    stop_clock(tab)
    open_page(tab, code_page(expires_in=62, choices=[]))
    note_announcements(tab)
    tab.clock.run_for(61000)
    assert tab.evaluate("said") == ["Code expires in 60 seconds", "Code expires in 30 seconds"]
    assert tab.get_by_role("timer").get_attribute("aria-live") is None
    tab.clock.run_for(1000)
    assert tab.evaluate("said").pop() == "Your code has expired."


# The next channel


def waiting_page(tab: Any, seconds: int, *, by_itself: bool = False) -> list[str]:
    """Show a code page that offers a call in this time, with the tab's clock stopped; return the forms it posts."""
    stop_clock(tab)
    return open_page(tab, code_page(next_channel=RING, next_channel_in=seconds, next_channel_by_itself=by_itself))


def test_next_channel_appears_and_is_announced_once(tab: Any) -> None:
    posted = waiting_page(tab, 30)
    note_announcements(tab)
    offer = tab.locator("[data-pv-next]")
    tab.clock.run_for(29000)
    assert not offer.is_visible()
    tab.clock.run_for(60000)
    assert offer.is_visible()
    assert [text for text in tab.evaluate("said") if PAGE["next_channel"] in text] == [
        f"{PAGE['next_channel']} {RING.label}"
    ]
    assert posted == []
    with tab.expect_navigation():
        offer.get_by_role("button").click()
    assert "channel=flash_call" in posted[0]
    assert "by_itself" not in posted[0]


def test_due_next_channel_needs_no_script(tabs: Tabs) -> None:
    with tabs(java_script_enabled=False) as tab:
        open_page(tab, code_page(next_channel=RING))
        assert tab.locator("[data-pv-next] button").is_visible()


def test_next_channel_is_sent_once_and_keeps_the_typed_code(tab: Any) -> None:
    posted = waiting_page(tab, 30, by_itself=True)
    tab.locator("#pv-code").press_sequentially("123")
    tab.clock.run_for(29000)
    assert posted == []
    with tab.expect_navigation():
        tab.clock.run_for(1000)
    assert len(posted) == 1
    assert "channel=flash_call&by_itself=1" in posted[0]
    assert "123" not in posted[0]
    tab.goto(f"{HOST}/page")  # the send was refused: the same page is shown again
    assert tab.locator("#pv-code").input_value() == "123"
    tab.clock.run_for(90000)
    assert len(posted) == 1
    tab.reload()
    assert tab.locator("#pv-code").input_value() == ""


def test_next_channel_is_not_sent_while_the_visitor_types(tab: Any) -> None:
    posted = waiting_page(tab, 30, by_itself=True)
    hold_forms(tab)
    tab.clock.run_for(25000)
    for _ in range(3):
        tab.locator("#pv-code").press_sequentially("1")
        tab.clock.run_for(8000)
    assert tab.evaluate("sent") == 0
    tab.clock.run_for(3000)
    assert tab.evaluate("sent") == 1
    tab.clock.run_for(60000)
    assert tab.evaluate("sent") == 1
    assert posted == []


def test_next_channel_is_not_sent_in_a_hidden_tab(tab: Any) -> None:
    waiting_page(tab, 30, by_itself=True)
    hold_forms(tab)
    show = """hidden => {
        Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    tab.evaluate(show, True)
    tab.clock.run_for(60000)
    assert tab.evaluate("sent") == 0
    tab.evaluate(show, False)
    assert tab.evaluate("sent") == 1


# The device and the screen


def test_qr_code_is_hidden_where_a_phone_is_in_the_hand(phone_tab: Any, laptop_tab: Any) -> None:
    for tab, shown in ((phone_tab, False), (laptop_tab, True)):
        open_page(tab, in_language("inbound call", "en"))
        assert tab.locator(".pv-qr").is_visible() == shown
        assert tab.locator('a[href^="tel:"]').is_visible()


def test_number_to_call_is_copied(laptop_tab: Any) -> None:
    # Pages of a test host are not a secure context, so the clipboard is a stand-in.
    laptop_tab.add_init_script(
        "Object.defineProperty(navigator, 'clipboard', {value: {writeText: async text => { window.copied = text; }}})"
    )
    open_page(laptop_tab, in_language("inbound call", "en"))
    laptop_tab.get_by_role("button", name="Copy number").click()
    laptop_tab.get_by_role("button", name="Copied").wait_for()
    assert laptop_tab.evaluate("copied") == "+982100000000"


@pytest.mark.parametrize("tag", LANGUAGES)
@pytest.mark.parametrize("kind", WAITING)
def test_code_page_fits_the_screen(phone_tab: Any, laptop_tab: Any, kind: str, tag: str) -> None:
    for tab, size in ((phone_tab, PHONE_SIZE), (laptop_tab, LAPTOP)):
        open_page(tab, in_language(kind, tag))
        assert tab.evaluate("document.documentElement.scrollHeight") <= size["height"]


@pytest.mark.parametrize("kind", [*WAITING, "login, in a region", "verify"])
def test_pages_fit_narrow_screens_and_large_text(tab: Any, kind: str) -> None:
    for width, size in ((280, "100%"), (320, "200%")):
        tab.set_viewport_size({"width": width, "height": 700})
        open_page(tab, in_language(kind, "en").replace("<details ", "<details open "))
        tab.evaluate("size => { document.documentElement.style.fontSize = size; }", size)
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
