"""The page in a real browser: scenarios, expected calls, requests, search, list, deletion and the tour."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from phone_verify.sandbox import SandboxServer, read_scenario
from phone_verify.sandbox.scenario import present
from tests.conftest import missing

pytestmark = pytest.mark.browser

SCENARIO = """
faults:
  - {provider: amoot, malformed: html}
handsets:
  - {phone: "+79000000000", dials_after: 2, hidden: true}
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


SMS = "/rest/SendQuickOTP"
SPOKEN = "Your <b>Example</b> verification code is: 4, 8, 2, 1, 9, 3."
#: Keeps what the page has spoken, in place of a synthesizer.
RECORD_SPEECH = """
    window.spoken = [];
    Object.defineProperty(window, "speechSynthesis", {
        value: { cancel() {}, speak(said) { window.spoken.push([said.text, said.lang]); } },
    });
"""
HOSTILE = '<img src=x onerror="document.title=1"><b>Code</b> 482193'


def receive(server: SandboxServer, phone: str, text: str = "Your code is 482193") -> None:
    """Let a message arrive at a handset."""
    server.sandbox.network.send_message(
        phone, provider="amoot", channel="sms", sender="<i>Amoot</i>", text=text, code="482193"
    )


def test_expected_call_is_made_with_one_tap(page: Any) -> None:
    with SandboxServer() as server:
        page.goto(server.url)
        path = "/api/v1/authcalls/TOKEN/reverse_auth_phone_get?phone=89000000000"
        line = urllib3.request("GET", server.url + path, timeout=60).json()["data"]["auth_phone"]
        page.get_by_text("Telefon-IP is waiting for your call:").wait_for()
        button = page.get_by_role("button", name="Call +7")
        assert re.sub(r"\D", "", button.inner_text()) == line
        button.click()
        page.get_by_text("Outgoing call, busy").wait_for()
        button.wait_for(state="detached")
        assert server.sandbox.network.open_waits("+79000000000") == ()


def test_requests_are_shown_escaped_and_masked(page: Any) -> None:
    with SandboxServer() as server:
        page.goto(server.url)
        fields = {"Mobile": "9120000000", "CodeLength": "6", "OptionalCode": HOSTILE}
        urllib3.request("POST", server.url + SMS, fields=fields, headers={"Authorization": "SECRET-TOKEN"}, timeout=60)
        page.get_by_role("tab", name="Requests").click()
        page.locator("#requests summary").click()
        page.locator("#requests dd", has_text="<b>Code</b>").wait_for()
        text = page.locator("#requests").inner_text()
        assert "Amoot SMS" in text
        assert "***" in text
        assert "SECRET-TOKEN" not in page.content()
        assert page.locator("#requests img, #requests dd b").count() == 0
        server.sandbox.network.send_message(
            "+989120000000", provider="amoot", channel="sms", sender="a", text="lost", code="", copies=0
        )
        page.locator("#requests summary", has_text="to +989120000000").get_by_text("failed").wait_for()
        page.get_by_label("Search numbers and messages").fill("nothing like this")
        page.get_by_text("No request matches this search.").wait_for()


def test_search_finds_numbers_and_messages_as_text(page: Any) -> None:
    with SandboxServer() as server:
        receive(server, "+989120000001", HOSTILE)
        receive(server, "+989120000002", "Welcome")
        page.goto(server.url)
        page.locator(".handset").nth(1).wait_for()
        assert page.locator(".handset img, .bubble b, .meta i").count() == 0
        box = page.get_by_label("Search numbers and messages")
        for wanted, number in (("welcome", "0002"), ("912 000 0001", "0001"), ("onerror", "0001")):
            box.fill(wanted)
            assert [each[-4:] for each in page.locator(".handset:visible .own").all_inner_texts()] == [number]
        box.fill("nothing like this")
        page.get_by_text("No handset or message matches this search.").wait_for()
        assert page.title() == "Handsets"


def test_list_counts_unread_messages_in_the_title(page: Any) -> None:
    with SandboxServer() as server:
        for number in range(3):
            receive(server, f"+98912000000{number}")
        page.goto(server.url)
        page.get_by_role("button", name="List").click()
        assert page.locator(".handset:visible").count() == 1
        row = page.locator("#list button", has_text="000 0001")
        for _ in range(2):
            receive(server, "+989120000001")
        row.get_by_text("2 unread").wait_for()
        assert page.title() == "(2) Handsets"
        row.click()
        assert page.title() == "Handsets"
        assert page.locator(".handset:visible .own").inner_text().endswith("0001")


def speak(server: SandboxServer, phone: str, copies: int = 1) -> None:
    """Let a voice call ring at a handset."""
    server.sandbox.network.place_call(
        phone, provider="twilio-verify", number="+15005550010", code="482193", spoken=SPOKEN, language="en-US",
        copies=copies,
    )  # fmt: skip


def test_voice_call_is_read_aloud_on_request_only(page: Any) -> None:
    page.add_init_script(RECORD_SPEECH)
    with SandboxServer() as server:
        page.goto(server.url)
        speak(server, "+14155550100")
        handset = page.get_by_role("article", name="+1 415 555 0100")
        handset.get_by_text("Answer to hear the code.").wait_for()
        assert handset.locator(".ringing").get_by_text("4, 8, 2").count() == 0
        handset.get_by_role("button", name="Answer").click()
        assert handset.locator(".ringing .bubble").inner_text() == SPOKEN
        assert handset.locator(".ringing .bubble strong").inner_text() == "4, 8, 2, 1, 9, 3"
        assert page.locator(".bubble b, .bubble img").count() == 0
        assert page.evaluate("window.spoken") == []
        handset.locator(".ringing").get_by_role("button", name="Read aloud").click()
        handset.get_by_role("button", name="Hang up").click()
        handset.locator(".inbox").get_by_role("button", name="Read aloud").click()
        assert page.evaluate("window.spoken") == [[SPOKEN, "en-US"]] * 2
        assert handset.locator(".inbox .bubble").inner_text() == SPOKEN
        page.get_by_label("Search numbers and messages").fill("verification code")
        assert handset.is_visible()


