"""The element while answers are late, lost, repeated or hostile: the test answers the API's calls in the page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from phone_verify.http.site import Site
from phone_verify.web.client_settings import client_settings
from tests.core.harness import Harness, sms

from .conftest import Tabs, stop_clock
from .test_client import LISTEN, events
from .test_every_page import HOST, serve

pytestmark = pytest.mark.browser

PAGE = """<!doctype html><html lang="en"><title>x</title>{element}
<script type="module" src="/phone/static/phone-verify-client.js"></script>"""
#: Keeps the calls of the API open, and those of the element's settings while `holdsSettings`.
HOLD = """(() => {
  const send = window.fetch;
  window.calls = [];
  window.fetch = (url, options = {}) => {
    const isSettings = String(url).includes("client.json");
    const isHeld = String(url).includes("/v1/") || (isSettings && window.holdsSettings);
    return isHeld
      ? new Promise((resolve, reject) => window.calls.push({ url: String(url), options, resolve, reject }))
      : send(String(url).replace("http://other.test", location.origin), options);
  };
})();"""
#: Answers the first open call whose URL ends so, and waits until the page has read it; status 0 is a lost answer.
ANSWER = """async ([end, status, body]) => {
  const at = calls.findIndex(({ url }) => url.split("?")[0].endsWith(end));
  const [{ url, options, resolve, reject }] = calls.splice(at, 1);
  const type = { "Content-Type": "application/json" };
  const answer = new Response(status ? JSON.stringify(body) : null, { headers: type, ...(status && { status }) });
  let reading;
  for (const method of ["text", "json"]) {
    const read = answer[method].bind(answer);
    answer[method] = () => (reading = read());
  }
  status ? resolve(answer) : reject(new TypeError("lost"));
  const { port1, port2 } = new MessageChannel();
  const nextTask = () => new Promise((done) => { port1.onmessage = done; port2.postMessage(0); });
  await nextTask();
  await reading;
  await nextTask();
  return [url, options.body ?? "", options.headers?.["Verification-Secret"] ?? ""];
}"""
SENT: dict[str, Any] = {
    "id": "A", "secret": "S", "status": "sent", "purpose": "login", "channel": "sms", "channels": ["sms"],
    "phone_hint": "+98 •••••••• 00", "code_length": 6, "attempts_left": 5, "expires_in": 300, "resend_in": 0,
    "caller_hint": None, "dial": None, "proof": None,
}  # fmt: skip
VERIFIED = {**SENT, "status": "verified", "proof": "P", "channels": []}
CALL: dict[str, Any] = {
    **SENT,
    "channel": "inbound_call",
    "dial": {"number": "+98 21 1", "uri": "tel:+98211", "qr": "data:,"},
}
SIGNED_IN = {"user": {"id": "7", "phone": "+989120000000"}, "created": False}
PHONE = "+989120000000"


class Element:
    """An element in a tab, and the calls that it made."""

    def __init__(self, tab: Any) -> None:
        self.tab = tab

    def answer(self, end: str, body: Any, status: int = 200) -> tuple[str, Any, str]:
        """Answer the first open call of this URL; return its URL, fields and secret."""
        self.tab.wait_for_function("(end) => calls.some(({ url }) => url.split('?')[0].endsWith(end))", arg=end)
        url, fields, secret = self.tab.evaluate(ANSWER, [end, status, body])
        return url, json.loads(fields or "null"), secret

    def open(self) -> list[str]:
        """Return the paths of the open calls."""
        urls: list[str] = self.tab.evaluate("calls.map(({ url }) => url)")
        return [url.partition("/phone/")[2] for url in urls]

    def run(self, script: str) -> None:
        self.tab.evaluate(f"(element) => {{ {script} }}", self.tab.query_selector("phone-verify"))

    def start(self, **fields: Any) -> None:
        """Enter a number, and answer the start."""
        self.enter()
        self.answer("/verifications", {**SENT, **fields})

    def enter(self, phone: str = PHONE) -> None:
        self.tab.locator("#pv-phone").fill(phone)
        self.tab.locator("#pv-phone").press("Enter")

    def type_code(self) -> None:
        self.tab.locator("#pv-code").fill("123456")
        self.tab.wait_for_function("() => calls.some(({ url }) => url.endsWith('/check'))")

    def title(self) -> str:
        return str(self.tab.locator("h2.title").inner_text())

    def events(self) -> list[str]:
        return [name for name, _ in events(self.tab)]


@pytest.fixture
def shown(tabs: Tabs) -> Iterator[Element]:
    with element(tabs, '<phone-verify sign-in channel="sms"></phone-verify>') as opened:
        yield opened


@contextmanager
def element(tabs: Tabs, html: str, **options: Any) -> Iterator[Element]:
    with tabs(**options) as tab:
        serve(tab, {"/page": PAGE.format(element=html)}, site())
        tab.add_init_script(HOLD)
        tab.goto(f"{HOST}/page")
        tab.evaluate(LISTEN)
        tab.locator("#pv-phone").wait_for()
        yield Element(tab)
        assert tab.url == f"{HOST}/page"


def site() -> Site:
    return Site(Harness(sms(), region="IR").verifier)


def test_two_answers_verify_and_sign_in_once(shown: Element) -> None:
    shown.start(**CALL)
    shown.answer("/events", None, 404)
    shown.type_code()
    shown.answer("/check", VERIFIED)
    shown.answer("verifications/A", VERIFIED)
    assert shown.open() == ["v1/session"]
    shown.answer("/session", SIGNED_IN)
    assert shown.events() == ["verified", "signed-in"]
    assert shown.title() == "Number verified"


def test_nothing_is_sent_while_the_browser_is_being_signed_in(shown: Element) -> None:
    shown.start(**CALL)
    shown.answer("/events", None, 404)
    shown.answer("verifications/A", VERIFIED)
    shown.tab.get_by_role("button", name="I've called").click()
    shown.run("window.holdsSettings = true; element.lang = 'fa'")
    shown.answer("client.json", settings("fa"))
    assert shown.open() == ["v1/session"]
    shown.tab.locator("[data-step=resend] button").click()
    assert shown.open() == ["v1/session"]
    shown.answer("/session", SIGNED_IN)
    assert shown.events() == ["verified", "signed-in"]


@pytest.mark.parametrize("change", ["element.restart()", "element.setAttribute('api', 'http://other.test/phone/')"])
@pytest.mark.parametrize(("status", "body"), [(200, VERIFIED), (422, {"code": "wrong_code", "attempts_left": 4})])
def test_late_answer_to_a_code_is_dropped(shown: Element, change: str, status: int, body: dict[str, Any]) -> None:
    shown.start()
    shown.type_code()
    shown.run(change)
    shown.answer("/check", body, status)
    assert (shown.open(), shown.events(), shown.title()) == ([], [], "Sign in")
    assert shown.tab.locator("#pv-error").count() == 0


def test_late_answer_to_a_start_is_dropped(shown: Element) -> None:
    shown.enter()
    shown.run("element.restart()")
    shown.enter("+989120000001")
    shown.tab.wait_for_function("() => calls.length === 2")
    shown.tab.evaluate("() => calls.reverse()")
    shown.answer("/verifications", {**SENT, "id": "B"})
    shown.answer("/verifications", SENT)
    assert shown.tab.evaluate("document.querySelector('phone-verify').verification.id") == "B"


def test_proof_goes_to_the_api_that_gave_it(shown: Element) -> None:
    shown.run("element.addEventListener('phone-verify:verified', () => element.setAttribute('api', '/other/'))")
    shown.start()
    shown.type_code()
    shown.answer("/check", VERIFIED)
    url, fields, secret = shown.answer("/session", SIGNED_IN)
    assert (url, fields, secret) == (f"{HOST}/phone/v1/session", {"proof": "P"}, "S")


def test_restart_by_a_listener_shows_the_number_field(shown: Element) -> None:
    shown.run("element.removeAttribute('sign-in')")
    shown.run("element.addEventListener('phone-verify:verified', () => element.restart())")
    shown.start()
    shown.type_code()
    shown.answer("/check", VERIFIED)
    assert (shown.events(), shown.title()) == (["verified"], "Your mobile number")
    assert shown.tab.locator("#pv-phone").input_value() == ""


def test_lost_answer_to_the_right_code_is_read_later(shown: Element) -> None:
    shown.start()
    shown.type_code()
    shown.answer("/check", None, 0)
    shown.tab.locator("#pv-code").fill("123456")
    shown.tab.locator("#pv-code").press("Enter")
    shown.answer("/check", {"code": "closed", "verification_status": "verified"}, 422)
    shown.answer("verifications/A", VERIFIED)
    shown.answer("/session", SIGNED_IN)
    assert shown.events() == ["error", "error", "verified", "signed-in"]


def test_element_works_while_it_loads_another_language(shown: Element) -> None:
    shown.run("window.holdsSettings = true; element.lang = 'fa'")
    shown.start()
    shown.type_code()
    shown.answer("/check", {"code": "wrong_code", "detail": "Incorrect code.", "attempts_left": 4}, 422)
    shown.tab.get_by_text("Incorrect code. 4 attempts left.").wait_for()
    shown.run("element.restart()")
    assert shown.title() == "Sign in"
    shown.answer("client.json", settings("fa"))
    assert shown.title() == "ورود"


def settings(lang: str) -> Any:
    return json.loads(client_settings(site(), lang, ""))


def test_newest_language_stays(shown: Element) -> None:
    shown.run("window.holdsSettings = true; element.lang = 'fa'; element.lang = 'ru'")
    shown.tab.evaluate("() => calls.reverse()")
    shown.answer("client.json", settings("ru"))
    shown.answer("client.json", settings("fa"))
    assert shown.title() == "Вход"


def test_settings_are_asked_for_again_by_one_timer(tabs: Tabs) -> None:
    with element(tabs, '<phone-verify channel="sms"></phone-verify>') as shown:
        stop_clock(shown.tab)
        shown.run("window.holdsSettings = true; for (const lang of ['fa', 'ru', 'ar']) element.lang = lang")
        shown.tab.evaluate("() => calls.splice(0).forEach(({ reject }) => reject(new TypeError('lost')))")
        shown.tab.clock.run_for(10_000)
        assert len(shown.open()) == 1
        assert shown.events() == ["error"]


def test_element_that_moves_keeps_its_view_and_sends_no_form_itself(shown: Element) -> None:
    shown.run("window.holdsSettings = true; document.body.append(element)")
    shown.start()
    shown.run("document.body.prepend(element)")
    shown.type_code()
    assert shown.open() == ["v1/verifications/A/check"]


def test_malformed_answer_leaves_the_view_and_the_address(shown: Element) -> None:
    shown.start(channel="voice", channels=None)
    shown.tab.get_by_text("Something went wrong").wait_for()
    shown.enter()
    shown.answer("/verifications", SENT)
    assert shown.title() == "Enter the code"


@pytest.mark.parametrize("path", ["/\\evil.example/", "\\\\evil.example/", "\t//evil.example/", "/\t/evil.example/"])
def test_second_factor_is_linked_on_the_apis_origin_only(shown: Element, path: str) -> None:
    shown.start()
    shown.type_code()
    shown.answer("/check", VERIFIED)
    shown.answer("/session", {"code": "mfa_required", "detail": "x", "continue_at": path}, 403)
    assert shown.tab.locator("a.button").evaluate("(link) => link.href") == f"{HOST}/evil.example/"


def test_answers_run_no_script_without_a_policy(tabs: Tabs) -> None:
    with tabs(bypass_csp=True) as tab:
        serve(tab, {"/page": PAGE.format(element='<phone-verify channel="sms"></phone-verify>')}, site())
        tab.add_init_script(f"{HOLD} window.holdsSettings = true;")
        tab.goto(f"{HOST}/page")
        shown, found = Element(tab), settings("en")
        found["number"]["field"]["OnFocus"] = "window.ran = true"
        shown.answer("client.json", found)
        tab.locator("#pv-phone").focus()
        shown.start(**{**CALL, "dial": {**CALL["dial"], "uri": "javascript:void(window.ran = true)"}})
        tab.locator("a.call").click()
        assert tab.evaluate("window.ran") is None


def test_form_in_a_slot_is_the_sites(tabs: Tabs) -> None:
    form = '<form slot="footer"><button>Subscribe</button></form>'
    with element(tabs, f'<phone-verify channel="sms">{form}</phone-verify>') as shown:
        shown.start()
        shown.tab.evaluate(
            "() => document.addEventListener('submit', (event) => {"
            "window.taken = event.defaultPrevented; event.preventDefault(); })"
        )
        shown.tab.get_by_role("button", name="Subscribe").click()
        assert shown.tab.evaluate("window.taken") is False
        assert (shown.open(), shown.title()) == ([], "Enter the code")