def test_code_in_persian_digits_is_marked(page: Any) -> None:
    with SandboxServer() as server:
        server.sandbox.network.place_call(
            "+989120000000",
            provider="amoot",
            number="+982100000000",
            code="4821",
            spoken="کد: ۴، ۸، ۲، ۱.",
            language="fa",
        )
        page.goto(server.url)
        assert page.locator(".inbox .bubble strong").text_content() == "۴، ۸، ۲، ۱"
        assert page.locator(".inbox .bubble").get_attribute("lang") == "fa"


def test_declined_voice_call_is_text_without_speech_synthesis(page: Any) -> None:
    page.add_init_script("delete Window.prototype.speechSynthesis; delete window.speechSynthesis;")
    with SandboxServer() as server:
        page.goto(server.url)
        speak(server, "+14155550100", copies=2)
        page.get_by_role("button", name="Decline").click()
        assert page.locator(".ringing").is_hidden()
        assert page.locator(".inbox .bubble").all_inner_texts() == [SPOKEN] * 2
        assert page.get_by_role("button", name="Read aloud").count() == 0


def test_hanging_up_keeps_a_newer_call_ringing(page: Any) -> None:
    with SandboxServer() as server:
        page.goto(server.url)
        speak(server, "+14155550100")
        page.get_by_role("button", name="Answer").click()
        speak(server, "+14155550100")
        page.locator(".inbox .bubble").nth(1).wait_for(state="attached")
        page.get_by_role("button", name="Hang up").click()
        page.get_by_text("Answer to hear the code.").wait_for()
        page.get_by_role("button", name="Decline").click()
        assert page.locator(".ringing").is_hidden()


def test_message_and_handset_are_deleted_on_the_page(page: Any) -> None:
    with SandboxServer() as server:
        receive(server, "+989120000000")
        page.goto(server.url)
        page.get_by_role("button", name="Delete this message").click()
        page.get_by_text("No messages or calls yet.").wait_for()
        page.get_by_role("button", name="Delete this handset").click()
        page.get_by_role("heading", name="No messages yet").wait_for()
        assert server.sandbox.network.handsets() == ()


@pytest.mark.parametrize("height", [800, 640])
def test_caller_id_is_reachable_in_the_keypad(page: Any, height: int) -> None:
    with SandboxServer() as server:
        receive(server, "+989120000000")
        page.set_viewport_size({"width": 1280, "height": height})
        page.goto(server.url)
        page.get_by_role("tab", name="Keypad").click()
        summary, dock = page.locator(".mask summary").bounding_box(), page.locator(".dock").bounding_box()
        assert summary["y"] + summary["height"] <= dock["y"]
        page.locator(".mask summary").click()
        other = page.get_by_label("Show another number")
        other.fill("+79000000013")
        other_box = other.bounding_box()
        assert other_box["y"] + other_box["height"] <= dock["y"] + 1


def test_wrong_number_is_reported_once(page: Any) -> None:
    with SandboxServer() as server:
        page.goto(server.url)
        page.get_by_label("Number of the new handset").fill("12")
        page.get_by_role("button", name="Add handset").click()
        page.get_by_text("Write the number with its country code, e.g. +989120000000.", exact=True).wait_for()


def test_tour_has_three_steps_and_stays_closed(page: Any) -> None:
    with SandboxServer() as server:
        address = f"{server.url}/beside?site={server.url}/api/&tour=1"
        page.goto(address)
        tour = page.get_by_role("complementary", name="Tour")
        tour.get_by_text("Sign in to the example site").wait_for()
        receive(server, "+989120000000")
        tour.get_by_text("Step 2 of 3.").wait_for()
        tour.get_by_role("button", name="Next").press("Enter")
        tour.get_by_text("Enter the code in the site.").wait_for()
        tour.get_by_role("button", name="Back").click()
        page.keyboard.press("Escape")
        assert tour.is_hidden()
        page.reload()
        page.locator(".handset").wait_for()
        assert tour.is_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_pages_have_no_axe_violations(page: Any, width: int, scheme: str) -> None:
    try:
        from axe_playwright_python.sync_playwright import Axe
    except ImportError:
        missing("axe-playwright-python")
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    with SandboxServer() as server:
        receive(server, "+989120000000", HOSTILE)
        urllib3.request("GET", f"{server.url}/api/v1/authcalls/T/reverse_auth_phone_get?phone=89000000000", timeout=60)

        def check() -> None:
            found = Axe().run(page, options={"resultTypes": ["violations"]})
            assert found.violations_count == 0, found.generate_report()
            assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")

        for path in ("/api/", "/nosuch", f"/beside?site={server.url}/api/&tour=1", "/"):
            page.goto(server.url + path)
            if path not in ("/api/", "/nosuch"):
                page.locator(".handset").nth(1).wait_for()
            check()
        speak(server, "+14155550100")
        page.get_by_text("Answer to hear the code.").wait_for()
        check()
        page.get_by_role("button", name="Answer").click()
        check()
        page.get_by_role("button", name="Hang up").click()
        check()
        page.get_by_text("Simulate failures").click()
        page.get_by_role("button", name="List").click()
        check()
        page.get_by_role("tab", name="Requests").click()
        page.locator("#requests summary").first.click()
        check()
